import type { AdoptionPolicy, DriftPolicy } from '../../api/v1alpha1/common.ts';
import { type ModifyIndex, NOT_THERE } from '../../consul/types.ts';
import { describeResource, type ResourceRef } from '../../core/resource.ts';
import type { ClaimsView, Owner } from '../../ownership/ledger.ts';
import { type Head, isSameHead, listedNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import type { DesiredKv } from './desire.ts';

/**
 * What is known to stand at a key. Index 0: nothing. `session`: somebody holds a lock there.
 * A key of which nothing is known is planned as absent: the compare-and-set finds out.
 */
export interface Seen {
  readonly fingerprint: string;
  readonly index: ModifyIndex;
  readonly session: boolean;
}

export interface Stranger {
  readonly key: string;
  readonly seen: Seen;
  /** False for keys that `/v1/kv` and `/v1/txn` address differently: they are reported, never touched. */
  readonly addressable: boolean;
}

export interface ObservedKv {
  readonly record: OwnerRecord | undefined;
  /** Known for every name that the record lists: a removal must not be planned on ignorance. */
  readonly seen: (key: string) => Seen | undefined;
  readonly rival: (key: string) => Owner | undefined;
  readonly prefixRival: (prefix: string) => Owner | undefined;
  /** A name below the prefix that somebody else lists. */
  readonly rivalBeneath: (prefix: string) => { readonly name: string; readonly owner: Owner } | undefined;
  /** Keys below an exclusive prefix that the resource does not declare; empty without one. */
  readonly strangers: readonly Stranger[];
  readonly claims: ClaimsView;
}

/** The resource as the planner sees it: what rides in the record, and how its policies read. */
export interface Declarer {
  readonly ref: ResourceRef;
  readonly uid: string;
  readonly generation: number;
  readonly epoch: number;
  readonly onDelete: 'Delete' | 'Retain';
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
}

/** Why a key changes, for Events and metrics. */
export type Cause = 'create' | 'update' | 'adopt' | 'correct' | 'remove' | 'stranger' | 'record';

/** One name's part in a change. `to`: the fingerprint to record; undefined takes the name out of the record. */
export interface NameChange {
  readonly name: string;
  readonly cause: Cause;
  readonly to: string | undefined;
  /** What happens to the key; its precondition is the index. */
  readonly write:
    | { readonly verb: 'none' }
    | { readonly verb: 'put' | 'delete' | 'check'; readonly index: ModifyIndex };
}

export interface KvChanges {
  readonly changes: readonly NameChange[];
  /** The head as it should stand when all is done; undefined: the record goes. */
  readonly head: Head | undefined;
  /** All of it in one transaction, or nothing. */
  readonly atomic: boolean;
}

export type KvPlan =
  | { readonly kind: 'noop'; readonly drifted: readonly string[] }
  | ({ readonly kind: 'change'; readonly drifted: readonly string[] } & KvChanges)
  | {
      readonly kind: 'refuse';
      readonly reason: 'Conflict' | 'AlreadyExists' | 'TooLarge' | 'ConsulDenied' | 'UnsupportedByConsul';
      readonly message: string;
    };

/** What `atomic` allows: judged from the wish, so that the answer never depends on what stands in Consul. */
export const ATOMIC_MAX_KEYS = 110;
export const ATOMIC_MAX_BYTES = 350_000;
const NAMED_IN_MESSAGE = 10;

/**
 * What is to be done so that Consul holds exactly what is desired, and the record says so. Pure; the difference
 * is cut into transactions by `units.ts`.
 */
export function planKv(
  desired: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  declarer: Declarer,
): KvPlan {
  const refusal =
    refuseTooLarge(desired) ??
    refuseRivals(desired, observed) ??
    refuseExisting(desired, wishes, observed, declarer);
  if (refusal !== undefined) return refusal;

  const drifted: string[] = [];
  const changes = [
    ...planDesired(wishes, observed, declarer, drifted),
    ...planRemoved(wishes, observed, declarer),
    ...planStrangers(desired, observed, declarer, drifted),
  ];
  const head = desiredHead(desired, declarer);
  const nothingToOwn = wishes.size === 0 && desired.exclusive === undefined;
  if (nothingToOwn && observed.record === undefined) return { kind: 'noop', drifted };
  const settled = observed.record !== undefined && isSameHead(head, observed.record.head);
  if (changes.length === 0 && settled) return { kind: 'noop', drifted };
  if (desired.atomic && changes.length > ATOMIC_MAX_KEYS) {
    const message = `the change touches ${changes.length} keys; atomic allows ${ATOMIC_MAX_KEYS}. Change the tree in smaller steps or without atomic`;
    return { kind: 'refuse', reason: 'TooLarge', message };
  }
  if (!observed.claims.complete && takesUnowned(changes, desired, observed)) return claimsHidden();
  return { kind: 'change', changes, head, atomic: desired.atomic, drifted };
}

/** Whether something changes hands that somebody might own whose claims are not shown to us. */
function takesUnowned(changes: readonly NameChange[], desired: DesiredKv, { record }: ObservedKv): boolean {
  const claimsPrefix = desired.exclusive !== undefined && record?.head.exclusive !== desired.exclusive;
  return claimsPrefix || changes.some(({ cause }) => cause === 'adopt' || cause === 'stranger');
}

function claimsHidden(): KvPlan {
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so nothing that exists can be taken over or removed: add ${rule}`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}

/** Towards nothing: what the record lists goes, and the record with it. Under Retain only the record. */
export function planDeletion(observed: ObservedKv, onDelete: 'Delete' | 'Retain'): KvPlan {
  const { record } = observed;
  if (record === undefined) return { kind: 'noop', drifted: [] };
  const changes = [...listedNames(record)].map(([name, fingerprint]) =>
    onDelete === 'Delete' ? remove(name, fingerprint, observed) : letGo(name),
  );
  return { kind: 'change', changes, head: undefined, atomic: false, drifted: [] };
}

const NO_WRITE = { verb: 'none' } as const;

/** The name leaves the record; what stands in Consul stays. */
function letGo(name: string): NameChange {
  return { name, cause: 'remove', to: undefined, write: NO_WRITE };
}

/** The name leaves the record and Consul, unless it was never written or turns out to be somebody else's. */
function remove(name: string, fingerprint: string, { seen, rival }: ObservedKv): NameChange {
  const index = seen(name)?.index ?? NOT_THERE;
  const isThere = isOurs(fingerprint) && index !== NOT_THERE;
  if (!isThere || rival(name) !== undefined) return letGo(name);
  return { name, cause: 'remove', to: undefined, write: { verb: 'delete', index } };
}

function refuseTooLarge(desired: DesiredKv): KvPlan | undefined {
  if (!desired.atomic) return undefined;
  const count = desired.contents.size;
  let bytes = 0;
  for (const [key, { value }] of desired.contents) bytes += Buffer.byteLength(key) + value.length;
  if (count <= ATOMIC_MAX_KEYS && bytes <= ATOMIC_MAX_BYTES) return undefined;
  return {
    kind: 'refuse',
    reason: 'TooLarge',
    message: `atomic allows ${ATOMIC_MAX_KEYS} keys and ${ATOMIC_MAX_BYTES} bytes in one transaction; declared are ${count} keys and ${bytes} bytes`,
  };
}

/** First claim keeps: whatever anyone's record lists is theirs. */
function refuseRivals(desired: DesiredKv, observed: ObservedKv): KvPlan | undefined {
  for (const key of desired.contents.keys()) {
    const rival = observed.rival(key);
    if (rival !== undefined) return conflict(`key ${key} belongs to`, rival);
  }
  if (desired.exclusive === undefined) return undefined;
  const rival = observed.prefixRival(desired.exclusive);
  if (rival !== undefined)
    return conflict(`prefix ${desired.exclusive} overlaps what is exclusive to`, rival);
  const beneath = observed.rivalBeneath(desired.exclusive);
  if (beneath === undefined) return undefined;
  return conflict(`key ${beneath.name} below the exclusive prefix belongs to`, beneath.owner);
}

function conflict(what: string, owner: Owner): KvPlan {
  const who = owner.kind === 'resource' ? describeResource(owner.ref) : `install ${owner.install}`;
  return { kind: 'refuse', reason: 'Conflict', message: `${what} ${who}` };
}

/** What exists without an owner is taken only as `adoptionPolicy` says. */
function refuseExisting(
  desired: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  { adoptionPolicy }: Declarer,
): KvPlan | undefined {
  const listed = observed.record === undefined ? new Map<string, string>() : listedNames(observed.record);
  const inTheWay: string[] = [];
  for (const [name, wish] of wishes) {
    const seen = observed.seen(name);
    if (isOurs(listed.get(name)) || seen === undefined || seen.index === 0) continue;
    const takeable =
      !seen.session &&
      (adoptionPolicy === 'Always' || (adoptionPolicy === 'IfEqual' && seen.fingerprint === wish));
    if (!takeable) inTheWay.push(seen.session ? `${name} (a lock is held there)` : name);
  }
  const claimed = observed.record?.head.exclusive;
  if (desired.exclusive !== undefined && claimed !== desired.exclusive && adoptionPolicy !== 'Always') {
    for (const { key } of observed.strangers) inTheWay.push(key);
  }
  if (inTheWay.length === 0) return undefined;
  const named = inTheWay.slice(0, NAMED_IN_MESSAGE).join(', ');
  const more = inTheWay.length > NAMED_IN_MESSAGE ? ` and ${inTheWay.length - NAMED_IN_MESSAGE} more` : '';
  return {
    kind: 'refuse',
    reason: 'AlreadyExists',
    message: `in Consul already, without an owner, and adoptionPolicy ${adoptionPolicy} does not take them: ${named}${more}`,
  };
}

function isOurs(fingerprint: string | undefined): boolean {
  return fingerprint !== undefined && fingerprint !== UNWRITTEN;
}

function planDesired(
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  declarer: Declarer,
  drifted: string[],
): NameChange[] {
  const listed = observed.record === undefined ? new Map<string, string>() : listedNames(observed.record);
  const changes: NameChange[] = [];
  for (const [name, wish] of wishes) {
    const change = planName(name, wish, listed.get(name), observed.seen(name), declarer, drifted);
    if (change !== undefined) changes.push(change);
  }
  return changes;
}

/**
 * Wish, record, Consul: three fingerprints of one name.
 *
 * | record      | Consul        |                                                    |
 * |-------------|---------------|----------------------------------------------------|
 * | none        | absent        | create                                             |
 * | none        | present       | adopt (whether allowed was asked before)           |
 * | = wish      | = wish        | nothing                                            |
 * | = wish      | ≠ wish        | an outside edit: `driftPolicy` decides             |
 * | ≠ wish      | = wish        | somebody made the same edit: only the record moves |
 * | ≠ wish      | ≠ wish        | the wish changed: write                            |
 */
function planName(
  name: string,
  wish: string,
  recorded: string | undefined,
  seen: Seen | undefined,
  { driftPolicy }: Declarer,
  drifted: string[],
): NameChange | undefined {
  const index = seen?.index ?? NOT_THERE;
  const equal = index > 0 && seen?.fingerprint === wish;
  const put = (cause: Cause): NameChange => ({ name, cause, to: wish, write: { verb: 'put', index } });
  if (!isOurs(recorded)) {
    if (index === 0) return put('create');
    return equal ? { name, cause: 'adopt', to: wish, write: { verb: 'check', index } } : put('adopt');
  }
  if (equal) return recorded === wish ? undefined : { name, cause: 'record', to: wish, write: NO_WRITE };
  if (recorded !== wish) return put('update');
  // Listed, and nobody has looked since: believed to be as recorded.
  if (seen === undefined || driftPolicy === 'Ignore') return undefined;
  drifted.push(name);
  return driftPolicy === 'Correct' ? put('correct') : undefined;
}

/**
 * A name taken out of the spec leaves Consul, whatever was done to it there. Unless another resource of this name,
 * deleted under Retain, left it behind.
 */
function planRemoved(
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  { uid }: Declarer,
): NameChange[] {
  const { record } = observed;
  if (record === undefined) return [];
  const isRetained = record.head.uid !== uid && record.head.onDelete === 'Retain';
  return [...listedNames(record)]
    .filter(([name]) => !wishes.has(name))
    .map(([name, fingerprint]) => (isRetained ? letGo(name) : remove(name, fingerprint, observed)));
}

/** Below an exclusive prefix: removed at the first claim (asked before) and later as drift; never a lock's key. */
function planStrangers(
  desired: DesiredKv,
  { record, strangers }: ObservedKv,
  { driftPolicy }: Declarer,
  drifted: string[],
): NameChange[] {
  if (desired.exclusive === undefined) return [];
  const firstClaim = record?.head.exclusive !== desired.exclusive || record.head.clearing === true;
  const changes: NameChange[] = [];
  for (const { key, seen, addressable } of strangers) {
    if (!firstClaim && driftPolicy === 'Ignore') continue;
    if (!firstClaim || !addressable || seen.session) drifted.push(key);
    if (!addressable || seen.session || (!firstClaim && driftPolicy === 'Report')) continue;
    changes.push({
      name: key,
      cause: 'stranger',
      to: undefined,
      write: { verb: 'delete', index: seen.index },
    });
  }
  return changes;
}

function desiredHead(desired: DesiredKv, { uid, generation, epoch, onDelete }: Declarer): Head {
  const { exclusive } = desired;
  const head = { uid, generation, epoch, onDelete, phase: 'settled' as const };
  return exclusive === undefined ? head : { ...head, exclusive };
}
