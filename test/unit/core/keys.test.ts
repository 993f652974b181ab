import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyProblem, MAX_KEY_BYTES, prefixProblem } from '../../../src/core/keys.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from '../api/consulkv-keys.ts';

describe('a key', () => {
  test.each(GOOD_KEYS)('%j may be written', key => expect(keyProblem(key)).toBeUndefined());

  test.each([...BAD_KEYS, ...UNPRINTED_KEYS])('%j may not', key =>
    expect(keyProblem(key)).toMatch(/^(is|has|starts|ends) /),
  );

  test.each([
    ['', 'is empty'],
    ['é'.repeat(257), 'is longer than 512 bytes'],
    ['a\u202eb', 'has the character U+202E, which is not printable'],
    ['a\nb', 'has the character U+000A, which is not printable'],
    ['a\ufffdb', 'has the character U+FFFD, which is not printable'],
    ['a\u{10ffff}b', 'has the character U+10FFFF, which is not printable'],
    ['a\ud800', 'has the character U+D800, which is not printable'],
    ['50%', 'has a %'],
    ['/a', 'starts with /'],
    ['a/', 'ends in /'],
    [' a', 'has a space at an edge'],
    ['a//b', 'has an empty segment'],
    ['a/../b', 'has the segment ..'],
    ['proconsul/x', 'is under proconsul/, which belongs to the operator'],
    ['proconsul-private', 'is under proconsul-private/, which belongs to the operator'],
  ])('%j: %s', (key, problem) => expect(keyProblem(key)).toBe(problem));

  test('that may be written means the same to a server that cleans paths', () => {
    const pieces = fc.constantFrom('a', 'b', '/', '.', '..', ' ', '%', '\\', 'é', '\u0000', '~');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), parts => {
        const key = parts.join('');
        if (keyProblem(key) !== undefined) return;
        const { pathname } = new URL(
          `http://consul.invalid/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`,
        );
        expect(decodeURIComponent(pathname)).toBe(`/v1/kv/${key}`);
        expect(key.trim()).toBe(key);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a prefix', () => {
  test.each(GOOD_KEYS.filter(key => Buffer.byteLength(key) < MAX_KEY_BYTES))(
    '%j with a / may be claimed',
    key => {
      expect(prefixProblem(`${key}/`)).toBeUndefined();
    },
  );

  test.each([
    '',
    '/',
    'a',
    'a//',
    'a/../',
    '/a/',
    ' a/',
    'a /',
    'a%/',
    'proconsul/',
    'proconsul-private/',
    './',
  ])('%j may not', prefix => expect(prefixProblem(prefix)).toBeDefined());
});
