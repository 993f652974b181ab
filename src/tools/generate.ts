import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PRODUCERS } from './producers.ts';

const root = join(import.meta.dirname, '../..');

for (const { path, content } of PRODUCERS) {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content());
}
