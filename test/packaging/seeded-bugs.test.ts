import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { edited } from '../../tools/seeded-bugs/plant.ts';
import { SEEDED_BUGS } from '../../tools/seeded-bugs/seeds.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

/** `npm run test:seeded` takes minutes; that its bugs can still be planted is seen at once. */
test.each(SEEDED_BUGS)('the bug "$name" fits the code, and its tests are there', ({ edits, catchers }) => {
  for (const edit of edits) expect(edited(edit, read(edit.file))).not.toBe(read(edit.file));
  expect(catchers).not.toEqual([]);
  for (const { file, test: name } of catchers) expect(read(file)).toContain(name);
});

test.each(['gone', 'twice twice'])('a text that does not stand there once (%s) is told', text => {
  expect(() => edited({ file: 'a.ts', from: 'twice', to: '' }, text)).toThrow('a.ts has');
});
