import { parseServiceId, type ServiceId } from '../../consul/service-ids.ts';
import { parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { type AgentComparisons, agentNamesIn, isOwnedWithAgent, markOf } from './agent-compare.ts';
import { drainReason, type Maintenance, maintenanceOf, notReadyReason } from './agent-maintenance.ts';
import type { AgentFacts, AgentLeaver } from './agent-types.ts';
import { isEndpointId, type Presence } from './endpoints.ts';
import type { AgentWrite } from './types.ts';

/** What has changed about the readiness of what stands. That of others is theirs to end. */
export function tendReadiness(comparisons: AgentComparisons, nowMs: number): Maintain[] {
  return [...comparisons].flatMap(([name, { wished, seen, seenChecks, isOurs }]): Maintain[] => {
    if (seen === undefined || !isOurs) return [];
    const { id } = wished.service;
    return readinessWrites({ name, id }, wished.isReady, maintenanceOf(id, seenChecks), nowMs);
  });
}

/** The same of the endpoints of a resource of which nobody can tell otherwise what it wishes: those that are not there any more drain. */
export function tendEndpoints(present: Presence, facts: AgentFacts, leaver: AgentLeaver): Maintain[] {
  return standing(facts, leaver)
    .filter(({ id }) => isEndpointId(leaver.ref, id))
    .flatMap(one => {
      const isReady = present.get(one.id);
      if (isReady === undefined) return drainBegin(one, facts);
      return readinessWrites(one, isReady, maintenanceOf(one.id, facts.agent.checksOf(one.id)), facts.nowMs);
    });
}

/** The drains that begin although nothing may be deregistered now, of all that the record lists and `isKept` does not. */
export function agentDrainsToBegin(
  facts: AgentFacts,
  leaver: AgentLeaver,
  isKept: (name: string) => boolean,
): Maintain[] {
  return standing(facts, leaver)
    .filter(({ name }) => !isKept(name))
    .flatMap(one => drainBegin(one, facts));
}

type Maintain = Extract<AgentWrite, { verb: 'maintain' }>;

interface Standing {
  readonly name: string;
  readonly id: ServiceId;
}

/** What the resource owns and has standing with the agent. */
function standing({ record, agent, rival }: AgentFacts, leaver: AgentLeaver): Standing[] {
  return [...agentNamesIn(record)].flatMap(([name, recorded]) => {
    const id = parseServiceId(parseInstanceName(name)?.id);
    const seen = agent.service(id);
    const isOurs = isOwnedWithAgent(readInstanceState(recorded), seen, markOf(leaver));
    return seen === undefined || !isOurs || rival(name) !== undefined ? [] : [{ name, id }];
  });
}

function drainBegin({ name, id }: Standing, { agent, nowMs }: AgentFacts): Maintain[] {
  if (maintenanceOf(id, agent.checksOf(id)) !== undefined) return [];
  return [{ verb: 'maintain', name, cause: 'drain', id, reason: drainReason(nowMs) }];
}

function readinessWrites(
  { name, id }: Standing,
  isReady: boolean,
  found: Maintenance | undefined,
  nowMs: number,
): Maintain[] {
  const maintain = { verb: 'maintain', name, cause: 'health', id } as const;
  if (!isReady) return found === undefined ? [{ ...maintain, reason: notReadyReason(nowMs) }] : [];
  return found?.kind === 'own' ? [{ ...maintain, reason: undefined }] : [];
}
