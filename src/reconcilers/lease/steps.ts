import type { ModifyIndex, SessionId } from '../../consul/types.ts';
import { type LeaseHistory, UNWRITTEN } from '../../ownership/record.ts';
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
  /** Only the record: it is of another resource of this name, or of another label; or there is none yet. */
  | { readonly kind: 'record' }
  /** Nothing is left: the record goes. */
  | { readonly kind: 'end' };

/** What a record is written for, and what was told of the lease while there was another, or none. */
export interface RecordWish {
  readonly keys: readonly string[];
  readonly uid: string;
  readonly label: string;
  readonly told: { readonly highest: bigint; readonly transitions: number };
}

/**
 * What the record says after a step; undefined: there is none any more. A grant, and a rewrite, claim all that is
 * wanted. A label takes the place of another only by a step of its own: the other has to come off all Pods first.
 */
export function recordAfter(
  step: LeaseStep,
  record: LeaseRecord | undefined,
  { keys, uid, label, told }: RecordWish,
): LeaseRecord | undefined {
  const { names: before = new Map<string, string>(), head } = record ?? {};
  const names = new Map(before);
  const history = historyAfter(head?.lease, told);
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
      return settled({ ...history, label });
    case 'drop':
      names.delete(step.key);
      return head === undefined ? undefined : { head, names };
    case 'rewrite':
    case 'grant': {
      const isAnother = step.kind === 'grant' && isGranted(before, step.key);
      for (const key of keys) if (!names.has(key)) names.set(key, UNWRITTEN);
      names.set(step.key, step.token.toString());
      const token = highest([step.token, tokenIn(history.token)]).toString();
      const transitions = history.transitions + (isAnother ? 1 : 0);
      return settled({ label, ...history, token, transitions });
    }
  }
}

/** What was told goes on, also where Consul knows nothing of it any more. */
function historyAfter(lease: LeaseHistory | undefined, told: RecordWish['told']): LeaseHistory {
  return {
    ...lease,
    token: highest([tokenIn(lease?.token), told.highest]).toString(),
    transitions: Math.max(lease?.transitions ?? 0, told.transitions),
  };
}

export function highest(tokens: readonly bigint[]): bigint {
  return tokens.reduce((one, other) => (one > other ? one : other), 0n);
}

/**
 * Records and statuses may be damaged, or edited: what is no token counts as none, and neither does one that can have
 * no successor (`nextFencingToken`).
 */
export function tokenIn(digits: string | undefined): bigint {
  const token = digits !== undefined && /^[0-9]{1,19}$/.test(digits) ? BigInt(digits) : 0n;
  return token < LAST_TOKEN ? token : 0n;
}

const LAST_TOKEN = 2n ** 63n - 1n;
