import { summarize } from './report.ts';
import type { AgentWrite, Cause, InstanceChange, ServiceChange, ServicePlan } from './types.ts';

/** Steps as plans with an agent are made of. */

export function asPlan(change: ServiceChange, equal: boolean): ServicePlan {
  return { kind: 'change', change, drifted: [], summary: summarize(change), equal };
}

/** What is done first, and of a suspended resource, too; undefined: there is nothing to do. */
export function tendFirst(writes: readonly AgentWrite[]): ServicePlan | undefined {
  const tend = agentStep(writes);
  return tend && { kind: 'change', change: tend, drifted: [], summary: summarize(tend), equal: false, tend };
}

export function agentStep(writes: readonly AgentWrite[]): ServiceChange | undefined {
  return writes.length === 0 ? undefined : { step: 'agent', writes };
}

/** What the record says of an instance from then on. */
export function recordChange(name: string, cause: Cause, to: string | undefined): InstanceChange {
  return { name, cause, record: { to }, operations: [] };
}

export function letGo(name: string): InstanceChange {
  return recordChange(name, 'remove', undefined);
}
