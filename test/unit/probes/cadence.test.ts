import { expect, test } from 'vitest';
import { createCadence, nextRun, timeOf } from '../../../src/probes/cadence.ts';

const cadence = createCadence(1_000, 100, () => 0.25);
const DAY_MS = 86_400_000;

test('the first run is at random within one interval, the others follow at fixed distances', () => {
  expect([0, 1, 2].map(run => timeOf(cadence, run))).toEqual([1_025, 1_125, 1_225]);
  expect(
    timeOf(
      createCadence(1_000, 100, () => 0),
      0,
    ),
  ).toBe(1_000);
});

test('the first run comes soon, however long the interval', () => {
  expect(
    timeOf(
      createCadence(0, DAY_MS, () => 0.999),
      0,
    ),
  ).toBeLessThan(2_000);
});

test('the second run comes within the interval, at another moment for each check, and the others on that beat', () => {
  const draws = [0.5, 0.8].values();
  const slow = createCadence(0, 12_000, () => draws.next().value ?? 0);
  expect([0, 1, 2, 3].map(run => timeOf(slow, run))).toEqual([1_000, 9_000, 21_000, 33_000]);
  expect([nextRun(slow, 0, 1_500), nextRun(slow, 0, 9_500), nextRun(slow, 1, 25_000)]).toEqual([1, 2, 3]);
});

test.each([
  { what: 'before the first', last: -1, nowMs: 1_000, next: 0 },
  { what: 'right after a run that took no time', last: 0, nowMs: 1_025, next: 1 },
  { what: 'a run that a timer started early is not followed by itself', last: 1, nowMs: 1_124.9, next: 2 },
  { what: 'a run that took just the interval is followed at once', last: 0, nowMs: 1_125, next: 1 },
  { what: 'those that were missed are left out', last: 0, nowMs: 1_426, next: 5 },
])('$what: the next is $next', ({ last, nowMs, next }) => {
  expect(nextRun(cadence, last, nowMs)).toBe(next);
});
