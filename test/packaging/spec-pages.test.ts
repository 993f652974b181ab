import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CONDITION_TYPES } from '../../src/api/v1alpha1/common.ts';
import { KINDS } from '../../src/api/v1alpha1/kinds.ts';
import { REASONS, type Reason } from '../../src/api/v1alpha1/reasons.ts';

const folder = join(import.meta.dirname, '../../docs/spec');

/** Reasons that a kind never shows. */
const OF_OTHERS: Readonly<Record<string, readonly Reason[]>> = {
  ConsulKV: ['NoCandidates', 'DependencyNotReady'],
  ConsulIntention: ['NoCandidates', 'SourceNotFound', 'SourceForbidden'],
  ConsulLeaderLease: ['DependencyNotReady', 'SourceNotFound', 'TooLarge'],
  ConsulService: ['NoCandidates'],
};

const pages = await Promise.all(
  KINDS.map(async kind => {
    const page = await readFile(join(folder, `${kind.kind.toLowerCase()}.md`), 'utf8');
    return { name: kind.kind, kind, page };
  }),
);

/** The first cells of a table's rows. */
const rowsOf = (text: string) => [...text.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);

test('there is a page for every kind, and no other', async () => {
  expect((await readdir(folder)).sort()).toEqual(KINDS.map(({ kind }) => `${kind.toLowerCase()}.md`).sort());
});

describe.each(pages)('the page of $name', ({ name, kind, page }) => {
  test('has a row for every field of spec and status, and for every condition', () => {
    const fields = [...Object.keys(kind.spec.shape), ...Object.keys(kind.status.shape)];
    expect(rowsOf(page)).toEqual(expect.arrayContaining([...fields, ...Object.keys(CONDITION_TYPES)]));
  });

  test('has a cure for every reason that the kind can show, and for none that it cannot', () => {
    const reasons = Object.keys(REASONS).filter(reason => !OF_OTHERS[name]?.some(other => other === reason));
    const cures = page.slice(page.indexOf('| Reason |'), page.indexOf('[reasons.md]'));
    expect(new Set(rowsOf(cures))).toEqual(new Set(reasons));
  });
});
