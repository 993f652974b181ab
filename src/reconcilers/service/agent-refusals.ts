import { describeInstance, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { named } from '../../core/named.ts';
import { describeOwner } from '../../ownership/owner.ts';
import {
  type AgentComparison,
  type AgentComparisons,
  agentNamesIn,
  isDeclaredAlikeWithAgent,
  isSidecarOf,
} from './agent-compare.ts';
import type { AgentFacts } from './agent-types.ts';
import type { Declarer, ServicePlan } from './types.ts';

type Obstacle = Extract<ServicePlan, { kind: 'wait' | 'refuse' }>;

/** Everything would be registered twice, and what another agent has cannot be seen from here. */
export function waitForAgent({ record, agent }: AgentFacts): Obstacle | undefined {
  const nodes = [...agentNamesIn(record).keys()].map(name => parseInstanceName(name)?.node);
  const other = nodes.find(node => node !== undefined && node !== agent.node);
  if (other === undefined) return undefined;
  const message = `instances are registered with the agent of the node ${other}, and the operator talks to that of ${agent.node}`;
  return { kind: 'wait', reason: 'DependencyNotReady', message };
}

/** To take for gone what may stand and is not shown would be ignorance. */
export function refuseHidden({ record, agent }: AgentFacts): Obstacle | undefined {
  if (agent.isWhole) return undefined;
  const hidden = [...agentNamesIn(record)].find(([name, recorded]) => {
    const id = parseInstanceName(name)?.id ?? '';
    return readInstanceState(recorded).kind === 'settled' && agent.service(id) === undefined;
  });
  if (hidden === undefined) return undefined;
  const message = `the ACL token does not show all services of the agent of ${agent.node}, so nobody knows whether ${describeInstance(hidden[0])} stands: it needs service_prefix "" { policy = "read" }`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}

/** Why nothing at all may be written of what is wished. */
export function refuseForAgent(
  comparisons: AgentComparisons,
  facts: AgentFacts,
  declarer: Pick<Declarer, 'adoptionPolicy'>,
): Obstacle | undefined {
  return (
    refuseRivals(comparisons, facts) ??
    refuseExisting(comparisons, declarer) ??
    refuseBlindly(comparisons, facts)
  );
}

/** First claim keeps: whatever anyone's record lists is theirs. */
function refuseRivals(comparisons: AgentComparisons, { rival }: AgentFacts): Obstacle | undefined {
  for (const name of comparisons.keys()) {
    const owner = rival(name);
    if (owner === undefined) continue;
    const message = `${describeInstance(name)} belongs to ${describeOwner(owner)}`;
    return { kind: 'refuse', reason: 'Conflict', message };
  }
  return undefined;
}

/** What exists without an owner is taken only as `adoptionPolicy` says. */
function refuseExisting(
  comparisons: AgentComparisons,
  { adoptionPolicy }: Pick<Declarer, 'adoptionPolicy'>,
): Obstacle | undefined {
  if (adoptionPolicy === 'Always') return undefined;
  const inTheWay = [...comparisons].flatMap(([name, comparison]) => {
    if (isForeignBeside(comparison)) return [`${describeInstance(name)}: its sidecar`];
    if (comparison.seen === undefined || comparison.isOurs) return [];
    return adoptionPolicy === 'IfEqual' && isDeclaredAlikeWithAgent(comparison)
      ? []
      : [describeInstance(name)];
  });
  if (inTheWay.length === 0) return undefined;
  const message = `registered with the agent already, without an owner, and adoptionPolicy ${adoptionPolicy} does not take them: ${named(inTheWay)}`;
  return { kind: 'refuse', reason: 'AlreadyExists', message };
}

/** The agent would write over it. */
function isForeignBeside({ wished: { sidecar, service }, beside }: AgentComparison): boolean {
  return sidecar !== undefined && beside !== undefined && !isSidecarOf(service.id, beside);
}

/** Nothing changes hands that somebody might own whose claims are not shown to us. */
function refuseBlindly(comparisons: AgentComparisons, { claims }: AgentFacts): Obstacle | undefined {
  const isTaken = [...comparisons.values()].some(({ seen, isOurs }) => seen !== undefined && !isOurs);
  if (claims.complete || !isTaken) return undefined;
  const rule = 'key_prefix "proconsul/" { policy = "read" }';
  const message = `the ACL token may not read all of proconsul/, so no instance that exists can be taken over: add ${rule}`;
  return { kind: 'refuse', reason: 'ConsulDenied', message };
}
