import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { startWatchdog } from '../../../tools/sandbox/watchdog.ts';
import { eventually } from '../../support/eventually.ts';

/** A process that guards a folder and a `sleep`, and then sits there. */
async function startOwner(folder: string): Promise<{ owner: ChildProcess; guarded: number }> {
  const script = `
    import { spawn } from 'node:child_process';
    import { startWatchdog } from ${JSON.stringify(new URL('../../../tools/sandbox/watchdog.ts', import.meta.url))};
    const watchdog = startWatchdog(${JSON.stringify(folder)});
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    watchdog.guard(child.pid);
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert(owner.stdout);
  const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
  return { owner, guarded: Number(line) };
}

/** A killed process whose parent is gone may stay in the table as a zombie until somebody reaps it. */
function isAlive(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return /^[^Z\s]/.test(stdout.trim());
}

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'nothing outlives an owner ended by %s',
  async signal => {
    const folder = mkdtempSync(join(tmpdir(), 'proconsul-watchdog-'));
    const { owner, guarded } = await startOwner(folder);
    expect([isAlive(guarded), existsSync(folder)]).toEqual([true, true]);
    process.kill(-(owner.pid ?? 0), signal); // the whole group, as a terminal does
    await eventually(() => !isAlive(guarded) && !existsSync(folder), {
      what: 'process and folder gone',
      timeoutMs: 4000,
    });
  },
);

test('closing ends what is guarded, spares what is forgotten, and resolves when it is done', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'proconsul-watchdog-'));
  const watchdog = startWatchdog(folder);
  const [guarded, forgotten] = [0, 1].map(() => {
    const child = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    watchdog.guard(child.pid ?? 0);
    return child;
  });
  assert(guarded && forgotten);
  watchdog.forget(forgotten.pid ?? 0);
  const ended = once(guarded, 'exit');
  await watchdog.close();
  expect(existsSync(folder)).toBe(false);
  expect(await ended).toEqual([null, 'SIGKILL']);
  expect(isAlive(forgotten.pid ?? 0)).toBe(true);
  forgotten.kill('SIGKILL');
});
