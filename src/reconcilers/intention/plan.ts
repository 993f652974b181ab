import type { DeletionPolicy } from '../../api/v1alpha1/common.ts';
import { describeClaim } from '../../core/intention-claims.ts';
import { type Head, isSameHead } from '../../ownership/record.ts';
import type { KindPlan } from '../../runtime/kind.ts';
import {
  asEdit,
  type Decision,
  type Decisions,
  decide,
  decideEnd,
  isOwned,
  standing,
  statesIn,
} from './decide.ts';
import { refuseBlindly, refuseExisting, refuseRivals, refuseWrites } from './refusals.ts';
import { summarize } from './report.ts';
import type {
  Declarer,
  EntryWrite,
  IntentionChange,
  IntentionFacts,
  IntentionWish,
  Writer,
} from './types.ts';
import { claimEdits, entryWrites, settleEdits } from './writes.ts';

export type IntentionPlan = KindPlan<IntentionChange>;

/** When to look again although none of the objects that are missing has been seen to appear. */
const LOOK_AGAIN_MS = 60_000;

/**
 * The next step so that Consul holds the sources that are wished, and the record says so; see `IntentionChange`. Pure.
 * Sources that the record does not list stay as they are, unless `adoptionPolicy` lets them be taken.
 */
export function planIntention(wish: IntentionWish, facts: IntentionFacts, declarer: Declarer): IntentionPlan {
  const taken = refuseRivals(wish, facts) ?? refuseExisting(wish, facts, declarer);
  if (taken !== undefined) return taken;
  const { all, drifted, writes } = decideAll(wish, facts, declarer);
  const refusal = refuseBlindly(all, facts) ?? refuseWrites(writes, facts);
  if (refusal !== undefined) return letGoOfClaims(facts, declarer) ?? refusal;
  const missing = facts.refused?.generation === declarer.generation ? facts.refused.missing : [];
  const blocked = writes.length > 0 ? (waitForEpoch(writes, facts, declarer) ?? waitFor(missing)) : undefined;
  if (blocked !== undefined) return blocked;

  const change = nextStep({ all, writes }, facts, declarer);
  const names = drifted.map(describeClaim);
  if (change === undefined) return { kind: 'noop', drifted: names };
  return {
    kind: 'change',
    change,
    drifted: names,
    summary: summarize(all.map(asEdit)),
    equal: writes.length === 0,
  };
}

/**
 * The next step towards nothing: what the record lists leaves Consul, then the record goes. Under Retain only the
 * record, and no entry is touched.
 */
export function planIntentionEnd(
  facts: IntentionFacts,
  onDelete: DeletionPolicy,
  writer: Writer,
): IntentionPlan {
  if (facts.record === undefined) return { kind: 'noop', drifted: [] };
  const all = decideEnd(facts, onDelete);
  const writes = entryWrites(all, facts, writer);
  const refusal = refuseWrites(writes, facts);
  if (refusal !== undefined) return refusal;
  const [first] = writes;
  if (first !== undefined) {
    const blocked = waitForEpoch(writes, facts, writer) ?? waitFor(facts.refused?.missing ?? []);
    if (blocked !== undefined) return blocked;
  }
  const change: IntentionChange =
    first === undefined
      ? { step: 'end', edits: settleEdits(all) }
      : { step: 'entry', isFirst: false, ...first };
  return {
    kind: 'change',
    change,
    drifted: [],
    summary: summarize(all.map(asEdit)),
    equal: first === undefined,
  };
}

interface AllDecisions extends Decisions {
  readonly writes: readonly EntryWrite[];
}

function decideAll(wish: IntentionWish, facts: IntentionFacts, declarer: Declarer): AllDecisions {
  const asDeclared = withWrites(decide(wish, facts, declarer), facts, declarer);
  if (!isWithoutSources(asDeclared)) return asDeclared;
  // Consul keeps no JWT requirement in an entry without a source, so the sources that are missing come back with it.
  return withWrites(decide(wish, facts, { ...declarer, driftPolicy: 'Correct' }), facts, declarer);
}

function withWrites(decisions: Decisions, facts: IntentionFacts, writer: Writer): AllDecisions {
  const { installId, epoch } = writer;
  return { ...decisions, writes: entryWrites(decisions.all, facts, { installId, epoch }) };
}

function isWithoutSources({ writes }: AllDecisions): boolean {
  return writes.some(({ body, edits }) => body === undefined && edits.some(({ verb }) => verb === 'put'));
}

function nextStep(
  { all, writes }: Pick<AllDecisions, 'all' | 'writes'>,
  facts: IntentionFacts,
  declarer: Declarer,
): IntentionChange | undefined {
  const [first] = writes;
  if (first === undefined) return settle(all, facts, declarer);
  const edits = claimEdits(all);
  if (edits.some(({ to }) => to !== undefined)) {
    const adopts = edits.some(({ cause }) => cause === 'create' || cause === 'adopt');
    return { step: 'claim', edits, head: headFor(declarer, 'claiming'), adopts };
  }
  return { step: 'entry', isFirst: ownsNothing(facts), ...first };
}

function settle(
  all: readonly Decision[],
  { record }: IntentionFacts,
  declarer: Declarer,
): IntentionChange | undefined {
  const head = headFor(declarer, 'settled');
  if (all.length === 0 && record !== undefined && isSameHead(record.head, head)) return undefined;
  return {
    step: 'settle',
    edits: settleEdits(all),
    head,
    adopts: all.some(({ cause }) => cause === 'adopt'),
  };
}

/** What was claimed when it could still be written, and cannot any more: nobody else should wait for it. */
function letGoOfClaims(facts: IntentionFacts, declarer: Declarer): IntentionPlan | undefined {
  const unwritten = [...statesIn(facts)].filter(
    ([name, state]) => state.kind === 'claimed' && !isOwned(state, standing(facts, name)),
  );
  if (unwritten.length === 0) return undefined;
  const edits = unwritten.map(([name]) => ({ name, cause: 'remove', to: undefined }) as const);
  const change = { step: 'claim', edits, head: headFor(declarer, 'claiming'), adopts: false } as const;
  return { kind: 'change', change, drifted: [], summary: 'let go of what cannot be written', equal: false };
}

function headFor({ uid, generation, epoch, onDelete }: Declarer, phase: Head['phase']): Head {
  return { uid, generation, epoch, onDelete, phase };
}

function ownsNothing(facts: IntentionFacts): boolean {
  return ![...statesIn(facts)].some(([name, state]) => isOwned(state, standing(facts, name)));
}

/** Promise of a single leader: whoever wrote under our mark in a later tenure leads now, not this process. */
function waitForEpoch(
  writes: readonly EntryWrite[],
  { entry }: IntentionFacts,
  { installId, epoch }: Writer,
): IntentionPlan | undefined {
  for (const { destination } of writes) {
    const later = entry(destination)?.contents.epochs.get(installId) ?? 0;
    if (later <= epoch) continue;
    const message = `the entry of destination ${destination} was written in tenure ${later} of this install, and this is tenure ${epoch}`;
    return { kind: 'wait', reason: 'Progressing', message };
  }
  return undefined;
}

function waitFor(missing: readonly string[]): IntentionPlan | undefined {
  if (missing.length === 0) return undefined;
  return {
    kind: 'wait',
    reason: 'DependencyNotReady',
    message: missing.join('; '),
    againMs: LOOK_AGAIN_MS,
  };
}
