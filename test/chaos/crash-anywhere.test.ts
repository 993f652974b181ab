import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, type TestContext } from 'vitest';
import type { ConsulIntentions } from '../support/consulintention.ts';
import { CrashRehearsal, type Point, POINTS, type Step } from '../support/crash-rehearsal.ts';
import { eventually } from '../support/eventually.ts';
import { intentionSubject } from '../support/invariants/intention-subject.ts';
import { kvSubject } from '../support/invariants/kv-subject.ts';
import { meshSubject } from '../support/invariants/service-subject.ts';
import { becomesStanding, type Subject, SUBJECTS } from '../support/invariants/subject.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { conditionsOf, type Resources } from '../support/resources.ts';
import { World } from '../support/world.ts';

const NAME = 'subject';
const PLACE = 'shared/place';
const STRANGER = 'shared/stranger';

let compileCache: string;

beforeAll(async () => {
  compileCache = await mkdtemp(join(tmpdir(), 'proconsul-crash-'));
});

afterAll(() => rm(compileCache, { recursive: true, force: true }));

/**
 * Promise P3, row 1: killed at any write, and started again, the operator ends where it would have ended.
 * One resource of each kind dies at every point; elsewhere two suffice, before and after the commit: what a process
 * leaves in the servers is the same, whatever it knew. A stranger stands beside it all the while.
 */
describe.concurrent.each(SUBJECTS)(
  'kill -9 at every write of a $kind',
  { timeout: 900_000 },
  ({ kind, of }) => {
    const topic = `crash-${kind.toLowerCase()}`;

    test('that is created, changed and deleted', async context => {
      const stage = await setUp(context, topic, of);
      const { subject } = stage;
      const steps = [
        stage.step('create', async resources => {
          await subject.putByHand(STRANGER, 'by hand');
          await resources.declare(NAME, subject.spec(PLACE, 'first'));
        }),
        stage.step('change', resources => resources.declare(NAME, subject.spec(PLACE, 'second'))),
        stage.deletion({ [STRANGER]: 'by hand' }),
      ];
      await rehearse(stage, steps, POINTS);
    });

    test('that is switched to Retain and back, and deleted so that its text stays', async context => {
      const stage = await setUp(context, `${topic}-retain`, of);
      const { subject } = stage;
      const toPolicy = (deletionPolicy: string): Step =>
        stage.step(deletionPolicy, resources => resources.change(NAME, { deletionPolicy }));
      const create = stage.step('create', resources => resources.declare(NAME, subject.spec(PLACE, 'kept')));
      const steps = [
        { ...create, undisturbed: true },
        toPolicy('Retain'),
        toPolicy('Delete'),
        { ...toPolicy('Retain'), undisturbed: true },
        stage.deletion({ [PLACE]: 'kept' }),
      ];
      await rehearse(stage, steps, ['unsent', 'unanswered'], () => removesByHand(stage));
    });
  },
);

describe.concurrent('kill -9 at every write', { timeout: 600_000 }, () => {
  test('of several sources and a JWT requirement that are all that a destination has', async context => {
    const stage = await setUp(context, 'crash-sources', intentionSubject);
    const intentions = stage.resources as ConsulIntentions;
    const sources = (...actions: readonly (readonly [string, string])[]) =>
      actions.map(([name, action]) => ({ name, action }));
    const providers = [{ name: intentions.service('issuer') }];
    const first = sources(['kept', 'allow'], ['changed', 'allow'], ['gone', 'deny']);
    const second = sources(['kept', 'allow'], ['changed', 'deny'], ['new', 'allow']);
    const steps = [
      stage.step('create', async resources => {
        await intentions.jwtProvider('issuer');
        const destination = intentions.service('whole');
        await resources.declare(NAME, { destination, sources: first });
      }),
      stage.step('change', resources => resources.change(NAME, { sources: second, jwt: { providers } })),
      stage.deletion(),
    ];
    await rehearse(stage, steps, ['late']);
  });

  test('of an instance with a sidecar that is drained, on a node that comes and goes with it', async context => {
    const stage = await setUp(context, 'crash-mesh', meshSubject);
    const { subject } = stage;
    const steps = [
      stage.step('create', resources => resources.declare(NAME, subject.spec(PLACE, 'first'))),
      stage.step('change', resources => resources.declare(NAME, subject.spec(PLACE, 'second'))),
      stage.deletion(),
    ];
    await rehearse(stage, steps, ['late', 'unanswered']);
  });

  test('of a tree that takes several transactions to create, change and delete', async context => {
    const stage = await setUp(context, 'crash-tree', kvSubject);
    const prefix = stage.world.key('tree/');
    const before = numbered(0, 150, 'first');
    const after = { ...numbered(40, 170, 'second'), ...numbered(60, 100, 'first') };
    const steps = [
      stage.step('create', resources => resources.declare(NAME, { prefix, data: before })),
      stage.step('change', resources => resources.declare(NAME, { prefix, data: after })),
      stage.deletion(),
    ];
    await rehearse(stage, steps, ['late', 'unanswered']);
  });

  test('of an exclusive prefix that takes over what stands there and removes strangers', async context => {
    const stage = await setUp(context, 'crash-exclusive', kvSubject);
    const prefix = stage.world.key('all/');
    const data = { taken: 'new', own: 'new' };
    const takeOver = async (resources: Resources): Promise<void> => {
      for (const name of ['taken', 'stranger']) await stage.world.consul.kvPut(prefix + name, 'old');
      await resources.declare(NAME, { prefix, exclusive: true, adoptionPolicy: 'Always', data });
    };
    const steps = [
      stage.step('create', takeOver),
      stage.step('change', resources => resources.change(NAME, { exclusive: false, data: { own: null } })),
      { ...stage.deletion(), undisturbed: true },
    ];
    await rehearse(stage, steps, ['late', 'unanswered']);
  });
});

/** A world of its own, and the steps of one resource in it. */
interface Stage {
  readonly world: World;
  readonly subject: Subject;
  readonly resources: Resources;
  /** Settled once the resource is Ready. */
  step(name: string, make: (resources: Resources) => Promise<unknown>): Step;
  /** Settled once the resource and its record are gone, and Consul holds what it is to leave. */
  deletion(left?: Readonly<Record<string, string>>): Step;
}

async function setUp(
  { onTestFinished }: TestContext,
  topic: string,
  of: (world: World) => Subject,
): Promise<Stage> {
  const world = await World.create(topic);
  const subject = of(world);
  const { resources } = subject;
  onTestFinished(async () => {
    await world.close();
    await subject.clear();
  });
  const noRecord = async (): Promise<void> => expect(await world.records()).toEqual({});
  return {
    world,
    subject,
    resources,
    step: (name, make) => ({ name, make: () => make(resources), settled: () => resources.ready(NAME) }),
    deletion: (left = {}) => ({
      name: 'delete',
      make: () => world.kube.delete(resources.object(NAME)),
      settled: async () => {
        await resources.gone(NAME);
        await eventually(noRecord, { what: 'no record is left' });
        await becomesStanding(subject, left);
      },
    }),
  };
}

async function rehearse(
  { world, subject }: Stage,
  steps: readonly Step[],
  points: readonly Point[],
  cleanUp = (): Promise<void> => subject.clear(),
): Promise<void> {
  const rehearsal = new CrashRehearsal(world, {
    steps,
    compileCache,
    snapshot: () => endState(world, subject),
    cleanUp,
  });
  const writes = await rehearsal.learn();
  const crashes = await rehearsal.crashEverywhere(points);
  const each = [...writes].map(([name, { length }]) => `${name} ${length}`).join(', ');
  process.stdout.write(`${world.namespace}: ${crashes} crashes; writes of ${each}\n`);
  expect(crashes).toBeGreaterThan(0);
}

/**
 * What was kept. Resolves when the operator has heard of it: until then it would take over what it believes to stand
 * there, and then put it back.
 */
async function removesByHand({ subject, resources }: Stage): Promise<void> {
  const onlooker = 'onlooker';
  await subject.clear();
  await resources.declare(onlooker, { ...subject.spec(PLACE, 'kept'), suspend: true });
  await resources.suspended(onlooker, false);
  await resources.remove(onlooker);
}

/** What stands in Consul, records and the resource, without times and ids. */
async function endState(world: World, subject: Subject): Promise<unknown> {
  const [standing, records, resource] = await Promise.all([
    subject.snapshot(),
    world.records(),
    world.kube.get(subject.resources.object(NAME)),
  ]);
  return {
    standing,
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
