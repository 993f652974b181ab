import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;
let operator: Operator;

beforeAll(async () => {
  world = await World.create('lease-release');
  leases = new Leases(world);
  operator = await world.startOperator();
});

afterAll(async () => world.close());

test('release lets go of leases: no finalizer, records that say Retain, and locks as they were; a start takes them up', async () => {
  for (const name of ['default', 'keyed']) await leases.readyPods(name, [`${name}-a`]);
  await leases.declare('default', { holders: 2 });
  await leases.declare('keyed', { key: world.key('leases/keyed') });
  await leases.ledBy('default', 'default-a');
  await leases.ledBy('keyed', 'keyed-a');
  await operator.stop();
  const locks = () =>
    Promise.all([leases.lock(`${leases.defaultKey('default')}/0`), leases.lock(world.key('leases/keyed'))]);
  const before = await locks();
  const tokens = async () =>
    Object.values(await world.records()).map(record => (record as { lease?: object }).lease);
  const history = await tokens();

  const command = await world.spawnOperator({}, ['release']);
  expect(await command.waitForExit()).toEqual({ code: 0, signal: null });
  for (const name of ['default', 'keyed']) {
    expect((await leases.get(name)).metadata.finalizers).toBeUndefined();
  }
  const records = Object.values(await world.records());
  expect(records.map(({ onDelete }) => onDelete)).toEqual(['Retain', 'Retain']);
  expect(records.map(({ names }) => Object.keys(names).length).sort()).toEqual([1, 2]);
  expect(await tokens()).toEqual(history);
  expect(await locks()).toEqual(before);

  await world.kube.delete(leases.object('keyed'));
  await leases.gone('keyed');
  await world.startOperator();
  await eventually(
    async () =>
      expect((await leases.get('default')).metadata.finalizers).toEqual(['proconsul.dev/finalizer']),
    { what: 'the operator holds the lease again' },
  );
  await leases.ledBy('default', 'default-a');
  await leases.remove('default');
  expect([...(await world.consul.kvList(leases.defaultKey('default'))).keys()]).toEqual([]);
  expect(await leases.lock(world.key('leases/keyed'))).toBeDefined();
});
