import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { Operator } from '../support/operator.ts';
import { parsePrometheusText } from '../support/prometheus-text.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Turns at a time, and as many that have to wait. */
const CONCURRENT_TURNS = 128;
const WAITING = 40;
const NAMES = Array.from({ length: CONCURRENT_TURNS + WAITING }, (_, n) => `kv-${n}`);

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  world = await World.create('kv-queue');
  kvs = new ConsulKvs(world);
});

afterAll(async () => world.close());

/** Keys that wait for a worker, by the queue's priority. */
async function waiting(operator: Operator): Promise<Record<string, number>> {
  const depth = parsePrometheusText(await operator.metrics()).get('workqueue_depth');
  const samples = depth?.samples.map(({ labels, value }) => [labels['priority'], value] as const) ?? [];
  return Object.fromEntries(samples.filter(([, value]) => value > 0));
}

async function becomesWaiting(operator: Operator, expected: Record<string, number>): Promise<void> {
  const what = `keys wait by priority as ${JSON.stringify(expected)}`;
  await eventually(async () => expect(await waiting(operator)).toEqual(expected), { what });
}

test('what is looked at because the operator starts gives way to what a user does', async () => {
  await world.configMap('shared', { x: 'declared' });
  const valueFrom = { configMapKeyRef: { name: 'shared', key: 'x' } };
  await world.startOperator();
  await Promise.all(NAMES.map(name => kvs.declare(name, { key: world.key(`many/${name}`), valueFrom })));
  for (const name of NAMES) await kvs.ready(name);
  await world.stopOperators();
  // Drift that was there before the start, so that every turn has something to write, which is held.
  await world.consul.kvDelete(world.key('many/'), { recurse: true });
  const folder = world.key('many/');
  world.toConsul.when(request => isWritingTransaction(request) && request.body.includes(folder), {
    kind: 'hold',
  });

  const operator = await world.spawnOperator();
  const startUp = { '-100': WAITING };
  await becomesWaiting(operator, startUp);
  await kvs.declare('urgent', { key: world.key('many/urgent'), value: 'x' });
  await becomesWaiting(operator, { ...startUp, '0': 1 });
  world.toConsul.heal();
  await kvs.ready('urgent');
  await world.becomesStored(
    'many/',
    Object.fromEntries([...NAMES.map(name => [name, 'declared']), ['urgent', 'x']]),
  );
});
