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
export type Colour = 'green' | 'red' | 'red for another reason' | 'none';

export interface Outcome {
  readonly colour: Colour;
  /** What the failed tests said. */
  readonly messages: readonly string[];
}

interface Report {
  readonly numPassedTests: number;
  readonly testResults: readonly { readonly assertionResults: readonly Result[] }[];
}

interface Result {
  readonly status: string;
  readonly failureMessages?: readonly string[];
}

/** Runs one test by its name, and tells how it went. */
export async function runTest(
  { file, test, says }: Catcher,
  { root, sandbox }: RunOptions,
): Promise<Outcome> {
  const outputFile = join(root, 'seeded-bug-report.json');
  rmSync(outputFile, { force: true });
  const args = ['run', '--config', 'test/vitest.config.ts', '--reporter=json', `--outputFile=${outputFile}`];
  const vitest = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', ...args, '-t', test, file], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PROCONSUL_TEST_SANDBOX: sandbox },
  });
  await once(vitest, 'close');
  return judge(readReport(outputFile), says);
}

/** A test that fails in its set-up, or of anything but what the bug does, has not caught the bug. */
export function judge({ numPassedTests, testResults }: Report, says: string): Outcome {
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  const messages = results
    .filter(({ status }) => status === 'failed')
    .map(({ failureMessages = [] }) => failureMessages.join('\n'));
  if (messages.length === 0) return { colour: numPassedTests > 0 ? 'green' : 'none', messages };
  const isCaught = messages.every(message => message.includes(says));
  return { colour: isCaught ? 'red' : 'red for another reason', messages };
}

/** Vitest writes none when it could not even begin. */
function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return { numPassedTests: 0, testResults: [] };
  }
}
