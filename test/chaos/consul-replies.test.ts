import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import type { Fault, RecordedRequest } from '../support/fault-rules.ts';
import { isReadOnlyTransaction, isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Times in a row that a request meets the fault: enough to need a retry of the retry. */
const TIMES = 3;

let world: World;
let kvs: ConsulKvs;
/** Where a redirect points: whatever arrives here was sent to a server that nobody configured. */
let elsewhere: FaultProxy;

beforeAll(async () => {
  world = await World.create('consul-replies');
  kvs = new ConsulKvs(world);
  elsewhere = await FaultProxy.start({ upstream: world.toConsul.url });
  await world.startOperator();
  await kvs.declareReady('neighbour', { key: world.key('neighbour'), value: 'untouched' });
});

afterAll(async () => {
  expect(elsewhere.requests).toEqual([]);
  await elsewhere.close();
  await world.close();
});

/** Answers that Consul, or something on the way to it, may give. */
const answers: Readonly<Record<string, () => Fault>> = {
  '403': () => reply(403, 'Permission denied: token with AccessorID lacks permission'),
  '409 with garbage': () => reply(409, '{"Errors": "no list"}'),
  '409 that names an operation which is not there': () =>
    reply(409, '{"Results":null,"Errors":[{"OpIndex":99,"What":"failed index check for key"}]}'),
  '409 that names no operation': () => reply(409, '{"Results":null,"Errors":[]}'),
  '429 with Retry-After': () => ({
    ...reply(429, 'Your IP is issuing too many requests'),
    headers: { 'retry-after': '1' },
  }),
  '500 with text': () => reply(500, 'rpc error making call: something broke'),
  '500 without a leader': () => reply(500, 'No cluster leader'),
  '502 of a proxy': () => reply(502, '<html><body>Bad Gateway</body></html>'),
  'HTML with 200': () => reply(200, '<!doctype html><title>Please log in</title>'),
  'nothing with 200': () => reply(200, ''),
  'null with 200': () => reply(200, 'null'),
  'other JSON with 200': () => reply(200, '{"Results":[{"KV":{"Key":7}}]}'),
  'a redirect': () => ({ ...reply(307, ''), headers: { location: `${elsewhere.url}/v1/txn` } }),
  'half of the answer': () => ({ kind: 'truncate' }),
  'a reset before it was sent on': () => ({ kind: 'reset' }),
  'a reset after it was done': () => ({ kind: 'dropReply' }),
};

/** These come after Consul did what was asked: the outcome is unknown, and must be looked up. */
const committed = ['half of the answer', 'a reset after it was done'];

describe('a transaction is answered by', () => {
  test.for(Object.entries(answers))(
    '%s: written once, neighbours unharmed',
    async ([what, fault], { task }) => {
      const name = nameOf('write', task.name);
      const key = world.key(name);
      const rule = world.toConsul.when(writes(key), fault(), { times: committed.includes(what) ? 1 : TIMES });

      await kvs.declareReady(name, { key, value: 'declared' });

      expect(rule.hits.length).toBeGreaterThan(0);
      const { createIndex, modifyIndex, text } = (await world.consul.kvGet(key)) ?? {};
      expect(text).toBe('declared');
      expect(modifyIndex, 'written once').toBe(createIndex);
      await neighbourIsUnharmed();
    },
  );
});

describe('reads are answered by', () => {
  test.for(Object.entries(answers))('%s: drift is put back all the same', async ([, fault], { task }) => {
    const name = nameOf('read', task.name);
    const key = world.key(name);
    await kvs.declareReady(name, { key, value: 'declared' });
    const rule = world.toConsul.when(isRead, fault(), { times: TIMES });

    await world.consul.kvPut(key, 'edited');

    const corrected = { [key]: 'declared' };
    await eventually(() => rule.hits.length === TIMES, { what: 'the reads meet the fault' });
    await eventually(async () => expect(await world.consul.kvTexts(key)).toEqual(corrected), {
      what: 'put back',
    });
    await kvs.ready(name);
    await neighbourIsUnharmed();
  });
});

test('what lasts is said: the reason, and that it goes on', async () => {
  const [refused, broken] = ['refused', 'broken'].map(name => ({ name, key: world.key(name) })) as [
    Named,
    Named,
  ];
  world.toConsul.when(writes(refused.key), answers['403']?.() as Fault);
  world.toConsul.when(writes(broken.key), answers['HTML with 200']?.() as Fault);

  for (const { name, key } of [refused, broken]) await kvs.declare(name, { key, value: 'declared' });
  await kvs.stands('refused', { ready: 'False', reason: 'ConsulDenied', reconciling: true });
  await kvs.stands('broken', { ready: 'Unknown', reason: 'ConsulUnreachable', reconciling: true });
  await neighbourIsUnharmed();

  world.toConsul.heal();
  await kvs.ready('refused');
  await kvs.ready('broken');
});

interface Named {
  readonly name: string;
  readonly key: string;
}

function reply(status: number, body: string): Extract<Fault, { kind: 'reply' }> {
  return { kind: 'reply', status, body };
}

function writes(key: string): (request: RecordedRequest) => boolean {
  return request => isWritingTransaction(request) && request.body.includes(`"${key}"`);
}

/** Blocking queries too: a watch that meets the fault must come back as well. */
function isRead(request: RecordedRequest): boolean {
  return isReadOnlyTransaction(request) || (request.method === 'GET' && request.path.startsWith('/v1/kv/'));
}

/** A name for a resource and its key from what a test is called. */
function nameOf(topic: string, title: string): string {
  return `${topic}-${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}`.slice(0, 60).replace(/-$/, '');
}

async function neighbourIsUnharmed(): Promise<void> {
  const { createIndex, modifyIndex } = (await world.consul.kvGet(world.key('neighbour'))) ?? {};
  expect(modifyIndex).toBe(createIndex);
  await kvs.ready('neighbour');
}
