import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { Leases } from '../support/leases.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

const DRY = { ready: 'False', reason: 'DryRun' } as const;

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  world = await World.create('dry-run');
  kvs = new ConsulKvs(world);
});

afterEach(() => world.close());

test('a dry run writes nothing to Consul: not for a new resource, a change, an outside edit or a deletion', async () => {
  await world.startOperator();
  const tree = { prefix: world.key('tree/'), data: { one: '1', two: '2' } };
  await kvs.declareReady('owned', { key: world.key('owned'), value: 'declared' });
  await kvs.declareReady('tree', tree);
  await world.stopOperators();
  const before = world.toConsul.count(isConsulWrite);
  const records = await world.records();

  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await kvs.declare('new', { key: world.key('new'), value: 'declared' });
  await kvs.stands('new', DRY);
  await kvs.change('tree', { data: { one: 'changed', two: null } });
  await kvs.stands('tree', DRY);
  await world.consul.kvPut(world.key('owned'), 'edited');
  await kvs.stands('owned', DRY);
  await world.kube.delete(kvs.object('owned'));
  await kvs.stands('owned', DRY);
  await kvs.remove('new');

  expect(world.toConsul.count(isConsulWrite)).toBe(before);
  expect(await world.records()).toEqual(records);
  expect(await world.stored()).toEqual({ owned: 'edited', 'tree/one': '1', 'tree/two': '2' });

  await world.stopOperators();
  await world.startOperator();
  await kvs.gone('owned');
  await kvs.ready('tree');
  expect(await world.stored()).toEqual({ 'tree/one': 'changed' });
});

test('an install that never wrote may be tried dry: not even its private key is made', async () => {
  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await kvs.declare('first', { key: world.key('first'), value: 'declared' });
  await kvs.stands('first', DRY);
  await kvs.remove('first');

  expect(world.toConsul.requests.filter(isConsulWrite)).toEqual([]);
});

test('of leases: none is granted, moved or renewed, and nothing but statuses is written to Kubernetes', async () => {
  const leases = new Leases(world);
  const service = { name: 'leader', ports: [{ port: 80 }] };
  await world.startOperator();
  for (const name of ['held', 'new']) await leases.readyPods(name, [`${name}-a`, `${name}-b`]);
  await leases.declare('held', { service });
  await leases.ledBy('held', 'held-a');
  await world.stopOperators();
  const held = await leases.lock(leases.defaultKey('held'));
  const [kube, consul] = [world.toKube.requests.length, world.toConsul.requests.length];

  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await leases.declare('new');
  const unheld = await leases.stands('new', DRY);
  expect(unheld['status'].conditions[0].message).toBe('dry run: would give the lease to new-a');
  await leases.setReady('held-a', false);
  const unmoved = await leases.stands('held', DRY);
  expect(unmoved['status'].conditions[0].message).toBe('dry run: would take the lease from held-a');

  const isWrite = ({ method, path }: { method: string; path: string }) =>
    method === 'PUT' && (path.startsWith('/v1/session/') || path.startsWith('/v1/catalog/'));
  expect(world.toConsul.requests.slice(consul).filter(one => isConsulWrite(one) || isWrite(one))).toEqual([]);
  const written = world.toKube.requests.slice(kube).filter(isKubernetesWrite);
  expect(written.filter(({ path }) => !path.endsWith('/status'))).toEqual([]);
  expect(await leases.lock(leases.defaultKey('held'))).toEqual(held);

  await world.stopOperators();
  await world.startOperator();
  await leases.ledBy('held', 'held-b');
  await leases.ledBy('new', 'new-a');
});
