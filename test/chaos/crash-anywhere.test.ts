import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';
import { ConsulKvs, conditionsOf } from '../support/consulkv.ts';
import { CrashRehearsal, type Point, POINTS, type Step } from '../support/crash-rehearsal.ts';
import { eventually } from '../support/eventually.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { World } from '../support/world.ts';

const NAME = 'subject';

let compileCache: string;

beforeAll(async () => {
  compileCache = await mkdtemp(join(tmpdir(), 'proconsul-crash-'));
});

afterAll(() => rm(compileCache, { recursive: true, force: true }));

/**
 * Promise P3, row 1: killed at any write, and started again, the operator ends where it would have ended.
 * The single key dies at every point; elsewhere two suffice, before and after the commit: what a process leaves in
 * the servers is the same, whatever it knew.
 */
describe.concurrent('kill -9 at every write', { timeout: 600_000 }, () => {
  test('of a single key that is created, changed and deleted', async context => {
    const stage = await setUp(context, 'crash-key');
    const key = stage.world.key('one');
    const steps = [
      stage.step('create', kvs => kvs.declare(NAME, { key, value: 'first', flags: 7 })),
      stage.step('change', kvs => kvs.change(NAME, { value: 'second' })),
      stage.deletion(),
    ];
    await rehearse(stage, steps, POINTS);
  });

  test('of a tree that takes several transactions to create, change and delete', async context => {
    const stage = await setUp(context, 'crash-tree');
    const prefix = stage.world.key('tree/');
    const before = numbered(0, 150, 'first');
    const after = { ...numbered(40, 170, 'second'), ...numbered(60, 100, 'first') };
    const steps = [
      stage.step('create', kvs => kvs.declare(NAME, { prefix, data: before })),
      stage.step('change', kvs => kvs.declare(NAME, { prefix, data: after })),
      stage.deletion(),
    ];
    await rehearse(stage, steps, ['late', 'unanswered']);
  });

  test('of a switch to Retain and back, and of the deletion that keeps the key', async context => {
    const stage = await setUp(context, 'crash-retain');
    const key = stage.world.key('kept');
    const toPolicy = (deletionPolicy: string): Step =>
      stage.step(deletionPolicy, kvs => kvs.change(NAME, { deletionPolicy }));
    const steps = [
      { ...stage.step('create', kvs => kvs.declare(NAME, { key, value: 'kept' })), undisturbed: true },
      toPolicy('Retain'),
      toPolicy('Delete'),
      { ...toPolicy('Retain'), undisturbed: true },
      stage.deletion({ kept: 'kept' }),
    ];
    await rehearse(stage, steps, ['unsent', 'unanswered']);
  });

  test('of an exclusive prefix that takes over what stands there and removes strangers', async context => {
    const stage = await setUp(context, 'crash-exclusive');
    const prefix = stage.world.key('all/');
    const data = { taken: 'new', own: 'new' };
    const takeOver = async (kvs: ConsulKvs): Promise<void> => {
      for (const name of ['taken', 'stranger']) await stage.world.consul.kvPut(prefix + name, 'old');
      await kvs.declare(NAME, { prefix, exclusive: true, adoptionPolicy: 'Always', data });
    };
    const steps = [
      stage.step('create', takeOver),
      stage.step('change', kvs => kvs.change(NAME, { exclusive: false, data: { own: null } })),
      { ...stage.deletion(), undisturbed: true },
    ];
    await rehearse(stage, steps, ['late', 'unanswered']);
  });
});

/** A world of its own, and the steps of one resource in it. */
interface Stage {
  readonly world: World;
  readonly kvs: ConsulKvs;
  /** Settled once the resource is Ready. */
  step(name: string, make: (kvs: ConsulKvs) => Promise<unknown>): Step;
  /** Settled once the resource and its record are gone, and Consul holds what it is to leave. */
  deletion(left?: Readonly<Record<string, string>>): Step;
}

async function setUp({ onTestFinished }: TestContext, topic: string): Promise<Stage> {
  const world = await World.create(topic);
  onTestFinished(() => world.close());
  const kvs = new ConsulKvs(world);
  const noRecord = async (): Promise<void> => expect(await world.records()).toEqual({});
  return {
    world,
    kvs,
    step: (name, make) => ({ name, make: () => make(kvs), settled: () => kvs.ready(NAME) }),
    deletion: (left = {}) => ({
      name: 'delete',
      make: () => world.kube.delete(kvs.object(NAME)),
      settled: async () => {
        await kvs.gone(NAME);
        await eventually(noRecord, { what: 'no record is left' });
        await world.becomesStored('', left);
      },
    }),
  };
}

async function rehearse(
  { world, kvs }: Stage,
  steps: readonly Step[],
  points: readonly Point[],
): Promise<void> {
  const rehearsal = new CrashRehearsal(world, {
    steps,
    compileCache,
    snapshot: () => endState(world, kvs),
    cleanUp: () => world.consul.kvDelete(world.key(), { recurse: true }),
  });
  const writes = await rehearsal.learn();
  const crashes = await rehearsal.crashEverywhere(points);
  const each = [...writes].map(([name, { length }]) => `${name} ${length}`).join(', ');
  process.stdout.write(`${world.namespace}: ${crashes} crashes; writes of ${each}\n`);
  expect(crashes).toBeGreaterThan(0);
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
      // Every start is a tenure of its own.
      epoch: undefined,
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
