import type { AgentRegistration } from '../../consul/agent-services.ts';
import { markClaimed, markOut, parseInstanceName, readInstanceState } from '../../core/instance-names.ts';
import { type Head, isSameHead } from '../../ownership/record.ts';
import {
  type AgentComparison,
  agentNamesIn,
  compareWithAgent,
  isOwnedWithAgent,
  isSidecarOf,
  markOf,
  othersChecks,
  staleChecks,
} from './agent-compare.ts';
import { type AgentDecision, decideForAgent, isToBeAnnounced } from './agent-decide.ts';
import { type AgentDeparture, agentDepartures, nextAgentDrainMs, writeOf } from './agent-departures.ts';
import { claimedAs } from './agent-fingerprints.ts';
import type { AgentRefusal } from './agent-refused.ts';
import { refuseForAgent, refuseHidden, waitForAgent } from './agent-refusals.ts';
import { agentStep, asPlan, letGo, recordChange, tendFirst } from './agent-steps.ts';
import { agentDrainsToBegin, tendEndpoints, tendReadiness } from './agent-tending.ts';
import type { AgentFacts, AgentLeaver, AgentWish } from './agent-types.ts';
import { sidecarId } from './declared.ts';
import { isEndpointId, type Presence } from './endpoints.ts';
import { summarize } from './report.ts';
import type { AgentWrite, Declarer, InstanceChange, ServiceChange, ServicePlan } from './types.ts';

type CommitStep = Extract<ServiceChange, { step: 'commit' }>;

/**
 * The next step so that the agent has the instances that are wished, and the record says so. Pure.
 *
 * ```
 * commit    the record lists what comes as claimed                  one transaction
 * agent     instances are registered, drained, deregistered          a request each
 * commit    the record says what stands                              one transaction
 * ```
 *
 * What the readiness of endpoints changes comes first, and alone, whatever else is in the way.
 */
export function planAgentService(wish: AgentWish, facts: AgentFacts, declarer: Declarer): ServicePlan {
  const elsewhere = waitForAgent(facts);
  if (elsewhere !== undefined) return elsewhere;
  const comparisons = compareWithAgent(wish, facts, declarer);
  const tended = tendFirst(tendReadiness(comparisons, facts.nowMs));
  if (tended !== undefined) return tended;
  const hidden = refuseHidden(facts);
  if (hidden !== undefined) return hidden;
  const isWished = (name: string): boolean => wish.instances.has(name);
  const isRetained = isLeftBehind(facts, declarer.uid);
  const drains = isRetained ? [] : agentDrainsToBegin(facts, declarer, isWished);
  const refusal = refuseForAgent(comparisons, facts, declarer);
  if (refusal !== undefined) return letGoOfClaims(facts, declarer) ?? tendFirst(drains) ?? refusal;

  const { all: decided, drifted } = decideForAgent(comparisons, facts, declarer);
  const { all, refusals, unwritten } = withoutRefused(decided, facts);
  const leaving = [...agentDepartures(facts, declarer, { isWished, isRetained }), ...unwritten];
  const writes = [...all.flatMap(writesOf), ...leaving.flatMap(writeOf)];
  const change = nextStep({ all, leaving, writes }, facts, declarer);
  if (change !== undefined) {
    const summary = summarize(change);
    const tend = agentStep(drains.filter(({ id }) => isEndpointId(declarer.ref, id)));
    return { kind: 'change', change, drifted, summary, equal: writes.length === 0, tend };
  }
  const againMs = nextAgentDrainMs(leaving);
  const [refused] = refusals;
  if (refused !== undefined) return { kind: 'refuse', ...refused };
  if (wish.missing !== undefined) return { kind: 'wait', ...wish.missing, isSeen: true, againMs };
  return { kind: 'noop', drifted, againMs };
}

/**
 * Of a resource of which nobody can tell what it wishes: what is done about its endpoints; undefined: nothing.
 * @param present Those that there are; undefined: nobody knows.
 */
export function planAgentEndpoints(
  present: Presence | undefined,
  facts: AgentFacts,
  leaver: AgentLeaver,
): ServicePlan | undefined {
  if (present === undefined || waitForAgent(facts) !== undefined) return undefined;
  return tendFirst(tendEndpoints(present, facts, leaver));
}

/** What was claimed when it could still be written, and cannot any more: nobody else should wait for it. */
function letGoOfClaims(facts: AgentFacts, declarer: Declarer): ServicePlan | undefined {
  const unwritten = [...agentNamesIn(facts.record)].filter(([name, recorded]) => {
    const state = readInstanceState(recorded);
    const seen = facts.agent.service(parseInstanceName(name)?.id ?? '');
    return state.kind === 'claimed' && !isOwnedWithAgent(state, seen, markOf(declarer));
  });
  if (unwritten.length === 0) return undefined;
  const instances = unwritten.map(([name]) => letGo(name));
  return asPlan({ step: 'commit', instances, head: headFor(declarer, 'claiming'), adopts: false }, false);
}

/** What the agent has just refused is left out, and not claimed any longer, unless something of it stands. */
function withoutRefused(decided: readonly AgentDecision[], { refused }: AgentFacts) {
  const all: AgentDecision[] = [];
  const refusals: AgentRefusal[] = [];
  const unwritten: AgentDeparture[] = [];
  for (const decision of decided) {
    const { wished, state, isOurs } = decision.comparison;
    const refusal = decision.verb === 'put' ? refused(wished.name, wished.fingerprint) : undefined;
    if (refusal === undefined) all.push(decision);
    else refusals.push({ reason: refusal.reason, message: refusal.message });
    if (refusal !== undefined && state?.kind === 'claimed' && !isOurs)
      unwritten.push({ kind: 'gone', name: wished.name });
  }
  return { all, refusals, unwritten };
}

interface Todo {
  readonly all: readonly AgentDecision[];
  readonly leaving: readonly AgentDeparture[];
  readonly writes: readonly AgentWrite[];
}

function nextStep(
  { all, leaving, writes }: Todo,
  facts: AgentFacts,
  declarer: Declarer,
): ServiceChange | undefined {
  const announced = all.filter(isToBeAnnounced);
  if (announced.length > 0) {
    const claims = announced.map(decision => {
      const claim = claimedAs(fingerprintOf(decision), decision.comparison.recorded);
      return edit(decision, markClaimed(claim));
    });
    // From then on the head is ours, and does not tell any more that a namesake retained something.
    const instances = [...claims, ...releases(leaving)];
    // No compare-and-set keeps two installs apart at an agent: both move the claims key.
    return { step: 'commit', instances, head: headFor(declarer, 'claiming'), adopts: true };
  }
  if (writes.length > 0) return { step: 'agent', writes };
  return settle(all, leaving, facts, declarer);
}

function settle(
  all: readonly AgentDecision[],
  leaving: readonly AgentDeparture[],
  { record }: AgentFacts,
  declarer: Declarer,
): CommitStep | undefined {
  const head = headFor(declarer, 'settled');
  const instances = [...all.map(decision => edit(decision, settledAs(decision))), ...releases(leaving)];
  const isSame = record === undefined ? instances.length === 0 : isSameHead(record.head, head);
  if (instances.length === 0 && isSame) return undefined;
  return { step: 'commit', instances, head, adopts: all.some(({ cause }) => cause === 'adopt') };
}

function edit(
  { comparison, cause }: Pick<AgentDecision, 'comparison' | 'cause'>,
  to: string,
): InstanceChange {
  return recordChange(comparison.wished.name, cause, to);
}

function releases(leaving: readonly AgentDeparture[]): InstanceChange[] {
  return leaving.filter(({ kind }) => kind === 'gone').map(({ name }) => letGo(name));
}

function settledAs(decision: AgentDecision): string {
  const fingerprint = fingerprintOf(decision);
  return decision.verb === 'take-out' ? markOut(fingerprint) : fingerprint;
}

function fingerprintOf({ comparison: { wished } }: AgentDecision): string {
  return wished.fingerprint;
}

/** A sidecar that is declared no more stays until it is deregistered by itself. */
function writesOf({ comparison, cause, verb }: AgentDecision): AgentWrite[] {
  if (verb !== 'put') return [];
  const { wished, beside } = comparison;
  const { name, service, sidecar } = wished;
  const registration = registrationOf(comparison);
  const register: AgentWrite = {
    verb: 'register',
    name,
    cause,
    fingerprint: wished.fingerprint,
    registration,
  };
  if (sidecar !== undefined || !isSidecarOf(service.id, beside)) return [register];
  return [register, { verb: 'deregister', name, cause, id: sidecarId(service.id) }];
}

/** What others added to it stays, and so does its maintenance. */
function registrationOf({ wished, service, seenChecks }: AgentComparison): AgentRegistration {
  const { checks, sidecar } = wished;
  const superseded = othersChecks(wished, seenChecks).length === 0 ? 'all' : staleChecks(wished, seenChecks);
  return { service, checks, sidecar, superseded };
}

function headFor({ uid, generation, epoch, onDelete }: Declarer, phase: Head['phase']): Head {
  return { uid, generation, epoch, onDelete, phase };
}

/** Another resource of this name, deleted under Retain, left its instances behind. */
function isLeftBehind({ record }: AgentFacts, uid: string): boolean {
  return record !== undefined && record.head.uid !== uid && record.head.onDelete === 'Retain';
}
