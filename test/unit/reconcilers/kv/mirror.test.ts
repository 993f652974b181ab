import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { KvEntry, ModifyIndex } from '../../../../src/consul/types.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { ABSENT, KeyMirror } from '../../../../src/reconcilers/kv/mirror.ts';
import type { Seen } from '../../../../src/reconcilers/kv/plan.ts';
import { anEntry, ref } from '../../ownership/records.ts';

const prints = new Fingerprinter(Buffer.alloc(32, 1));
const [A, B] = [ref('a'), ref('b')];

let mirror: KeyMirror;
let told: string[][];
beforeEach(() => {
  mirror = new KeyMirror(prints);
  told = [];
  mirror.onChange(refs => told.push(refs.map(({ name }) => name).sort()));
});

const entry = (key: string, value: string, at: number, session?: string): KvEntry => ({
  ...anEntry(key, value, at),
  session: session as never,
});
const seenAs = (key: string, value: string, at: number): Seen => ({
  fingerprint: prints.of(key, { value: Buffer.from(value), flags: 0n }),
  index: at as ModifyIndex,
  session: false,
});
const learn = (
  entries: Record<string, KvEntry | undefined>,
  begunAt = mirror.beginRead(),
  reader?: typeof A,
) => mirror.learn(new Map(Object.entries(entries)), begunAt, reader);

describe('what is read', () => {
  test('is known of tracked keys, and of no others', () => {
    mirror.track(A, new Set(['x', 'y']));
    learn({ x: entry('x', 'v', 7), y: undefined, z: entry('z', 'v', 9) });
    expect([mirror.seen('x'), mirror.seen('y'), mirror.seen('z')]).toEqual([
      seenAs('x', 'v', 7),
      ABSENT,
      undefined,
    ]);
    expect(mirror.highestIndex).toBe(9);
  });

  test('is told to who tracks what changed, but for who has read it', () => {
    mirror.track(A, new Set(['x', 'y']));
    mirror.track(B, new Set(['y']));
    learn({ x: entry('x', 'v', 7), y: entry('y', 'v', 7) }, mirror.beginRead(), A);
    expect(told).toEqual([['b']]);
    learn({ x: entry('x', 'v', 7), y: entry('y', 'v', 7) });
    expect(told).toHaveLength(1);
    learn({ x: entry('x', 'w', 8), y: entry('y', 'v', 7) });
    learn({ y: undefined });
    learn({ y: entry('y', 'v', 9, 'session') });
    expect(told.slice(1)).toEqual([['a'], ['a', 'b'], ['a', 'b']]);
    expect(mirror.seen('y')?.session).toBe(true);
  });

  test('before an own write does not undo it, whenever it arrives', () => {
    mirror.track(A, new Set(['x', 'gone']));
    const begunAt = mirror.beginRead();
    mirror.wrote('x', seenAs('x', 'own', 8));
    mirror.wrote('gone', ABSENT);
    learn({ x: entry('x', 'old', 5), gone: entry('gone', 'old', 5) }, begunAt);
    expect([mirror.seen('x'), mirror.seen('gone')]).toEqual([seenAs('x', 'own', 8), ABSENT]);
    expect(told).toEqual([]);
    learn({ x: entry('x', 'other', 9) });
    expect(mirror.seen('x')).toEqual(seenAs('x', 'other', 9));
  });

  test('before it was forgotten does not come back', () => {
    mirror.track(A, new Set(['x']));
    const begunAt = mirror.beginRead();
    mirror.forget(['x', 'never tracked']);
    learn({ x: entry('x', 'v', 5) }, begunAt);
    expect(mirror.seen('x')).toBeUndefined();
  });

  test('before a later read does not replace it', () => {
    mirror.track(A, new Set(['x']));
    const [first, second] = [mirror.beginRead(), mirror.beginRead()];
    learn({ x: entry('x', 'new', 9) }, second);
    learn({ x: entry('x', 'old', 5) }, first);
    expect(mirror.seen('x')).toEqual(seenAs('x', 'new', 9));
  });

  test('at the index that is known is not fingerprinted again', () => {
    mirror.track(A, new Set(['x']));
    learn({ x: entry('x', 'v', 7) });
    learn({ x: entry('x', 'not looked at', 7) });
    expect(mirror.seen('x')).toEqual(seenAs('x', 'v', 7));
    mirror.forgetAll();
    learn({ x: entry('x', 'another history', 7) });
    expect(mirror.seen('x')).toEqual(seenAs('x', 'another history', 7));
  });
});

describe('tracking', () => {
  test('returns keys that nobody tracked before, and drops those that nobody tracks any more', () => {
    expect(mirror.track(A, new Set(['x', 'y']))).toEqual(['x', 'y']);
    expect(mirror.track(B, new Set(['y', 'z']))).toEqual(['z']);
    learn({ x: entry('x', 'v', 7), y: entry('y', 'v', 7) });
    expect(mirror.track(A, new Set())).toEqual([]);
    expect([mirror.has('x'), mirror.has('y'), mirror.seen('x')]).toEqual([false, true, undefined]);
    expect(mirror.seen('y')).toBeDefined();
    mirror.track(B, new Set());
    expect([mirror.size, [...mirror.keys()], [...mirror.trackedBy(B)]]).toEqual([0, [], []]);
  });

  test('knows for each key whom it concerns', () => {
    mirror.track(A, new Set(['x', 'y']));
    mirror.track(B, new Set(['y']));
    const concerned = (...of: string[]) =>
      mirror
        .trackersOf(of)
        .map(({ name }) => name)
        .sort();
    expect([concerned('x'), concerned('y'), concerned('x', 'y'), concerned('z')]).toEqual([
      ['a'],
      ['a', 'b'],
      ['a', 'b'],
      [],
    ]);
    mirror.touch(B);
    expect(told).toEqual([['b']]);
  });

  test('is as the last call for each resource said', () => {
    const sets = fc.array(
      fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.uniqueArray(fc.constantFrom('x', 'y', 'z'))),
    );
    fc.assert(
      fc.property(sets, all => {
        const each = new KeyMirror(prints);
        const model = new Map<string, readonly string[]>();
        for (const [name, keys] of all) {
          const before = new Set([...model.values()].flat());
          expect(each.track(ref(name), new Set(keys))).toEqual(keys.filter(key => !before.has(key)));
          model.set(name, keys);
        }
        expect(new Set(each.keys())).toEqual(new Set([...model.values()].flat()));
        for (const [name, keys] of model) {
          expect(each.trackedBy(ref(name))).toEqual(new Set(keys));
          for (const key of keys) expect(each.trackersOf([key]).map(tracker => tracker.name)).toContain(name);
        }
      }),
    );
  });
});

test('what is known is what the latest begun read or own write said, whatever the order of arrival', () => {
  const steps = fc.array(
    fc.record({ what: fc.constantFrom('begin', 'arrive', 'write', 'forget'), pick: fc.nat(20) }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, all => {
      const each = new KeyMirror(prints);
      each.track(A, new Set(['x']));
      // Consul's own state, and what reads that are under way have seen of it.
      let index = 1;
      const flying: { readonly begunAt: number; readonly saw: number; readonly order: number }[] = [];
      let known: { readonly index: number; readonly order: number } | undefined;
      for (const [order, { what, pick }] of all.entries()) {
        if (what === 'begin') flying.push({ begunAt: each.beginRead(), saw: index, order });
        if (what === 'write') {
          each.wrote('x', seenAs('x', String(++index), index));
          known = { index, order };
        }
        if (what === 'forget') {
          each.forget(['x']);
          known = { index: 0, order };
        }
        const arrived =
          what === 'arrive' ? flying.splice(pick % Math.max(1, flying.length), 1)[0] : undefined;
        if (arrived !== undefined) {
          each.learn(new Map([['x', entry('x', String(arrived.saw), arrived.saw)]]), arrived.begunAt);
          if (known === undefined || arrived.order > known.order)
            known = { index: arrived.saw, order: arrived.order };
        }
        expect(each.seen('x')?.index ?? 0).toBe(known?.index ?? 0);
      }
    }),
  );
});
