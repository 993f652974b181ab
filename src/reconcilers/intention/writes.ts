import { NOT_THERE } from '../../consul/types.ts';
import { CHANGING, claimPrefix, type ClaimState, markClaimed } from '../../core/intention-claims.ts';
import type { CanonicalJwt, CanonicalSource } from './canonical.ts';
import { asEdit, type Decision, isOwned, standing, statesIn } from './decide.ts';
import { type EntryMerge, mergeEntry } from './entry.ts';
import type { ClaimEdit, EntryWrite, IntentionFacts, Writer } from './types.ts';

/** The entries as the decisions want them, one for each destination in which something changes. */
export function entryWrites(
  decisions: readonly Decision[],
  facts: IntentionFacts,
  writer: Writer,
): EntryWrite[] {
  const written = decisions.filter(({ write }) => write !== 'none');
  const destinations = new Set(written.map(({ destination }) => destination));
  return [...destinations].map(destination => {
    const here = written.filter(decision => decision.destination === destination);
    const merge = mergeOf(destination, here, facts, writer);
    const seen = facts.entry(destination);
    return {
      destination,
      body: mergeEntry(seen?.contents.body, merge),
      index: seen?.index ?? NOT_THERE,
      edits: here.map(asEdit),
    };
  });
}

function mergeOf(
  destination: string,
  here: readonly Decision[],
  facts: IntentionFacts,
  writer: Writer,
): EntryMerge {
  const put = new Map<string, CanonicalSource>();
  let jwt: CanonicalJwt | undefined;
  for (const { name, write } of here) {
    if (write === 'none' || write === 'remove') continue;
    if (write.kind === 'source') put.set(name, write.content);
    else jwt = write.content;
  }
  const remove = new Set(here.filter(({ write }) => write === 'remove').map(({ name }) => name));
  const keepsOurs = put.size > 0 || jwt !== undefined || isAnyKept(destination, remove, facts);
  return { destination, put, remove, jwt, keepsOurs, ...writer };
}

/** Whether anything of this install stands in the entry and stays. */
function isAnyKept(destination: string, removed: ReadonlySet<string>, facts: IntentionFacts): boolean {
  const records = [facts.record, ...facts.neighbours(destination)];
  return records.some(record =>
    [...statesIn({ record })].some(
      ([name, state]) => isHere(destination, name) && !removed.has(name) && isOwnAndThere(name, state, facts),
    ),
  );
}

function isHere(destination: string, name: string): boolean {
  return name.startsWith(claimPrefix(destination));
}

function isOwnAndThere(name: string, state: ClaimState, facts: IntentionFacts): boolean {
  const stands = standing(facts, name);
  return stands !== undefined && isOwned(state, stands);
}

/**
 * What the record has to say before the entries are written: what comes is claimed, what is ours and changes is marked,
 * what is only let go of is out. An outside edit is put back without: whoever does it again would do the same.
 */
export function claimEdits(decisions: readonly Decision[]): ClaimEdit[] {
  return decisions.flatMap((decision): ClaimEdit[] => {
    const { name, cause, write, state } = decision;
    if (write === 'none') return cause === 'remove' ? [{ name, cause, to: undefined }] : [];
    const mark = markFor(decision);
    return mark === undefined || isMarked(state, mark) ? [] : [{ name, cause, to: mark }];
  });
}

/** Undefined: no mark is needed. */
function markFor({ cause, to }: Decision): string | undefined {
  if (cause === 'correct') return undefined;
  const isNew = cause === 'create' || cause === 'adopt';
  return isNew && to !== undefined ? markClaimed(to) : CHANGING;
}

function isMarked(state: ClaimState | undefined, mark: string): boolean {
  if (state?.kind === 'claimed') return state.intended !== undefined && markClaimed(state.intended) === mark;
  return state?.kind === 'changing' && mark === CHANGING;
}

/** What the record has to say once the entries are as wanted. */
export function settleEdits(decisions: readonly Decision[]): ClaimEdit[] {
  return decisions.map(({ name, cause, to }) => ({ name, cause, to }));
}
