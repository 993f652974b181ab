import { type ClaimState, parseClaimName, readClaimState } from '../../core/intention-claims.ts';
import { listedNames } from '../../ownership/record.ts';
import type { Cause, Declarer, EntryEdit, IntentionFacts, IntentionWish, WishedClaim } from './types.ts';

/** What becomes of one claim. `to`: what the record says of it when all is done; undefined: nothing. */
export interface Decision {
  readonly name: string;
  readonly destination: string;
  readonly cause: Cause;
  readonly to: string | undefined;
  /** What happens in the entry. */
  readonly write: 'none' | 'remove' | WishedClaim;
  /** What the record says of it now. */
  readonly state: ClaimState | undefined;
}

export interface Decisions {
  readonly all: readonly Decision[];
  /** Claims that were edited from outside, put back or not; none under `Ignore`. */
  readonly drifted: readonly string[];
}

/** Claim by claim, what is to be done so that Consul and the record say what is wished. */
export function decide(
  wish: IntentionWish,
  facts: IntentionFacts,
  declarer: Pick<Declarer, 'uid' | 'driftPolicy'>,
): Decisions {
  const recorded = statesIn(facts);
  const drifted: string[] = [];
  const all: Decision[] = [];
  for (const [name, wished] of wish.claims) {
    const claim = { name, wished, state: recorded.get(name), stands: standing(facts, name) };
    const cause = causeFor(claim);
    // Whoever made the record may be another resource of this name, which was about to remove what it lists.
    const isDrift = cause === 'update' && isAsRecorded(claim) && facts.record?.head.uid === declarer.uid;
    if (isDrift && declarer.driftPolicy !== 'Ignore') drifted.push(name);
    if (cause === undefined || (isDrift && declarer.driftPolicy !== 'Correct')) continue;
    const isThere = claim.stands === wished.fingerprint;
    all.push({
      name,
      destination: wish.destination,
      cause: isDrift ? 'correct' : cause,
      to: wished.fingerprint,
      write: isThere ? 'none' : wished,
      state: claim.state,
    });
  }
  const isRetained = isLeftBehind(facts, declarer.uid);
  for (const [name, state] of recorded) {
    if (!wish.claims.has(name)) all.push(decideRemoval(name, state, facts, isRetained));
  }
  return { all, drifted };
}

/** What a decision does to the entry. */
export function asEdit({ name, cause, write }: Decision): EntryEdit {
  return { name, cause, verb: typeof write === 'string' ? write : 'put' };
}

/** Towards nothing: what is listed goes; under Retain only from the record. */
export function decideEnd(facts: IntentionFacts, onDelete: 'Delete' | 'Retain'): readonly Decision[] {
  return [...statesIn(facts)].map(([name, state]) =>
    decideRemoval(name, state, facts, onDelete === 'Retain'),
  );
}

interface Claim {
  readonly wished: WishedClaim;
  readonly state: ClaimState | undefined;
  readonly stands: string | undefined;
}

/**
 * Wish, record, Consul: three fingerprints of one claim.
 *
 * | record            | Consul  |                                                              |
 * |-------------------|---------|--------------------------------------------------------------|
 * | none, or claimed  | absent  | create                                                       |
 * | none, or claimed  | present | adopt (whether allowed was asked before)                     |
 * | claimed as it is  | present | ours, and only the record does not say so yet: as `changing` |
 * | settled, = wish   | = wish  | nothing                                                      |
 * | settled, = wish   | ≠ wish  | an outside edit: `driftPolicy` decides                       |
 * | settled, ≠ wish   | = wish  | somebody made the same edit: only the record moves           |
 * | settled, ≠ wish   | ≠ wish  | the wish changed: write                                      |
 * | changing          | = wish  | only the record moves                                        |
 * | changing          | ≠ wish  | write                                                        |
 */
function causeFor({ wished, state, stands }: Claim): Cause | undefined {
  if (!isOwned(state, stands)) return stands === undefined ? 'create' : 'adopt';
  if (stands !== wished.fingerprint) return 'update';
  return isAsRecorded({ wished, state }) ? undefined : 'record';
}

/** What is wished was written already, and nothing else since. */
function isAsRecorded({ wished, state }: Pick<Claim, 'wished' | 'state'>): boolean {
  return state?.kind === 'settled' && state.fingerprint === wished.fingerprint;
}

/** A claim taken out of the spec leaves Consul, whatever was done to it there; unless it was never ours. */
function decideRemoval(
  name: string,
  state: ClaimState,
  facts: IntentionFacts,
  isRetained: boolean,
): Decision {
  const stands = standing(facts, name);
  const goes =
    !isRetained && stands !== undefined && isOwned(state, stands) && facts.rival(name) === undefined;
  const destination = parseClaimName(name)?.destination ?? '';
  return { name, destination, cause: 'remove', to: undefined, write: goes ? 'remove' : 'none', state };
}

/** Another resource of this name, deleted under Retain, left its claims behind. */
function isLeftBehind({ record }: IntentionFacts, uid: string): boolean {
  return record !== undefined && record.head.uid !== uid && record.head.onDelete === 'Retain';
}

/** Whether what stands there is the resource's, by its record. */
export function isOwned(state: ClaimState | undefined, stands: string | undefined): boolean {
  if (state?.kind !== 'claimed') return state !== undefined;
  return stands !== undefined && stands === state.intended;
}

/** The fingerprint of what stands under the name; undefined: nothing. */
export function standing({ entry }: IntentionFacts, name: string): string | undefined {
  const claim = parseClaimName(name);
  return claim === undefined ? undefined : entry(claim.destination)?.fingerprints.get(name);
}

/** What the record says of each claim it lists. */
export function statesIn({ record }: Pick<IntentionFacts, 'record'>): ReadonlyMap<string, ClaimState> {
  if (record === undefined) return new Map();
  return new Map([...listedNames(record)].map(([name, recorded]) => [name, readClaimState(recorded)]));
}
