import { LOCK_FLAGS, nextFencingToken } from '../../core/lock-value.ts';
import { describeResource } from '../../core/resource.ts';
import { NOT_THERE, type SessionId } from '../../consul/types.ts';
import type { Owner } from '../../ownership/ledger.ts';
import type { PodRef } from './pods.ts';
import type { LeaseSession } from './sessions.ts';
import {
  type FreeSlot,
  type HeldSlot,
  isFree,
  isGranted,
  isHeld,
  readSlot,
  type Slot,
  type SlotSight,
} from './slots.ts';
import { type LeaseRecord, type LeaseStep, tokenIn } from './steps.ts';

/**
 * What stands in Consul, as far as is known. It must have been read since this replica leads, and reflect what it wrote
 * since then: a session that no key shows is taken for one that holds nothing.
 */
export interface ObservedLease {
  readonly record: LeaseRecord | undefined;
  readonly sight: (key: string) => SlotSight;
  /** Those of this lease on the install's own node; undefined: not known, or not all of them. */
  readonly sessions: readonly LeaseSession[] | undefined;
  /** The name of a session that is alive and not of this lease; undefined: nobody has asked, or it is gone. */
  readonly stranger: (session: SessionId) => string | undefined;
  /** The highest `X-Consul-Index` or ModifyIndex at which the slots were read. */
  readonly readIndex: number;
  /**
   * Tokens and times of holders, as the status tells of them and as this process remembers: when Consul is restored, keys
   * and record fall back to what they were, and these do not.
   */
  readonly told: readonly ToldHolder[];
  readonly rival: (key: string) => Owner | undefined;
  /** False when the ACL token may not read all owner records: then nothing that exists may be taken over. */
  readonly claimsComplete: boolean;
}

export interface ToldHolder {
  readonly session: string;
  readonly token: bigint;
  readonly acquiredTime: string | undefined;
}

/** What is wanted. */
export interface LeaseWish {
  /** The keys of all slots, in order. */
  readonly keys: readonly string[];
  /** Who may lead, in the order in which they come to it. */
  readonly candidates: readonly PodRef[];
  readonly handover: 'Immediate' | 'AfterLockDelay';
  /** Of the resource: what a record of an earlier one of the same name is changed to. */
  readonly uid: string;
}

export type LeasePlan =
  | { readonly kind: 'noop' }
  | { readonly kind: 'change'; readonly steps: readonly LeaseStep[] }
  | {
      readonly kind: 'wait';
      readonly reason: 'NoCandidates' | 'Progressing';
      readonly message: string;
    }
  | {
      readonly kind: 'refuse';
      readonly reason: 'Conflict' | 'AlreadyExists' | 'ConsulDenied';
      readonly message: string;
    };

/** The slots wanted, as they are; in order. */
export function slotsOf(keys: readonly string[], observed: ObservedLease): Slot[] {
  const { sight, sessions, stranger, record } = observed;
  return keys.map(key => {
    const seen = sight(key);
    return readSlot(key, seen, { sessions, stranger, tokens: record?.names });
  });
}

/**
 * What is to be done so that the first candidates hold the slots, and nobody else does. Pure.
 *
 * Authority is taken before it is given: a slot that is vacated, or a Pod that loses one, is granted anew only by the
 * plan that follows, from what was then seen. So however a plan ends, there are never more holders than slots.
 */
export function planLease(wish: LeaseWish, observed: ObservedLease): LeasePlan {
  const slots = slotsOf(wish.keys, observed);
  const refusal = refuseRivals(wish, observed) ?? refuseForeign(slots) ?? refuseHidden(slots, observed);
  if (refusal !== undefined) return refusal;

  const surplus = surplusSlots(wish.keys, observed);
  const all = [...slots, ...surplus];
  const staying = stayingIn(slots, wish);
  const mint = mintFor(all, observed);
  const steps = [
    ...planVacating(slots, staying, wish),
    ...planDropping(surplus, observed),
    ...planRewriting(staying, observed, mint),
    ...(isAllKnown(all, observed) ? planGiving(slots, all, wish, observed, mint) : []),
    ...planRecord(wish, observed),
  ];
  return steps.length > 0 ? { kind: 'change', steps } : waitFor(slots, observed);
}

/** While it is not, a candidate could hold the slot that nobody has looked at. */
function isAllKnown(slots: readonly Slot[], { sessions }: ObservedLease): boolean {
  return sessions !== undefined && slots.every(({ state }) => state !== 'unknown');
}

function planGiving(
  slots: readonly Slot[],
  all: readonly Slot[],
  wish: LeaseWish,
  observed: ObservedLease,
  mint: () => bigint,
): LeaseStep[] {
  const holding = all.filter(isHeld);
  const grants = planGranting(slots, holding, wish, observed, mint);
  const kept = new Set([...holding, ...grants].map(({ session }) => session));
  return [...planDiscarding(kept, observed), ...grants];
}

/**
 * Towards nothing: every lock of ours is given up and its key removed, then the record goes. Also for a lease that
 * applications take themselves from now on. Under Retain only the record goes: sessions end by themselves.
 */
export function planLeaseEnd(observed: ObservedLease, onDelete: 'Delete' | 'Retain'): LeasePlan {
  const { record } = observed;
  const end: LeaseStep[] = record === undefined ? [] : [END];
  const steps = onDelete === 'Retain' ? end : planLettingGo(observed, end);
  if (steps === undefined) return notRead();
  return steps.length === 0 ? { kind: 'noop' } : { kind: 'change', steps };
}

/** Undefined: not all is known. */
function planLettingGo(observed: ObservedLease, end: readonly LeaseStep[]): LeaseStep[] | undefined {
  const slots = surplusSlots([], observed);
  if (!isAllKnown(slots, observed)) return undefined;
  const holding = new Set(slots.filter(isHeld).map(({ session }) => session));
  return [...planDropping(slots, observed), ...planDiscarding(holding, observed), ...end];
}

const END: LeaseStep = { kind: 'end' };

/** Slots that the record lists and that are not wanted (any more). */
function surplusSlots(keys: readonly string[], observed: ObservedLease): Slot[] {
  const listed = [...(observed.record?.names.keys() ?? [])];
  return slotsOf(
    listed.filter(key => !keys.includes(key)),
    observed,
  );
}

/** First claim keeps: whatever anyone's record lists is theirs. */
function refuseRivals({ keys }: LeaseWish, { rival }: ObservedLease): LeasePlan | undefined {
  for (const key of keys) {
    const owner = rival(key);
    if (owner === undefined) continue;
    const who = owner.kind === 'resource' ? describeResource(owner.ref) : `install ${owner.install}`;
    return { kind: 'refuse', reason: 'Conflict', message: `key ${key} belongs to ${who}` };
  }
  return undefined;
}

function refuseForeign(slots: readonly Slot[]): LeasePlan | undefined {
  const slot = slots.find(({ state }) => state === 'foreign');
  if (slot?.state !== 'foreign') return undefined;
  const message = `key ${slot.key} is in use: ${slot.use}. Free it in Consul, or make a lease with another key`;
  return { kind: 'refuse', reason: 'AlreadyExists', message };
}

/** A lock that stands there free and that no record lists might be listed where we cannot read. */
function refuseHidden(
  slots: readonly Slot[],
  { record, claimsComplete }: ObservedLease,
): LeasePlan | undefined {
  const isUnowned = (slot: Slot): boolean => isFree(slot) && slot.index > 0 && !record?.names.has(slot.key);
  if (claimsComplete || !slots.some(isUnowned)) return undefined;
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so no lock that exists can be taken over: add ${rule}`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}

/** Holders that may lead on; of two slots that one Pod holds, the first. */
function stayingIn(slots: readonly Slot[], { candidates }: LeaseWish): HeldSlot[] {
  const eligible = new Set(candidates.map(({ uid }) => uid));
  return slots.filter(isHeld).filter(({ pod }) => eligible.delete(pod.uid));
}

function planVacating(
  slots: readonly Slot[],
  staying: readonly HeldSlot[],
  { handover }: LeaseWish,
): LeaseStep[] {
  const how = handover === 'Immediate' ? 'release' : 'destroy';
  return slots
    .filter(isHeld)
    .filter(slot => !staying.includes(slot))
    .map(({ key, session, pod, index, entry }) => {
      return { kind: 'vacate', key, how, session, pod, index, value: entry.value };
    });
}

function planDropping(slots: readonly Slot[], { rival }: ObservedLease): LeaseStep[] {
  return slots.flatMap((slot): LeaseStep[] => {
    const { key } = slot;
    if (slot.state === 'unknown') return [];
    if (slot.state === 'foreign' || rival(key) !== undefined) {
      return [{ kind: 'drop', key, index: NOT_THERE, session: undefined }];
    }
    return [{ kind: 'drop', key, index: slot.index, session: isHeld(slot) ? slot.session : undefined }];
  });
}

/** Holders that stay, at whose key something else stands than was written there. */
function planRewriting(
  staying: readonly HeldSlot[],
  observed: ObservedLease,
  mint: () => bigint,
): LeaseStep[] {
  const { record } = observed;
  const setBack = isSetBack(observed);
  return staying
    .filter(slot => setBack || isEdited(slot, record))
    .map(slot => {
      const { key, session, pod, index, value } = slot;
      const granted = tokenIn(record?.names.get(key));
      // Never below what stands there: whoever has read that would see a token fall.
      const isCurrent = !setBack && granted > 0n && granted >= (value?.fencingToken ?? 0n);
      const token = isCurrent ? granted : mint();
      const acquiredTime = acquiredTimeOf(slot, observed);
      return { kind: 'rewrite', key, session, pod, index, token, acquiredTime };
    });
}

/**
 * Consul fell back to what it was before the last grants: whoever leads again by that has a token that others have seen
 * outdone.
 */
function isSetBack({ record, told }: ObservedLease): boolean {
  const highest = tokenIn(record?.head.lease?.token);
  return told.some(({ token }) => token > highest);
}

function isEdited({ key, pod, value, entry }: HeldSlot, record: LeaseRecord | undefined): boolean {
  return (
    entry.flags !== LOCK_FLAGS ||
    value?.holder !== pod.name ||
    value.uid !== pod.uid ||
    value.fencingToken.toString() !== record?.names.get(key)
  );
}

function acquiredTimeOf({ session, pod, value }: HeldSlot, { told }: ObservedLease): string | undefined {
  const known = told.find(holder => holder.session === session)?.acquiredTime;
  return known ?? (value?.uid === pod.uid ? value.acquiredTime : undefined);
}

/** Free slots go to the candidates that hold none. Whoever loses one by this plan still counts as holding it. */
function planGranting(
  slots: readonly Slot[],
  holding: readonly HeldSlot[],
  { candidates }: LeaseWish,
  observed: ObservedLease,
  mint: () => bigint,
): Extract<LeaseStep, { kind: 'grant' }>[] {
  const holders = new Set(holding.map(({ pod }) => pod.uid));
  const waiting = candidates.filter(({ uid }) => !holders.has(uid));
  const room = Math.max(0, slots.length - holding.length);
  const open = slots.filter(isFree).slice(0, Math.min(room, waiting.length));
  return open.map((slot, place) => {
    const pod = waiting[place] as PodRef;
    const session = unusedSession(pod, slot, observed);
    return { kind: 'grant', key: slot.key, pod, index: slot.index, token: mint(), session };
  });
}

/**
 * A session made for an earlier try, which the lock-delay refused. One never serves twice: only one made after the slot
 * was last written cannot have held it, and without a grant on record nobody knows what it held.
 */
function unusedSession(
  pod: PodRef,
  { key, index }: FreeSlot,
  { sessions = [], record }: ObservedLease,
): SessionId | undefined {
  if (index === NOT_THERE || !isGranted(record?.names, key)) return undefined;
  return sessions.find(({ pod: of, createIndex }) => of.uid === pod.uid && createIndex > index)?.id;
}

/** Those that hold nothing, of which the slots were read since they were made. */
function planDiscarding(
  kept: ReadonlySet<SessionId | undefined>,
  { sessions = [], readIndex }: ObservedLease,
): LeaseStep[] {
  return sessions
    .filter(({ id, createIndex }) => !kept.has(id) && createIndex <= readIndex)
    .map(({ id }) => ({ kind: 'discard', session: id }));
}

/** Another resource of this name inherits; and what was to be let go of is wanted again. */
function planRecord({ uid }: LeaseWish, { record }: ObservedLease): LeaseStep[] {
  if (record === undefined || (record.head.uid === uid && record.head.onDelete === 'Delete')) return [];
  return [{ kind: 'record' }];
}

function waitFor(slots: readonly Slot[], observed: ObservedLease): LeasePlan {
  if (!isAllKnown(slots, observed)) return notRead();
  if (slots.some(isHeld)) return { kind: 'noop' };
  return { kind: 'wait', reason: 'NoCandidates', message: 'no Ready Pod matches the selector' };
}

function notRead(): LeasePlan {
  const message = 'not all locks and sessions of this lease have been read yet';
  return { kind: 'wait', reason: 'Progressing', message };
}

/** Tokens above all that were ever seen, each once; see `nextFencingToken`. */
function mintFor(slots: readonly Slot[], { record, told, readIndex }: ObservedLease): () => bigint {
  const present = slots.map(slot => (isHeld(slot) || isFree(slot) ? credible(slot.value?.fencingToken) : 0n));
  const recorded = [...(record?.names.values() ?? []), record?.head.lease?.token].map(tokenIn);
  let next = nextFencingToken([...present, ...recorded, ...told.map(({ token }) => token)], readIndex);
  return () => next++;
}

/**
 * Nobody was granted a token beyond what Raft can count: one that stands in a value was written there by an outsider, and
 * counting on from it would soon lead to one that is too long to be written.
 */
function credible(token = 0n): bigint {
  return token < 2n ** 63n ? token : 0n;
}
