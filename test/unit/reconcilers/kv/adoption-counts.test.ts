import { expect, test } from 'vitest';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import type { KvProcess } from '../../../support/kv-process.ts';
import { KvWorld } from '../../../support/kv-world.ts';

/** As many turns at a time as the operator runs. */
const AT_ONCE = 128;
const RESOURCES = 400;
const MAX_READS = 1.25 * RESOURCES;
/** Two operations each and the claims key: tried, refused because another batch moved the claims key, adopted. */
const MAX_TRANSACTIONS = 3 * Math.ceil(RESOURCES / 63) + 4;

test('keys that stand there already are adopted after one look at each, however many at once', async () => {
  const world = new KvWorld();
  const refs = Array.from({ length: RESOURCES }, (_, n) => {
    world.consul.store.put(`there/${n}`, 'v');
    return world.cluster.apply(`one-${n}`, { key: `there/${n}`, value: 'v' });
  });
  let running = 0;
  const othersRunnable = (waiting: number): boolean => running > waiting;
  const operator = await world.start({ othersRunnable });
  const [reads, transactions] = [world.consul.reads.length, world.consul.transactions.length];
  await runAll(operator, refs, change => {
    running += change;
  });
  expect(new Set(world.reasons(...refs))).toEqual(new Set(['Applied']));
  expect(world.consul.reads.length - reads).toBeLessThanOrEqual(MAX_READS);
  expect(world.consul.transactions.length - transactions).toBeLessThanOrEqual(MAX_TRANSACTIONS);
});

async function runAll(
  operator: KvProcess,
  refs: readonly ResourceRef[],
  count: (change: 1 | -1) => void,
): Promise<void> {
  const queue = refs.values();
  const worker = async (): Promise<void> => {
    for (const ref of queue) {
      count(1);
      await operator.settle(ref);
      count(-1);
      operator.commits.nudge();
    }
  };
  let isDone = false;
  const workers = Promise.all(Array.from({ length: AT_ONCE }, worker)).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise(resolve => setImmediate(resolve));
    operator.clock.advance(1);
  }
  await workers;
}
