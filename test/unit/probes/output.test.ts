import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanOutput } from '../../../src/probes/output.ts';

const anyText = fc.string({ unit: 'binary', maxLength: 6_000, size: 'max' });

test('whatever a target says fits into 4 KB, on one line, and can be printed', () => {
  fc.assert(
    fc.property(anyText, text => {
      const output = cleanOutput(text);
      expect(Buffer.byteLength(output)).toBeLessThanOrEqual(4096);
      expect(output).not.toMatch(/[\p{C}\p{Zl}\p{Zp}\ufffd]/u);
      expect(cleanOutput(output)).toBe(output);
    }),
  );
});

test.each([
  ['a body of\r\n\tseveral lines\n', 'a body of several lines'],
  ['\u001b[31mred\u001b[0m', '\\u{1b}[31mred\\u{1b}[0m'],
  ['file\u202egpj.exe', 'file\\u{202e}gpj.exe'],
  ['half a \ud83d', 'half a \\u{fffd}'],
  ['größer, 大きい, 🙂', 'größer, 大きい, 🙂'],
])('%j becomes %j', (text, clean) => {
  expect(cleanOutput(text)).toBe(clean);
});

test('a character is never cut in two', () => {
  expect(cleanOutput('🙂'.repeat(2_000))).toBe('🙂'.repeat(1_024));
  expect(cleanOutput(`x${'🙂'.repeat(2_000)}`)).toBe(`x${'🙂'.repeat(1_023)}`);
});
