import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { conditionsOf } from '../support/consulkv.ts';
import { CrashRehearsal, type Step } from '../support/crash-rehearsal.ts';
import { eventually } from '../support/eventually.ts';
import { Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

/** Promise P3 for leases: killed at any write and started again, the operator ends where it would have ended. */

const NAME = 'subject';

let world: World;
let leases: Leases;
let compileCache: string;

beforeAll(async () => {
  compileCache = await mkdtemp(join(tmpdir(), 'proconsul-crash-'));
  world = await World.create('lease-crash');
  leases = new Leases(world);
});

afterAll(async () => {
  await world.close();
  await rm(compileCache, { recursive: true, force: true });
});

const service = { name: 'leader', ports: [{ port: 80, targetPort: 'http' }] };

const steps: readonly Step[] = [
  {
    name: 'create',
    make: async () => {
      await leases.readyPods(NAME, ['a', 'b']);
      await leases.declare(NAME, { service, session: { lockDelay: '0s' } });
    },
    settled: () => settledWith('a'),
  },
  { name: 'hand over', make: () => leases.setReady('a', false), settled: () => settledWith('b') },
  {
    name: 'delete',
    make: () => world.kube.delete(leases.object(NAME)),
    settled: async () => {
      await leases.gone(NAME);
      await eventually(async () => expect(await endState()).toEqual(NOTHING), { what: 'nothing is left' });
    },
  },
];

const NOTHING = { locks: [], records: [], sessions: 0, labelled: [], endpoints: [], status: undefined };

async function settledWith(pod: string): Promise<void> {
  await leases.ledBy(NAME, pod);
  await eventually(async () => expect(await leases.endpoints('leader')).toEqual([pod]), {
    what: `the Service points at ${pod}`,
  });
}

/** Both servers, without what differs from run to run: ids, tokens, times, and how often a lease was granted. */
async function endState(): Promise<unknown> {
  const [locks, records, sessions, labelled, endpoints, resource] = await Promise.all([
    world.consul.kvList(leases.defaultKey(NAME)),
    world.records(),
    leases.sessions(),
    leases.labelled(NAME),
    leases.endpoints('leader'),
    world.kube.get(leases.object(NAME)),
  ]);
  return {
    locks: [...locks.values()].map(({ key, text, session }) => ({
      key,
      holder: (JSON.parse(text) as { holder: string }).holder,
      isHeld: session !== undefined,
    })),
    records: Object.entries(records).map(([name, { names }]) => ({ name, names: Object.keys(names) })),
    sessions: sessions.length,
    labelled,
    endpoints,
    status: resource && {
      conditions: Object.values(conditionsOf(resource)).map(({ lastTransitionTime: _time, ...said }) => said),
      holders: leases.holdersOf(resource).map(({ name }) => name),
    },
  };
}

/** Steps as they are crashed, and where. */
const rehearsals = [
  { crashed: ['create', 'hand over', 'delete'], points: ['unanswered'] },
  { crashed: ['hand over'], points: ['unsent', 'late'] },
] as const;

test.each(rehearsals)(
  'kill -9 at every write of $crashed, $points',
  { timeout: 600_000 },
  async ({ crashed, points }) => {
    const rehearsal = new CrashRehearsal(world, {
      steps: steps.map(step => ({ ...step, undisturbed: !crashed.some(name => name === step.name) })),
      compileCache,
      snapshot: endState,
      cleanUp: async () => {
        for (const pod of ['a', 'b']) await leases.deletePod(pod);
      },
    });
    const writes = await rehearsal.learn();
    const crashes = await rehearsal.crashEverywhere(points);
    await world.stopOperators();
    const each = [...writes].map(([name, { length }]) => `${name} ${length}`).join(', ');
    process.stdout.write(`${crashes} crashes; writes of ${each}\n`);
    expect(crashes).toBeGreaterThan(0);
  },
);
