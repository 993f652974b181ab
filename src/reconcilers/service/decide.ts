import { checkPlace } from '../../consul/service-ids.ts';
import { describeInstance } from '../../core/instance-names.ts';
import { type Comparison, type Comparisons, isSameService } from './compare.ts';
import type { Cause, Declarer, HealthView, ServiceFacts } from './types.ts';

/** While too many are critical at once, how often it is looked whether they still are. */
const HELD_LOOK_MS = 10_000;

/** What becomes of a wished instance. */
export interface Decision {
  readonly comparison: Comparison;
  readonly cause: Cause;
  /**
   * `put`: it is to stand as wished; `take-out`: it is not to stand, though declared; `record`: it stands, and only the record does
   * not say so.
   */
  readonly verb: 'put' | 'take-out' | 'record';
}

export interface Decisions {
  readonly all: readonly Decision[];
  /** Instances that were changed from outside, put back or not; none under `Ignore`. */
  readonly drifted: readonly string[];
}

/** Instance by instance, what is to be done so that Consul and the record say what is wished. */
export function decide(
  comparisons: Comparisons,
  facts: ServiceFacts,
  { uid, driftPolicy }: Pick<Declarer, 'uid' | 'driftPolicy'>,
): Decisions {
  const drifted: string[] = [];
  const isSuccessor = facts.record !== undefined && facts.record.head.uid !== uid;
  const all: Decision[] = [];
  for (const [name, comparison] of comparisons) {
    const decision = decideOne(comparison, facts.health, isSuccessor);
    if (decision === undefined) continue;
    const isDrift = decision.cause === 'correct';
    if (isDrift && driftPolicy !== 'Ignore') drifted.push(describeInstance(name));
    if (!isDrift || driftPolicy === 'Correct') all.push(decision);
  }
  return { all, drifted };
}

/**
 * Wish, record, Consul: three views of one instance.
 *
 * | record            | Consul            |                                                             |
 * |-------------------|-------------------|-------------------------------------------------------------|
 * | none              | absent            | create                                                      |
 * | none              | present           | adopt (whether allowed was asked before)                    |
 * | claimed           | absent            | create                                                      |
 * | claimed           | with our mark     | written by us: go on                                        |
 * | claimed           | without our mark  | adopt: somebody was faster                                  |
 * | settled, = wish   | as wished         | nothing; reap if it has been critical too long              |
 * | settled, = wish   | differs, absent   | an outside edit: `driftPolicy` decides                      |
 * | settled, ≠ wish   | as wished         | somebody made the same edit: only the record moves          |
 * | settled, ≠ wish   | differs, absent   | the wish changed: write                                     |
 * | out, = wish       | absent            | nothing, until its checks are better: return                |
 * | out, = wish       | present           | an outside edit: `driftPolicy` decides                      |
 * | out, ≠ wish       |                   | a changed declaration has a chance of its own: return       |
 */
function decideOne(comparison: Comparison, health: HealthView, isSuccessor: boolean): Decision | undefined {
  const { isOurs, isEqual, seen, state, wished } = comparison;
  const put = (cause: Cause): Decision => ({ comparison, cause, verb: 'put' });
  const record: Decision = { comparison, cause: 'record', verb: 'record' };
  if (!isOurs || state === undefined) return put(seen === undefined ? 'create' : 'adopt');
  if (state.kind === 'claimed') return isEqual ? record : put('update');
  const isAsRecorded = state.fingerprint === wished.fingerprint;
  // Another resource of this name made the record: what it left undone is no edit from outside.
  const isEdited = isAsRecorded && !isSuccessor;
  if (state.kind === 'out') {
    if (!isEdited || isRecovered(comparison, health)) return put('return');
    return seen === undefined ? undefined : { comparison, cause: 'correct', verb: 'take-out' };
  }
  if (isAsRecorded && isToBeReaped(comparison, health))
    return { comparison, cause: 'reap', verb: 'take-out' };
  // It is as declared when its new checks have run.
  if (isEqual) return isAsRecorded || comparison.awaited.length > 0 ? undefined : record;
  return put(isEdited ? 'correct' : 'update');
}

/** Whether the service itself has to be written by a request of its own. */
export function isRegistered({ comparison: { service, seen }, verb }: Decision): boolean {
  if (verb !== 'put' || service.connect === undefined) return false;
  return seen === undefined || !isSameService(service, seen);
}

/**
 * Whether the record has to announce such a request. What stands as ours by the record alone would not be told from what others
 * write, once it is announced; and an outside edit is put back without: whoever does it again would do the same.
 */
export function isToBeClaimed({ comparison: { state, isOurs, isMarked, seen }, cause }: Decision): boolean {
  if (state?.kind === 'claimed' || cause === 'correct') return false;
  return !isOurs || seen === undefined || isMarked;
}

/** A check that takes its instance out when it has been critical for long. */
interface Deadline {
  readonly status: string | undefined;
  /** How long it may be critical still; undefined: it is not. */
  readonly leftMs: number | undefined;
}

function deadlines(
  { wished, checks }: Pick<Comparison, 'wished' | 'checks'>,
  health: HealthView,
): Deadline[] {
  return checks.flatMap(({ check, says }) => {
    if (says.kind !== 'probe' || says.deregisterAfterMs === undefined) return [];
    const place = checkPlace(wished.node.node, check.id);
    const forMs = health.criticalForMs(place);
    const leftMs = forMs === undefined ? undefined : says.deregisterAfterMs - forMs;
    return [{ status: health.verdict(place)?.status, leftMs }];
  });
}

function isOverdue(comparison: Pick<Comparison, 'wished' | 'checks'>, health: HealthView): boolean {
  return deadlines(comparison, health).some(({ leftMs }) => leftMs !== undefined && leftMs <= 0);
}

/** Nothing is taken out while so much is critical at once that something else is more likely to be at fault. */
function isToBeReaped(comparison: Comparison, health: HealthView): boolean {
  return comparison.seen !== undefined && health.heldReaps === undefined && isOverdue(comparison, health);
}

function isRecovered(comparison: Comparison, health: HealthView): boolean {
  return deadlines(comparison, health).every(({ status }) => status !== undefined && status !== 'critical');
}

/** Those that have been critical for too long and stay, since too many are. */
export function keptInstances(
  wished: readonly Pick<Comparison, 'wished' | 'checks'>[],
  health: HealthView,
): number {
  if (health.heldReaps === undefined) return 0;
  return wished.filter(one => isOverdue(one, health)).length;
}

/** In how long the next instance will have been critical for too long, if nothing changes; undefined: none. */
export function nextReapMs(comparisons: Comparisons, { health }: ServiceFacts): number | undefined {
  const left = [...comparisons.values()].flatMap(comparison => {
    if (comparison.state?.kind !== 'settled' || comparison.seen === undefined) return [];
    return deadlines(comparison, health).flatMap(({ leftMs }) => {
      if (leftMs === undefined) return [];
      return leftMs <= 0 && health.heldReaps !== undefined ? [HELD_LOOK_MS] : [leftMs];
    });
  });
  return left.length === 0 ? undefined : Math.max(0, Math.min(...left));
}
