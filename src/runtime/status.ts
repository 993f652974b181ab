import { isDeepStrictEqual } from 'node:util';
import { type CommonSpec, type CommonStatus, policiesOf } from '../api/v1alpha1/common.ts';
import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import { type Condition, settleConditions, timestamp, type WantedCondition } from '../core/conditions.ts';
import { AbortedError, ConflictError, messageOf } from '../core/errors.ts';
import { named } from '../core/named.ts';
import type { Ending } from './ending.ts';

export interface StatusContext {
  readonly spec: CommonSpec | undefined;
  /** What is in effect of this spec; undefined: the policies. */
  readonly effective?: Readonly<Record<string, unknown>> | undefined;
  readonly generation: number;
  readonly deleting: boolean;
  readonly previous: Partial<CommonStatus> & Readonly<Record<string, unknown>>;
  /** Value of the reconcile-at annotation, if there is one. */
  readonly reconcileAt: string | undefined;
  /** When something was last written to Consul, if no status says so yet. */
  readonly appliedAtMs: number | undefined;
  readonly nowMs: number;
}

/** An outage shorter than this, such as a leader election, does not reach any status. */
export const OUTAGE_GRACE_MS = 10_000;

/**
 * The status a turn's ending asks for: pure, and whole, so that a lost status is written again as it was. What
 * the ending does not speak of is kept from the previous one. `lastTraceID` is not part of it.
 */
export function statusFor(ending: Ending, context: StatusContext): CommonStatus & Record<string, unknown> {
  const { previous, generation, nowMs, appliedAtMs, reconcileAt, spec } = context;
  const now = timestamp(nowMs);
  const { lastTraceID: _, lastHandledReconcileAt, ...kept } = previous;
  const handled = reconcileAt ?? lastHandledReconcileAt;
  const report = 'report' in ending ? ending.report : undefined;
  const settings = spec === undefined ? undefined : (context.effective ?? policiesInEffect(spec));
  return {
    ...kept,
    ...report?.status,
    observedGeneration: generation,
    conditions: settleConditions(conditionsFor(ending, context), previous.conditions ?? [], generation, now),
    ...(appliedAtMs === undefined ? {} : { lastAppliedTime: timestamp(appliedAtMs) }),
    ...(handled === undefined ? {} : { lastHandledReconcileAt: handled }),
    ...(settings === undefined ? {} : { effective: effectiveFor(settings, report, previous) }),
  };
}

/**
 * Whether the user should hear of it now. A lost race is nobody's business; an outage only once it lasts.
 *
 * @param failingForMs since the first of the failures in a row.
 */
export function isWorthTelling(ending: Ending, failingForMs: number): boolean {
  if (ending.kind === 'released') return false;
  if (ending.kind !== 'failed') return true;
  const { error, report } = ending;
  if (error instanceof AbortedError) return false;
  if (report !== undefined) return true;
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

function policiesInEffect(spec: CommonSpec): Readonly<Record<string, unknown>> {
  const { deletionPolicy, adoptionPolicy, driftPolicy } = policiesOf(spec);
  return { deletionPolicy, adoptionPolicy, driftPolicy };
}

function effectiveFor(
  settings: Readonly<Record<string, unknown>>,
  report: { readonly datacenter: string; readonly driftSeen: 'Watched' | 'Swept' } | undefined,
  previous: Partial<CommonStatus>,
): NonNullable<CommonStatus['effective']> {
  const { datacenter, drift } = previous.effective ?? {};
  const known =
    report === undefined ? { datacenter, drift } : { datacenter: report.datacenter, drift: report.driftSeen };
  return {
    ...settings,
    ...(known.datacenter === undefined ? {} : { datacenter: known.datacenter }),
    ...(known.drift === undefined ? {} : { drift: known.drift }),
  };
}

/** kstatus: Reconciling and Stalled are there when True and absent otherwise. */
function conditionsFor(ending: Ending, context: StatusContext): WantedCondition[] {
  const ready = readyFor(ending, context);
  const { reason, message } = ready;
  const conditions = [ready];
  if (STALLING_REASONS.has(reason)) conditions.push({ type: 'Stalled', status: 'True', reason, message });
  else if (isUndone(ending)) conditions.push({ type: 'Reconciling', status: 'True', reason, message });
  conditions.push(driftedFor(ending, context));
  return conditions;
}

/** Ended without having got there, and will be tried again. */
function isUndone(ending: Ending): boolean {
  return ending.kind === 'waiting' || ending.kind === 'failed' || ending.kind === 'refused';
}

function readyFor(ending: Ending, { spec, deleting }: StatusContext): WantedCondition {
  const type = 'Ready';
  switch (ending.kind) {
    case 'converged': {
      const reason = spec?.suspend === true ? 'Suspended' : 'Applied';
      return { type, status: 'True', reason, message: ending.report.message };
    }
    case 'withheld':
    case 'waiting':
    case 'refused': {
      const blocked = deleting && ending.kind !== 'withheld' && !takesItsTime(ending);
      return {
        type,
        status: 'False',
        reason: blocked ? 'DeletionBlocked' : ending.reason,
        message: ending.message,
      };
    }
    case 'released':
      return {
        type,
        status: 'False',
        reason: 'Progressing',
        message: 'What the resource owned in Consul is gone.',
      };
    case 'failed': {
      const cause = reasonOf(ending.error);
      const status = cause === 'ConsulUnreachable' ? 'Unknown' : 'False';
      return { type, status, reason: deleting ? 'DeletionBlocked' : cause, message: messageOf(ending.error) };
    }
  }
}

/** Nothing is in the way, as while instances are drained. */
function takesItsTime({ kind, reason }: Extract<Ending, { reason: string }>): boolean {
  return kind === 'waiting' && reason === 'Progressing';
}

/** The condition reason that an error stands for. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && 'reason' in error && typeof error.reason === 'string'
    ? error.reason
    : 'Progressing';
}

/** Only a turn that saw Consul can tell; any other repeats what the last one said. */
function driftedFor(ending: Ending, { previous, spec }: StatusContext): WantedCondition {
  const type = 'Drifted';
  if (ending.kind !== 'converged') {
    const before = previous.conditions?.find(condition => condition.type === type);
    return before === undefined ? NOT_DRIFTED : pick(before);
  }
  if (spec?.driftPolicy !== 'Report' || ending.drifted.length === 0) return NOT_DRIFTED;
  const message = `changed in Consul from outside: ${named(ending.drifted)}`;
  return { type, status: 'True', reason: 'DriftDetected', message };
}

const NOT_DRIFTED: WantedCondition = { type: 'Drifted', status: 'False', reason: 'Applied', message: '' };

function pick({ type, status, reason, message }: Condition): WantedCondition {
  return { type, status, reason, message };
}
