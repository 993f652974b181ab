import { describeOwner, type Owner } from '../../ownership/owner.ts';
import { LOCK_FLAGS, nextFencingToken } from '../../core/lock-value.ts';
import { NOT_THERE, type SessionId } from '../../consul/types.ts';
import type { PodRef } from './pods.ts';
import type { LeaseSession } from './sessions.ts';
import {
  type HeldSlot,
  isFree,
  isHeld,
  isKnown,
  readSlot,
  type Slot,
  type SlotSight,
  type Stranger,
} from './slots.ts';
import { type LeaseRecord, type LeaseStep, tokenIn } from './steps.ts';

/**
 * What stands in Consul, as far as is known. It must have been read since this replica leads, and reflect what it wrote
 * since then: a session that no key shows is taken for one that holds nothing.
 */
export interface ObservedLease {
  readonly record: LeaseRecord | undefined;
  /** At which the record was last written, as it is with every grant; 0: there is none. */
  readonly recordIndex: number;
  readonly sight: (key: string) => SlotSight;
  /** Those of this lease on the install's own node; undefined: not known, or not all of them. */
  readonly sessions: readonly LeaseSession[] | undefined;
  /** What is known of a session that is not of this lease; undefined: nobody has asked, or it is gone. */
  readonly stranger: (session: SessionId) => Stranger | undefined;
  /** The highest `X-Consul-Index` or ModifyIndex at which the slots were read. */
  readonly readIndex: number;
  readonly told: Told;
  readonly rival: (key: string) => Owner | undefined;
  /** False when the ACL token may not read all owner records: then nothing that exists may be taken over. */
  readonly claimsComplete: boolean;
}

/**
 * What the status tells of a lease and this process remembers: when Consul is restored, keys and record fall back to what
 * they were, and these do not.
 */
export interface Told {
  /** The highest fencing token. */
  readonly highest: bigint;
  readonly transitions: number;
  /** Session → since when it has led. */
  readonly acquired: ReadonlyMap<string, string>;
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
  /** Of leading Pods. */
  readonly label: string;
  /** Something that is not in Consul forbids to give anything to anybody. */
  readonly obstacle?: LeaseRefusal | undefined;
}

export type LeasePlan =
  | { readonly kind: 'noop' }
  | { readonly kind: 'change'; readonly steps: readonly LeaseStep[] }
  | LeaseWait
  | LeaseRefusal;

export interface LeaseWait {
  readonly kind: 'wait';
  readonly reason: 'NoCandidates' | 'Progressing' | 'ConsulDenied';
  readonly message: string;
  readonly againMs?: number;
}

export interface LeaseRefusal {
  readonly kind: 'refuse';
  readonly reason: 'Conflict' | 'AlreadyExists' | 'ConsulDenied' | 'UnsupportedByConsul' | 'InvalidSpec';
  readonly message: string;
}

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
 *
 * A refusal forbids to give, not to take: a lease that nobody may get any more must not stay with who died.
 */
export function planLease(wish: LeaseWish, observed: ObservedLease): LeasePlan {
  const slots = slotsOf(wish.keys, observed);
  const surplus = surplusSlots(wish.keys, observed);
  const lease: Slots = { slots, all: [...slots, ...surplus], staying: stayingIn(slots, wish) };
  const refusal =
    wish.obstacle ?? refuseRivals(wish, observed) ?? refuseForeign(slots) ?? refuseHidden(slots, observed);
  const steps = [
    ...planVacating(lease, wish, observed),
    ...planDropping(surplus.filter(isKnown), observed),
    ...(refusal === undefined ? planGiving(lease, wish, observed) : planDiscarding(lease.all, [], observed)),
  ];
  return steps.length > 0 ? { kind: 'change', steps } : (refusal ?? waitFor(lease.all, observed));
}

/** The slots of a lease as one plan sees them. */
interface Slots {
  /** Those that are wanted, in order. */
  readonly slots: readonly Slot[];
  /** And those that are not wanted any more. */
  readonly all: readonly Slot[];
  /** Held, by who may lead on. */
  readonly staying: readonly HeldSlot[];
}

/** While it is not, a candidate could hold the slot that nobody has looked at. */
function isAllKnown(slots: readonly Slot[], { sessions }: ObservedLease): boolean {
  return sessions !== undefined && slots.every(isKnown);
}

/** Everything that makes or confirms a holder. */
function planGiving(lease: Slots, wish: LeaseWish, observed: ObservedLease): LeaseStep[] {
  const mint = mintFor(lease.all, observed);
  const rewrites = planRewriting(lease.staying, observed, mint);
  const grants = isAllKnown(lease.all, observed) ? planGranting(lease, wish, observed, mint) : [];
  const wanted = grants.map(({ session }) => session);
  return [
    ...rewrites,
    ...planDiscarding(lease.all, wanted, observed),
    ...grants,
    ...planRecord(wish, observed),
  ];
}

/**
 * For a lease that applications take themselves from now on: what the operator held for them is given up. The record
 * stays, for the history and the label that it tells of go on.
 */
export function planLettingGo(wish: LeaseWish, observed: ObservedLease): LeasePlan {
  const steps = stepsToLetGo(observed);
  if (steps === undefined) return notRead();
  const all = [...steps, ...planRecord(wish, observed)];
  if (all.length > 0) return { kind: 'change', steps: all };
  return wish.obstacle ?? { kind: 'noop' };
}

/**
 * Towards nothing: every lock of ours is given up and its key removed, then the record goes. Under Retain only the record
 * goes: sessions end by themselves.
 */
export function planLeaseEnd(observed: ObservedLease, onDelete: 'Delete' | 'Retain'): LeasePlan {
  const end: LeaseStep[] = observed.record === undefined ? [] : [END];
  const before = onDelete === 'Retain' ? [] : stepsToLetGo(observed);
  if (before === undefined) return notRead();
  const steps = [...before, ...end];
  return steps.length === 0 ? { kind: 'noop' } : { kind: 'change', steps };
}

/** Undefined: not all has been read. A lock of a session of which nothing is known is not ours: all of ours are known. */
function stepsToLetGo(observed: ObservedLease): LeaseStep[] | undefined {
  const slots = surplusSlots([], observed);
  const { sessions, sight } = observed;
  if (sessions === undefined || slots.some(({ key }) => sight(key) === 'unknown')) return undefined;
  return [...planDropping(slots, observed), ...planDiscarding(slots.filter(isKnown), [], observed)];
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
function refuseRivals({ keys }: LeaseWish, { rival }: ObservedLease): LeaseRefusal | undefined {
  for (const key of keys) {
    const owner = rival(key);
    if (owner === undefined) continue;
    return { kind: 'refuse', reason: 'Conflict', message: `key ${key} belongs to ${describeOwner(owner)}` };
  }
  return undefined;
}

function refuseForeign(slots: readonly Slot[]): LeaseRefusal | undefined {
  const slot = slots.find(({ state }) => state === 'foreign');
  if (slot?.state !== 'foreign') return undefined;
  const message = `key ${slot.key} is in use: ${slot.use}. Free it in Consul, or make a lease with another key`;
  return { kind: 'refuse', reason: 'AlreadyExists', message };
}

/** A lock that stands there free and that no record lists might be listed where we cannot read. */
function refuseHidden(
  slots: readonly Slot[],
  { record, claimsComplete }: ObservedLease,
): LeaseRefusal | undefined {
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
  { slots, staying }: Slots,
  { handover }: LeaseWish,
  { rival }: ObservedLease,
): LeaseStep[] {
  return slots
    .filter(isHeld)
    .filter(slot => !staying.includes(slot))
    .map(({ key, session, pod, index, entry }) => {
      // A release writes the key, which is not for us to do at one that is another's.
      const how = handover === 'Immediate' && rival(key) === undefined ? 'release' : 'destroy';
      return { kind: 'vacate', key, how, session, pod, index, value: entry.value };
    });
}

function planDropping(slots: readonly Slot[], { rival }: ObservedLease): LeaseStep[] {
  return slots.flatMap((slot): LeaseStep[] => {
    const { key } = slot;
    if (slot.state === 'unknown' || slot.state === 'foreign' || rival(key) !== undefined) {
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
  return told.highest > tokenIn(record?.head.lease?.token);
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
  return told.acquired.get(session) ?? (value?.uid === pod.uid ? value.acquiredTime : undefined);
}

/** Free slots go to the candidates that hold none. Whoever loses one by this plan still counts as holding it. */
function planGranting(
  { slots, all }: Slots,
  { candidates }: LeaseWish,
  observed: ObservedLease,
  mint: () => bigint,
): Extract<LeaseStep, { kind: 'grant' }>[] {
  const holding = all.filter(isHeld);
  const holders = new Set(holding.map(({ pod }) => pod.uid));
  const waiting = candidates.filter(({ uid }) => !holders.has(uid));
  const room = Math.max(0, slots.length - holding.length);
  const open = slots.filter(isFree).slice(0, Math.min(room, waiting.length));
  return open.map(({ key, index }, place) => {
    const pod = waiting[place] as PodRef;
    return { kind: 'grant', key, pod, index, token: mint(), session: unusedSession(pod, observed) };
  });
}

/**
 * A session made for an earlier try, which the lock-delay refused. One never serves twice: every lock was taken in one
 * transaction with the record, so only a session made after that was last written cannot have held any.
 */
function unusedSession(
  pod: PodRef,
  { sessions = [], record, recordIndex }: ObservedLease,
): SessionId | undefined {
  if (record === undefined) return undefined;
  return sessions.find(({ pod: of, createIndex }) => of.uid === pod.uid && createIndex > recordIndex)?.id;
}

/** Sessions that hold nothing and are not `wanted`, of which the slots were read since they were made. */
function planDiscarding(
  slots: readonly Slot[],
  wanted: readonly (SessionId | undefined)[],
  observed: ObservedLease,
): LeaseStep[] {
  if (!isAllKnown(slots, observed)) return [];
  const { sessions = [], readIndex } = observed;
  const kept = new Set([...slots.filter(isHeld).map(({ session }) => session), ...wanted]);
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
  const present = slots.map(slot => (isHeld(slot) || isFree(slot) ? (slot.value?.fencingToken ?? 0n) : 0n));
  const recorded = [...(record?.names.values() ?? []), record?.head.lease?.token].map(tokenIn);
  let next = nextFencingToken([...present, ...recorded, told.highest], readIndex);
  return () => next++;
}
