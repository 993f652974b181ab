import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { debounce, debounceFrom, type Thresholds } from '../../../src/probes/debounce.ts';
import type { ProbeStatus } from '../../../src/probes/spec.ts';

const statuses = fc.constantFrom<ProbeStatus>('passing', 'warning', 'critical');
const thresholds = fc.record({
  successBeforePassing: fc.nat({ max: 5 }),
  failuresBeforeCritical: fc.nat({ max: 5 }),
});

/**
 * What a check says after `results`, told from the whole history at once: the last result that ends enough of its sort
 * in a row. What was stored counts as a full row; with nothing stored the first row of all counts whatever its length.
 */
function byHistory(
  results: readonly ProbeStatus[],
  { successBeforePassing, failuresBeforeCritical }: Thresholds,
  initial?: ProbeStatus,
): ProbeStatus | undefined {
  const sortOf = (status: ProbeStatus): string => (status === 'critical' ? 'failure' : 'success');
  const needed = { failure: failuresBeforeCritical, success: successBeforePassing };
  const stored = Array.from({ length: 6 }, () => initial).filter(status => status !== undefined);
  const history = [...stored, ...results];
  const rowOf = (end: number): number => {
    const start = history.slice(0, end).findLastIndex(one => sortOf(one) !== sortOf(history[end] ?? one)) + 1;
    return start === 0 ? Number.POSITIVE_INFINITY : end - start + 1;
  };
  return history.findLast((status, at) => rowOf(at) >= needed[sortOf(status) as keyof typeof needed]);
}

function after(results: readonly ProbeStatus[], limits: Thresholds, initial?: ProbeStatus) {
  return results.reduce((state, result) => debounce(state, result, limits), debounceFrom(initial, limits))
    .status;
}

test('for any results it says what the whole history says', () => {
  fc.assert(
    fc.property(
      fc.array(statuses, { maxLength: 30 }),
      thresholds,
      fc.option(statuses),
      (results, limits, stored) => {
        const initial = stored ?? undefined;
        expect(after(results, limits, initial)).toBe(byHistory(results, limits, initial));
      },
    ),
    { numRuns: 2_000 },
  );
});

const p = 'passing';
const w = 'warning';
const c = 'critical';

describe('with 3 successes before passing and 2 failures before critical', () => {
  const limits = { successBeforePassing: 3, failuresBeforeCritical: 2 };
  test.each<[string, ProbeStatus | undefined, ProbeStatus[], ProbeStatus | undefined]>([
    ['nothing is said before the first result', undefined, [], undefined],
    ['the first result counts at once', undefined, [p], p],
    ['so does a first failure', undefined, [c], c],
    ['one failure is not believed', p, [c], p],
    ['nor many, with a success after each', p, [c, p, c, p, c, w], p],
    ['two in a row are', p, [c, c], c],
    ['two successes are not believed', c, [p, p], c],
    ['three are', c, [p, p, p], p],
    ['a warning counts as a success, and is what is said', c, [p, p, w], w],
    ['a warning is said at once by a check that passes', p, [w], w],
    ['but not right after a failure', p, [c, w], p],
    ['what was stored stands until it is outvoted', w, [c, p, p], w],
  ])('%s', (_, initial, results, said) => {
    expect(after(results, limits, initial)).toBe(said);
  });
});
