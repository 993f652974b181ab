import { describe, expect, test } from 'vitest';
import { escapeUnprintable, unprintableIn } from '../../../src/core/printable.ts';

test.each([
  ['', undefined],
  ['config/日本語 é😀~', undefined],
  ['a\u0000\u202e', 'U+0000'],
  ['a\u00a0b', 'U+00A0'],
  ['\u{e0041}', 'U+E0041'],
  ['\udc00', 'U+DC00'],
])('the first character of %j that is not printable: %s', (text, character) => {
  // Twice: a regular expression that keeps its place would be wrong the second time.
  expect([unprintableIn(text), unprintableIn(text)]).toEqual([character, character]);
});

describe('to be shown', () => {
  test.each([
    ['plain é😀', 'plain é😀'],
    ['\u001b[2J\u202ex\ufffd', '\\u{1b}[2J\\u{202e}x\\u{fffd}'],
  ])('%j becomes %s', (text, shown) => expect(escapeUnprintable(text)).toBe(shown));
});
