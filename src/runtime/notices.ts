import type { EventReason } from '../api/v1alpha1/common.ts';
import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import type { Condition } from '../core/conditions.ts';
import type { AppliedWork } from './kind.ts';

/** An Event to be. */
export interface Notice {
  readonly type: 'Normal' | 'Warning';
  readonly reason: EventReason;
  readonly action: string;
  readonly note: string;
}

/** What a change did, once it is through. */
export function noticeOfChange({ event, note }: AppliedWork, action: 'Reconcile' | 'Delete'): Notice {
  return { type: 'Normal', reason: event, action, note };
}

/** What became different between two statuses, as far as users want to hear of it. */
export function noticesBetween(before: readonly Condition[], after: readonly Condition[]): readonly Notice[] {
  return [resumed(before, after), warning(before, after), drift(before, after)].filter(
    notice => notice !== undefined,
  );
}

function resumed(before: readonly Condition[], after: readonly Condition[]): Notice | undefined {
  const ready = find(after, 'Ready');
  const wasSuspended = find(before, 'Ready')?.reason === 'Suspended';
  if (!wasSuspended || ready === undefined || ready.reason === 'Suspended') return undefined;
  return { type: 'Normal', reason: 'Resumed', action: 'Reconcile', note: 'spec.suspend was taken back' };
}

function warning(before: readonly Condition[], after: readonly Condition[]): Notice | undefined {
  const ready = find(after, 'Ready');
  const wasReady = find(before, 'Ready');
  if (ready === undefined || (wasReady?.reason === ready.reason && wasReady.message === ready.message)) {
    return undefined;
  }
  const reason = warningFor(ready);
  return reason && { type: 'Warning', reason, action: 'Reconcile', note: ready.message };
}

function warningFor({ reason }: Condition): EventReason | undefined {
  if (reason === 'Conflict' || reason === 'DeletionBlocked') return reason;
  return STALLING_REASONS.has(reason) ? 'Stalled' : undefined;
}

function drift(before: readonly Condition[], after: readonly Condition[]): Notice | undefined {
  const drifted = find(after, 'Drifted');
  if (drifted?.status !== 'True' || find(before, 'Drifted')?.message === drifted.message) return undefined;
  return { type: 'Warning', reason: 'DriftDetected', action: 'Reconcile', note: drifted.message };
}

function find(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find(condition => condition.type === type);
}
