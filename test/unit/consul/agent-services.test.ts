/** What is sent to an agent: it shows little of it afterwards. */
import { expect, test } from 'vitest';
import type { AgentCheck } from '../../../src/consul/agent-services.ts';
import { parseCheckId } from '../../../src/consul/service-ids.ts';
import { aConsulClient, signal } from '../../support/consul-client.ts';
import { aService } from '../../support/services.ts';
import { answer, FakeServer } from './server.ts';

const check = (kind: AgentCheck['kind']): AgentCheck => ({
  id: parseCheckId('service:web-1:c'),
  name: 'c',
  notes: '',
  kind,
  successBeforePassing: 1,
  failuresBeforeCritical: 1,
  deregisterAfterMs: undefined,
});

async function sent(kind: AgentCheck['kind']): Promise<unknown> {
  await using server = await FakeServer.start(answer(200, ''));
  await using client = aConsulClient([server.address]);
  const service = aService('web-1');
  const registration = { service, checks: [check(kind)], sidecar: undefined, superseded: 'all' } as const;
  await client.agentServices.register(registration, { signal });
  const { Checks } = JSON.parse(server.requests[0]?.body ?? '') as { readonly Checks: readonly unknown[] };
  return Checks[0];
}

const run = { intervalMs: 10_000, timeoutMs: 1_000 };
const tls = { tlsServerName: '', tlsSkipVerify: false };

test.each(['http', 'https'])(
  'no %s check follows a redirect: it could lead to the agent itself',
  async scheme => {
    const url = `${scheme}://192.0.2.1/`;
    const http = { ...run, kind: 'http', url, method: 'PUT', headers: new Map(), body: 'x', ...tls } as const;
    expect(await sent(http)).toMatchObject({ HTTP: url, DisableRedirects: true });
  },
);
