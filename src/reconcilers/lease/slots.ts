import { type KvEntry, type ModifyIndex, NOT_THERE, type SessionId } from '../../consul/types.ts';
import { clip } from '../../core/conditions.ts';
import { foreignUse, LOCK_FLAGS, type LockValue, parseLockValue } from '../../core/lock-value.ts';
import { escapeUnprintable } from '../../core/printable.ts';
import { UNWRITTEN } from '../../ownership/record.ts';
import type { PodRef } from './pods.ts';
import type { LeaseSession } from './sessions.ts';

/** What was read at the key of a slot; `unknown`: nobody has looked, or could. */
export type SlotSight = KvEntry | 'absent' | 'unknown';

/** What a slot is to this lease. */
export type Slot = { readonly key: string } & (
  | { readonly state: 'unknown' }
  /** Open to the next candidate. Index 0: there is no key. */
  | { readonly state: 'free'; readonly index: ModifyIndex; readonly value: LockValue | undefined }
  /** By a session that the operator made for a Pod. */
  | {
      readonly state: 'held';
      readonly index: ModifyIndex;
      readonly session: SessionId;
      readonly pod: PodRef;
      readonly entry: KvEntry;
      readonly value: LockValue | undefined;
    }
  /** Not ours to touch; `use` says what is there, in words for the user. */
  | { readonly state: 'foreign'; readonly use: string }
);

export type HeldSlot = Extract<Slot, { state: 'held' }>;
export type FreeSlot = Extract<Slot, { state: 'free' }>;

/**
 * The names that an owner record lists for a lease: the keys of its slots, each with the fencing token of its last
 * grant, in digits. Empty: claimed, never granted.
 */
export type SlotTokens = ReadonlyMap<string, string>;

/** A session that is alive and not of this lease. */
export interface Stranger {
  /** Undefined: the ACL token may not see it. */
  readonly name: string | undefined;
}

/** What tells whose a slot is. */
export interface SlotKnowledge {
  /** Those of this lease; undefined: not known. */
  readonly sessions: readonly LeaseSession[] | undefined;
  readonly stranger: (session: SessionId) => Stranger | undefined;
  readonly tokens: SlotTokens | undefined;
}

/**
 * | at the key                            | the record lists a grant there | it does not            |
 * |---------------------------------------|--------------------------------|------------------------|
 * | nothing                               | free                           | free                   |
 * | a session of this lease               | held                           | held                   |
 * | a stranger, or one that may not be seen | foreign                      | foreign                |
 * | a session of which nothing is known   | unknown                        | unknown                |
 * | our flags                             | free                           | free if a lock's value |
 * | what an admin leaves who releases it  | free                           | foreign                |
 * | anything else                         | foreign                        | foreign                |
 */
export function readSlot(key: string, sight: SlotSight, known: SlotKnowledge): Slot {
  if (sight === 'unknown') return { key, state: 'unknown' };
  if (sight === 'absent') return { key, state: 'free', index: NOT_THERE, value: undefined };
  const value = parseLockValue(sight.value);
  if (sight.session !== undefined) return lockedSlot(key, sight, sight.session, value, known);
  const use = isGranted(known.tokens, key) ? foreignUse(sight) : unownedUse(sight, value);
  if (use !== undefined) return { key, state: 'foreign', use };
  return { key, state: 'free', index: sight.modifyIndex, value };
}

function lockedSlot(
  key: string,
  entry: KvEntry,
  session: SessionId,
  value: LockValue | undefined,
  { sessions = [], stranger }: SlotKnowledge,
): Slot {
  const holder = sessions.find(({ id }) => id === session);
  if (holder !== undefined) {
    return { key, state: 'held', index: entry.modifyIndex, session, pod: holder.pod, entry, value };
  }
  const other = stranger(session);
  if (other === undefined) return { key, state: 'unknown' };
  return { key, state: 'foreign', use: `a lock that session ${session} (${describe(other)}) holds` };
}

function describe({ name }: Stranger): string {
  return name === undefined
    ? 'which the ACL token may not see'
    : escapeUnprintable(clip(name, MAX_NAME_CHARS));
}

const MAX_NAME_CHARS = 128;

export function isGranted(tokens: SlotTokens | undefined, key: string): boolean {
  return (tokens?.get(key) ?? UNWRITTEN) !== UNWRITTEN;
}

export function isKnown({ state }: Slot): boolean {
  return state !== 'unknown';
}

export function isHeld(slot: Slot): slot is HeldSlot {
  return slot.state === 'held';
}

export function isFree(slot: Slot): slot is FreeSlot {
  return slot.state === 'free';
}

/** What nobody owns may be locked only if it is beyond doubt a lock of this kind. */
function unownedUse(entry: KvEntry, value: LockValue | undefined): string | undefined {
  if (entry.flags === LOCK_FLAGS && value !== undefined) return undefined;
  return foreignUse(entry) ?? 'data';
}
