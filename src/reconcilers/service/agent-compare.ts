import { OWN_META } from '../../api/v1alpha1/consulservice-cel.ts';
import type { AgentCheck, AgentCheckSeen, AgentSidecar } from '../../consul/agent-services.ts';
import { sameService, type ServiceRegistration } from '../../consul/registration.ts';
import { type CheckId, parseCheckId, type ServiceId } from '../../consul/service-ids.ts';
import { parseDurationMs } from '../../core/duration.ts';
import { type InstanceState, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import type { AgentView } from '../../mirror/agent-mirror.ts';
import { listedNames, type OwnerRecord } from '../../ownership/record.ts';
import { isNoted } from './agent-desire.ts';
import { declaresSameAgentTags } from './agent-fingerprints.ts';
import type { AgentFacts, AgentLeaver, AgentWish, WishedAgentInstance } from './agent-types.ts';
import { sidecarId } from './declared.ts';
import { OWNER_MARK, ownerMark } from './marks.ts';

/** A wished instance beside what the record says of it and what the agent shows. */
export interface AgentComparison {
  readonly wished: WishedAgentInstance;
  /** As it is to be registered: with the tags that others gave it, where they may. */
  readonly service: ServiceRegistration;
  readonly seen: ServiceRegistration | undefined;
  /** All checks of what stands, those of others and of maintenance mode among them. */
  readonly seenChecks: readonly AgentCheckSeen[];
  /** What stands under the id that the sidecar has, or would have. */
  readonly beside: ServiceRegistration | undefined;
  readonly recorded: string | undefined;
  readonly state: InstanceState | undefined;
  /** What stands is the resource's; if nothing does, what the record says is more than a claim. */
  readonly isOurs: boolean;
  /** It carries the mark of this very resource. */
  readonly isMarked: boolean;
  /** It stands as wished. */
  readonly isEqual: boolean;
}

export type AgentComparisons = ReadonlyMap<string, AgentComparison>;

export function compareWithAgent(
  { instances }: AgentWish,
  facts: AgentFacts,
  leaver: AgentLeaver,
): AgentComparisons {
  const listed = agentNamesIn(facts.record);
  const mark = markOf(leaver);
  return new Map(
    [...instances].map(([name, wished]) => [name, compare(wished, listed.get(name), facts.agent, mark)]),
  );
}

function compare(
  wished: WishedAgentInstance,
  recorded: string | undefined,
  agent: AgentView,
  mark: string,
): AgentComparison {
  const { id } = wished.service;
  const seen = agent.service(id);
  const seenChecks = agent.checksOf(id);
  const beside = agent.service(sidecarId(id));
  const state = recorded === undefined ? undefined : readInstanceState(recorded);
  const isOurs = isOwnedWithAgent(state, seen, mark);
  const service = isOurs ? withTagsOfOthers(wished, recorded, seen) : wished.service;
  const standing = { ...wished, service };
  const isEqual = seen !== undefined && isAsWished(standing, { seen, seenChecks, beside });
  const isMarked = isMarkedBy(mark, seen);
  return { wished, service, seen, seenChecks, beside, recorded, state, isOurs, isMarked, isEqual };
}

export function markOf({ installId, ref }: Pick<AgentLeaver, 'installId' | 'ref'>): string {
  return ownerMark(installId, ref);
}

/** What the record says of each instance with an agent. */
export function agentNamesIn(record: OwnerRecord | undefined): ReadonlyMap<string, string> {
  const all = record === undefined ? [] : [...listedNames(record)];
  return new Map(all.filter(([name]) => parseInstanceName(name)?.kind === 'agent'));
}

/** What is claimed, or was taken out, is ours where it carries our mark: somebody else may have been faster. */
export function isOwnedWithAgent(
  state: InstanceState | undefined,
  seen: ServiceRegistration | undefined,
  mark: string,
): boolean {
  return state?.kind === 'settled' || (state !== undefined && isMarkedBy(mark, seen));
}

function isMarkedBy(mark: string, seen: ServiceRegistration | undefined): boolean {
  return seen?.meta.get(OWNER_MARK) === mark;
}

/** With `enableTagOverride` those found in Consul stay, until other ones are declared. */
function withTagsOfOthers(
  { service, fingerprint }: WishedAgentInstance,
  recorded: string | undefined,
  seen: ServiceRegistration | undefined,
): ServiceRegistration {
  const isLeft =
    service.enableTagOverride && recorded !== undefined && declaresSameAgentTags(recorded, fingerprint);
  return isLeft && seen !== undefined ? { ...service, tags: seen.tags } : service;
}

type Wished = Pick<WishedAgentInstance, 'service' | 'checks' | 'sidecar'>;
interface Seen extends Pick<AgentComparison, 'seenChecks' | 'beside'> {
  readonly seen: ServiceRegistration;
}

function isAsWished({ service, checks, sidecar }: Wished, { seen, seenChecks, beside }: Seen): boolean {
  return (
    sameService(service, seen) &&
    checks.every(check => seenChecks.some(one => isAsShown(check, one))) &&
    staleChecks({ checks }, seenChecks).length === 0 &&
    isSidecarAsWished(sidecar, isSidecarOf(service.id, beside) ? beside : undefined)
  );
}

/** Whether whoever registered it declared the same. Our marks, and our notes at checks, nobody else makes. */
export function isDeclaredAlikeWithAgent({
  wished,
  service,
  seen,
  seenChecks,
  beside,
}: AgentComparison): boolean {
  if (seen === undefined || othersChecks(wished, seenChecks).length > 0) return false;
  const alike = { ...wished, service: unmarked(service) };
  const notes = new Map<string, string>(wished.checks.map(check => [check.id, check.notes]));
  const noted = seenChecks.map(check => ({ ...check, notes: notes.get(check.id) ?? check.notes }));
  return isAsWished(alike, { seen: unmarked(seen), seenChecks: noted, beside });
}

function unmarked(service: ServiceRegistration): ServiceRegistration {
  return { ...service, meta: new Map([...service.meta].filter(([key]) => !OWN_META.test(key))) };
}

/** All that an agent tells of what a check is. */
function isAsShown({ id, name, notes, kind }: AgentCheck, seen: AgentCheckSeen): boolean {
  const { intervalMs, timeoutMs } = kind.kind === 'ttl' ? { intervalMs: 0, timeoutMs: 0 } : kind;
  return (
    id === seen.id &&
    name === seen.name &&
    notes === seen.notes &&
    kind.kind === seen.type &&
    intervalMs === msOf(seen.interval) &&
    timeoutMs === msOf(seen.timeout)
  );
}

/** Nothing is written as the empty text. */
function msOf(text: string): number | undefined {
  return text === '' ? 0 : parseDurationMs(text);
}

function isSidecarAsWished(wished: AgentSidecar | undefined, seen: ServiceRegistration | undefined): boolean {
  if (wished === undefined || seen === undefined) return wished === seen;
  const { port = seen.port, upstreams } = wished;
  const stands = seen.connect?.kind === 'proxy' ? seen.connect.upstreams : [];
  return port === seen.port && JSON.stringify(upstreams.map(asText)) === JSON.stringify(stands.map(asText));
}

function asText({ destinationName, localBindPort, datacenter }: AgentSidecar['upstreams'][number]) {
  return [destinationName, localBindPort, datacenter];
}

/** Whether this is what an agent makes of a sidecar that is declared with the instance. */
export function isSidecarOf(id: ServiceId, seen: ServiceRegistration | undefined): boolean {
  return seen?.connect?.kind === 'proxy' && seen.connect.destinationId === id;
}

/** Ours by their notes, and wished no more. */
export function staleChecks(
  { checks }: Pick<Wished, 'checks'>,
  seen: readonly AgentCheckSeen[],
): readonly CheckId[] {
  const wished = new Set<string>(checks.map(({ id }) => id));
  const stale = seen.filter(({ id, notes }) => isNoted(notes) && !wished.has(id));
  return stale.flatMap(({ id }) => checkIdIn(id));
}

/** Neither wished nor ours: somebody added them, or put the service into maintenance. */
export function othersChecks(
  { checks }: Pick<Wished, 'checks'>,
  seen: readonly AgentCheckSeen[],
): readonly AgentCheckSeen[] {
  const wished = new Set<string>(checks.map(({ id }) => id));
  return seen.filter(({ id, notes }) => !wished.has(id) && !isNoted(notes));
}

/** Whoever copies our notes to a check with an id that we would not write keeps it. */
function checkIdIn(id: string): CheckId[] {
  try {
    return [parseCheckId(id)];
  } catch {
    return [];
  }
}
