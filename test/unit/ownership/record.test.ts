import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KvEntry, ModifyIndex } from '../../../src/consul/types.ts';
import { keyProblem } from '../../../src/core/keys.ts';
import {
  decodeRecords,
  encodeHead,
  encodeShard,
  type Head,
  isSameHead,
  listedNames,
  locateNames,
  type OwnerRecord,
  type Shard,
  shardKey,
} from '../../../src/ownership/record.ts';
import { anEntry, HEAD, ref } from './records.ts';

const INSTALL = 'install-a';
const DAMAGED = { uid: '', generation: 0, epoch: 0, onDelete: 'Retain', phase: 'claiming' };

/** A record as Consul holds it. */
function entriesOf({ ref, head, shards }: OwnerRecord): KvEntry[] {
  return [...shards].map(([number, { index, names }]) =>
    anEntry(
      shardKey(INSTALL, ref, number),
      number === 0 ? encodeHead(head, names) : encodeShard(names),
      index,
    ),
  );
}

const decode = (...entries: readonly KvEntry[]) => decodeRecords(INSTALL, entries);
const key = (rest: string) => `proconsul/${INSTALL}/owners/${rest}`;
const headOf = (text: string) => decode(anEntry(key('ConsulKV/shop/a'), text))[0]?.head;
const namesOf = (text: string) => [
  ...listedNames(decode(anEntry(key('ConsulKV/shop/a'), text))[0] as OwnerRecord),
];

const heads: fc.Arbitrary<Head> = fc.record(
  {
    uid: fc.uuid(),
    generation: fc.nat(),
    epoch: fc.nat(),
    onDelete: fc.constantFrom('Delete', 'Retain'),
    phase: fc.constantFrom('claiming', 'settled'),
    exclusive: fc.constantFrom('a/', 'b/c/'),
    clearing: fc.constant(true as const),
    lease: fc.record({ token: fc.nat().map(String), transitions: fc.nat() }, { noNullPrototype: true }),
  },
  { requiredKeys: ['uid', 'generation', 'epoch', 'onDelete', 'phase'], noNullPrototype: true },
);
const names = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.constantFrom('__proto__', 'constructor', 'toString', '1', '"', '\\', 'é', 'a/b'),
        fc.string().filter(name => keyProblem(name) === undefined),
      ),
      fc.constantFrom('', 'fp'),
    ),
    { maxLength: 6 },
  )
  .map(entries => new Map(entries));

test('a record comes back as it was written, shards, hostile names and all', () => {
  fc.assert(
    fc.property(heads, fc.array(names, { minLength: 1, maxLength: 12 }), (head, shardNames) => {
      const shards = new Map<number, Shard>(
        shardNames.map((each, number) => [number, { index: (number + 3) as ModifyIndex, names: each }]),
      );
      const record = { ref: ref('a'), head, shards };
      expect(decode(...entriesOf(record))).toEqual([record]);
    }),
  );
});

test('records are told apart, in whatever order their shards are listed', () => {
  const records = ['a', 'a-b'].map(name => ({
    ref: ref(name),
    head: HEAD,
    shards: new Map([
      [0, { index: 1 as ModifyIndex, names: new Map([[`${name}0`, 'fp']]) }],
      [10, { index: 2 as ModifyIndex, names: new Map([[`${name}10`, '']]) }],
    ]),
  }));
  const entries = records.flatMap(entriesOf);
  for (const listed of [entries, entries.toReversed()]) {
    const decoded = decode(...listed);
    expect(new Set(decoded.map(record => record.ref.name))).toEqual(new Set(['a', 'a-b']));
    const found = decoded.find(record => record.ref.name === 'a') as OwnerRecord;
    expect(found.head).toEqual(HEAD);
    expect(Object.fromEntries(listedNames(found))).toEqual({ a0: 'fp', a10: '' });
    expect(Object.fromEntries(locateNames(found))).toEqual({ a0: 0, a10: 10 });
  }
});

describe('what is no record of this install is skipped', () => {
  test.each([
    'proconsul/install-b/owners/ConsulKV/shop/a',
    'proconsul/install-abc/owners/ConsulKV/shop/a',
    'proconsul/install-a/lock',
    key('ConsulKV/shop'),
    key('ConsulKV//a'),
    key('/shop/a'),
    key('ConsulKV/shop/'),
    key('ConsulKV/shop/a/0'),
    key('ConsulKV/shop/a/01'),
    key('ConsulKV/shop/a/1e1'),
    key('ConsulKV/shop/a/0x1'),
    key('ConsulKV/shop/a/ 1'),
    key('ConsulKV/shop/a/-1'),
    key('ConsulKV/shop/a/1.0'),
    key('ConsulKV/shop/a/'),
    key('ConsulKV/shop/a/1/2'),
    key('ConsulKV/shop/a/x'),
    key('ConsulKV/shop/a/9999999999'),
  ])('%s', stranger => expect(decode(anEntry(stranger, '{"names":{"x":"fp"}}'))).toEqual([]));
});

describe('a damaged record lists nothing, deletes nothing, and can be written over', () => {
  test.each([
    '',
    '{',
    'null',
    '[]',
    '"text"',
    '7',
    '{"uid":1}',
    '{"uid":"u"}',
    '{"uid":"u","onDelete":"Perhaps"}',
  ])('%s', text => {
    const [record] = decode(anEntry(key('ConsulKV/shop/a'), text, 42));
    expect(record?.head).toEqual(DAMAGED);
    expect(record?.shards).toEqual(new Map([[0, { index: 42, names: new Map() }]]));
  });

  test('shards whose head is gone are such a record, with the names they list', () => {
    const [record] = decode(anEntry(key('ConsulKV/shop/a/1'), encodeShard(new Map([['x', 'fp']]))));
    expect(record?.head).toEqual(DAMAGED);
    expect([...(record?.shards.keys() ?? [])]).toEqual([1]);
  });

  test('what is not understood of a head takes the careful meaning', () => {
    const head = {
      uid: 'u',
      onDelete: 'Delete',
      generation: 'x',
      epoch: null,
      phase: 'other',
      exclusive: 7,
      clearing: 'y',
    };
    expect(headOf(JSON.stringify(head))).toEqual({
      uid: 'u',
      generation: 0,
      epoch: 0,
      onDelete: 'Delete',
      phase: 'claiming',
    });
  });

  test.each(['', '/', 'a', 'proconsul/', 'a//'])(
    'a prefix %j that could never be claimed is none',
    exclusive => {
      expect(headOf(JSON.stringify({ ...HEAD, exclusive }))).toEqual(HEAD);
    },
  );

  test('names that could not have been written are left out', () => {
    const hostile = '{"":"fp","\\ud800":"fp","proconsul/x":"fp","a//b":"fp","no":7,"good":"fp"}';
    expect(namesOf(`{"uid":"u","onDelete":"Delete","names":${hostile}}`)).toEqual([['good', 'fp']]);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('below the own prefix a lease may list its own slots, and nothing else', () => {
    const own = `proconsul/${INSTALL}/leases/shop/a`;
    const listed = [own, `${own}/0`, `${own}/31`, 'leases/a'];
    const others = [
      `${own}/32`,
      `${own}/00`,
      `${own}b`,
      `proconsul/${INSTALL}/leases/shop/b`,
      'proconsul/install-b/leases/shop/a',
      `proconsul/${INSTALL}/owners/x`,
    ];
    const text = JSON.stringify({
      uid: 'u',
      onDelete: 'Delete',
      names: Object.fromEntries([...listed, ...others].map(name => [name, '7'])),
    });
    const namesIn = (kind: string) => [
      ...listedNames(decode(anEntry(key(`${kind}/shop/a`), text))[0] as OwnerRecord).keys(),
    ];
    expect(namesIn('ConsulLeaderLease')).toEqual(listed);
    expect(namesIn('ConsulKV')).toEqual(['leases/a']);
  });

  test('claims on intentions are names in the record of an intention, and keys are not', () => {
    const claims = [
      '/intention/orders/source//web',
      '/intention/orders/source/dc3/web',
      '/intention/*/source//*',
      '/intention/orders/jwt',
    ];
    const others = [
      'orders/web',
      '/intention/orders',
      '/intention//jwt',
      '/intention/orders/source//',
      '/intention/orders/source/web',
      '/intention/orders/jwt/x',
      '/intention/%6frders/jwt',
    ];
    const names = Object.fromEntries([...claims, ...others].map(name => [name, 'fp']));
    const text = JSON.stringify({ uid: 'u', onDelete: 'Delete', names });
    const namesIn = (kind: string) => [
      ...listedNames(decode(anEntry(key(`${kind}/shop/a`), text))[0] as OwnerRecord).keys(),
    ];
    expect(namesIn('ConsulIntention')).toEqual(claims);
    expect(namesIn('ConsulKV')).toEqual(['orders/web']);
    expect(namesIn('ConsulLeaderLease')).toEqual(['orders/web']);
  });

  test('instances are names in the record of a service, and neither keys nor claims are', () => {
    const instances = [
      '/service/vm/web-1',
      '/service/proconsul-x-services-0/shop.web.pod-1',
      '/agent/VM%201/web-1',
    ];
    const others = [
      'web-1',
      '/intention/orders/source//web',
      '/service/vm',
      '/service//web-1',
      '/service/vm/Web-1',
      '/agent/vm 1/web-1',
    ];
    const names = Object.fromEntries([...instances, ...others].map(name => [name, 'fp']));
    const text = JSON.stringify({ uid: 'u', onDelete: 'Delete', names });
    const namesIn = (kind: string) => [
      ...listedNames(decode(anEntry(key(`${kind}/shop/a`), text))[0] as OwnerRecord).keys(),
    ];
    expect(namesIn('ConsulService')).toEqual(instances);
    expect(namesIn('ConsulKV')).toEqual(['web-1']);
    expect(namesIn('ConsulIntention')).toEqual(['/intention/orders/source//web']);
  });

  test.each([
    ['{"token":"7","transitions":2}', { token: '7', transitions: 2 }],
    ['{"token":"9007199254740993"}', { token: '9007199254740993', transitions: 0 }],
    ['{"token":"7","transitions":-1}', { token: '7', transitions: 0 }],
    ['{"token":"7","transitions":1.5}', { token: '7', transitions: 0 }],
    ['{"token":"12345678901234567890"}', undefined],
    ['{"token":7}', undefined],
    ['"x"', undefined],
  ])('the history of a lease is read from %s', (lease, history) => {
    expect(headOf(`{"uid":"u","onDelete":"Delete","names":{},"lease":${lease}}`)?.lease).toEqual(history);
  });

  test.each(['[]', '"x"', '7', 'null'])('names that are %s are none', text => {
    expect(namesOf(`{"uid":"u","onDelete":"Delete","names":${text}}`)).toEqual([]);
  });
});

describe('two heads are the same', () => {
  test('whatever their generation, their epoch and the history of their lease', () => {
    const lease = { token: '7', transitions: 1 };
    expect(isSameHead(HEAD, { ...HEAD, generation: 99, epoch: 99, lease })).toBe(true);
  });

  test.each<Partial<Head>>([
    { uid: 'other' },
    { onDelete: 'Retain' },
    { phase: 'claiming' },
    { exclusive: 'a/' },
    { clearing: true },
  ])('unless they differ in %j', change => {
    expect(isSameHead(HEAD, { ...HEAD, ...change })).toBe(false);
    expect(isSameHead({ ...HEAD, ...change }, HEAD)).toBe(false);
  });
});
