import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * What must go when this process goes, however it goes. A tiny shell holds the other end of a pipe; the pipe
 * closes when the watchdog is closed and when this process dies, by kill -9 too. Then the shell kills every
 * process group it guards and removes the folder.
 */
export interface Watchdog {
  /** Call in the same tick as the spawn of a `detached` child: what is not guarded yet survives a kill -9. */
  guard(processGroup: number): void;
  /** For a child that has ended, before its number can be given to another process. */
  forget(processGroup: number): void;
  /** Kills what is still guarded, removes the folder, and resolves when both are done. */
  close(): Promise<void>;
}

// A zombie that nobody reaps still answers kill -0, and a killed process may write until it is gone: hence the
// bounded wait and the repeated rm.
const script = `
trap '' HUP INT TERM
groups=
while read -r verb group; do
  case $verb in
    guard) groups="$groups $group" ;;
    forget) kept=; for g in $groups; do [ "$g" = "$group" ] || kept="$kept $g"; done; groups=$kept ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
tries=0
for g in $groups; do
  while kill -s 0 -- "-$g" 2>/dev/null && [ $tries -lt 25 ]; do sleep 0.02; tries=$((tries + 1)); done
done
tries=0
until rm -rf -- "$1" 2>/dev/null || [ $tries -ge 50 ]; do sleep 0.1; tries=$((tries + 1)); done
`;

export function startWatchdog(folder: string): Watchdog {
  const shell = spawn('/bin/sh', ['-c', script, 'proconsul-watchdog', folder], {
    cwd: '/',
    detached: true, // its own session: a Ctrl-C in the terminal reaches us and not it
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = once(shell, 'close');
  // A shell that was killed leaves a broken pipe; the owner must not die of it.
  shell.stdin.on('error', () => {});
  const tell = (line: string) => {
    if (shell.stdin.writable) shell.stdin.write(`${line}\n`);
  };
  return {
    guard: processGroup => tell(`guard ${processGroup}`),
    forget: processGroup => tell(`forget ${processGroup}`),
    close: async () => {
      shell.stdin.end();
      await ended;
    },
  };
}
