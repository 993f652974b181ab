import { NOT_THERE } from '../../consul/types.ts';
import { type Head, isSameHead, listedNames } from '../../ownership/record.ts';
import type { DesiredKv } from './desire.ts';
import { isOurs, refuseBlindly, refuseExisting, refuseRivals } from './refusals.ts';
import type { Seen } from '../../mirror/key-mirror.ts';
import type { Cause, Declarer, KvChanges, KvPlan, NameChange, ObservedKv } from './types.ts';

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
  const refusal = refuseRivals(desired, observed) ?? refuseExisting(desired, wishes, observed, declarer);
  if (refusal !== undefined) return refusal;

  const drifted: string[] = [];
  const changes = [
    ...planDesired(wishes, observed, declarer, drifted),
    ...planRemoved(wishes, observed, declarer),
    ...planStrangers(desired, observed, declarer, drifted),
  ];
  const change = { changes, head: desiredHead(desired, declarer), atomic: desired.atomic };
  if (isNothing(change, desired, observed)) return { kind: 'noop', drifted };
  return refuseBlindly(change, desired, observed) ?? { kind: 'change', ...change, drifted };
}

function isNothing(
  { changes, head }: KvChanges,
  { contents, exclusive }: DesiredKv,
  { record }: ObservedKv,
): boolean {
  if (record === undefined) return contents.size === 0 && exclusive === undefined;
  return changes.length === 0 && head !== undefined && isSameHead(head, record.head);
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
