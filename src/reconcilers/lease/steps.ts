import type { ModifyIndex, SessionId } from '../../consul/types.ts';
import { UNWRITTEN } from '../../ownership/record.ts';
import type { PodRef } from './pods.ts';
import { isGranted, type SlotTokens } from './slots.ts';

/** What the planner needs of an owner record. Its head has more; `names` are the keys of slots. */
export interface LeaseRecord {
  readonly head: {
    readonly uid: string;
    readonly onDelete: 'Delete' | 'Retain';
    readonly lease?: LeaseHistory;
  };
  readonly names: SlotTokens;
}

/** What outlives every key of the lease. */
export interface LeaseHistory {
  /** The highest fencing token ever granted, in digits. */
  readonly token: string;
  /** How often a slot that had been granted was granted anew. */
  readonly transitions: number;
}

/**
 * One thing to do. Every step that has an index is conditional on it, and every change of a key or of the record is
 * one transaction. After each the world may be looked at and planned for anew: what is left of a plan is never needed.
 */
export type LeaseStep =
  /**
   * The holder may not lead any more. `release`: unlocked with `value`, which is what stands there, and with the flags of
   * a lock; then the session is destroyed. `destroy`: only that, so that the lock-delay begins.
   */
  | {
      readonly kind: 'vacate';
      readonly key: string;
      readonly how: 'release' | 'destroy';
      readonly session: SessionId;
      readonly pod: PodRef;
      readonly index: ModifyIndex;
      readonly value: Buffer;
    }
  /**
   * The key goes, and its name leaves the record. Index 0: the name alone, for there is no key, or not one of ours.
   * `session`: held it, and is to be destroyed afterwards, when it holds nothing any more.
   */
  | {
      readonly kind: 'drop';
      readonly key: string;
      readonly index: ModifyIndex;
      readonly session: SessionId | undefined;
    }
  /**
   * What an outsider wrote over the value of a lock is put right by locking anew with the same session: Consul refuses
   * that, unlike a plain write, when the session holds the lock no more. `acquiredTime`: undefined when nobody knows.
   */
  | {
      readonly kind: 'rewrite';
      readonly key: string;
      readonly session: SessionId;
      readonly pod: PodRef;
      readonly index: ModifyIndex;
      readonly token: bigint;
      readonly acquiredTime: string | undefined;
    }
  /** The session holds nothing: left behind by a grant or a removal that was cut short. */
  | { readonly kind: 'discard'; readonly session: SessionId }
  /**
   * The candidate gets the slot. `session`: made for it already and never used; else one is made. Consul may still
   * refuse, for the lock-delay.
   */
  | {
      readonly kind: 'grant';
      readonly key: string;
      readonly pod: PodRef;
      readonly index: ModifyIndex;
      readonly token: bigint;
      readonly session: SessionId | undefined;
    }
  /** Only the record: it is of another resource of this name. */
  | { readonly kind: 'record' }
  /** Nothing is left: the record goes. */
  | { readonly kind: 'end' };

/**
 * What the record says after a step; undefined: there is none any more. A grant, and a rewrite, claim all that is
 * wanted.
 */
export function recordAfter(
  step: LeaseStep,
  record: LeaseRecord | undefined,
  { keys, uid }: { readonly keys: readonly string[]; readonly uid: string },
): LeaseRecord | undefined {
  const { names: before = new Map<string, string>(), head } = record ?? {};
  const names = new Map(before);
  const history = head?.lease ?? { token: '0', transitions: 0 };
  const settled = (lease: LeaseHistory): LeaseRecord => ({
    head: { uid, onDelete: 'Delete', lease },
    names,
  });
  switch (step.kind) {
    case 'vacate':
    case 'discard':
      return record;
    case 'end':
      return undefined;
    case 'record':
      return settled(history);
    case 'drop':
      names.delete(step.key);
      return head === undefined ? undefined : { head, names };
    case 'rewrite':
    case 'grant': {
      const isAnother = step.kind === 'grant' && isGranted(before, step.key);
      for (const key of keys) if (!names.has(key)) names.set(key, UNWRITTEN);
      names.set(step.key, step.token.toString());
      const highest = step.token > tokenIn(history.token) ? step.token.toString() : history.token;
      return settled({ token: highest, transitions: history.transitions + (isAnother ? 1 : 0) });
    }
  }
}

/** Records may be damaged: what is no token counts as none. */
export function tokenIn(digits: string | undefined): bigint {
  return digits !== undefined && /^[0-9]{1,20}$/.test(digits) ? BigInt(digits) : 0n;
}
