/**
 * What holds of any number of candidates, whatever their machines, their network and Consul do. Consul's part is a model
 * (`lock-server.ts`), time is virtual, and everything else is the real thing.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Electorate, LOCK, LOCK_DELAY_SECONDS, randomFrom, TTL_SECONDS } from './electorate.ts';
import { LATEST_MS, type Network } from './process.ts';

type Act = (electorate: Electorate, member: number, ms: number) => void;

const onNetwork =
  (network: Network): Act =>
  ({ members }, member) => {
    for (const [n, { process }] of members.entries()) if (n === member) process.network = network;
  };

const FAULTS: Readonly<Record<string, Act>> = {
  pause: ({ members }, member) => members[member]?.process.pause(),
  suspend: ({ members }, member) => members[member]?.process.suspend(),
  resume: ({ members }, member) => members[member]?.process.resume(),
  clockForward: ({ members }, member, ms) => members[member]?.process.setWallClock(ms),
  clockBack: ({ members }, member, ms) => members[member]?.process.setWallClock(-ms),
  good: onNetwork('good'),
  slow: onNetwork('slow'),
  cut: onNetwork('cut'),
  refused: onNetwork('refused'),
  noAnswer: onNetwork('no-answer'),
  late: onNetwork('late'),
  mixed: onNetwork('mixed'),
  changeLeader: ({ server }) => server.changeLeader(),
  resign: ({ members }, member) => void members[member]?.candidate.resign(),
  getStuck: ({ members }, member) => {
    for (const [n, one] of members.entries()) if (n === member) one.stuck = 'the queue stands still';
  },
  getGoing: ({ members }) => {
    for (const one of members) one.stuck = undefined;
  },
};

const BY_ADMIN: Readonly<Record<string, Act>> = {
  destroySession: ({ server }) => {
    const held = server.entry(LOCK)?.session;
    if (held !== undefined) server.destroy(held);
  },
  deleteKey: ({ server }) => server.delete(LOCK),
  release: ({ server }) => {
    const held = server.entry(LOCK)?.session;
    if (held !== undefined) server.release(LOCK, held, Buffer.alloc(0), 0n);
  },
};

const scheduleOf = (acts: readonly string[]) =>
  fc.record({
    seed: fc.integer(),
    rates: fc.array(fc.constantFrom(1, 1, 1, 0.45, 1.2), { minLength: 2, maxLength: 4 }),
    lockDelaySeconds: fc.constantFrom(0, LOCK_DELAY_SECONDS),
    commands: fc.array(
      fc.record({
        act: fc.constantFrom(...acts),
        member: fc.option(fc.nat(3), { freq: 2 }),
        afterMs: fc.oneof(fc.nat(3000), fc.nat(60_000)),
        ms: fc.nat(90_000),
      }),
      { minLength: 5, maxLength: 30, size: 'max' },
    ),
  });

type Schedule = ReturnType<typeof scheduleOf> extends fc.Arbitrary<infer T> ? T : never;

async function play(
  { seed, rates, lockDelaySeconds, commands }: Schedule,
  check: (electorate: Electorate) => void,
): Promise<Electorate> {
  const electorate = new Electorate({ rates, lockDelaySeconds, random: randomFrom(seed) });
  electorate.check = () => check(electorate);
  electorate.open();
  for (const { act, member, afterMs, ms } of commands) {
    await electorate.pass(afterMs);
    (FAULTS[act] ?? BY_ADMIN[act])?.(electorate, member ?? leaderOf(electorate), ms);
  }
  return electorate;
}

/** Faults that hit the leader tell most. */
function leaderOf({ members, tenures }: Electorate): number {
  return members.findIndex(({ process }) => process === tenures.at(-1)?.process);
}

/**
 * Whatever an admin does: the fence lets one tenure through at most, and of all that ever began the one with the highest
 * token, so that a guarded system outside of Consul decides as Consul does. And no session serves two.
 */
function assertFenced({ tenures, server }: Electorate): void {
  const tokens = tenures.map(({ leadership }) => leadership.fencingToken);
  expect(new Set(tokens).size).toBe(tokens.length);
  expect(new Set(tenures.map(({ leadership }) => leadership.session)).size).toBe(tenures.length);
  const admitted = tenures.filter(({ leadership }) => server.entry(LOCK)?.session === leadership.session);
  const highest = tokens.reduce((one, other) => (one > other ? one : other), 0n);
  expect(admitted.every(({ leadership }) => leadership.fencingToken === highest)).toBe(true);
}

function assertNeverTwo(electorate: Electorate): void {
  assertFenced(electorate);
  const { tenures, server } = electorate;
  const tokens = tenures.map(({ leadership }) => leadership.fencingToken);
  expect(tokens.every((token, n) => n === 0 || token > (tokens[n - 1] ?? 0n))).toBe(true);
  for (const { process, leadership } of tenures) {
    if (process.isPaused || leadership.signal.aborted) continue;
    // The signal comes before the loss, not after.
    expect(server.entry(LOCK)?.session).toBe(leadership.session);
  }
  expect(electorate.effective.length).toBeLessThanOrEqual(1);
}

/** All faults over: somebody leads within the time that a crash may cost, and a whole crowd leaves nothing behind. */
async function assertConverges(electorate: Electorate): Promise<void> {
  const { members, server } = electorate;
  for (const member of members) {
    member.process.resume();
    member.process.network = 'good';
    member.stuck = undefined;
  }
  // An expired session, the lock-delay after it, the longest backoff, and requests still under way.
  const boundMs = 2 * TTL_SECONDS * 1000 + LOCK_DELAY_SECONDS * 1000 + 60_000;
  expect(await electorate.passUntil(() => electorate.effective.length === 1, boundMs)).toBe(true);
  // What is still under way arrives, and ends: a session made by a request that nobody waits for any more.
  await electorate.pass(LATEST_MS + 2 * TTL_SECONDS * 1000 + 5000);
  expect(electorate.effective.map(({ leadership }) => leadership.session)).toHaveLength(1);
  expect([...server.sessions.keys()]).toEqual([server.entry(LOCK)?.session]);
  electorate.close();
  expect(await electorate.passUntil(() => server.sessions.size === 0, 2000)).toBe(true);
}

test('two never lead at the same time, a signal comes before the loss, and it converges', async () => {
  await fc.assert(
    fc.asyncProperty(scheduleOf(Object.keys(FAULTS)), async schedule => {
      await assertConverges(await play(schedule, assertNeverTwo));
    }),
    { numRuns: 60, interruptAfterTimeLimit: 90_000 },
  );
}, 120_000);

test('whatever an admin does to the lock, the fence lets the last tenure through alone, and it converges', async () => {
  await fc.assert(
    fc.asyncProperty(scheduleOf([...Object.keys(FAULTS), ...Object.keys(BY_ADMIN)]), async schedule => {
      const electorate = await play(schedule, assertFenced);
      await assertConverges(electorate);
    }),
    { numRuns: 60, interruptAfterTimeLimit: 90_000 },
  );
}, 120_000);

test('a restored snapshot ends the tenure, revives no session for its holder, and it converges', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.integer(),
        beforeMs: fc.nat(60_000),
        betweenMs: fc.nat(60_000),
        handOver: fc.boolean(),
      }),
      async ({ seed, beforeMs, betweenMs, handOver }) => {
        const electorate = new Electorate({ rates: [1, 1, 1], random: randomFrom(seed) });
        electorate.open();
        await electorate.pass(beforeMs);
        const restore = electorate.server.snapshot();
        if (handOver) for (const { candidate } of electorate.members) void candidate.resign();
        await electorate.pass(betweenMs);
        restore();
        await assertConverges(electorate);
        const sessions = electorate.tenures.map(({ leadership }) => leadership.session);
        expect(new Set(sessions).size).toBe(sessions.length);
        const tokens = electorate.tenures.map(({ leadership }) => leadership.fencingToken);
        expect(tokens.every((token, n) => n === 0 || token > (tokens[n - 1] ?? 0n))).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
}, 60_000);
