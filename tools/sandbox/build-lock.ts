import { openSync, readFileSync, rmSync, statSync, utimesSync, writeSync, closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const heartbeatMs = 5000;
const staleAfterMs = 60_000;

export interface Lock {
  release(): void;
}

/**
 * Waits until this process holds the lock file. Its holder touches it every few seconds, so a lock is taken over
 * when its process is dead or it was not touched for a minute (the pid may be another process by now, or belong
 * to another container).
 *
 * Two waiters may take over the same stale lock at once. That is accepted: what the lock guards is published by
 * a rename, so the worst is work done twice.
 */
export async function acquireLock(
  path: string,
  { onWait }: { onWait: (holder: string) => void },
): Promise<Lock> {
  let announced = false;
  while (!create(path)) {
    if (isStale(path)) {
      rmSync(path, { force: true });
      continue;
    }
    if (!announced) onWait(holderOf(path) ?? '?');
    announced = true;
    await delay(250);
  }
  const heartbeat = setInterval(() => touch(path), heartbeatMs);
  return {
    release: () => {
      clearInterval(heartbeat);
      rmSync(path, { force: true });
    },
  };
}

function create(path: string): boolean {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isStale(path: string): boolean {
  try {
    const untouchedMs = Date.now() - statSync(path).mtimeMs;
    const holder = Number(holderOf(path));
    return untouchedMs > staleAfterMs || (holder > 0 && !isAlive(holder));
  } catch {
    return false; // released meanwhile
  }
}

function holderOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8') || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function touch(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // taken over; the rename at the end still publishes a whole file
  }
}
