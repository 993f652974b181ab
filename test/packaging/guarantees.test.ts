import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The page is what the numbers in code and tests refer to. */

const ROOT = join(import.meta.dirname, '../..');
const page = readFileSync(join(ROOT, 'docs/guarantees.md'), 'utf8');

const numbered = new Set([...page.matchAll(/^\| (?<id>[PF]?\d+) \|/gm)].map(({ groups }) => groups?.['id']));
const chaosFiles = readdirSync(join(ROOT, 'test/chaos')).map(file => file.replace('.test.ts', ''));

function filesBelow(folder: string): string[] {
  const found = readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true });
  return found.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

/** `rows 6, 18 and 19` → 6, 18, 19; `P3` → P3. */
function mentionedIn(text: string): string[] {
  const ids = text.matchAll(/\b(?:[Pp]romise|[Rr]ules?) (?<list>[PF]\d+(?:(?:, | and )[PF]\d+)*)/g);
  const rows = text.matchAll(/\b[Rr]ows? (?<list>\d+(?:(?:, | and )\d+)*)/g);
  return [...ids, ...rows].flatMap(({ groups }) => groups?.['list']?.split(/, | and /) ?? []);
}

describe('docs/guarantees.md', () => {
  test('has what code and tests mention', () => {
    const files = ['src', 'test'].flatMap(filesBelow).filter(file => file.endsWith('.ts'));
    const mentioned = files.flatMap(file => mentionedIn(readFileSync(file, 'utf8')));
    expect(mentioned.length).toBeGreaterThan(20);
    expect(mentioned.filter(id => !numbered.has(id))).toEqual([]);
  });

  test('names every chaos test, and no other', () => {
    const faults = page.slice(page.indexOf('## Faults'));
    const named = new Set([...faults.matchAll(/`(?<file>[a-z-]+)`/g)].map(({ groups }) => groups?.['file']));
    expect([...named].sort()).toEqual([...chaosFiles].sort());
  });

  test('names places that there are', () => {
    const places = [...page.matchAll(/`(?<place>src\/[^`]+)`/g)].map(({ groups }) => groups?.['place'] ?? '');
    expect(
      places.filter(place => !filesBelow('src').some(file => file.startsWith(join(ROOT, place)))),
    ).toEqual([]);
  });
});
