import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { KubeApi } from '../support/kube-api.ts';
import { isConsulWrite, isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Keys that other tools wrote and that are declared all at once, as when a team moves to the operator. */
const RESOURCES = 500;
/** One look at each key; who owns what is asked for all that wait together, and the watch looks as it always does. */
const MAX_READS = 1.5 * RESOURCES;
/** Two operations each, tried once and adopted once; how full the batches are depends on the machine. */
const MAX_TRANSACTIONS = RESOURCES / 8;

let world: World;
let kvs: ConsulKvs;
let relay: FaultProxy;
let bulk: KubeApi;

beforeAll(async () => {
  const { apiServerUrl, caFile, adminToken } = inject('sandbox');
  world = await World.create('kv-adopt');
  kvs = new ConsulKvs(world);
  relay = await FaultProxy.start({ upstream: apiServerUrl, caFile });
  bulk = new KubeApi({ apiServerUrl: relay.url, token: adminToken });
});

afterAll(async () => {
  await world.close();
  await relay.close();
});

test('keys that stand there already are adopted after one look at each', { timeout: 200_000 }, async () => {
  for (let n = 0; n < RESOURCES; n++) await world.consul.kvPut(world.key(`there/${n}`), `value ${n}`);
  for (let n = 0; n < RESOURCES; n++) {
    await bulk.create(kvs.object(`kv-${n}`, { key: world.key(`there/${n}`), value: `value ${n}` }));
  }
  const before = await world.consul.kvList(world.key());
  await world.startOperator();
  await eventually(async () => Object.keys(await world.records()).length === RESOURCES, {
    what: 'all have an owner',
    timeoutMs: 120_000,
    pollMs: 250,
  });
  await world.stopOperators();
  const { requests } = world.toConsul;
  const transactions = requests.filter(isWritingTransaction).length;
  const reads = requests.filter(request => !isConsulWrite(request)).length;
  expect(await world.consul.kvList(world.key())).toEqual(before);
  expect(transactions, `${transactions} transactions`).toBeLessThanOrEqual(MAX_TRANSACTIONS);
  expect(reads, `${reads} reads`).toBeLessThanOrEqual(MAX_READS);
});
