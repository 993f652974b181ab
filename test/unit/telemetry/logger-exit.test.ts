import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const MANY = 5_000;
/** On a busy machine. */
const STARTING_A_PROCESS_MS = 30_000;
const LOGGER = new URL('../../../src/telemetry/logger.ts', import.meta.url).href;

/** More than a pipe holds, then one of the ways a process ends without asking. */
const program = (end: string): string => `
  import { createLogger } from ${JSON.stringify(LOGGER)};
  const logger = createLogger({ level: 'info', base: {} });
  for (let count = 1; count <= ${MANY}; count++) logger.info({ count, detail: 'x'.repeat(100) }, 'm');
  ${end}
`;

test.each(['process.exit(3)', 'throw new Error("crash")', 'process.kill(process.pid, "SIGKILL")'])(
  'no line is lost when the process ends by %s',
  async end => {
    const args = ['--input-type=module', '--eval', program(end)];
    const ended = promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 24 });
    const { stdout } = await ended.catch((error: unknown) => error as { stdout: string });
    const lines = stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(MANY);
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ count: MANY });
  },
  STARTING_A_PROCESS_MS,
);
