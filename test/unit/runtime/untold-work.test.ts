import { expect, test } from 'vitest';
import { resourceKey } from '../../../src/core/resource.ts';
import { UntoldWork } from '../../../src/runtime/untold-work.ts';
import { WORK } from './endings.ts';

const KEY = resourceKey({ kind: 'ConsulKV', namespace: 'shop', name: 'one' });
const OTHER = resourceKey({ kind: 'ConsulKV', namespace: 'shop', name: 'other' });
const REPAIR = { event: 'DriftCorrected', note: 'write c', corrected: 1 } as const;

test('transactions until it is told are one change: named by the first, with all corrections, at the last time', () => {
  const untold = new UntoldWork();
  untold.add(KEY, { ...WORK, corrected: 2 }, 1000);
  untold.add(KEY, REPAIR, 2000);
  expect(untold.appliedAtMs(KEY)).toBe(2000);
  expect(untold.takeChange(KEY)).toEqual({ ...WORK, corrected: 3 });
});

test('Event and time are told apart from each other, each once', () => {
  const untold = new UntoldWork();
  untold.add(KEY, WORK, 1000);
  untold.takeChange(KEY);
  expect([untold.takeChange(KEY), untold.appliedAtMs(KEY)]).toEqual([undefined, 1000]);
  untold.add(KEY, REPAIR, 2000);
  untold.timeTold(KEY);
  expect([untold.appliedAtMs(KEY), untold.takeChange(KEY)]).toEqual([undefined, REPAIR]);
});

test('a resource that is gone leaves nothing behind, and the others what is theirs', () => {
  const untold = new UntoldWork();
  for (const key of [KEY, OTHER]) untold.add(key, WORK, 1000);
  untold.forget(KEY);
  expect([untold.takeChange(KEY), untold.appliedAtMs(KEY)]).toEqual([undefined, undefined]);
  expect([untold.takeChange(OTHER), untold.appliedAtMs(OTHER)]).toEqual([WORK, 1000]);
});
