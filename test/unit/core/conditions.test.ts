import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  clip,
  type Condition,
  settleConditions,
  timestamp,
  type WantedCondition,
} from '../../../src/core/conditions.ts';

const THEN = '2026-01-01T00:00:00Z';
const NOW = '2026-02-02T02:02:02Z';

const wanted = (change: Partial<WantedCondition> = {}): WantedCondition => ({
  type: 'Ready',
  status: 'True',
  reason: 'Applied',
  message: 'all well',
  ...change,
});
const previous = (change: Partial<Condition> = {}): Condition => ({
  ...wanted(),
  observedGeneration: 1,
  lastTransitionTime: THEN,
  ...change,
});

describe('conditions', () => {
  test.each<[what: string, before: Condition[], time: string]>([
    ['that are new begin now', [], NOW],
    ['that keep their status keep their time', [previous()], THEN],
    ['that only change reason and message do so, too', [previous({ reason: 'Other', message: 'x' })], THEN],
    ['that flip begin now', [previous({ status: 'False' })], NOW],
    ['that were unknown begin now', [previous({ status: 'Unknown' })], NOW],
    ['take no time from another type', [previous({ type: 'Drifted' })], NOW],
  ])('%s', (_, before, lastTransitionTime) => {
    expect(settleConditions([wanted()], before, 5, NOW)).toEqual([
      { ...wanted(), observedGeneration: 5, lastTransitionTime },
    ]);
  });

  test('are exactly those wanted, in their order', () => {
    const before = [previous({ type: 'Stalled' }), previous({ type: 'Ready' })];
    const settled = settleConditions(
      [wanted(), wanted({ type: 'Drifted', status: 'False' })],
      before,
      2,
      NOW,
    );
    expect(settled.map(({ type }) => type)).toEqual(['Ready', 'Drifted']);
  });

  test('settled twice are as settled once', () => {
    const condition = fc.record({
      type: fc.constantFrom('Ready', 'Stalled', 'Drifted'),
      status: fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const),
      reason: fc.string(),
      message: fc.string(),
    });
    fc.assert(
      fc.property(fc.uniqueArray(condition, { selector: ({ type }) => type }), all => {
        const once = settleConditions(all, [], 1, THEN);
        expect(settleConditions(all, once, 1, NOW)).toEqual(once);
      }),
    );
  });

  test('carry 1,024 characters of a message', () => {
    const [condition] = settleConditions([wanted({ message: 'x'.repeat(5000) })], [], 1, NOW);
    expect(condition?.message).toBe(`${'x'.repeat(1023)}…`);
  });
});

test('a time is written in whole seconds, as metav1.Time is', () => {
  expect(timestamp(Date.UTC(2026, 1, 3, 4, 5, 6, 987))).toBe('2026-02-03T04:05:06Z');
});

describe('a message is clipped', () => {
  test.each([
    ['short', 5, 'short'],
    ['longer', 5, 'long…'],
    ['😀😀😀', 3, '😀😀😀'],
    ['😀😀😀', 2, '😀…'],
    ['', 5, ''],
  ])('%s to %d characters', (message, maxChars, clipped) => expect(clip(message, maxChars)).toBe(clipped));

  test('never within a character', () => {
    const texts = fc.array(fc.constantFrom('a', 'é', '😀', '\u0301')).map(parts => parts.join(''));
    fc.assert(
      fc.property(texts, fc.integer({ min: 1, max: 20 }), (message, maxChars) => {
        const clipped = clip(message, maxChars);
        expect(Array.from(clipped).length).toBeLessThanOrEqual(maxChars);
        expect(clipped.isWellFormed()).toBe(true);
      }),
    );
  });
});
