import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isKubernetesWrite, isWritingTransaction } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

/** Row 28: others who want what is ours. */

const EDITS = 250;
const EDIT_EVERY_MS = 20;
/** A look comes at most every 100 ms; its correction is often too late by one edit, and then tried once more. */
const MAX_CORRECTIONS = (2 * EDITS * EDIT_EVERY_MS) / 100;

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  ({ world, kvs } = await createRunningWorld('rivals'));
  await kvs.declareReady('neighbour', { key: world.key('neighbour'), value: 'untouched' });
});

afterEach(() => world.close());

test('a rival edits a key fifty times a second: the answer is bounded, neighbours are served, and it settles', async () => {
  const key = world.key('fought');
  await kvs.declareReady('fought', { key, value: 'declared' });
  const before = { consul: world.toConsul.requests.length, kube: world.toKube.requests.length };

  const rival = edit(key);
  await kvs.declareReady('beside', { key: world.key('beside'), value: 'declared' });
  await rival;
  await eventually(async () => expect((await world.consul.kvGet(key))?.text).toBe('declared'), {
    what: 'put back',
  });
  await kvs.ready('fought');

  const corrections = world.toConsul.requests.slice(before.consul).filter(touches(key));
  expect(corrections.length, 'transactions').toBeLessThanOrEqual(MAX_CORRECTIONS);
  const told = world.toKube.requests.slice(before.kube).filter(isKubernetesWrite);
  expect(told.filter(({ path }) => path.includes('/fought')).length, 'status writes').toBeLessThanOrEqual(
    corrections.length + 1,
  );
  const { createIndex, modifyIndex } = (await world.consul.kvGet(world.key('neighbour'))) ?? {};
  expect(modifyIndex).toBe(createIndex);
});

test('two resources on one key: the first keeps it, and neither writes again', async () => {
  const key = world.key('wanted');
  await kvs.declareReady('first', { key, value: 'of the first' });
  await kvs.declare('second', { key, value: 'of the second', adoptionPolicy: 'Always' });
  await kvs.stalled('second', 'Conflict');
  const before = { entry: await world.consul.kvGet(key), requests: world.toConsul.requests.length };

  for (const name of ['second', 'first', 'second', 'first']) await kvs.lookAgain(name);

  expect(await world.consul.kvGet(key)).toEqual(before.entry);
  expect(world.toConsul.requests.slice(before.requests).filter(isWritingTransaction)).toEqual([]);

  await kvs.remove('first');
  await kvs.ready('second');
  expect((await world.consul.kvGet(key))?.text).toBe('of the second');
});

/** The rival. */
async function edit(key: string): Promise<void> {
  const begun = performance.now();
  for (let at = 0; at < EDITS; at += 1) {
    await world.consul.kvPut(key, `rival ${at}`);
    const leftMs = begun + at * EDIT_EVERY_MS - performance.now();
    await new Promise(resolve => setTimeout(resolve, Math.max(0, leftMs)));
  }
}

function touches(key: string): (request: RecordedRequest) => boolean {
  return request => isWritingTransaction(request) && request.body.includes(`"${key}"`);
}
