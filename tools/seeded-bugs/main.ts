/**
 * `npm run test:seeded`: takes one guard after the other out of a copy of the project and expects the tests that are
 * there for it to turn red, and to say why. A test that stays green, or fails of something else, proves nothing.
 * Arguments: parts of names, to try those bugs only.
 */
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { addressesOf } from '../sandbox/addresses.ts';
import { startSandbox } from '../sandbox/sandbox.ts';
import { plant } from './plant.ts';
import { type Outcome, runTest, type RunOptions } from './run-tests.ts';
import { type Catcher, SEEDED_BUGS, type SeededBug } from './seeds.ts';

interface Trial {
  readonly bug: string;
  readonly catcher: Catcher;
  readonly outcome: Outcome;
}

const project = fileURLToPath(new URL('../../', import.meta.url));
const NOT_COPIED = new Set(['node_modules', '.git']);

const wanted = process.argv.slice(2);
const bugs = SEEDED_BUGS.filter(
  ({ name }) => wanted.length === 0 || wanted.some(part => name.includes(part)),
);

const root = copyProject();
const sandbox = await startSandbox({ kubernetes: { controllerManager: true } });
try {
  const options = { root, sandbox: JSON.stringify(addressesOf(sandbox)) };
  const trials = [...(await tryWithout(bugs, options)), ...(await tryEach(bugs, options))];
  process.exitCode = tell(trials) ? 0 : 1;
} finally {
  await sandbox.close();
  rmSync(root, { recursive: true, force: true });
}

function copyProject(): string {
  const copy = mkdtempSync(join(tmpdir(), 'proconsul-seeded-'));
  const filter = (path: string): boolean => !NOT_COPIED.has(relative(project, path));
  cpSync(project, copy, { recursive: true, filter });
  symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** A test that is red without a bug has not caught one. */
async function tryWithout(bugs: readonly SeededBug[], options: RunOptions): Promise<Trial[]> {
  const catchers = new Map(
    bugs.flatMap(bug => bug.catchers).map(catcher => [`${catcher.file} ${catcher.test}`, catcher]),
  );
  return tryCatchers('none', [...catchers.values()], options);
}

async function tryEach(bugs: readonly SeededBug[], options: RunOptions): Promise<Trial[]> {
  const trials: Trial[] = [];
  for (const bug of bugs) {
    const takeBack = plant(bug, options.root);
    trials.push(...(await tryCatchers(bug.name, bug.catchers, options)));
    takeBack();
  }
  return trials;
}

async function tryCatchers(bug: string, catchers: readonly Catcher[], options: RunOptions): Promise<Trial[]> {
  const trials: Trial[] = [];
  for (const catcher of catchers) {
    process.stderr.write(`bug: ${bug}; ${catcher.file}: ${catcher.test}\n`);
    const outcome = await runTest(catcher, options);
    trials.push({ bug, catcher, outcome });
    if (!isRight({ bug, outcome }))
      process.stderr.write(`${outcome.colour}\n${outcome.messages.join('\n')}\n`);
  }
  return trials;
}

/** @returns whether all is as it should be. */
function tell(trials: readonly Trial[]): boolean {
  const head = ['seeded bug', 'test, and what it has to say', 'is', ''];
  const table = new Table({ head, style: { head: [], border: [] } });
  for (const trial of trials) {
    const { bug, catcher, outcome } = trial;
    const said = bug === 'none' ? [] : [`  "${catcher.says}"`];
    const test = [catcher.file, catcher.test, ...said].join('\n');
    table.push([bug, test, outcome.colour, isRight(trial) ? 'as it should' : 'WRONG']);
  }
  process.stdout.write(`${table.toString()}\n`);
  return trials.every(isRight);
}

function isRight({ bug, outcome: { colour } }: Pick<Trial, 'bug' | 'outcome'>): boolean {
  return colour === (bug === 'none' ? 'green' : 'red');
}
