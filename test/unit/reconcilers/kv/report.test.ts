import { describe, expect, test } from 'vitest';
import type { Cause, KvChanges, NameChange } from '../../../../src/reconcilers/kv/types.ts';
import { receiptFor, summarize } from '../../../../src/reconcilers/kv/report.ts';
import { SETTLED } from './plan-builders.ts';

const change = (
  cause: Cause,
  name: string = cause,
  verb: NameChange['write']['verb'] = 'put',
): NameChange => ({
  name,
  cause,
  to: 'fp',
  write: verb === 'none' ? { verb } : { verb, index: 1 as never },
});
const all = (...changes: readonly NameChange[]): KvChanges => ({ changes, head: SETTLED, atomic: false });
const receipt = (changes: readonly NameChange[], isFirst = false, deleting = false) =>
  receiptFor(all(...changes), changes, isFirst, deleting);

describe('the Event of a change', () => {
  test.each<[event: string, changes: NameChange[], isFirst: boolean, deleting: boolean]>([
    ['Created', [change('create')], true, false],
    ['Updated', [change('create')], false, false],
    ['Updated', [change('update'), change('remove', 'x', 'delete')], false, false],
    ['Updated', [], false, false],
    ['Adopted', [change('create'), change('adopt', 'x', 'check')], true, false],
    ['Adopted', [change('correct'), change('adopt')], false, false],
    ['DriftCorrected', [change('update'), change('correct')], false, false],
    ['DriftCorrected', [change('stranger', 'x', 'delete')], false, false],
    ['Created', [change('create'), change('stranger', 'x', 'delete')], true, false],
    ['Deleted', [change('remove', 'x', 'delete')], false, true],
  ])('%s', (event, changes, isFirst, deleting) => {
    expect(receipt(changes, isFirst, deleting)).toMatchObject({ kind: 'applied', event });
  });

  test('counts what was put back', () => {
    const changes = [change('correct', 'a'), change('stranger', 'b', 'delete'), change('update', 'c')];
    expect(receipt(changes)).toMatchObject({ corrected: 2 });
  });

  test('says what was done, or what is being begun', () => {
    const changes = [change('create', 'a'), change('adopt', 'b', 'check'), change('remove', 'c', 'delete')];
    expect(receipt(changes)).toMatchObject({ note: 'write a; take over b; delete c' });
    expect(receiptFor(all(...changes), [], true, false)).toMatchObject({
      note: 'write a; take over b; delete c',
    });
    expect(receipt([])).toMatchObject({ note: 'update the owner record' });
    expect(receipt([change('remove', 'c', 'delete')], false, true)).toMatchObject({ note: 'removed c' });
    expect(receipt([], false, true)).toMatchObject({
      note: 'let go of what the resource owned; nothing was removed',
    });
  });
});

test('a summary names ten of each at most, and what only the record says not at all', () => {
  const written = Array.from({ length: 12 }, (_, n) => change('create', `k${n}`));
  expect(summarize(written)).toBe('write k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more');
  expect(summarize([change('record', 'r', 'none')])).toBe('update the owner record');
});
