/**
 * Which process on which machine: so that one that starts in the place of one that was killed knows that the lock it
 * finds held has no holder any more, and need not wait for the session to end.
 */
export interface ProcessIdentity {
  /** Of the Pod, when it runs in one. Its containers are never run twice at a time. */
  readonly podUid?: string;
  /** Drawn by the kernel at each boot. */
  readonly bootId: string;
  /** `pid:[4026531836]`: pids of different ones do not compare. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** In ticks since boot: tells a process from a later one with the same pid. */
  readonly startTime: string;
}

/** What became of a pid in the own namespace: the start time of who has it now. Undefined: it cannot be told. */
export type PidLookup = (pid: number) => { readonly startTime: string } | 'gone' | undefined;

/**
 * Whether the other process certainly does not run any more. False: it does, or nobody here can tell.
 *
 * Where its pid can be looked up, that alone decides: a container may run more than one process, as by `kubectl exec`.
 */
export function isKnownDead(theirs: ProcessIdentity, mine: ProcessIdentity, lookUp: PidLookup): boolean {
  if (theirs.bootId !== mine.bootId || theirs.pidNamespace !== mine.pidNamespace)
    return theirs.podUid !== undefined && theirs.podUid === mine.podUid;
  const found = lookUp(theirs.pid);
  if (found === undefined) return false;
  return found === 'gone' || found.startTime !== theirs.startTime;
}

const MAX_CHARS = 128;

/** An identity as the lock's value carries it. Undefined for anything else. */
export function parseProcessIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { podUid, bootId, pidNamespace, pid, startTime } = value as Record<string, unknown>;
  if (!isText(bootId) || !isText(pidNamespace) || !isText(startTime)) return undefined;
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 1) return undefined;
  if (podUid !== undefined && !isText(podUid)) return undefined;
  return { bootId, pidNamespace, pid, startTime, ...(podUid !== undefined && { podUid }) };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_CHARS;
}
