import type { DeletionPolicy } from '../../api/v1alpha1/common.ts';
import { listedNames } from '../../ownership/record.ts';
import { agentNamesIn } from './agent-compare.ts';
import { agentDepartures, nextAgentDrainMs, writeOf } from './agent-departures.ts';
import { refuseHidden, waitForAgent } from './agent-refusals.ts';
import { asPlan, letGo } from './agent-steps.ts';
import type { AgentFacts, AgentLeaver } from './agent-types.ts';
import type { ServiceChange, ServicePlan } from './types.ts';

type CommitStep = Extract<ServiceChange, { step: 'commit' }>;

/** The next step towards nothing: what the record lists is drained and deregistered, then the record goes. Under Retain only the record. */
export function planAgentServiceEnd(
  facts: AgentFacts,
  onDelete: DeletionPolicy,
  leaver: AgentLeaver,
): ServicePlan {
  if (facts.record === undefined) return { kind: 'noop', drifted: [] };
  if (onDelete === 'Retain') return asPlan(endOf(facts), true);
  const obstacle = waitForAgent(facts) ?? refuseHidden(facts);
  if (obstacle !== undefined) return obstacle;
  const leaving = agentDepartures(facts, leaver, { isWished: () => false, isRetained: false });
  const writes = leaving.flatMap(writeOf);
  if (writes.length > 0) return asPlan({ step: 'agent', writes }, false);
  const draining = leaving.filter(({ kind }) => kind === 'draining').length;
  if (draining === 0) return asPlan(endOf(facts), true);
  const message = draining === 1 ? 'draining 1 instance' : `draining ${draining} instances`;
  return { kind: 'wait', reason: 'Progressing', message, isSeen: true, againMs: nextAgentDrainMs(leaving) };
}

/** Names of the catalog, which a namesake of another registration left, are not this plan's to let go of. */
function endOf({ record }: AgentFacts): CommitStep {
  const names = [...agentNamesIn(record).keys()];
  const isAll = record === undefined || names.length === listedNames(record).size;
  const head = isAll ? undefined : record.head;
  return { step: 'commit', instances: names.map(letGo), head, adopts: false };
}
