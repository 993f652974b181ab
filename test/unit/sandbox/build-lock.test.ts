import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireLock } from '../../../tools/sandbox/build-lock.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proconsul-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

const unexpectedWait = { onWait: () => expect.fail('waited') };

test('a second taker waits, knows for whom, and gets the lock when it is released', async () => {
  const first = await acquireLock(path, unexpectedWait);
  const waitedFor = Promise.withResolvers<string>();
  const second = acquireLock(path, { onWait: waitedFor.resolve });
  expect(await waitedFor.promise).toBe(String(process.pid));
  first.release();
  (await second).release();
  expect(existsSync(path)).toBe(false);
});

test('the lock of a dead process is taken over at once', async () => {
  writeFileSync(path, '4194304'); // above every pid there can be
  const lock = await acquireLock(path, unexpectedWait);
  expect(readFileSync(path, 'utf8')).toBe(String(process.pid));
  lock.release();
});

test('so is one nobody touched for a minute, whoever has its number now', async () => {
  writeFileSync(path, String(process.pid));
  const before = new Date(Date.now() - 61_000);
  utimesSync(path, before, before);
  const lock = await acquireLock(path, unexpectedWait);
  expect(statSync(path).mtimeMs).toBeGreaterThan(before.getTime());
  lock.release();
});
