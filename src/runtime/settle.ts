import { isDeepStrictEqual } from 'node:util';
import type { CommonStatus, EventReason } from '../api/v1alpha1/common.ts';
import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import type { Condition } from '../core/conditions.ts';
import { AbortedError, ConflictError, messageOf, RetryableError, TerminalError } from '../core/errors.ts';
import type { Ending } from './ending.ts';
import { reasonOf } from './status.ts';
import type { TurnResult } from './workers.ts';

/** A refusal is looked at again when what caused it changes; this is for changes that nobody can see. */
const LOOK_AGAIN_MS = 300_000;
/** How often a key is retried at most while Consul is away. */
const AWAY_CAP_MS = 30_000;
/** An outage shorter than this, such as a leader election, does not reach any status. */
export const OUTAGE_GRACE_MS = 10_000;

/** What the queue is told: exactly one of forget, requeue after, retry with backoff. */
export function nextFor(ending: Ending): TurnResult {
  switch (ending.kind) {
    case 'converged':
    case 'withheld':
    case 'released':
      return { kind: 'done' };
    case 'waiting':
      return { kind: 'requeue', afterMs: LOOK_AGAIN_MS };
    case 'refused':
      return STALLING_REASONS.has(ending.reason)
        ? { kind: 'requeue', afterMs: LOOK_AGAIN_MS }
        : { kind: 'retry' };
    case 'failed':
      return ending.awayForMs === undefined ? nextAfter(ending.error) : nextWhileAway(ending.awayForMs);
  }
}

/** Told once the outage is worth it; then there is nothing to do until Consul is back, when all are looked at. */
function nextWhileAway(awayForMs: number): TurnResult {
  return awayForMs >= OUTAGE_GRACE_MS
    ? { kind: 'done' }
    : { kind: 'requeue', afterMs: OUTAGE_GRACE_MS - awayForMs };
}

function nextAfter(error: unknown): TurnResult {
  if (error instanceof RetryableError) {
    const minMs = error.retryAfterMs === undefined ? {} : { minMs: error.retryAfterMs };
    return error.reason === 'ConsulUnreachable'
      ? { kind: 'retry', capMs: AWAY_CAP_MS, ...minMs }
      : { kind: 'retry', ...minMs };
  }
  if (error instanceof ConflictError) return { kind: 'retry', capMs: AWAY_CAP_MS };
  if (error instanceof TerminalError) return { kind: 'requeue', afterMs: LOOK_AGAIN_MS };
  // A defect, which may well depend on the moment.
  return { kind: 'retry' };
}

/**
 * Whether the user should hear of it now. A lost race is nobody's business; an outage only once it lasts.
 *
 * @param failingForMs since the first of the failures in a row.
 */
export function isWorthTelling(ending: Ending, failingForMs: number): boolean {
  if (ending.kind === 'released') return false;
  if (ending.kind !== 'failed') return true;
  const { error } = ending;
  if (error instanceof AbortedError) return false;
  if (error instanceof ConflictError) return failingForMs >= OUTAGE_GRACE_MS;
  return reasonOf(error) === 'ConsulUnreachable' || reasonOf(error) === 'Progressing'
    ? failingForMs >= OUTAGE_GRACE_MS
    : true;
}

/** True when nothing that users read differs: a trace id or the way drift is seen never causes a write. */
export function saysTheSame(wanted: CommonStatus, present: unknown): boolean {
  return isDeepStrictEqual(withoutNoise(wanted), withoutNoise((present ?? {}) as CommonStatus));
}

function withoutNoise({ lastTraceID: _trace, effective, ...rest }: CommonStatus): object {
  const { drift: _drift, ...policies } = effective ?? {};
  return { ...rest, effective: policies };
}

export interface Notice {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly action: string;
  readonly note: string;
}

/** What a turn tells by Events: what it did, and what changed between two statuses. */
export function noticesFor(
  ending: Ending,
  before: readonly Condition[],
  after: readonly Condition[],
): readonly Notice[] {
  const notices: Notice[] = [];
  if ((ending.kind === 'converged' || ending.kind === 'released') && ending.applied !== undefined) {
    const { event, note } = ending.applied;
    notices.push({
      type: 'Normal',
      reason: event,
      action: ending.kind === 'released' ? 'Delete' : 'Reconcile',
      note,
    });
  }
  const ready = find(after, 'Ready');
  const wasReady = find(before, 'Ready');
  if (wasReady?.reason === 'Suspended' && ready !== undefined && ready.reason !== 'Suspended') {
    notices.push({
      type: 'Normal',
      reason: 'Resumed',
      action: 'Reconcile',
      note: 'spec.suspend was taken back',
    });
  }
  if (ready === undefined || (wasReady?.reason === ready.reason && wasReady.message === ready.message)) {
    return [...notices, ...driftNotice(before, after)];
  }
  const warning = warningFor(ready);
  if (warning !== undefined)
    notices.push({ type: 'Warning', reason: warning, action: 'Reconcile', note: ready.message });
  return [...notices, ...driftNotice(before, after)];
}

function warningFor({ reason }: Condition): EventReason | undefined {
  if (reason === 'Conflict' || reason === 'DeletionBlocked') return reason;
  return STALLING_REASONS.has(reason) ? 'Stalled' : undefined;
}

function driftNotice(before: readonly Condition[], after: readonly Condition[]): readonly Notice[] {
  const drifted = find(after, 'Drifted');
  if (drifted?.status !== 'True' || find(before, 'Drifted')?.message === drifted.message) return [];
  return [{ type: 'Warning', reason: 'DriftDetected', action: 'Reconcile', note: drifted.message }];
}

function find(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find(condition => condition.type === type);
}

/** One line for logs and spans. */
export function describeEnding(ending: Ending): string {
  if (ending.kind === 'failed') return `failed: ${messageOf(ending.error)}`;
  return 'message' in ending ? `${ending.kind}: ${ending.message}` : ending.kind;
}
