import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Catcher } from './seeds.ts';

export interface RunOptions {
  /** The copy of the project to run in. */
  readonly root: string;
  /** As `npm run sandbox -- --json` prints it. */
  readonly sandbox: string;
}

/** `none`: no test of that name ran to its end, which proves nothing. */
export type Colour = 'green' | 'red' | 'none';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
}

/** Runs one test by its name, and tells how it went. */
export async function runTest({ file, test }: Catcher, { root, sandbox }: RunOptions): Promise<Colour> {
  const outputFile = join(root, 'seeded-bug-report.json');
  rmSync(outputFile, { force: true });
  const args = ['run', '--config', 'test/vitest.config.ts', '--reporter=json', `--outputFile=${outputFile}`];
  const vitest = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', ...args, '-t', test, file], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PROCONSUL_TEST_SANDBOX: sandbox },
  });
  await once(vitest, 'close');
  const { numFailedTests, numPassedTests } = readReport(outputFile);
  if (numFailedTests > 0) return 'red';
  return numPassedTests > 0 ? 'green' : 'none';
}

/** Vitest writes none when it could not even begin. */
function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { numPassedTests: 0, numFailedTests: 0 };
  }
}
