import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs } from '../../../src/core/backoff.ts';

const RANGE = { baseMs: 200, capMs: 300_000 };
const attempts = fc.nat(2000);
const draws = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('doubles with each attempt up to its cap, and stays there', () => {
  const largest = [0, 1, 2, 3, 10, 11, 40, 2000].map(attempt =>
    Math.round(backoffMs(RANGE, attempt, () => 1 - 1e-9)),
  );
  expect(largest).toEqual([200, 400, 800, 1600, 204_800, 300_000, 300_000, 300_000]);
});

test('is drawn from the whole of it, but never under a tenth', () => {
  fc.assert(
    fc.property(attempts, draws, (attempt, draw) => {
      const bound = Math.min(RANGE.capMs, RANGE.baseMs * 2 ** attempt);
      const ms = backoffMs(RANGE, attempt, () => draw);
      expect(ms).toBeGreaterThanOrEqual(bound / 10);
      expect(ms).toBeLessThanOrEqual(bound);
      if (draw > 0.1) expect(ms).toBeCloseTo(bound * draw);
    }),
  );
});

test('never shrinks as attempts grow, for the same draw', () => {
  fc.assert(
    fc.property(attempts, draws, (attempt, draw) => {
      expect(backoffMs(RANGE, attempt + 1, () => draw)).toBeGreaterThanOrEqual(
        backoffMs(RANGE, attempt, () => draw),
      );
    }),
  );
});
