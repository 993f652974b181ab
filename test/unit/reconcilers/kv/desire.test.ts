import { describe, expect, test } from 'vitest';
import type { ConsulKVSpec } from '../../../../src/api/v1alpha1/consulkv.ts';
import { desireKv, type Source, type SourceRef, sourceRefs } from '../../../../src/reconcilers/kv/desire.ts';

const found = (data: Record<string, string>): Source => ({
  kind: 'found',
  data: new Map(Object.entries(data).map(([name, text]) => [name, Buffer.from(text)])),
});
const SOURCES: Readonly<Record<string, Source>> = {
  'ConfigMap base': found({ a: 'base', b: 'base', c: 'base' }),
  'ConfigMap more': found({ b: 'more', d: 'more' }),
  'Secret keys': found({ c: 'secret', token: 's3cret' }),
  'ConfigMap dots': found({ '..data': 'fine', 'a.b_c-d': 'fine' }),
  'ConfigMap hostile': found({ '..': 'x' }),
  'Secret private': { kind: 'forbidden' },
  'ConfigMap hidden': { kind: 'forbidden' },
};
const sources = ({ kind, name }: SourceRef): Source => SOURCES[`${kind} ${name}`] ?? { kind: 'missing' };
const desire = (spec: ConsulKVSpec) => desireKv(spec, sources);
const map = (entries: Record<string, string>) => new Map(Object.entries(entries));

/** The keys a spec wants, as text; or the reason and message. */
function told(spec: ConsulKVSpec): Record<string, string> | string {
  const result = desire(spec);
  if (result.kind !== 'desired') return `${result.kind} ${result.reason}: ${result.message}`;
  return Object.fromEntries([...result.desired.contents].map(([key, { value }]) => [key, value.toString()]));
}

describe('a single key', () => {
  test.each<[what: string, spec: ConsulKVSpec, wanted: Record<string, string> | string]>([
    ['with its value', { key: 'k', value: 'v' }, { k: 'v' }],
    ['with an empty value', { key: 'k', value: '' }, { k: '' }],
    [
      'from a ConfigMap',
      { key: 'k', valueFrom: { configMapKeyRef: { name: 'base', key: 'a' } } },
      { k: 'base' },
    ],
    [
      'from a Secret',
      { key: 'k', valueFrom: { secretKeyRef: { name: 'keys', key: 'token' } } },
      { k: 's3cret' },
    ],
    [
      'from a source that is missing waits',
      { key: 'k', valueFrom: { configMapKeyRef: { name: 'none', key: 'a' } } },
      'wait SourceNotFound: ConfigMap none does not exist',
    ],
    [
      'from a key that is missing waits',
      { key: 'k', valueFrom: { secretKeyRef: { name: 'keys', key: 'none' } } },
      'wait SourceNotFound: key none in Secret keys does not exist',
    ],
    [
      'from an optional source that is missing is nothing',
      { key: 'k', valueFrom: { configMapKeyRef: { name: 'none', key: 'a', optional: true } } },
      {},
    ],
    [
      'from an optional key that is missing is nothing',
      { key: 'k', valueFrom: { secretKeyRef: { name: 'keys', key: 'none', optional: true } } },
      {},
    ],
    [
      'from a Secret that may not be read says which setting is missing, even when it is optional',
      { key: 'k', valueFrom: { secretKeyRef: { name: 'private', key: 'a', optional: true } } },
      'wait SourceForbidden: the operator may not read Secret private in this namespace: add the namespace to the chart value secrets.namespaces',
    ],
    [
      'from a ConfigMap that may not be read says which right is missing',
      { key: 'k', valueFrom: { configMapKeyRef: { name: 'hidden', key: 'a' } } },
      'wait SourceForbidden: the operator may not read ConfigMap hidden in this namespace: its Role lacks get, list and watch on configmaps',
    ],
    [
      'without a value is refused',
      { key: 'k' },
      'refuse InvalidSpec: spec: with key, one of value and valueFrom is needed',
    ],
  ])('%s', (_, spec, wanted) => expect(told(spec)).toEqual(wanted));
});

describe('a tree', () => {
  const from = (...names: string[]) =>
    names.map(name =>
      name === 'keys' || name === 'private' ? { secretRef: { name } } : { configMapRef: { name } },
    );

  test.each<[what: string, spec: ConsulKVSpec, wanted: Record<string, string> | string]>([
    ['of data', { prefix: 't/', data: map({ a: '1', 'b/c': '2' }) }, { 't/a': '1', 't/b/c': '2' }],
    ['of binary data', { prefix: 't/', binaryData: map({ a: 'aGk=' }) }, { 't/a': 'hi' }],
    [
      'in which later sources win over earlier, and data over all',
      {
        prefix: 't/',
        dataFrom: from('base', 'more', 'keys'),
        data: map({ a: 'data' }),
        binaryData: map({ d: 'Yg==' }),
      },
      { 't/a': 'data', 't/b': 'more', 't/c': 'secret', 't/d': 'b', 't/token': 's3cret' },
    ],
    [
      'in which the order of sources is what counts',
      { prefix: 't/', dataFrom: from('more', 'base') },
      { 't/a': 'base', 't/b': 'base', 't/c': 'base', 't/d': 'more' },
    ],
    [
      'with sources in folders of their own',
      {
        prefix: 't/',
        dataFrom: [{ configMapRef: { name: 'more' }, prefix: 'in/deep/' }],
        data: map({ 'in/deep/b': 'data' }),
      },
      { 't/in/deep/b': 'data', 't/in/deep/d': 'more' },
    ],
    [
      'with an optional source that is missing',
      { prefix: 't/', dataFrom: [{ configMapRef: { name: 'none', optional: true } }] },
      {},
    ],
    [
      'with a source that is missing waits',
      { prefix: 't/', dataFrom: from('base', 'none') },
      'wait SourceNotFound: ConfigMap none does not exist',
    ],
    [
      'with a source that may not be read waits',
      { prefix: 't/', dataFrom: from('private') },
      'wait SourceForbidden: the operator may not read Secret private in this namespace: add the namespace to the chart value secrets.namespaces',
    ],
    [
      'of names that begin with dots',
      { prefix: 't/', dataFrom: from('dots') },
      { 't/..data': 'fine', 't/a.b_c-d': 'fine' },
    ],
    [
      'of hostile names is refused',
      { prefix: 't/', dataFrom: from('hostile') },
      'refuse InvalidSpec: key "t/.." has the segment ..',
    ],
    [
      'of names that JavaScript treats as its own',
      {
        prefix: 't/',
        data: new Map([
          ['__proto__', 'x'],
          ['constructor', 'y'],
        ]),
      },
      { 't/__proto__': 'x', 't/constructor': 'y' },
    ],
  ])('%s', (_, spec, wanted) => expect(told(spec)).toEqual(wanted));

  test('wants what its fields say, with defaults', () => {
    expect(desire({ prefix: 't/', data: map({ a: 'x' }) })).toMatchObject({
      desired: { exclusive: undefined, atomic: false },
    });
    expect(desire({ prefix: 't/', data: map({ a: 'x' }), exclusive: true, atomic: true })).toMatchObject({
      desired: { exclusive: 't/', atomic: true },
    });
    expect(desire({ prefix: 't/', data: map({ a: 'x' }), exclusive: false })).toMatchObject({
      desired: { exclusive: undefined },
    });
  });
});

test.each([
  [undefined, 0n],
  [0, 0n],
  [42, 42n],
  [Number.MAX_SAFE_INTEGER, 9007199254740991n],
])('flags %s are %s on every key', (flags, wanted) => {
  const result = desire({
    prefix: 't/',
    data: map({ a: 'x', b: 'y' }),
    ...(flags === undefined ? {} : { flags }),
  });
  const contents = result.kind === 'desired' ? [...result.desired.contents.values()] : [];
  expect(contents.map(content => content.flags)).toEqual([wanted, wanted]);
});

test('a value has 350,000 bytes at most, as bytes', () => {
  const text = 'é'.repeat(175_000);
  expect(desire({ key: 'k', value: text }).kind).toBe('desired');
  expect(told({ key: 'k', value: `${text}x` })).toBe(
    'refuse TooLarge: the value of k has 350001 bytes; at most 350000 fit',
  );
});

test('all sources that a spec mentions are known, optional ones too', () => {
  expect(
    sourceRefs({ key: 'k', valueFrom: { secretKeyRef: { name: 's', key: 'x', optional: true } } }),
  ).toEqual([{ kind: 'Secret', name: 's' }]);
  expect(
    sourceRefs({
      prefix: 't/',
      dataFrom: [{ configMapRef: { name: 'c' } }, { secretRef: { name: 's', optional: true } }],
    }),
  ).toEqual([
    { kind: 'ConfigMap', name: 'c' },
    { kind: 'Secret', name: 's' },
  ]);
  expect(sourceRefs({ key: 'k', value: 'v' })).toEqual([]);
});

describe('a tree as a whole', () => {
  const many = (count: number, prefix: string, value = ''): Source =>
    found(Object.fromEntries(Array.from({ length: count }, (_, n) => [`${prefix}${n}`, value])));
  const gathered = (...all: readonly Source[]) => {
    const dataFrom = all.map((_, at) => ({ configMapRef: { name: String(at) } }));
    return desireKv(
      { prefix: 't/', dataFrom, data: map({ last: '' }) },
      ({ name }) => all[Number(name)] as Source,
    );
  };

  test('has 10,000 keys at most, and a name counts once whatever the number of its sources', () => {
    const half = many(5_000, 'a');
    expect(gathered(half, half, many(4_999, 'b')).kind).toBe('desired');
    expect(gathered(half, many(5_000, 'b'))).toEqual({
      kind: 'refuse',
      reason: 'TooLarge',
      message:
        'the tree has more than 10000 keys: split it over several resources, with fewer entries of dataFrom each',
    });
  });

  test('has 8,000,000 bytes of keys and values at most', () => {
    const keyBytes = 't/last'.length + 80 * 't/a00'.length;
    const values = (bytes: number): Source => {
      const data = Array.from({ length: 80 }, (_, n) => [
        `a${String(n).padStart(2, '0')}`,
        'x'.repeat(99_000),
      ]);
      return found({ ...Object.fromEntries(data), a00: 'x'.repeat(bytes - keyBytes - 79 * 99_000) });
    };
    expect(gathered(values(8_000_000)).kind).toBe('desired');
    expect(gathered(values(8_000_001))).toMatchObject({
      reason: 'TooLarge',
      message: expect.stringMatching(/8000001 bytes of keys and values, at most 8000000: split it/),
    });
  });
});
