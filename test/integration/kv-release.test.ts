import { afterAll, beforeAll, expect, test } from 'vitest';
import { conditionsOf, ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

const FINALIZER = 'proconsul.dev/finalizer';

let world: World;
let kvs: ConsulKvs;
let operator: Operator;

beforeAll(async () => {
  ({ world, kvs, operator } = await createRunningWorld('kv-release'));
});

afterAll(async () => world.close());

/** Runs the command to its end, as `npm run release` does. */
async function release(): Promise<Operator> {
  const command = await world.spawnOperator({}, ['release']);
  expect(await command.waitForExit()).toEqual({ code: 0, signal: null });
  return command;
}

const finalizersOf = async (name: string) => (await kvs.get(name)).metadata.finalizers ?? [];
const onDelete = async () =>
  new Set(
    Object.values(await world.records())
      .map(record => record.onDelete)
      .filter(Boolean),
  );
const owners = async () => new Set(Object.keys(await world.records()).map(key => key.split('/').at(-1)));
const ownKeys = () => world.consul.kvList(world.key());

const names = ['single', 'tree', 'wide', 'kept'];

test('release takes the finalizers off, sets every record to Retain, and changes no key', async () => {
  await kvs.declareReady('single', { key: world.key('single'), value: 'x' });
  await kvs.declareReady('tree', { prefix: world.key('tree/'), data: { a: '1', b: '2' }, exclusive: true });
  const data = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${n}`, 'x']));
  await kvs.declareReady('wide', { prefix: world.key('wide/'), data });
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'x', deletionPolicy: 'Retain' });
  await world.kube.patch(kvs.object('tree'), { metadata: { finalizers: [FINALIZER, 'example.com/other'] } });
  await operator.stop();
  expect(await onDelete()).toEqual(new Set(['Delete', 'Retain']));

  const before = await ownKeys();
  await release();
  expect(await onDelete()).toEqual(new Set(['Retain']));
  expect(await Promise.all(names.map(finalizersOf))).toEqual([[], ['example.com/other'], [], []]);
  expect(await ownKeys()).toEqual(before);
});

test('a release that loses the lead takes no finalizer off any more', async () => {
  operator = await world.startOperator();
  for (const name of names) await kvs.ready(name);
  await eventually(async () => expect(await onDelete()).toContain('Delete'), {
    what: 'it is taken up again',
  });
  await operator.stop();
  const isFinalizer = ({ method, path }: RecordedRequest) => method === 'PATCH' && !path.endsWith('/status');
  const held = world.toKube.when(isFinalizer, { kind: 'hold' });
  const command = await world.spawnOperator({}, ['release']);
  await eventually(() => held.hits.length > 0, { what: 'a finalizer is about to be taken off' });
  const { session } = (await world.consul.kvGet(`proconsul/${world.installId}/leader`)) ?? {};
  await world.consul.destroySession(session as string);
  expect(await command.waitForExit()).toEqual({ code: 1, signal: null });
  held.remove();
  expect(command.tail(5)).toContain('the lead was lost before all was released');
  for (const name of names.slice(0, 3)) expect(await finalizersOf(name)).toContain(FINALIZER);
  await release();
  expect(await Promise.all(names.map(finalizersOf))).toEqual([[], ['example.com/other'], [], []]);
});

test('release done twice changes nothing the second time', async () => {
  const [kube, consul] = [world.toKube.requests.length, world.toConsul.requests.length];
  await release();
  expect(world.toKube.requests.slice(kube).filter(isKubernetesWrite)).toEqual([]);
  expect(world.toConsul.requests.slice(consul).filter(isConsulWrite)).toEqual([]);
});

test('an operator that starts after a release takes up where it was', async () => {
  operator = await world.startOperator();
  const before = await ownKeys();
  for (const name of names) await kvs.lookAgain(name);
  for (const name of names) await kvs.ready(name);
  expect(await finalizersOf('single')).toEqual([FINALIZER]);
  expect(await finalizersOf('kept')).toEqual([]);
  expect(await onDelete()).toEqual(new Set(['Delete', 'Retain']));
  expect(await ownKeys()).toEqual(before);
  await world.kube.patch(kvs.object('tree'), { metadata: { finalizers: [FINALIZER] } });
});

test('after a release, without an operator, everything can be deleted at once and Consul stays as it is', async () => {
  await operator.stop();
  await release();
  const before = await world.consul.kvList();
  await kvs.remove('single');
  await world.kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: world.namespace } });
  await eventually(
    async () =>
      (await world.kube.get({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: world.namespace } })) ===
      undefined,
    {
      what: 'the namespace is gone',
    },
  );
  const own = (all: Awaited<typeof before>) => [...all].filter(([key]) => key.includes(world.namespace));
  expect(own(await world.consul.kvList())).toEqual(own(before));
});

test('and the next operator takes over what is declared again, under the same name or another, and lets the rest be', async () => {
  const before = await ownKeys();
  await world.kube.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: world.namespace } });
  await kvs.declare('single', { key: world.key('single'), value: 'x' });
  await kvs.declare('renamed', { prefix: world.key('tree/'), data: { a: '1', b: '2' } });
  await kvs.declare('wide', { prefix: world.key('wide/'), data: { k0: 'x' } });
  operator = await world.startOperator();
  await kvs.ready('single');
  await kvs.ready('renamed');
  await kvs.ready('wide');
  expect(conditionsOf(await kvs.get('renamed'))['Ready']?.message).toBe('2 keys in Consul equal the spec');
  // Only what is declared has an owner; the keys of all are as they were.
  await eventually(async () => expect(await owners()).toEqual(new Set(['renamed', 'single', 'wide'])), {
    what: 'the records are of these',
  });
  expect(await ownKeys()).toEqual(before);
  await kvs.remove('single');
  await kvs.remove('renamed');
  await kvs.remove('wide');
  expect(await world.stored('single')).toEqual({});
  expect(await world.stored('tree/')).toEqual({});
  // What was let go of and not declared again is nobody's.
  expect(Object.keys(await world.stored('wide/'))).toHaveLength(99);
});

test('release leaves the resources of namespaces alone that are none of its business', async () => {
  const neighbour = await World.create('kv-release-2');
  try {
    const theirOperator = await neighbour.startOperator();
    const theirs = new ConsulKvs(neighbour);
    await theirs.declareReady('untouched', { key: neighbour.key('untouched'), value: 'x' });
    // Running, it would put back what was taken off.
    await Promise.all([operator.stop(), theirOperator.stop()]);
    await release();
    expect((await theirs.get('untouched')).metadata.finalizers).toEqual([FINALIZER]);
  } finally {
    await neighbour.close();
  }
});
