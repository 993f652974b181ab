import { describe, expect, test } from 'vitest';
import { parseConsulKV } from '../../../src/api/v1alpha1/consulkv.ts';
import { keyProblem } from '../../../src/core/keys.ts';
import { SCHEMA_CASES, SPEC_CASES } from './consulkv-cases.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from './consulkv-keys.ts';

const metadata = { name: 'orders', namespace: 'shop', uid: 'u-1', resourceVersion: '7', generation: 3 };
const resource = (spec: unknown, more: object = {}) => ({ metadata, spec, ...more });
const problemOf = (spec: unknown) => {
  const parsed = parseConsulKV(resource(spec));
  return parsed.ok ? undefined : parsed.problem;
};

describe('the rules of the CRD, in code', () => {
  test.each(SPEC_CASES)('$says', ({ kept, broken, field }) => {
    expect(problemOf(kept)).toBeUndefined();
    expect(problemOf(broken)).toContain(field.replace(/\.configMapRef$|\.configMapKeyRef$/, ''));
  });

  test.each(SCHEMA_CASES)('refuses $says', ({ broken, field }) => {
    expect(problemOf(broken)).toContain(field);
  });

  test('key and prefix are not both set', () => {
    expect(problemOf({ key: 'a', value: 'x', prefix: 'b/' })).toContain('spec.key and spec.prefix');
  });

  test('a map holds 512 names, not one more', () => {
    const names = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${n}`, '']));
    expect(problemOf({ prefix: 'a/', data: names(512), binaryData: {} })).toBeUndefined();
    expect(problemOf({ prefix: 'a/', data: names(513) })).toBe('spec.data has more than 512 names');
    expect(problemOf({ prefix: 'a/', binaryData: names(513) })).toBe(
      'spec.binaryData has more than 512 names',
    );
  });
});

describe('keys', () => {
  test.each(GOOD_KEYS)('%j may be written', key => {
    expect(keyProblem(key)).toBeUndefined();
    expect(problemOf({ key, value: '' })).toBeUndefined();
  });

  test.each([...BAD_KEYS, ...UNPRINTED_KEYS])('%j may not', key => {
    expect(keyProblem(key)).toBeDefined();
    expect(problemOf({ key, value: '' })).toMatch(/^spec\.key/);
  });

  test.each(UNPRINTED_KEYS)('%j is refused in the words of the gate before every write', key => {
    expect(problemOf({ key, value: '' })).toBe(`spec.key ${keyProblem(key)}`);
  });
});

describe('what is read', () => {
  test('the spec as declared, without defaults and without unknown fields', () => {
    const spec = {
      prefix: 'a/',
      data: { b: 'c' },
      dataFrom: [{ secretRef: { name: 's' } }],
      fromTheFuture: 1,
    };
    const parsed = parseConsulKV(resource(spec, { status: { keys: 1, fromTheFuture: 1 } }));
    expect(parsed).toEqual({
      ok: true,
      value: {
        metadata: { ...metadata, finalizers: [], annotations: {} },
        spec: { prefix: 'a/', data: new Map([['b', 'c']]), dataFrom: [{ secretRef: { name: 's' } }] },
        status: { keys: 1 },
      },
    });
  });

  test('names that mean something to JavaScript are names like any other', () => {
    const spec: unknown = JSON.parse(
      '{"prefix":"a/","data":{"__proto__":"x","constructor":"y"},"binaryData":{"toString":"AA=="}}',
    );
    const parsed = parseConsulKV(resource(spec));
    expect(parsed.ok && [...(parsed.value.spec.data ?? [])]).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(parsed.ok && [...(parsed.value.spec.binaryData ?? [])]).toEqual([['toString', 'AA==']]);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  test('the name __proto__ is held to the rules', () => {
    const spec = (value: string): unknown =>
      JSON.parse(`{"prefix":"a/","binaryData":{"__proto__":${value}}}`);
    expect(problemOf(spec('"A"'))).toContain('spec.binaryData');
    expect(problemOf(spec('1'))).toContain('spec.binaryData');
  });

  test('empty maps and lists are as good as absent', () => {
    expect(problemOf({ key: 'a', value: '', data: {}, binaryData: {}, dataFrom: [] })).toBeUndefined();
  });

  test('a status that cannot be read counts as none', () => {
    const parsed = parseConsulKV(resource({ key: 'a', value: '' }, { status: { keys: 'many' } }));
    expect(parsed.ok && parsed.value.status).toEqual({});
  });
});

describe('what cannot be read', () => {
  test.each([undefined, null, 'text', 7, [], {}, { metadata: null }])(
    '%j is a problem, not an exception',
    object => {
      expect(parseConsulKV(object)).toMatchObject({
        ok: false,
        metadata: undefined,
        deletionPolicy: 'Delete',
      });
    },
  );

  test('a resource with a bad spec can still be deleted as it wished', () => {
    const parsed = parseConsulKV(resource({ deletionPolicy: 'Retain' }, { status: { keys: 4 } }));
    expect(parsed).toEqual({
      ok: false,
      problem: 'spec.key: exactly one of key and prefix must be set',
      metadata: { ...metadata, finalizers: [], annotations: {} },
      deletionPolicy: 'Retain',
      suspend: false,
      status: { keys: 4 },
    });
  });

  test('a message shows a hostile name harmless and short', () => {
    const problem = problemOf({ prefix: 'a/', data: { [`\u001b[2J\u202e${'x'.repeat(100)}`]: '' } });
    expect(problem).toMatch(/^spec\.data\["\\u\{1b\}\[2J\\u\{202e\}x{10,60}…"\] has the character U\+001B/);
  });
});
