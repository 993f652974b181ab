import { describeOwner, type Owner } from '../../ownership/owner.ts';
import { named } from '../../core/named.ts';
import { listedNames, UNWRITTEN } from '../../ownership/record.ts';
import type { DesiredKv } from './desire.ts';
import type { Declarer, KvChanges, KvPlan, ObservedKv } from './types.ts';

/** Why nothing at all may be written, each as a result that the user can act on; undefined: no reason. */
export type Refusal = Extract<KvPlan, { kind: 'refuse' }>;

/** First claim keeps: whatever anyone's record lists is theirs. */
export function refuseRivals(desired: DesiredKv, observed: ObservedKv): Refusal | undefined {
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

function conflict(what: string, owner: Owner): Refusal {
  return { kind: 'refuse', reason: 'Conflict', message: `${what} ${describeOwner(owner)}` };
}

/** What exists without an owner is taken only as `adoptionPolicy` says. */
export function refuseExisting(
  desired: DesiredKv,
  wishes: ReadonlyMap<string, string>,
  observed: ObservedKv,
  { adoptionPolicy }: Declarer,
): Refusal | undefined {
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
  return {
    kind: 'refuse',
    reason: 'AlreadyExists',
    message: `in Consul already, without an owner, and adoptionPolicy ${adoptionPolicy} does not take them: ${named(inTheWay)}`,
  };
}

/** Nothing changes hands that somebody might own whose claims are not shown to us. */
export function refuseBlindly(
  { changes }: KvChanges,
  desired: DesiredKv,
  { record, claims }: ObservedKv,
): Refusal | undefined {
  if (claims.complete) return undefined;
  const claimsPrefix = desired.exclusive !== undefined && record?.head.exclusive !== desired.exclusive;
  const takes = claimsPrefix || changes.some(({ cause }) => cause === 'adopt' || cause === 'stranger');
  if (!takes) return undefined;
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so nothing that exists can be taken over or removed: add ${rule}`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}

/** Whether the record says that the name was written, not merely claimed. */
export function isOurs(fingerprint: string | undefined): boolean {
  return fingerprint !== undefined && fingerprint !== UNWRITTEN;
}
