import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isConsulWrite, isEventWrite, isWritingTransaction } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

/** Row 25. */

let world: World;
let kvs: ConsulKvs;
let operator: Operator;

beforeEach(async () => {
  ({ world, kvs, operator } = await createRunningWorld('shutdown'));
});

afterEach(() => world.close());

test('SIGTERM with a transaction under way, and again at once: it is finished and told, and the process ends with 0', async () => {
  const { transaction, release } = await holdTransactionOf('drained');

  operator.kill('SIGTERM');
  await operator.waitForLog(({ msg }) => msg === 'shutting down');
  operator.kill('SIGTERM');
  expect((await operator.probe('/readyz')).status).toBe(503);
  release();

  expect(await operator.waitForExit()).toEqual({ code: 0, signal: null });
  expect(transaction.status).toBe(200);
  expect(await world.stored()).toEqual({ drained: 'declared' });
  await kvs.ready('drained');
});

test('SIGTERM with many changes under way: nothing is half done, and the next start finishes what was not begun', async () => {
  const names = Array.from({ length: 100 }, (_, at) => `many-${at}`);
  const first = world.toConsul.waitFor(isWritingTransaction, { after: world.toConsul.requests.length });
  const declared = Promise.all(
    names.map(name => kvs.declare(name, { key: world.key(name), value: 'declared' })),
  );
  await first;
  operator.kill('SIGTERM');
  expect(await operator.waitForExit()).toEqual({ code: 0, signal: null });
  await declared;

  const recorded = Object.values(await world.records()).flatMap(({ names: keys }) => Object.keys(keys));
  expect(recorded.sort()).toEqual(
    Object.keys(await world.stored())
      .map(name => world.key(name))
      .sort(),
  );

  const before = world.toConsul.requests.length;
  await world.startOperator();
  for (const name of names) await kvs.ready(name);
  expect(Object.keys(await world.stored())).toHaveLength(names.length);
  const written = world.toConsul.requests
    .slice(before)
    .filter(isConsulWrite)
    .map(({ body }) => body)
    .join();
  for (const key of recorded) expect(written).not.toContain(`"${key}"`);
});

test('SIGTERM while the API server takes no Events: they are dropped, and the exit is clean all the same', async () => {
  const events = world.toKube.when(isEventWrite, { kind: 'hang' });
  await kvs.declareReady('untold', { key: world.key('untold'), value: 'declared' });
  await eventually(() => events.hits.length > 0, { what: 'an Event under way' });

  expect(await operator.stop()).toEqual({ code: 0, signal: null });
});

test('SIGTERM while Consul hangs: the process ends within what Kubernetes grants', {
  timeout: 60_000,
}, async () => {
  await holdTransactionOf('hanging');
  world.toConsul.when(() => true, { kind: 'hang' });

  operator.kill('SIGTERM');

  const { signal } = await operator.waitForExit(30_000);
  expect(signal).toBeNull();
  world.toConsul.heal();
  await world.startOperator();
  await kvs.ready('hanging');
  expect(await world.stored()).toEqual({ hanging: 'declared' });
});

/** Declares a resource; resolves when its transaction has reached the network and not yet Consul. */
async function holdTransactionOf(name: string) {
  const rule = world.toConsul.when(isWritingTransaction, { kind: 'hold' }, { times: 1 });
  await kvs.declare(name, { key: world.key(name), value: 'declared' });
  await eventually(() => rule.hits.length > 0, { what: 'a transaction under way' });
  return { transaction: rule.hits[0] as RecordedRequest, release: () => rule.release() };
}
