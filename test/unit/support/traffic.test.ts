import { expect, test } from 'vitest';
import type { RecordedRequest } from '../../support/fault-rules.ts';
import { isConsulWrite, isEventWrite, isKubernetesWrite } from '../../support/traffic.ts';

function aRequest(line: string, body: unknown = ''): RecordedRequest {
  const [method = '', url = ''] = line.split(' ');
  const { pathname: path, searchParams: query } = new URL(url, 'http://localhost');
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    n: 1,
    method,
    path,
    query,
    headers: {},
    body: text,
    at: 0,
    upstreamStatus: 200,
    reply: undefined,
    status: 200,
    finished: true,
  };
}
const txn = (...verbs: string[]) =>
  aRequest(
    'PUT /v1/txn',
    verbs.map(Verb => ({ KV: { Verb, Key: 'k' } })),
  );

const lock = (Key: string) => ({ KV: { Verb: 'lock', Key } });

test.each([
  ['GET /v1/kv/a', aRequest('GET /v1/kv/a'), false],
  ['PUT /v1/kv/a', aRequest('PUT /v1/kv/a'), true],
  ['DELETE /v1/kv/a', aRequest('DELETE /v1/kv/a'), true],
  ['a renewal', aRequest('PUT /v1/session/renew/x'), false],
  ['a session', aRequest('PUT /v1/session/create'), false],
  ['the lock of a leader', aRequest('PUT /v1/txn', [lock('proconsul/an-install/leader')]), false],
  ['another lock', aRequest('PUT /v1/txn', [lock('leases/a')]), true],
  ['a lock beside a write', aRequest('PUT /v1/txn', [lock('proconsul/i/leader'), lock('k')]), true],
  ['giving up the lead', aRequest('PUT /v1/kv/proconsul%2Fan-install%2Fleader'), false],
  ['a transaction that reads', txn('get', 'get-or-empty', 'get-tree', 'check-index', 'check-session'), false],
  ['a transaction that writes once', txn('check-session', 'get', 'cas'), true],
])('%s is a write to Consul: %s', (_name, request, expected) => {
  expect(isConsulWrite(request)).toBe(expected);
});

const kv = '/apis/proconsul.dev/v1alpha1/namespaces/n/consulkvs/x';
test.each([
  [`GET ${kv}`, 'neither'],
  [`PATCH ${kv}/status`, 'write'],
  [`PATCH ${kv}?dryRun=All`, 'neither'],
  ['POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews', 'neither'],
  ['PATCH /apis/coordination.k8s.io/v1/namespaces/n/leases/l', 'neither'],
  ['POST /apis/events.k8s.io/v1/namespaces/n/events', 'event'],
  ['PATCH /api/v1/namespaces/n/events/e', 'event'],
  ['POST /api/v1/namespaces/events/configmaps', 'write'],
])('%s counts as %s', (line, expected) => {
  const request = aRequest(line);
  const kind = isKubernetesWrite(request) ? 'write' : isEventWrite(request) ? 'event' : 'neither';
  expect(kind).toBe(expected);
});
