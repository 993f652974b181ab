import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { edited } from '../../tools/seeded-bugs/plant.ts';
import { judge } from '../../tools/seeded-bugs/run-tests.ts';
import { SEEDED_BUGS } from '../../tools/seeded-bugs/seeds.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

/** `npm run test:seeded` takes minutes; that its bugs can still be planted is seen at once. */
test.each(SEEDED_BUGS)('the bug "$name" fits the code, and its tests are there', ({ edits, catchers }) => {
  for (const edit of edits) expect(edited(edit, read(edit.file))).not.toBe(read(edit.file));
  expect(catchers).not.toEqual([]);
  for (const { file, test: name, says } of catchers) {
    expect(read(file)).toContain(name);
    expect(says).not.toBe('');
  }
});

test.each(['gone', 'twice twice'])('a text that does not stand there once (%s) is told', text => {
  expect(() => edited({ file: 'a.ts', from: 'twice', to: '' }, text)).toThrow('a.ts has');
});

const failed = (message: string) => ({ status: 'failed', failureMessages: [message] });
const passed = { status: 'passed', failureMessages: [] };

test.each([
  ['red', [failed('Error: expected it to be refused')]],
  ['red for another reason', [failed('Error: the operator is not ready')]],
  ['red for another reason', [failed('expected it to be refused'), failed('the operator is not ready')]],
  ['green', [passed]],
  ['none', []],
])('a bug that is to be told by "refused" is %s by what its tests say: %j', (colour, assertionResults) => {
  const numPassedTests = assertionResults.filter(result => result === passed).length;
  expect(judge({ numPassedTests, testResults: [{ assertionResults }] }, 'refused').colour).toBe(colour);
});
