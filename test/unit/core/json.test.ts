import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson } from '../../../src/core/json.ts';

describe('keys that look like the escaped form of another', () => {
  test.each([
    ['x\\', 'x"'],
    ['\\', '"'],
    ['p\\\\q', 'p\\q'],
    ['n\\n', 'n\n'],
    ['\\u0041', 'A'],
  ])('%j and %j are told apart, whichever comes first', (one, other) => {
    for (let round = 0; round < 3; round++) {
      for (const key of [one, other]) {
        const object = { a: 1, [key]: 2 };
        expect(Object.keys(parseJson(JSON.stringify(object)) as object)).toEqual(['a', key]);
        expect(parseJson(JSON.stringify([{ deep: object }]))).toEqual([{ deep: object }]);
      }
    }
  });
});

test('any value comes back as it was written', () => {
  const key = fc.string({ unit: fc.constantFrom('\\', '"', 'a', 'n', ':', ' ', '\n', 'é', '{', '0') });
  const value = fc.letrec(tie => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, 7, -1.5),
      key,
      fc.array(tie('any'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('any')), { maxLength: 4 }).map(entries => Object.fromEntries(entries)),
    ),
  })).any;
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 1), (written, indent) => {
      expect(parseJson(JSON.stringify(written, undefined, indent))).toEqual(written);
    }),
    { numRuns: 500 },
  );
});

test('the name __proto__ is a name', () => {
  const parsed = parseJson('{"__proto__":{"polluted":1},"\\"":2}') as object;
  expect(Object.keys(parsed)).toEqual(['__proto__', '"']);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});

test.each(['', '{', '{"a\\":1}', '{"\\x":1}', "{'a':1}", '{"a\\"":1,}', '["a\\""', '{"a\\"" 1}'])(
  '%s is refused',
  text => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  },
);

test('a long text costs no more than its length', () => {
  const large = { 'k"': 'x\\'.repeat(1_000_000) };
  expect(parseJson(JSON.stringify(large))).toEqual(large);
});
