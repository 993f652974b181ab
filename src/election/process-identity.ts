import { readFileSync, readlinkSync } from 'node:fs';
import type { PidLookup, ProcessIdentity } from './predecessor.ts';

/** Who this process is, as Linux tells. Undefined elsewhere, and where /proc is not to be read. */
export function readProcessIdentity(podUid?: string): ProcessIdentity | undefined {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const pidNamespace = readlinkSync('/proc/self/ns/pid');
    const startTime = statOf('self').startTime;
    if (bootId === '') return undefined;
    return { bootId, pidNamespace, pid: process.pid, startTime, ...(podUid !== undefined && { podUid }) };
  } catch {
    return undefined;
  }
}

/** Asks the kernel by a signal that is none: in /proc, processes of other users may be hidden (`hidepid`). */
export const lookUpPid: PidLookup = pid => {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'gone';
  }
  try {
    const { state, startTime } = statOf(String(pid));
    return state === 'Z' || state === 'X' ? 'gone' : { startTime };
  } catch {
    return undefined;
  }
};

/** Fields 3 and 22 of `proc_pid_stat(5)`; the second is a name that may hold spaces and parentheses. */
function statOf(pid: string): { readonly state: string; readonly startTime: string } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || startTime === undefined || !/^\d+$/.test(startTime))
    throw new Error('not a stat');
  return { state, startTime };
}
