import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { KvEntry, ModifyIndex } from '../../../src/consul/types.ts';
import { Fingerprinter } from '../../../src/ownership/fingerprint.ts';
import { ABSENT, KeyMirror, type Seen } from '../../../src/mirror/key-mirror.ts';
import { anEntry, ref } from '../ownership/records.ts';

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
const learn = (entries: Record<string, KvEntry | undefined>, begunAt = mirror.begin(), reader?: typeof A) =>
  mirror.learn(new Map(Object.entries(entries)), begunAt, { reader });

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
    learn({ x: entry('x', 'v', 7), y: entry('y', 'v', 7) }, mirror.begin(), A);
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
    const begunAt = mirror.begin();
    mirror.wrote('x', seenAs('x', 'own', 8), { begunAt: mirror.begin(), replaced: 5 as ModifyIndex });
    mirror.wrote('gone', ABSENT, { begunAt: mirror.begin(), replaced: 5 as ModifyIndex });
    learn({ x: entry('x', 'old', 5), gone: entry('gone', 'old', 5) }, begunAt);
    expect([mirror.seen('x'), mirror.seen('gone')]).toEqual([seenAs('x', 'own', 8), ABSENT]);
    expect(told).toEqual([]);
    learn({ x: entry('x', 'other', 9) });
    expect(mirror.seen('x')).toEqual(seenAs('x', 'other', 9));
  });

  test('before it was forgotten does not come back', () => {
    mirror.track(A, new Set(['x']));
    const begunAt = mirror.begin();
    mirror.forget(['x', 'never tracked']);
    learn({ x: entry('x', 'v', 5) }, begunAt);
    expect(mirror.seen('x')).toBeUndefined();
  });

  test('before a later read does not replace it', () => {
    mirror.track(A, new Set(['x']));
    const [first, second] = [mirror.begin(), mirror.begin()];
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

describe('of what arrives out of order the newest counts, by its Raft index:', () => {
  const own = (begunAt: number, replaced: number) => ({ begunAt, replaced: replaced as ModifyIndex });

  test.each<[what: string, arrived: KvEntry | undefined, asOf: number | undefined, known: Seen | undefined]>([
    [
      'an edit that was seen before our answer came',
      entry('x', 'theirs', 9),
      undefined,
      seenAs('x', 'theirs', 9),
    ],
    ['what stood there before', entry('x', 'old', 5), undefined, seenAs('x', 'ours', 8)],
    ['a removal after our write', undefined, 9, ABSENT],
    ['its absence before our write', undefined, 7, seenAs('x', 'ours', 8)],
    ['an absence of which that is not known', undefined, undefined, undefined],
  ])('%s', (_, arrived, asOf, known) => {
    for (const isBefore of [true, false]) {
      mirror = new KeyMirror(prints);
      mirror.onChange(refs => told.push(refs.map(({ name }) => name)));
      mirror.track(A, new Set(['x']));
      const [sent, read] = [mirror.begin(), mirror.begin()];
      const options = asOf === undefined ? {} : { asOf };
      if (isBefore) mirror.learn(new Map([['x', arrived]]), read, options);
      mirror.wrote('x', seenAs('x', 'ours', 8), own(sent, 5));
      if (!isBefore) mirror.learn(new Map([['x', arrived]]), read, options);
      expect([isBefore, mirror.seen('x')]).toEqual([isBefore, known]);
    }
  });

  test.each<[what: string, arrived: KvEntry | undefined, known: Seen]>([
    ['a new key after our removal', entry('x', 'theirs', 9), seenAs('x', 'theirs', 9)],
    ['the key as we removed it', entry('x', 'old', 5), ABSENT],
    ['nothing', undefined, ABSENT],
  ])('%s', (_, arrived, known) => {
    for (const isBefore of [true, false]) {
      mirror = new KeyMirror(prints);
      mirror.track(A, new Set(['x']));
      const [sent, read] = [mirror.begin(), mirror.begin()];
      if (isBefore) mirror.learn(new Map([['x', arrived]]), read);
      mirror.wrote('x', ABSENT, own(sent, 5));
      if (!isBefore) mirror.learn(new Map([['x', arrived]]), read);
      expect([isBefore, mirror.seen('x')]).toEqual([isBefore, known]);
    }
  });

  test('our write is not believed when everything was dropped while it was under way', () => {
    mirror.track(A, new Set(['x']));
    const sent = mirror.begin();
    mirror.forgetAll();
    mirror.wrote('x', seenAs('x', 'ours', 8), own(sent, 0));
    expect(mirror.seen('x')).toBeUndefined();
  });

  test('who tracks a key is told when it is not clear any more', () => {
    mirror.track(A, new Set(['x']));
    const read = mirror.begin();
    mirror.wrote('x', seenAs('x', 'ours', 8), own(mirror.begin(), 0));
    mirror.learn(new Map([['x', undefined]]), read);
    expect(told).toEqual([['a']]);
  });
});

test('once all has arrived, what is known is the newest of it, or that it is not known', () => {
  const steps = fc.array(
    fc.record({
      what: fc.constantFrom(
        'put',
        'delete',
        'read',
        'read all',
        'arrive',
        'send',
        'commit',
        'answer',
        'forget',
      ),
      pick: fc.nat(9),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, all => {
      const each = new KeyMirror(prints);
      each.track(A, new Set(['x']));
      // Consul, as it is now.
      let raft = 1;
      let stored: KvEntry | undefined;
      // What is on its way.
      const flying: {
        readonly begunAt: number;
        readonly saw: KvEntry | undefined;
        readonly at: number;
        readonly asOf: number | undefined;
      }[] = [];
      let sending:
        | { readonly begunAt: number; readonly replaced: number; readonly remove: boolean }
        | undefined;
      let committed: (NonNullable<typeof sending> & { readonly at: number }) | undefined;
      // The newest that has arrived.
      let newest: { readonly at: number; readonly saw: KvEntry | undefined } = { at: 0, saw: undefined };
      const arrive = (pick: number): void => {
        const [read] = flying.splice(pick % Math.max(1, flying.length), 1);
        if (read === undefined) return;
        each.learn(new Map([['x', read.saw]]), read.begunAt, { asOf: read.asOf });
        if (read.at > newest.at) newest = read;
      };
      const answer = (): void => {
        if (committed === undefined) return;
        const { at, remove, begunAt, replaced } = committed;
        const now = remove ? ABSENT : seenAs('x', `own ${at}`, at);
        each.wrote('x', now, { begunAt, replaced: replaced as ModifyIndex });
        if (at > newest.at) newest = { at, saw: remove ? undefined : entry('x', `own ${at}`, at) };
        committed = undefined;
      };
      for (const { what, pick } of all) {
        if (what === 'put') stored = entry('x', `theirs ${raft}`, ++raft);
        if (what === 'delete' && stored !== undefined) {
          stored = undefined;
          raft++;
        }
        if (what.startsWith('read')) {
          const asOf = what === 'read all' ? raft : undefined;
          flying.push({ begunAt: each.begin(), saw: stored, at: raft, asOf });
        }
        if (what === 'arrive') arrive(pick);
        if (what === 'send' && sending === undefined && committed === undefined) {
          sending = {
            begunAt: each.begin(),
            replaced: stored?.modifyIndex ?? 0,
            remove: pick < 3 && stored !== undefined,
          };
        }
        if (what === 'commit' && sending !== undefined) {
          if ((stored?.modifyIndex ?? 0) === sending.replaced) {
            raft++;
            stored = sending.remove ? undefined : entry('x', `own ${raft}`, raft);
            committed = { ...sending, at: raft };
          }
          sending = undefined;
        }
        if (what === 'answer') answer();
        if (what === 'forget') each.forget(['x']);
      }
      answer();
      while (flying.length > 0) arrive(0);
      const known = each.seen('x');
      if (known === undefined || newest.at === 0) return;
      expect(known).toEqual(
        newest.saw === undefined ? ABSENT : seenAs('x', newest.saw.value.toString(), newest.saw.modifyIndex),
      );
    }),
    { numRuns: 2000 },
  );
});
