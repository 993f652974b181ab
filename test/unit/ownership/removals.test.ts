import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { resourceKey } from '../../../src/core/resource.ts';
import { Ledger } from '../../../src/ownership/ledger.ts';
import { Removals } from '../../../src/ownership/removals.ts';
import { aRecord, ref } from './records.ts';

let ledger: Ledger;
let removals: Removals;
let present: Set<string>;
let unlisted: boolean;
beforeEach(() => {
  ledger = aLoadedLedger();
  present = new Set();
  unlisted = false;
  removals = new Removals({
    ledger,
    isAbsenceKnown: () => !unlisted,
    exists: each => present.has(each.name),
  });
});

/** Of an install that had no records so far. */
function aLoadedLedger(): Ledger {
  const loaded = new Ledger();
  loaded.replaceOwn([], loaded.beginRead());
  return loaded;
}

/** Records `r0`, `r1`, …, whose resources exist but for the first few. */
function records(total: number, missing: number, onDelete: 'Delete' | 'Retain' = 'Delete'): void {
  for (let n = 0; n < total; n++) {
    ledger.put(ref(`r${n}`), aRecord(`r${n}`, [`k${n}`], { onDelete }, n + 1));
    if (n >= missing) present.add(`r${n}`);
  }
}

const removable = (total: number) =>
  Array.from({ length: total }, (_, n) => n).filter(n => removals.mayRemove(ref(`r${n}`)));
const token = () => removals.held()?.token ?? '';

describe('what is only missing', () => {
  test.each([
    [20, 20, false],
    [21, 6, false],
    [21, 7, true],
    [100, 30, false],
    [100, 31, true],
    [1000, 1000, true],
  ])('of %d records, %d: held is %s', (total, missing, isHeld) => {
    records(total, missing);
    expect(removals.held() !== undefined).toBe(isHeld);
    expect(removable(missing)).toHaveLength(isHeld ? 0 : missing);
    if (isHeld) expect(removals.held()).toMatchObject({ count: missing, total });
  });

  test('is not removed before its absence means anything', () => {
    records(5, 5);
    unlisted = true;
    expect([removable(5), removals.orphans(), removals.held()]).toEqual([[], [], undefined]);
    unlisted = false;
    expect(removable(5)).toHaveLength(5);
  });

  test('adds up over waves, also while the first is worked off', () => {
    records(100, 20);
    expect(removable(20)).toHaveLength(20);
    for (let n = 20; n < 40; n++) present.delete(`r${n}`);
    expect(removals.held()).toMatchObject({ count: 20 });
    expect(removable(40)).toHaveLength(20);
  });

  test('that comes back and is missing again counts anew', () => {
    records(100, 20);
    expect(removable(20)).toHaveLength(20);
    for (let n = 0; n < 20; n++) removals.sawPresent(ref(`r${n}`));
    for (let n = 20; n < 60; n++) present.delete(`r${n}`);
    expect(removals.held()).toMatchObject({ count: 60 });
  });
});

describe('what was seen being deleted', () => {
  test('is never held, and does not count', () => {
    records(100, 60);
    for (let n = 0; n < 30; n++) removals.sawDeleted(ref(`r${n}`));
    expect(removable(100)).toHaveLength(60);
    expect(removals.held()).toBeUndefined();
  });

  test('is held like any other once it was there again', () => {
    records(100, 60);
    for (let n = 0; n < 60; n++) removals.sawDeleted(ref(`r${n}`));
    for (let n = 0; n < 60; n++) removals.sawPresent(ref(`r${n}`));
    expect(removable(100)).toEqual([]);
  });

  test('before the records were read is remembered until they are', () => {
    ledger = new Ledger();
    removals = new Removals({ ledger, isAbsenceKnown: () => true, exists: each => present.has(each.name) });
    for (let n = 0; n < 60; n++) removals.sawDeleted(ref(`r${n}`));
    removals.sawPresent(ref('r0'));
    ledger.replaceOwn([], ledger.beginRead());
    records(100, 61);
    expect(removable(100)).toEqual(
      Array.from({ length: 59 }, (_, n) => n + 1)
        .concat(0, 60)
        .sort((a, b) => a - b),
    );
    expect(removals.held()).toBeUndefined();
  });

  test.each([
    ['first', true],
    ['last', false],
  ])('before the records were read is remembered within bounds: 30 seen %s are held: %s', (when, isHeld) => {
    ledger = new Ledger();
    removals = new Removals({ ledger, isAbsenceKnown: () => true, exists: each => present.has(each.name) });
    const sawThirty = () => {
      for (let n = 0; n < 30; n++) removals.sawDeleted(ref(`r${n}`));
    };
    if (when === 'first') sawThirty();
    for (let n = 0; n < 10_000; n++) removals.sawDeleted(ref(`other${n}`));
    if (when === 'last') sawThirty();
    ledger.replaceOwn([], ledger.beginRead());
    records(40, 30);
    expect(removals.held() !== undefined).toBe(isHeld);
  });

  test('is forgotten with its record: what is remembered is bounded by the records', () => {
    records(2, 0);
    for (let n = 0; n < 1000; n++) {
      ledger.put(ref(`gone${n}`), aRecord(`gone${n}`));
      removals.sawDeleted(ref(`gone${n}`));
      ledger.put(ref(`gone${n}`), undefined);
      removals.sawDeleted(ref(`never${n}`));
    }
    ledger.put(ref('gone0'), aRecord('gone0'));
    records(100, 60);
    expect(removals.held()).toMatchObject({ count: 58 + 1 });
  });
});

test('records that say Retain go at once, since nothing in Consul goes with them', () => {
  records(100, 100, 'Retain');
  expect(removable(100)).toHaveLength(100);
  expect(removals.held()).toBeUndefined();
});

test('without a record there is nothing to remove', () => {
  expect(removals.mayRemove(ref('unknown'))).toBe(false);
});

describe('a go-ahead', () => {
  test('releases exactly the set that its token names', () => {
    records(100, 40);
    const given = token();
    expect(given).toMatch(/^[0-9a-f]{12}$/);
    expect(removals.confirm('000000000000')).toBe(false);
    expect(removable(100)).toEqual([]);
    expect(removals.confirm(given)).toBe(true);
    expect(removable(100)).toHaveLength(40);
    expect(removals.held()).toBeUndefined();
    present.delete('r99');
    expect(removals.mayRemove(ref('r99'))).toBe(false);
    expect(removals.held()).toMatchObject({ count: 1 });
  });

  test('is not for a set that has grown since', () => {
    records(100, 40);
    const given = token();
    present.delete('r99');
    expect(removals.confirm(given)).toBe(false);
    expect(token()).not.toBe(given);
  });

  test('stays given while the set is worked off', () => {
    records(100, 40);
    removals.confirm(token());
    for (let n = 0; n < 40; n++) {
      expect(removals.mayRemove(ref(`r${n}`))).toBe(true);
      ledger.put(ref(`r${n}`), undefined);
    }
    expect(removals.held()).toBeUndefined();
  });

  test('of old does not fit the same names when they are lost another time', () => {
    records(100, 40);
    const given = token();
    removals.confirm(given);
    for (let n = 0; n < 40; n++) {
      removals.sawPresent(ref(`r${n}`));
      ledger.put(ref(`r${n}`), aRecord(`r${n}`, [`k${n}`], {}, 1000 + n));
    }
    expect(removals.held()).toMatchObject({ count: 40 });
    expect(removals.confirm(given)).toBe(false);
  });

  test('names a set whatever its order', () => {
    records(100, 40);
    const first = token();
    const reversed = [...ledger.records()].toReversed();
    ledger = aLoadedLedger();
    for (const record of reversed) ledger.put(record.ref, record);
    removals = new Removals({ ledger, isAbsenceKnown: () => true, exists: each => present.has(each.name) });
    expect(token()).toBe(first);
  });
});

test('more than the share is never removed without a go-ahead, however resources come and go', () => {
  const steps = fc.array(
    fc.record({ what: fc.constantFrom('vanish', 'return', 'delete', 'turn'), n: fc.nat(29) }),
    {
      maxLength: 80,
    },
  );
  fc.assert(
    fc.property(steps, all => {
      ledger = aLoadedLedger();
      present = new Set();
      removals = new Removals({ ledger, isAbsenceKnown: () => true, exists: each => present.has(each.name) });
      records(30, 0);
      const deleted = new Set<string>();
      let inferred = 0;
      for (const { what, n } of all) {
        const each = ref(`r${n}`);
        if (what === 'return' && ledger.record(each)) {
          present.add(each.name);
          removals.sawPresent(each);
          deleted.delete(resourceKey(each));
        } else if (what === 'vanish') present.delete(each.name);
        else if (what === 'delete' && ledger.record(each)) {
          present.delete(each.name);
          removals.sawDeleted(each);
          deleted.add(resourceKey(each));
        } else if (what === 'turn' && !present.has(each.name) && removals.mayRemove(each)) {
          if (!deleted.has(resourceKey(each))) inferred++;
          ledger.put(each, undefined);
        }
        // Three in ten of the thirty there were; the rest may go once there are no more than twenty.
        if (ledger.size > 20) expect(inferred).toBeLessThanOrEqual(9);
      }
    }),
  );
});
