import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LOCK_FLAGS, parseLockValue } from '../../../../src/core/lock-value.ts';
import { slotKeys } from '../../../../src/core/lease-keys.ts';
import { type LeaseWish, planLease, planLeaseEnd } from '../../../../src/reconcilers/lease/plan.ts';
import { aWish, KEY, lockValue } from './builders.ts';
import { ModelLease } from './model-lease.ts';

type Event = (world: ModelLease) => void;

const key = fc.constantFrom(KEY, ...slotKeys(KEY, 3));
const pod = fc.constantFrom('a', 'b', 'c', 'd', 'e');

/** What people and failures do to a lease. None of it writes a token: those are counted by the planner alone. */
const ours: fc.Arbitrary<Event> = fc.oneof(
  key.map(key => (world: ModelLease) => world.deleteKey(key)),
  key.map(key => (world: ModelLease) => world.release(key)),
  fc.tuple(key, pod).map(
    ([key, pod]) =>
      (world: ModelLease) =>
        world.edit(key, { value: lockValue(pod, 1n), flags: 0n }),
  ),
  key.map(key => (world: ModelLease) => world.edit(key, { value: Buffer.from('junk') })),
  fc.nat(4).map(place => (world: ModelLease) => world.endSomeSession(place)),
  pod.map(pod => (world: ModelLease) => void world.makeSession(pod)),
);
/** A free lock that no record lists may be somebody else's: then the lease stops instead of being filled. */
const losses: fc.Arbitrary<Event> = fc.constant(world => world.loseRecord());
const restores: fc.Arbitrary<Event> = fc.constantFrom<Event>(
  world => world.save(),
  world => world.restore(),
);
const rebuilds: fc.Arbitrary<Event> = fc.constantFrom<Event>(
  world => world.rebuild(),
  world => world.restartOperator(),
);
const strangers: fc.Arbitrary<Event> = fc.tuple(key, fc.constantFrom('data' as const, 'lock' as const)).map(
  ([key, how]) =>
    (world: ModelLease) =>
      world.occupy(key, how),
);

const wish = fc
  .record({
    candidates: fc.uniqueArray(pod),
    holders: fc.constantFrom(1, 1, 2, 3),
    handover: fc.constantFrom('Immediate' as const, 'AfterLockDelay' as const),
  })
  .map(({ candidates, holders, handover }) => aWish(candidates, { keys: slotKeys(KEY, holders), handover }));

/** How far a plan gets before the operator dies, and whether the status was written before. */
interface Turn {
  readonly events: readonly Event[];
  readonly wish: LeaseWish;
  readonly steps: number;
}

const history = (event: fc.Arbitrary<Event>): fc.Arbitrary<Turn[]> =>
  fc.array(fc.record({ events: fc.array(event, { maxLength: 3 }), wish, steps: fc.nat(4) }), {
    maxLength: 12,
  });

/** Carries out the first steps of a plan; what is not applied makes it stop. */
function carryOut(
  world: ModelLease,
  wish: LeaseWish,
  most: number,
  afterEach: () => void = () => {},
): number {
  const plan = planLease(wish, world.observe());
  if (plan.kind !== 'change') return 0;
  let done = 0;
  for (const step of plan.steps.slice(0, most)) {
    if (!world.apply(step, wish)) break;
    done += 1;
    afterEach();
  }
  return done;
}

const ROUNDS = 6;

function settle(world: ModelLease, wish: LeaseWish): number {
  let rounds = 0;
  while (rounds <= ROUNDS && carryOut(world, wish, Number.POSITIVE_INFINITY) > 0) rounds += 1;
  return rounds;
}

function play(
  turns: readonly Turn[],
  afterStep: (world: ModelLease, turn: Turn) => void = () => {},
): ModelLease {
  const world = new ModelLease();
  for (const turn of turns) {
    for (const event of turn.events) event(world);
    carryOut(world, turn.wish, turn.steps, () => {
      afterStep(world, turn);
      world.tell(turn.wish);
    });
  }
  return world;
}

describe('whatever has happened', () => {
  test('a few plans carried out leave nothing to plan: the slots are full, of candidates only, one each', () => {
    fc.assert(
      fc.property(history(fc.oneof(ours, restores)), wish, (turns, last) => {
        const world = play(turns);
        expect(settle(world, last)).toBeLessThanOrEqual(ROUNDS);
        if (planLease(last, world.observe()).kind === 'refuse') return expectPlainData(world, last);
        const pods = world.holding.map(({ pod }) => pod);
        const candidates = last.candidates.map(({ name }) => name);
        expect(new Set(pods).size).toBe(pods.length);
        expect(candidates).toEqual(expect.arrayContaining(pods));
        expect(pods.length).toBe(Math.min(candidates.length, last.keys.length));
        expect(world.strays).toBe(0);
        const plan = planLease(last, world.observe());
        expect(plan.kind).toBe(pods.length > 0 ? 'noop' : 'wait');
      }),
      { numRuns: 500 },
    );
  });

  test('no step makes more holders than there were or are wanted', () => {
    fc.assert(
      fc.property(history(fc.oneof(ours, losses, restores, strangers)), turns => {
        let before = 0;
        const counting = turns.map(turn => ({
          ...turn,
          events: [...turn.events, (world: ModelLease) => void (before = world.holding.length)],
        }));
        play(counting, (world, { wish }) => {
          const now = world.holding.length;
          expect(now).toBeLessThanOrEqual(Math.max(before, wish.keys.length));
          before = now;
        });
      }),
      { numRuns: 500 },
    );
  });

  test('no session holds twice: an old holder could take the new tenure for its own', () => {
    fc.assert(
      fc.property(history(fc.oneof(ours, losses)), turns => {
        const world = new ModelLease();
        const served = new Set<string>();
        for (const { events, wish, steps } of turns) {
          for (const event of events) event(world);
          carryOut(world, wish, steps, () => {});
          for (const tenure of world.tenures.splice(0)) {
            expect(served).not.toContain(tenure);
            served.add(tenure);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  test('what is not ours is never touched', () => {
    fc.assert(
      fc.property(history(fc.oneof(ours, strangers)), wish, (turns, last) => {
        const world = play(turns);
        const before = world.foreign;
        settle(world, last);
        expect(world.foreign).toEqual(expect.arrayContaining([...before]));
        for (const step of endOf(world)) world.apply(step, last);
        expect(world.foreign).toEqual(expect.arrayContaining([...before]));
      }),
      { numRuns: 300 },
    );
  });

  test('the end leaves nothing of ours', () => {
    fc.assert(
      fc.property(history(ours), wish, (turns, last) => {
        const world = play(turns);
        settle(world, last);
        for (const step of endOf(world)) expect(world.apply(step, last)).toBe(true);
        expect(world.holding).toEqual([]);
        expect(world.strays).toBe(0);
        expect(world.observe().record).toBeUndefined();
        expect(planLeaseEnd(world.observe(), 'Delete')).toEqual({ kind: 'noop' });
      }),
      { numRuns: 300 },
    );
  });
});

describe('fencing tokens', () => {
  const sorted = <T extends bigint | number>(all: readonly T[]): T[] =>
    all.toSorted((one, other) => (one < other ? -1 : 1));

  /** Every turn ends with a status, whether or not anybody leads by then. */
  const playTelling = (turns: readonly Turn[]): { tokens: bigint[]; transitions: number[] } => {
    const tokens: bigint[] = [];
    const transitions: number[] = [];
    const world = new ModelLease();
    for (const { events, wish, steps } of turns) {
      for (const event of events) event(world);
      const plan = planLease(wish, world.observe());
      const planned = plan.kind === 'change' ? plan.steps.slice(0, steps) : [];
      for (const step of planned) {
        if (!world.apply(step, wish)) break;
        if (step.kind === 'grant') tokens.push(step.token);
      }
      world.tell(wish);
      transitions.push(world.status.transitions ?? 0);
    }
    return { tokens, transitions };
  };

  test('strictly grow from grant to grant: over deleted keys, lost records, dead sessions, crashes, restores, rebuilt Consuls and new processes', () => {
    fc.assert(
      fc.property(history(fc.oneof(ours, losses, restores, rebuilds)), turns => {
        const { tokens, transitions } = playTelling(turns);
        expect(tokens).toEqual(sorted([...new Set(tokens)]));
        expect(transitions).toEqual(sorted(transitions));
      }),
      { numRuns: 1000 },
    );
  });

  test('grow over a rebuilt Consul and a new process, though nobody led for a while', () => {
    const world = new ModelLease();
    const pass = (candidates: readonly string[]): void => {
      settle(world, aWish(candidates));
      world.tell(aWish(candidates));
    };
    pass(['a']);
    pass(['b']);
    const before = BigInt(world.status.highestFencingToken ?? 0);
    world.rebuild();
    world.restartOperator();
    pass([]);
    expect(world.status.holders).toEqual([]);
    pass(['a']);
    expect(BigInt(world.status.holders?.[0]?.fencingToken ?? 0)).toBeGreaterThan(before);
  });
});

/** An outsider's edit outlived the lock it was made over: what is left cannot be told from data, and is left alone. */
function expectPlainData(world: ModelLease, { keys }: LeaseWish): void {
  const { sight } = world.observe();
  const isPlainData = (key: string): boolean => {
    const seen = sight(key);
    if (typeof seen !== 'object' || seen.session !== undefined) return false;
    return seen.flags !== LOCK_FLAGS || parseLockValue(seen.value) === undefined;
  };
  expect(keys.some(isPlainData)).toBe(true);
}

function endOf(world: ModelLease) {
  const plan = planLeaseEnd(world.observe(), 'Delete');
  return plan.kind === 'change' ? plan.steps : [];
}
