import type { CommonStatus } from '../api/v1alpha1/common.ts';
import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import type { ResourceType, Store } from '../kube/index.ts';
import type { Ending } from '../runtime/ending.ts';
import type { TurnObserver } from '../runtime/turn-state.ts';
import type { TurnResult } from '../runtime/workers.ts';
import type { ConditionCount, ControllerMetrics } from '../telemetry/metrics.ts';

/** Counts one turn, by how it ended. */
export function countTurn(reconciles: ControllerMetrics): TurnObserver {
  const end = reconciles.start();
  return {
    applied: ({ corrected }) => {
      if (corrected > 0) reconciles.driftCorrected(corrected);
    },
    settled: (ending, next) => end(resultOf(ending, next)),
    aborted: () => end({ result: 'aborted' }),
    panicked: () => end({ result: 'error', failure: 'panic' }),
  };
}

interface TurnCount {
  readonly result: 'success' | 'error' | 'requeue_after';
  readonly failure?: 'error' | 'terminal';
}

/** As controller-runtime counts: a spec that cannot be carried out is a terminal error. */
function resultOf(ending: Ending, next: TurnResult): TurnCount {
  if (ending.kind === 'refused' && STALLING_REASONS.has(ending.reason)) {
    return { result: 'error', failure: 'terminal' };
  }
  if (next.kind === 'retry') return { result: 'error', failure: 'error' };
  return { result: next.kind === 'requeue' ? 'requeue_after' : 'success' };
}

/** How many resources stand how, for alerts: never a label for a single one. */
export function* countConditions({ kind }: ResourceType, resources: Store): Generator<ConditionCount> {
  const controller = controllerName(kind);
  const counts = new Map<string, ConditionCount>();
  for (const { status } of resources.values()) {
    for (const { type, status: value, reason } of (status as CommonStatus | undefined)?.conditions ?? []) {
      const id = `${type}/${value}/${reason}`;
      const count = (counts.get(id)?.count ?? 0) + 1;
      counts.set(id, { controller, type, status: value, reason, count });
    }
  }
  yield* counts.values();
}

/** As controller-runtime names controllers: after the kind. */
export function controllerName(kind: string): string {
  return kind.toLowerCase();
}
