import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { consulKV } from '../../src/api/v1alpha1/consulkv.ts';
import { CONDITION_TYPES } from '../../src/api/v1alpha1/common.ts';
import { REASONS } from '../../src/api/v1alpha1/reasons.ts';

const page = await readFile(join(import.meta.dirname, '../../docs/spec/consulkv.md'), 'utf8');
const rows = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);

test('the page of ConsulKV has a row for every field of spec and status, and for every condition', () => {
  const fields = [...Object.keys(consulKV.spec.shape), ...Object.keys(consulKV.status.shape)];
  expect(rows).toEqual(expect.arrayContaining([...fields, ...Object.keys(CONDITION_TYPES)]));
});

test('it has a cure for every reason that a ConsulKV can show, and for none that does not exist', () => {
  const ofOtherKinds = new Set(['NoCandidates', 'DependencyNotReady']);
  const reasons = Object.keys(REASONS).filter(reason => !ofOtherKinds.has(reason));
  const cures = page.slice(page.indexOf('| Reason |'), page.indexOf('[reasons.md]'));
  const cured = [...cures.matchAll(/^\| `(\w+)` \|/gm)].map(([, reason]) => reason);
  expect(new Set(cured)).toEqual(new Set(reasons));
});
