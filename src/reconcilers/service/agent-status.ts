import type { ServiceInstanceCounts } from '../../api/v1alpha1/consulservice.ts';
import { parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { agentNamesIn, isOwnedWithAgent, markOf } from './agent-compare.ts';
import type { AgentFacts, AgentLeaver } from './agent-types.ts';
import { worstOf } from './health.ts';

type Counts = Required<ServiceInstanceCounts>;

/** What the status says of the instances that the resource has with the agent. Sidecars are none. */
export function agentServiceStatus(
  { record, agent }: AgentFacts,
  leaver: Pick<AgentLeaver, 'installId' | 'ref'>,
): { readonly instances: Counts } {
  const counts = { registered: 0, passing: 0, warning: 0, critical: 0, removed: 0 };
  for (const [name, recorded] of agentNamesIn(record)) {
    const { node, id = '' } = parseInstanceName(name) ?? {};
    // What another agent has is not shown here.
    const seen = node === agent.node ? agent.service(id) : undefined;
    const state = readInstanceState(recorded);
    if (seen === undefined && state.kind === 'out') counts.removed += 1;
    if (seen === undefined || !isOwnedWithAgent(state, seen, markOf(leaver))) continue;
    // The checks of the node count.
    const checks = [...agent.checksOf(id), ...agent.checksOf('')];
    counts.registered += 1;
    counts[worstOf(checks.map(({ status }) => status))] += 1;
  }
  return { instances: { ...counts, summary: `${counts.passing}/${counts.registered}` } };
}

/** What Ready says of a resource that equals its spec. */
export function agentReadyMessage({ registered, removed }: Counts, node: string): string {
  const stand = `${registered === 1 ? '1 instance' : `${registered} instances`} with the agent of ${node} as declared`;
  return removed === 0 ? stand : `${stand}; taken out for having been critical too long: ${removed}`;
}
