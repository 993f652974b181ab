import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

/** Row 3: the lead alone does not fence; a leader's own write may be late, too. */

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('late-write'));
});

afterAll(() => world.close());

test('a transaction that was given up arrives after the next one of the same leader: it is refused', async () => {
  const key = world.key('late');
  await kvs.declareReady('late', { key, value: 'first' });
  const held = world.toConsul.when(isWritingTransaction, { kind: 'hold' }, { times: 1 });
  await kvs.change('late', { value: 'second' });
  await eventually(() => held.hits.length > 0, { what: 'a transaction under way' });
  const late = held.hits[0] as RecordedRequest;

  world.toConsul.cut(request => request === late);
  await kvs.ready('late');
  await kvs.changeReady('late', { value: 'third' });
  const { modifyIndex } = (await world.consul.kvGet(key)) ?? {};
  held.release();
  await eventually(() => late.upstreamStatus !== undefined, { what: 'the late transaction has arrived' });

  expect(late.upstreamStatus).toBe(409);
  expect(await world.consul.kvGet(key)).toMatchObject({ text: 'third', modifyIndex });
});
