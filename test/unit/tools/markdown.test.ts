import { expect, test } from 'vitest';
import { markdownTable } from '../../../src/tools/markdown.ts';

test('a cell cannot end its row or its column', () => {
  expect(markdownTable(['a', 'b'], [['one | two', 'three\nfour']])).toBe(
    '| a | b |\n|---|---|\n| one \\| two | three four |',
  );
});
