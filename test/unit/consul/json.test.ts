import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeJson, parseJson } from '../../../src/consul/json.ts';

test.each([
  ['the flags of a Go lock', '{"Flags":3304740253564472344}', { Flags: 3304740253564472344n }],
  ['the largest uint64', '[18446744073709551615]', [18446744073709551615n]],
  ['the smallest int64', '[-9223372036854775808]', [-9223372036854775808n]],
  ['the last safe integer stays a number', '[9007199254740991]', [9007199254740991]],
  ['the first unsafe one does not', '[9007199254740992]', [9007199254740992n]],
  ['digits in a string are left alone', '["18446744073709551615"]', ['18446744073709551615']],
  ['a fraction with many digits stays a number', '[0.1234567890123456]', [0.1234567890123456]],
])('%s', (_, text, value) => {
  expect(parseJson(text)).toEqual(value);
});

test('every uint64 survives the way there and back', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), flags => {
      const parsed = parseJson(encodeJson({ flags })) as { flags: number | bigint };
      expect(BigInt(parsed.flags)).toBe(flags);
    }),
  );
});

test('anything else parses as JSON.parse does', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const text = JSON.stringify(value);
      fc.pre(!/\d{16}/.test(text));
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

test('a member named __proto__ gives nobody a prototype', () => {
  const parsed = parseJson('{"__proto__":{"polluted":18446744073709551615}}');
  expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
