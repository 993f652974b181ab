import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PRODUCERS } from '../../src/tools/producers.ts';

const root = join(import.meta.dirname, '../..');

test.each(PRODUCERS)('$path is current', async ({ path, content }) => {
  const onDisk = await readFile(join(root, path), 'utf8').catch(() => '');
  expect(onDisk === content() ? 'current' : 'stale: run npm run generate').toBe('current');
});

test('crds/ holds nothing but what is generated', async () => {
  const onDisk = await readdir(join(root, 'crds'));
  expect(onDisk.map(name => `crds/${name}`)).toEqual(
    PRODUCERS.map(({ path }) => path).filter(path => path.startsWith('crds/')),
  );
});

test('generating twice gives the same', () => {
  for (const { content } of PRODUCERS) expect(content()).toBe(content());
});
