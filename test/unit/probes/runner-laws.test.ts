import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { debounce, debounceFrom } from '../../../src/probes/debounce.ts';
import type { ProbeResult, ProbeStatus } from '../../../src/probes/spec.ts';
import { aSpec, type Behaviour, ProbeWorld } from './probe-world.ts';

const INTERVAL = 1_000;
const status = fc.constantFrom<ProbeStatus>('passing', 'warning', 'critical');
const seconds = (count: number): number => count * INTERVAL;

/** Whole milliseconds, so that times can be compared. */
const jitters = fc.infiniteStream(fc.nat({ max: INTERVAL - 1 }).map(ms => ms / INTERVAL));

function answering(one: ProbeStatus, afterMs = 0): Behaviour {
  return { afterMs, outcome: { status: one, output: `is ${one}` } };
}

test('a check tells each change of what the results add up to, and nothing else', async () => {
  const limits = fc.record({
    successBeforePassing: fc.nat({ max: 4 }),
    failuresBeforeCritical: fc.nat({ max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(status, { maxLength: 20 }),
      limits,
      fc.option(status),
      async (found, thresholds, stored) => {
        const world = new ProbeWorld();
        const coming = found.values();
        world.behaviour = () => {
          const next = coming.next().value;
          return next === undefined ? 'hangs' : answering(next);
        };
        const initial: ProbeResult | undefined =
          stored === null ? undefined : { status: stored, output: 'stored' };
        world.runner.set('a', aSpec('a', { thresholds }), initial);
        await world.pass(seconds(found.length) - 1);

        const expected: ProbeStatus[] = [];
        let state = debounceFrom(initial?.status, thresholds);
        for (const result of found) {
          const next = debounce(state, result, thresholds);
          if (next.status !== undefined && next.status !== state.status) expected.push(next.status);
          state = next;
        }
        expect(world.results.map(({ result }) => result.status)).toEqual(expected);
        expect(world.runner.verdict('a')).toEqual(world.results.at(-1)?.result ?? initial);
      },
    ),
  );
});

const targets = fc.array(fc.record({ durationMs: fc.nat({ max: 3 * INTERVAL }), hangs: fc.boolean() }), {
  minLength: 1,
  maxLength: 20,
});

test('no more run at once than there are places, none twice, and none is forgotten', async () => {
  await fc.assert(
    fc.asyncProperty(targets, jitters, fc.integer({ min: 1, max: 8 }), async (all, jitter, places) => {
      const world = new ProbeWorld({ places, random: () => jitter.next().value });
      world.behaviour = host => {
        expect(world.running.get(host)).toBe(1);
        const { durationMs, hangs } = all[Number(host)] ?? { durationMs: 0, hangs: false };
        return hangs ? 'hangs' : answering('passing', durationMs);
      };
      for (const host of all.keys()) world.runner.set(`${host}`, aSpec(`${host}`), undefined);
      // At most half a second each, one after the other, and the interval before the first.
      await world.pass(seconds(11));
      expect(world.peak).toBeLessThanOrEqual(places);
      for (const host of all.keys()) expect(world.runsOf(`${host}`)).not.toEqual([]);
      await world.runner.stop();
      expect([world.runningNow, world.clock.timerCount]).toEqual([0, 0]);
    }),
    { numRuns: 40 },
  );
});

test('with places enough, every check runs on its own beat for ever, however long its runs take', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 499 }), { minLength: 1, maxLength: 10 }),
      jitters,
      async (durations, jitter) => {
        const drawn: number[] = [];
        const world = new ProbeWorld({
          places: 2 * durations.length,
          random: () => {
            drawn.push(jitter.next().value);
            return drawn.at(-1) ?? 0;
          },
        });
        world.behaviour = host => answering('passing', durations[Number(host)]);
        for (const host of durations.keys()) world.runner.set(`${host}`, aSpec(`${host}`), undefined);
        await world.pass(seconds(10) - 1);
        for (const host of durations.keys()) {
          const first = Math.round((drawn[2 * host] ?? 0) * INTERVAL);
          const beat = Array.from({ length: 10 }, (_, run) => first + seconds(run));
          expect(world.runsOf(`${host}`).map(Math.round)).toEqual(beat);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('targets that hang, in any number, take no run from a target that has answered', async () => {
  const counts = fc.record({
    hanging: fc.integer({ min: 1, max: 60 }),
    answering: fc.integer({ min: 1, max: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(counts, jitters, async (count, jitter) => {
      const world = new ProbeWorld({ places: 8, random: () => jitter.next().value });
      world.behaviour = host => (host.startsWith('hanging') ? 'hangs' : answering('passing'));
      for (let n = 0; n < count.answering; n += 1)
        world.runner.set(`good-${n}`, aSpec(`good-${n}`), undefined);
      await world.pass(seconds(1));
      // Slow enough to hold their places for twice the interval of the others.
      const slow = { timeoutMs: seconds(2) };
      for (let n = 0; n < count.hanging; n += 1)
        world.runner.set(`hanging-${n}`, aSpec(`hanging-${n}`, slow), undefined);
      world.runs.length = 0;
      await world.pass(seconds(20));
      for (let n = 0; n < count.answering; n += 1) expect(world.runsOf(`good-${n}`)).toHaveLength(20);
    }),
    { numRuns: 30 },
  );
});

test('whenever a check is removed, nothing is told of it from there on, and it leaves nothing behind', async () => {
  const moments = fc.array(fc.nat({ max: 4_000 }), { minLength: 1, maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(moments, jitters, fc.nat({ max: 700 }), async (all, jitter, durationMs) => {
      const world = new ProbeWorld({ places: 2, random: () => jitter.next().value });
      let flip = 0;
      const outcomes = ['passing', 'critical', 'unknown'] as const;
      world.behaviour = () => {
        const status = outcomes[flip++ % outcomes.length] ?? 'unknown';
        return { afterMs: durationMs, outcome: { status, output: '' }, regardless: flip % 2 === 0 };
      };
      const toldOf = (id: number): number =>
        [...world.results, ...world.unknown].filter(one => one.id === `${id}`).length;
      for (const id of all.keys()) world.runner.set(`${id}`, aSpec(`${id}`), undefined);
      for (const [id, atMs] of [...all.entries()].sort((a, b) => a[1] - b[1])) {
        await world.pass(Math.max(0, atMs - world.clock.monotonic()));
        world.runner.remove(`${id}`);
        const told = toldOf(id);
        const started = world.runsOf(`${id}`).length;
        await world.pass(10);
        expect(toldOf(id)).toBe(told);
        expect(world.runsOf(`${id}`)).toHaveLength(started);
      }
      const told = [world.results.length, world.unknown.length];
      await world.pass(seconds(5));
      expect([world.results.length, world.unknown.length]).toEqual(told);
      expect([world.runner.size, world.runningNow, world.clock.timerCount]).toEqual([0, 0, 0]);
    }),
  );
});
