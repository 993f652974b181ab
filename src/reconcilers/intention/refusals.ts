import { describeOwner } from '../../ownership/owner.ts';
import { MAX_ENTRY_BYTES } from '../../consul/types.ts';
import { describeClaim } from '../../core/intention-claims.ts';
import { named } from '../../core/named.ts';
import type { KindPlan } from '../../runtime/kind.ts';
import { type Decision, isOwned, standing, statesIn } from './decide.ts';
import type { Declarer, EntryWrite, IntentionFacts, IntentionWish } from './types.ts';

/** Why nothing at all may be written, each as a result that the user can act on; undefined: no reason. */
export type Refusal = Extract<KindPlan<never>, { kind: 'refuse' }>;

/** First claim keeps: whatever anyone's record lists is theirs. */
export function refuseRivals(
  { destination, claims }: IntentionWish,
  { rival }: IntentionFacts,
): Refusal | undefined {
  for (const name of claims.keys()) {
    const owner = rival(name);
    if (owner === undefined) continue;
    const message = `${describeClaim(name)} of destination ${destination} belongs to ${describeOwner(owner)}`;
    return { kind: 'refuse', reason: 'Conflict', message };
  }
  return undefined;
}

/** What exists without an owner is taken only as `adoptionPolicy` says. */
export function refuseExisting(
  { destination, claims }: IntentionWish,
  facts: IntentionFacts,
  { adoptionPolicy }: Pick<Declarer, 'adoptionPolicy'>,
): Refusal | undefined {
  const states = statesIn(facts);
  const inTheWay = [...claims].filter(([name, { fingerprint }]) => {
    const stands = standing(facts, name);
    if (stands === undefined || isOwned(states.get(name), stands)) return false;
    return adoptionPolicy === 'Never' || (adoptionPolicy === 'IfEqual' && stands !== fingerprint);
  });
  if (inTheWay.length === 0) return undefined;
  const names = inTheWay.map(([name]) => describeClaim(name));
  const message = `in Consul already for destination ${destination}, without an owner, and adoptionPolicy ${adoptionPolicy} does not take them: ${named(names)}`;
  return { kind: 'refuse', reason: 'AlreadyExists', message };
}

/** Nothing changes hands that somebody might own whose claims are not shown to us. */
export function refuseBlindly(
  decisions: readonly Decision[],
  { claims }: IntentionFacts,
): Refusal | undefined {
  if (claims.complete || !decisions.some(({ cause }) => cause === 'adopt')) return undefined;
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so no source that exists can be taken over: add ${rule}`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}

/** What Consul would not take back, and what it should not be given. Before anything is claimed. */
export function refuseWrites(writes: readonly EntryWrite[], facts: IntentionFacts): Refusal | undefined {
  for (const write of writes) {
    const refusal = refuseLegacy(write, facts) ?? refuseLarge(write, facts);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Consul refuses an entry with such a source in it: it would lose what an outsider wrote. So would we. */
function refuseLegacy({ destination, body, edits }: EntryWrite, facts: IntentionFacts): Refusal | undefined {
  const replaced = new Set(edits.map(({ name }) => name));
  const sources = [...(facts.entry(destination)?.contents.sources ?? [])];
  const legacy = sources.filter(([name, { isLegacy }]) => isLegacy && !replaced.has(name));
  if (body === undefined || legacy.length === 0) return undefined;
  const names = named(legacy.map(([name]) => describeClaim(name)));
  const message = `destination ${destination} has sources with metadata of Consul's legacy intention API, with which its entry cannot be written: write them anew without metadata: ${names}`;
  return { kind: 'refuse', reason: 'UnsupportedByConsul', message };
}

/** An entry that was too large before may still shrink. */
function refuseLarge({ destination, body }: EntryWrite, facts: IntentionFacts): Refusal | undefined {
  const bytes = sizeOf(body);
  if (bytes <= MAX_ENTRY_BYTES || bytes < sizeOf(facts.entry(destination)?.contents.body)) return undefined;
  // Not how many there would be: that moves with every edit by others, and the status of all who wait would with it.
  const message = `with these sources the entry of destination ${destination} would be larger than ${MAX_ENTRY_BYTES} bytes, those of others included. Declare fewer sources, or fewer and shorter permissions and descriptions`;
  return { kind: 'refuse', reason: 'TooLarge', message };
}

function sizeOf(body: EntryWrite['body']): number {
  return body === undefined
    ? 0
    : Buffer.byteLength(JSON.stringify(body, (_key, value: unknown) => plain(value)));
}

/** Numbers of 64 bits are read as bigint, which JSON does not know. */
function plain(value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
