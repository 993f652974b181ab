import { describe, expect, onTestFinished, test } from 'vitest';
import { ConsulKvs, conditionsOf } from '../support/consulkv.ts';
import { CrashRehearsal, type Point, POINTS, type Step, type Workload } from '../support/crash-rehearsal.ts';
import { eventually } from '../support/eventually.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { World } from '../support/world.ts';

const NAME = 'subject';

/** Promise P3, torture row 1: killed at any write, and started again, the operator ends where it would have ended. */
describe.concurrent('kill -9 at every write', { timeout: 300_000 }, () => {
  test('of a single key that is created, changed and deleted', async () => {
    const { world, kvs } = await stage('crash-key');
    const key = world.key('one');
    await rehearse(
      world,
      kvs,
      [
        step(
          'create',
          () => kvs.declare(NAME, { key, value: 'first', flags: 7 }),
          () => kvs.ready(NAME),
        ),
        step(
          'change',
          () => kvs.change(NAME, { value: 'second' }),
          () => kvs.ready(NAME),
        ),
        deletion(world, kvs),
      ],
      POINTS,
    );
  });

  test('of a tree that takes several transactions to create, change and delete', async () => {
    const { world, kvs } = await stage('crash-tree');
    const prefix = world.key('tree/');
    const before = numbered(0, 150, 'first');
    const after = { ...numbered(40, 170, 'second'), ...numbered(60, 100, 'first') };
    await rehearse(
      world,
      kvs,
      [
        step(
          'create',
          () => kvs.declare(NAME, { prefix, data: before }),
          () => kvs.ready(NAME),
        ),
        step(
          'change',
          () => kvs.declare(NAME, { prefix, data: after }),
          () => kvs.ready(NAME),
        ),
        deletion(world, kvs),
      ],
      ['late', 'unanswered'],
    );
  });

  test('of a switch to Retain, back, to Retain again, and of the deletion that keeps the key', async () => {
    const { world, kvs } = await stage('crash-retain');
    const key = world.key('kept');
    const policy = (deletionPolicy: string): Step =>
      step(
        deletionPolicy,
        () => kvs.change(NAME, { deletionPolicy }),
        () => kvs.ready(NAME),
      );
    await rehearse(world, kvs, [
      step(
        'create',
        () => kvs.declare(NAME, { key, value: 'kept' }),
        () => kvs.ready(NAME),
      ),
      policy('Retain'),
      policy('Delete'),
      policy('Retain'),
      deletion(world, kvs),
    ]);
  });

  test('of an exclusive prefix that takes over what stands there and removes strangers', async () => {
    const { world, kvs } = await stage('crash-exclusive');
    const prefix = world.key('all/');
    await rehearse(world, kvs, [
      step(
        'create',
        async () => {
          await world.consul.kvPut(`${prefix}taken`, 'old');
          await world.consul.kvPut(`${prefix}stranger`, 'old');
          const data = { taken: 'new', own: 'new' };
          await kvs.declare(NAME, { prefix, exclusive: true, adoptionPolicy: 'Always', data });
        },
        () => kvs.ready(NAME),
      ),
      step(
        'change',
        () => kvs.change(NAME, { exclusive: false, data: { own: null } }),
        () => kvs.ready(NAME),
      ),
      deletion(world, kvs),
    ]);
  });
});

async function stage(topic: string): Promise<{ readonly world: World; readonly kvs: ConsulKvs }> {
  const world = await World.create(topic);
  onTestFinished(() => world.close());
  return { world, kvs: new ConsulKvs(world) };
}

/** By default at the two points between which a write is committed: the others differ in what the dead process knew. */
async function rehearse(
  world: World,
  kvs: ConsulKvs,
  steps: readonly Step[],
  points: readonly Point[] = ['unsent', 'unanswered'],
): Promise<void> {
  const workload: Workload = {
    steps,
    snapshot: () => endState(world, kvs),
    cleanUp: () => world.consul.kvDelete(world.key(), { recurse: true }),
  };
  const rehearsal = new CrashRehearsal(world, workload);
  const writes = await rehearsal.learn();
  const crashes = await rehearsal.crashEverywhere(points);
  const each = [...writes].map(([name, { length }]) => `${name} ${length}`).join(', ');
  process.stdout.write(`${world.namespace}: ${crashes} crashes; writes: ${each}\n`);
  expect(crashes).toBeGreaterThan(0);
}

function step(name: string, make: Step['make'], settled: Step['settled']): Step {
  return { name, make, settled };
}

function deletion(world: World, kvs: ConsulKvs): Step {
  return step(
    'delete',
    () => world.kube.delete(kvs.object(NAME)),
    async () => {
      await kvs.gone(NAME);
      await eventually(async () => expect(await world.records()).toEqual({}), { what: 'no record left' });
    },
  );
}

/** Keys, records and the resource, without times and ids. */
async function endState(world: World, kvs: ConsulKvs): Promise<unknown> {
  const [entries, records, resource] = await Promise.all([
    world.consul.kvList(world.key()),
    world.records(),
    world.kube.get(kvs.object(NAME)),
  ]);
  return {
    keys: [...entries.values()].map(({ key, text, flags }) => [key, text, flags]),
    records: Object.entries(records).map(([name, record]) => ({
      name,
      ...record,
      uid: 'uid' in record ? record.uid === resource?.metadata.uid : undefined,
    })),
    finalizers: resource?.metadata.finalizers,
    status: resource && withoutTimes(resource),
  };
}

function withoutTimes(resource: KubeObject): unknown {
  const { lastTraceID: _, lastAppliedTime: __, ...status } = resource['status'];
  const conditions = Object.values(conditionsOf(resource)).map(
    ({ lastTransitionTime: ___, ...said }) => said,
  );
  return { ...status, conditions };
}

/** `name-000`, … of the numbers from `first` up to `end`. */
function numbered(first: number, end: number, value: string): Record<string, string> {
  const numbers = Array.from({ length: end - first }, (_, at) => first + at);
  return Object.fromEntries(numbers.map(number => [`name-${String(number).padStart(3, '0')}`, value]));
}
