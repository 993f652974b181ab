import { foreignUse, parseLockValue, type LockValue } from '../core/lock-value.ts';
import type { Answer, KvEntry, SessionId } from '../consul/types.ts';

/** What stood at the key of a lock when it was read. */
export interface SeenLock {
  /** Of the entry; where nothing stands, of all keys. */
  readonly index: number;
  readonly entry: KvEntry | undefined;
  readonly session: SessionId | undefined;
  /** Undefined when it is none of ours, or damaged. */
  readonly value: LockValue | undefined;
  /** What else the key is used for. */
  readonly foreignUse: string | undefined;
}

export function seenLock({
  value: entry,
  index,
}: Pick<Answer<KvEntry | undefined>, 'value' | 'index'>): SeenLock {
  return {
    index: entry?.modifyIndex ?? index,
    entry,
    session: entry?.session,
    value: entry && parseLockValue(entry.value),
    foreignUse: entry && foreignUse(entry),
  };
}

/**
 * What is known of the session that holds a lock: `alive` as far as anybody can tell; `dead` with its process; `own`
 * when it is one that this candidate has given up.
 */
export type Verdict = 'alive' | 'dead' | 'own' | Error;
