import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Edit, SeededBug } from './seeds.ts';

/** @throws Error unless the text to replace stands in the file once: then the code has moved on, and the seed has to. */
export function edited({ file, from, to }: Edit, text: string): string {
  const found = text.split(from).length - 1;
  if (found !== 1) throw new Error(`${file} has ${found} times, and not once: ${from}`);
  return text.replace(from, () => to);
}

/** Takes the guard out of the sources below `root`. Call the result to put it back. */
export function plant({ edits }: Pick<SeededBug, 'edits'>, root: string): () => void {
  const before = new Map(edits.map(({ file }) => [file, readFileSync(join(root, file), 'utf8')]));
  for (const edit of edits) {
    const path = join(root, edit.file);
    writeFileSync(path, edited(edit, readFileSync(path, 'utf8')));
  }
  return () => {
    for (const [file, text] of before) writeFileSync(join(root, file), text);
  };
}
