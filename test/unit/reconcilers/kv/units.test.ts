import { describe, expect, test } from 'vitest';
import { CLAIMS_KEY, placeOf, type WriteOperation } from '../../../../src/commit/operations.ts';
import { encodeOperation } from '../../../../src/consul/txn.ts';
import type { ModifyIndex } from '../../../../src/consul/types.ts';
import {
  type Head,
  listedNames,
  type OwnerRecord,
  shardKey,
  UNWRITTEN,
} from '../../../../src/ownership/record.ts';
import type { KvChanges, NameChange } from '../../../../src/reconcilers/kv/types.ts';
import type { Cut } from '../../../../src/reconcilers/kv/draft.ts';
import { cutUnit } from '../../../../src/reconcilers/kv/units.ts';
import { aRecord, type Contents, REF, SETTLED } from './plan-builders.ts';

const INSTALL = 'install-a';
const HEAD = shardKey(INSTALL, REF, 0);
const index = (number: number) => number as ModifyIndex;

const put = (name: string, at = 0, cause: NameChange['cause'] = 'create'): NameChange => ({
  name,
  cause,
  to: `fp of ${name}`,
  write: { verb: 'put', index: index(at) },
});
const take = (name: string): NameChange => ({
  ...put(name, 7, 'adopt'),
  write: { verb: 'check', index: index(7) },
});
const remove = (name: string): NameChange => ({
  name,
  cause: 'remove',
  to: undefined,
  write: { verb: 'delete', index: index(7) },
});
const letGo = (name: string): NameChange => ({ ...remove(name), write: { verb: 'none' } });
const stranger = (name: string): NameChange => ({ ...remove(name), cause: 'stranger' });

interface CutOf {
  readonly record?: OwnerRecord | undefined;
  readonly head?: Head | undefined;
  readonly atomic?: boolean;
  readonly claimsIndex?: ModifyIndex | undefined;
  readonly values?: Contents;
}

function cut(changes: readonly NameChange[], options: CutOf = {}): Cut {
  const { record, head = SETTLED, atomic = false, values = {} } = options;
  const change: KvChanges = { changes, head: 'head' in options ? options.head : head, atomic };
  return cutUnit(change, {
    installId: INSTALL,
    ref: REF,
    record,
    content: name => ({ value: Buffer.from(values[name] ?? 'v'), flags: 0n }),
    claimsIndex: 'claimsIndex' in options ? options.claimsIndex : index(3),
  });
}

/** Operations in short: `verb key@index`, keys of this record by their number. */
function told({ operations }: Cut): string[] {
  return operations.map(operation => {
    const { verb } = operation;
    const key = placeOf(operation);
    const short = key === HEAD ? 'head' : key.replace(`${HEAD}/`, 'shard ').replace(CLAIMS_KEY, 'claims');
    return 'index' in operation ? `${verb} ${short}@${operation.index}` : `${verb} ${short}`;
  });
}

const bytesOf = ({ operations }: Cut): number =>
  operations.reduce((sum, operation) => sum + Buffer.byteLength(encodeOperation(operation)) + 1, 2);
const writtenHead = ({ operations }: Cut): unknown =>
  bodyOf(operations.find(operation => placeOf(operation) === HEAD));
const bodyOf = (operation: WriteOperation | undefined): unknown =>
  operation?.verb === 'cas' ? JSON.parse(operation.value.toString()) : undefined;
const numbered = (count: number, name = 'k') => Array.from({ length: count }, (_, n) => `${name}${n}`);

/** A record with the names in shards of the size given. */
function sharded(names: readonly string[], perShard = 40, head: Partial<Head> = {}): OwnerRecord {
  const shards = new Map<number, OwnerRecord['shards'] extends ReadonlyMap<number, infer S> ? S : never>();
  for (let from = 0; from < Math.max(1, names.length); from += perShard) {
    const some = names.slice(from, from + perShard).map(name => [name, `fp of ${name}`] as const);
    shards.set(from / perShard, { index: index(5 + from / perShard), names: new Map(some) });
  }
  return { ref: REF, head: { ...SETTLED, ...head }, shards };
}

describe('a change that fits', () => {
  test.each<[what: string, changes: readonly NameChange[], options: CutOf, operations: string[]]>([
    ['creating', [put('a')], {}, ['cas head@0', 'cas a@0']],
    ['changing', [put('a', 7, 'update')], { record: aRecord({ a: 'old' }) }, ['cas head@5', 'cas a@7']],
    [
      'taking over',
      [take('a'), put('b', 8, 'adopt')],
      {},
      ['cas claims@3', 'cas head@0', 'check-index a@7', 'cas b@8'],
    ],
    ['removing', [remove('a')], { record: aRecord({ a: 'x', b: 'y' }) }, ['cas head@5', 'delete-cas a@7']],
    ['letting go', [letGo('a')], { record: aRecord({ a: 'x' }) }, ['cas head@5']],
    [
      'deleting',
      [remove('a')],
      { record: aRecord({ a: 'x' }), head: undefined },
      ['delete-cas head@5', 'delete-cas a@7'],
    ],
    [
      'clearing a prefix',
      [stranger('p/s')],
      { head: { ...SETTLED, exclusive: 'p/' } },
      ['cas claims@3', 'cas head@0', 'delete-cas p/s@7'],
    ],
    [
      'removing a stranger later',
      [stranger('p/s')],
      { record: aRecord({}, { exclusive: 'p/' }), head: { ...SETTLED, exclusive: 'p/' } },
      ['check-index head@5', 'delete-cas p/s@7'],
    ],
    [
      'the head alone',
      [],
      { record: aRecord({ a: 'x' }), head: { ...SETTLED, onDelete: 'Retain' } },
      ['cas head@5'],
    ],
  ])('%s', (_, changes, options, operations) => {
    expect(told(cut(changes, options))).toEqual(operations);
  });

  test('lists the 41st name in a shard of its own, and touches only the shards of what changes', () => {
    const created = cut(numbered(41).map(name => put(name)));
    expect(told(created).slice(0, 2)).toEqual(['cas head@0', 'cas shard 1@0']);
    const record = sharded(numbered(100));
    const changed = cut([put('k90', 7, 'update')], { record });
    expect(told(changed)).toEqual(['check-index head@5', 'cas shard 2@7', 'cas k90@7']);
  });

  test('takes away a shard that has become empty, and fills gaps before it opens another', () => {
    const record = sharded(numbered(41));
    expect(told(cut([remove('k40')], { record }))).toEqual([
      'check-index head@5',
      'delete-cas shard 1@6',
      'delete-cas k40@7',
    ]);
    const swapped = cut([remove('k0'), put('new')], { record });
    expect(told(swapped)).toEqual(['cas head@5', 'cas shard 1@6', 'delete-cas k0@7', 'cas new@0']);
  });

  test('of a record whose head is gone writes it anew, or makes sure that it still is', () => {
    const headless = {
      ...sharded(numbered(41)),
      shards: new Map([[1, { index: index(6), names: new Map([['k40', 'x']]) }]]),
    };
    expect(told(cut([remove('k40')], { record: headless, head: undefined }))).toEqual([
      'check-not-exists head',
      'delete-cas shard 1@6',
      'delete-cas k40@7',
    ]);
    expect(told(cut([], { record: headless, head: { ...SETTLED, uid: 'u-2' } }))).toEqual(['cas head@0']);
  });

  test('moves the claims key to another content each time, which alone moves its index', () => {
    const contents = [3, 4].map(at => bodyOf(cut([take('a')], { claimsIndex: index(at) }).operations[0]));
    expect(contents).toEqual([
      { install: INSTALL, after: 3 },
      { install: INSTALL, after: 4 },
    ]);
  });

  test('says what it takes for the first time', () => {
    const head = { ...SETTLED, exclusive: 'p/' };
    expect(cut([put('a'), take('b'), stranger('p/s')], { head }).claim).toEqual({
      names: ['a', 'b'],
      exclusive: 'p/',
    });
    const record = aRecord({ a: 'x' }, { exclusive: 'p/' });
    expect(cut([put('a', 7, 'update'), remove('a')], { record, head }).claim).toEqual({
      names: [],
      exclusive: undefined,
    });
  });
});

describe('a change that does not fit', () => {
  const large = 'x'.repeat(200_000);
  const values = Object.fromEntries(numbered(3).map(name => [name, large]));

  test('first claims every name, and the prefix, before it writes any', () => {
    const first = cut(
      numbered(3).map(name => put(name)),
      { values, head: { ...SETTLED, exclusive: 'p/' } },
    );
    expect(told(first)).toEqual(['cas claims@3', 'cas head@0']);
    expect(writtenHead(first)).toEqual({
      ...SETTLED,
      phase: 'claiming',
      exclusive: 'p/',
      clearing: true,
      names: { k0: UNWRITTEN, k1: UNWRITTEN, k2: UNWRITTEN },
    });
    expect(first.done).toEqual([]);
  });

  test('claims without the claims key where that cannot be read', () => {
    const first = cut(
      numbered(3).map(name => put(name)),
      { values, claimsIndex: undefined },
    );
    expect(told(first)).toEqual(['cas head@0']);
  });

  test('then writes what it can, puts before removals, and settles with the last', () => {
    const claimed = { k0: '', k1: '', k2: '', old: 'fp' };
    const record = aRecord(claimed, { phase: 'claiming' });
    const changes = [...numbered(3).map(name => put(name)), remove('old')];
    const next = cut(changes, { values, record });
    expect(told(next)).toEqual(['cas head@5', 'cas k0@0']);
    expect(writtenHead(next)).toMatchObject({ phase: 'claiming', names: { k0: 'fp of k0', k1: '', k2: '' } });
    const last = cut([put('k2'), remove('old')], { values, record });
    expect(told(last)).toEqual(['cas head@5', 'cas k2@0', 'delete-cas old@7']);
    expect(writtenHead(last)).toMatchObject({ phase: 'settled' });
  });

  test('lets go of names before the head changes that says why', () => {
    const record = sharded([...numbered(3), 'left'], 40, { uid: 'u-0', onDelete: 'Retain' });
    const first = cut([...numbered(3).map(name => put(name, 7, 'update')), letGo('left')], {
      values,
      record,
    });
    expect(told(first)).toEqual(['cas head@5']);
    expect(writtenHead(first)).toMatchObject({ uid: 'u-0', onDelete: 'Retain', names: { k0: 'fp of k0' } });
    expect(listedNames(first.after(() => index(9)) as OwnerRecord).has('left')).toBe(false);
  });

  test('keeps clearing when it goes on, and does not begin to when the prefix is its own already', () => {
    const changes = numbered(3).map(name => put(name));
    const head = { ...SETTLED, exclusive: 'p/' };
    const ongoing = aRecord({}, { exclusive: 'p/', phase: 'claiming', clearing: true });
    expect(writtenHead(cut(changes, { values, head, record: ongoing }))).toMatchObject({ clearing: true });
    const own = writtenHead(cut(changes, { values, head, record: aRecord({}, { exclusive: 'p/' }) }));
    expect(own).toMatchObject({ phase: 'claiming' });
    expect(own).not.toHaveProperty('clearing');
  });

  test('is never cut when it is atomic', () => {
    const whole = cut(
      numbered(130).map(name => put(name)),
      { atomic: true },
    );
    expect(whole.done).toHaveLength(130);
  });

  test('a deletion takes names and keys together, and the head last', () => {
    const record = sharded(numbered(200));
    const first = cut(
      numbered(200).map(name => remove(name)),
      { record, head: undefined },
    );
    expect(first.operations.length).toBeLessThanOrEqual(127);
    expect(told(first)[0]).toBe('cas head@5');
    expect(writtenHead(first)).toMatchObject({ phase: 'claiming', names: {} });
    const after = first.after(() => index(9)) as OwnerRecord;
    expect(listedNames(after).size).toBe(200 - first.done.length);
    const second = cut(
      [...listedNames(after).keys()].map(name => remove(name)),
      { record: after, head: undefined },
    );
    expect(second.after(() => index(9))).toBeUndefined();
  });
});

describe('the limits', () => {
  const quoted = (n: number) => `${'"'.repeat(500)}${n}`;

  test('the largest value fits beside a shard of the longest names', () => {
    const names = numbered(40).map((_, n) => quoted(n));
    let record: OwnerRecord | undefined;
    const changes = names.map(name => put(name));
    const values = { [names[39] as string]: 'x'.repeat(350_000) };
    for (let step = 0, left: readonly NameChange[] = changes; left.length > 0; step++) {
      const part = cut(left, { values, record });
      expect(bytesOf(part)).toBeLessThanOrEqual(499_000);
      expect(step).toBeLessThan(10);
      const done = new Set(part.done.map(({ name }) => name));
      left = left.filter(({ name }) => !done.has(name));
      record = part.after(() => index(9));
    }
  });

  test('of one transaction: 499,000 bytes, and not much less', () => {
    const room = Array.from({ length: 60 }, (_, n) => 184_000 + n * 100).map(bytes => {
      const values = { a: 'x'.repeat(bytes), b: 'x'.repeat(bytes) };
      const part = cut([put('a', 7, 'update'), put('b', 7, 'update')], {
        record: aRecord({ a: '', b: '' }),
        values,
      });
      return part.done.length === 2 ? 499_000 - bytesOf(part) : undefined;
    });
    const fitting = room.filter(left => left !== undefined);
    expect(Math.min(...fitting)).toBeGreaterThanOrEqual(0);
    expect(Math.min(...fitting)).toBeLessThan(1_000);
    expect(fitting.length).toBeLessThan(room.length);
  });

  test('of one transaction: 127 operations beside the fence', () => {
    const record = sharded([]);
    expect(
      cut(
        numbered(122).map(name => put(name)),
        { record },
      ).done,
    ).toHaveLength(122);
    expect(
      cut(
        numbered(122).map(name => put(name)),
        { record },
      ).operations,
    ).toHaveLength(126);
    expect(
      cut(
        numbered(124).map(name => put(name)),
        { record },
      ).done,
    ).toHaveLength(0);
  });

  test('what it estimates is never less than what is sent', () => {
    for (const size of [1, 10, 126]) {
      const part = cut(
        numbered(size).map(name => put(name, 2 ** 53 - 1, 'update')),
        {
          record: sharded(numbered(size)),
          values: { k0: 'x'.repeat(360_000) },
        },
      );
      expect(bytesOf(part)).toBeLessThanOrEqual(499_000);
    }
  });
});
