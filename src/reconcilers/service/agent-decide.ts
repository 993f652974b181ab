import { describeInstance } from '../../core/instance-names.ts';
import type { AgentView } from '../../mirror/agent-mirror.ts';
import type { AgentComparison, AgentComparisons } from './agent-compare.ts';
import { declaresSame } from './agent-fingerprints.ts';
import type { AgentFacts } from './agent-types.ts';
import type { Cause, Declarer } from './types.ts';

/** What becomes of a wished instance. */
export interface AgentDecision {
  readonly comparison: AgentComparison;
  readonly cause: Cause;
  /** `put`: it is registered; `take-out`: it is gone, and stays so; `record`: it stands, and only the record does not say so. */
  readonly verb: 'put' | 'take-out' | 'record';
}

export interface AgentDecisions {
  readonly all: readonly AgentDecision[];
  /** Instances that were changed from outside, put back or not; none under `Ignore`. */
  readonly drifted: readonly string[];
}

/** Instance by instance, what is to be done so that the agent and the record say what is wished. */
export function decideForAgent(
  comparisons: AgentComparisons,
  { record, agent }: AgentFacts,
  { uid, driftPolicy }: Pick<Declarer, 'uid' | 'driftPolicy'>,
): AgentDecisions {
  const drifted: string[] = [];
  const isSuccessor = record !== undefined && record.head.uid !== uid;
  const all: AgentDecision[] = [];
  for (const [name, comparison] of comparisons) {
    const decision = decideOne(comparison, agent, isSuccessor);
    if (decision === undefined) continue;
    const isDrift = decision.cause === 'correct';
    if (isDrift && driftPolicy !== 'Ignore') drifted.push(describeInstance(name));
    if (!isDrift || driftPolicy === 'Correct') all.push(decision);
  }
  return { all, drifted };
}

/**
 * Wish, record, agent: three views of one instance.
 *
 * | record                    | agent                | at the agent it is                                           |
 * |---------------------------|----------------------|--------------------------------------------------------------|
 * | none, or claimed          | absent               | created, once it is ready                                    |
 * | none, or claimed          | without our mark     | adopted (whether allowed was asked before)                   |
 * | claimed                   | with our mark        | as wished: left; else written                                |
 * | settled, = wish           | as wished            | left                                                         |
 * | settled, = wish           | differs, absent      | edited from outside: `driftPolicy` decides                   |
 * | settled, = wish           | absent, was critical | taken out by the agent, as declared: for that long           |
 * | settled, for other memory | absent               | lost by the agent: it gets it back                           |
 * | settled, ≠ wish           | as wished            | left: only the record moves                                  |
 * | settled, ≠ wish           | differs, absent      | written, for the wish changed                                |
 * | out, = wish               | absent               | left out                                                     |
 * | out, = wish               | with our mark        | there after all                                              |
 * | out, ≠ wish               |                      | back: a changed declaration has a chance of its own          |
 */
function decideOne(
  comparison: AgentComparison,
  agent: AgentView,
  isSuccessor: boolean,
): AgentDecision | undefined {
  const { isOurs, isEqual, seen, state, wished } = comparison;
  const decided = (verb: AgentDecision['verb'], cause: Cause) => ({ comparison, cause, verb });
  const isSame =
    state?.kind !== 'claimed' && state !== undefined && declaresSame(state.fingerprint, wished.fingerprint);
  if (!isOurs || state === undefined) {
    if (seen !== undefined) return decided(isEqual ? 'record' : 'put', 'adopt');
    if (!wished.isReady || isSame) return undefined;
    return decided('put', state?.kind === 'out' ? 'return' : 'create');
  }
  if (state.kind === 'claimed') return isEqual ? decided('record', 'record') : decided('put', 'update');
  if (state.kind === 'out') return decided(isEqual ? 'record' : 'put', 'return');
  // Another resource of this name made the record: what it left undone is no edit from outside.
  const isAsRecorded = state.fingerprint === wished.fingerprint;
  const isEdited = isAsRecorded && !isSuccessor;
  if (seen === undefined) {
    if (isAsRecorded && isReaped(comparison, agent)) return decided('take-out', 'reap');
    if (!wished.isReady) return undefined;
    if (isEdited) return decided('put', 'correct');
    return decided('put', isSame ? 'return' : 'update');
  }
  if (isEqual) return isAsRecorded ? undefined : decided('record', 'record');
  return decided('put', isEdited ? 'correct' : 'update');
}

/** What lies between two looks at an agent, at the beginning of that time and at its end. */
const UNSEEN_MS = 15_000;

/**
 * An agent says nothing of a service that it has taken out for having been critical too long. It did not lose it, or its memory would
 * be another; and it does not take out what has not been critical for that long. Of what nobody saw it is not believed: taken for
 * reaped it would be gone for good, while one that is put back wrongly is taken out once more, and seen.
 */
function isReaped({ wished: { checks, service } }: AgentComparison, agent: AgentView): boolean {
  return checks.some(
    ({ id, deregisterAfterMs }) =>
      deregisterAfterMs !== undefined && agent.criticalMs(service.id, id) >= deregisterAfterMs - UNSEEN_MS,
  );
}

/**
 * Whether the record has to announce the write: else a crash right after it would leave what looks like an outside edit as soon as
 * the old declaration is back. What stands as ours by the record alone would not be told from what others write, once it is announced.
 */
export function isToBeAnnounced({ comparison, verb }: AgentDecision): boolean {
  const { state, wished, isMarked, seen } = comparison;
  if (verb !== 'put') return false;
  if (state?.kind !== 'settled') return state === undefined;
  return !declaresSame(state.fingerprint, wished.fingerprint) && (seen === undefined || isMarked);
}
