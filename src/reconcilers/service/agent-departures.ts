import { parseServiceId } from '../../consul/service-ids.ts';
import { parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { agentNamesIn, isOwnedWithAgent, markOf } from './agent-compare.ts';
import { drainReason, maintenanceOf } from './agent-maintenance.ts';
import type { AgentFacts, AgentLeaver } from './agent-types.ts';
import { isEndpointId } from './endpoints.ts';
import type { AgentWrite, DrainMs } from './types.ts';

/** An instance that the record lists and that is not wished. */
export type AgentDeparture =
  /** Nothing of it stands, or it stays for whoever has it: the record lets go. */
  | { readonly kind: 'gone'; readonly name: string }
  | { readonly kind: 'goes' | 'drains'; readonly name: string; readonly write: AgentWrite }
  | { readonly kind: 'draining'; readonly name: string; readonly leftMs: number };

/** Of a resource that is unknown. */
const DEFAULT_DRAIN_MS: DrainMs = { instances: 0, kubernetes: 5_000 };

/** What becomes of all that the record lists and `isWished` does not. @param isRetained It stays as it is. */
export function agentDepartures(
  facts: AgentFacts,
  leaver: AgentLeaver,
  { isWished, isRetained }: { readonly isWished: (name: string) => boolean; readonly isRetained: boolean },
): AgentDeparture[] {
  return [...agentNamesIn(facts.record)]
    .filter(([name]) => !isWished(name))
    .map(([name, recorded]) =>
      isRetained || facts.rival(name) !== undefined
        ? { kind: 'gone', name }
        : depart(name, recorded, facts, leaver),
    );
}

/** What is done about one of them now. */
export function writeOf(departure: AgentDeparture): AgentWrite[] {
  return 'write' in departure ? [departure.write] : [];
}

/** In how long the next drain is over; undefined: there is none. */
export function nextAgentDrainMs(all: readonly AgentDeparture[]): number | undefined {
  const left = all.flatMap(one => (one.kind === 'draining' ? [one.leftMs] : []));
  return left.length === 0 ? undefined : Math.min(...left);
}

function depart(
  name: string,
  recorded: string,
  { agent, nowMs }: AgentFacts,
  leaver: AgentLeaver,
): AgentDeparture {
  const id = parseServiceId(parseInstanceName(name)?.id);
  const seen = agent.service(id);
  if (seen === undefined || !isOwnedWithAgent(readInstanceState(recorded), seen, markOf(leaver))) {
    return { kind: 'gone', name };
  }
  const goes = { kind: 'goes', name, write: { verb: 'deregister', name, cause: 'remove', id } } as const;
  const { instances, kubernetes } = leaver.drainMs ?? DEFAULT_DRAIN_MS;
  const drainMs = isEndpointId(leaver.ref, id) ? kubernetes : instances;
  if (drainMs === 0) return goes;
  const found = maintenanceOf(id, agent.checksOf(id));
  if (found === undefined) {
    const reason = drainReason(nowMs);
    return { kind: 'drains', name, write: { verb: 'maintain', name, cause: 'drain', id, reason } };
  }
  // Whoever put it into maintenance has seen to it that nobody calls it.
  if (found.kind === 'others') return goes;
  // A clock that was put back does not make it longer.
  const leftMs = Math.min(drainMs, found.sinceMs + drainMs - nowMs);
  return leftMs <= 0 ? goes : { kind: 'draining', name, leftMs };
}
