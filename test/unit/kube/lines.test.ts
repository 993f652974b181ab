import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { splitLines } from '../../../src/kube/lines.ts';

async function* chunksOf(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const borders = [...cuts.map(cut => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  for (let i = 1; i < borders.length; i += 1) yield bytes.subarray(borders[i - 1], borders[i]);
}

async function linesOf(text: string, cuts: readonly number[] = [], maxBytes = 1000): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of splitLines(chunksOf(Buffer.from(text), cuts), maxBytes)) lines.push(line);
  return lines;
}

test('lines come out the same wherever the chunks end, within a character too', async () => {
  const line = fc
    .string({ unit: 'grapheme', minLength: 1 })
    .filter(text => text.trim() !== '' && !/[\r\n]/.test(text));
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 10 }),
      async (lines, cuts) => {
        expect(await linesOf(lines.map(text => `${text}\n`).join(''), cuts)).toEqual(lines);
      },
    ),
  );
});

test('empty lines are left out', async () => {
  expect(await linesOf('a\n\n\r\nb\n')).toEqual(['a', 'b']);
});

test('a stream that ends within a line is an error: it was cut off', async () => {
  await expect(linesOf('{"a":1}\n{"b"')).rejects.toMatchObject({ code: 'KUBE_BAD_REPLY' });
});

test('a line over the limit is refused before it is kept whole', async () => {
  await expect(linesOf('x'.repeat(50), [10, 20, 30], 40)).rejects.toMatchObject({
    code: 'KUBE_REPLY_TOO_LARGE',
  });
});
