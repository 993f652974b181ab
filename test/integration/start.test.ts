import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

describe('npm start', () => {
  test('--once ends well when every sample is Ready', async () => {
    const { stdout } = await run(process.execPath, ['tools/start.ts', '--once'], { cwd: root });
    const rows = stdout.split('\n').filter(line => line.includes('default/sample-'));
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.filter(row => !row.includes('True'))).toEqual([]);
  });

  test('--once ends with the reason when a sample cannot become Ready', async () => {
    // Nothing is written in a dry run, so no sample gets there.
    const env = { ...process.env, PROCONSUL_DRY_RUN: 'true' };
    const args = ['tools/start.ts', '--once', '--timeout', '5'];
    const failed = await run(process.execPath, args, { cwd: root, env }).catch(
      (error: unknown) => error as { code: number; stderr: string },
    );
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('DryRun') as string });
  });
});
