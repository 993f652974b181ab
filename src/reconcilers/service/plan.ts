import { parseInstanceName } from '../../core/instance-names.ts';
import type { ResourceRef } from '../../core/resource.ts';
import { type Head, isSameHead } from '../../ownership/record.ts';
import { type Comparisons, compareAll } from './compare.ts';
import { type Decision, type Decisions, decide, isRegistered, isToBeClaimed, nextReapMs } from './decide.ts';
import {
  changesIn,
  type Departure,
  departures,
  drainsToBegin,
  type Leaving,
  nextDrainMs,
  registersIn,
} from './drain.ts';
import { isEndpointId } from './endpoints.ts';
import { fatesOf, Health } from './health.ts';
import { ownerMark } from './marks.ts';
import {
  type Refusal,
  refuseAgents,
  refuseBlindly,
  refuseExisting,
  refuseLarge,
  refuseRivals,
  refuseTakenChecks,
} from './refusals.ts';
import { summarize } from './report.ts';
import type {
  Declarer,
  InstanceChange,
  RegisterChange,
  ServiceChange,
  ServiceFacts,
  ServicePlan,
  ServiceWish,
} from './types.ts';
import { announcement, commitChange, MissingNodes, registerChange } from './writes.ts';

/**
 * The next step so that Consul holds the instances that are wished, and the record says so; see `ServiceChange`. Pure.
 * What the checks of its instances say is tended whatever else the plan is. Instances that the record does not list stay as
 * they are, unless `adoptionPolicy` lets them be taken.
 */
export function planService(wish: ServiceWish, facts: ServiceFacts, declarer: Declarer): ServicePlan {
  const comparisons = compareAll(wish, facts, declarer);
  const plan = planTowards(wish, comparisons, facts, declarer);
  const tending = tendingFor(comparisons, facts, declarer, isMovingOrWished(wish));
  if (plan.kind === 'change') return { ...plan, tend: tending.suspended };
  // What else is planned but refusals has tended all there is.
  return plan.kind === 'refuse' ? (tendFirst(tending) ?? plan) : plan;
}

/** Of a resource of which nobody can tell what is wished, as far as it can be told. */
export interface Tended {
  readonly wish: ServiceWish;
  /** Whether what the record lists, and is not wished as far as that is known, is to be left alone. */
  readonly isLeft: (name: string) => boolean;
}

/** What is done about the health of what stands, whatever keeps the resource from being planned; undefined: nothing. */
export function planTended(
  { wish, isLeft }: Tended,
  facts: ServiceFacts,
  declarer: Leaver,
): ServicePlan | undefined {
  const isWished = isMovingOrWished(wish);
  const isKept = (name: string): boolean => isWished(name) || isLeft(name);
  return tendFirst(tendingFor(compareAll(wish, facts, declarer), facts, declarer, isKept));
}

type Leaver = Pick<Declarer, 'installId' | 'ref' | 'uid' | 'drainMs'>;

interface Tending {
  /** Undefined: nothing. */
  readonly all: Commit | undefined;
  /** The part of it that a suspended resource gets as well: a fixed instance that is declared no more stays as it is. */
  readonly suspended: Commit | undefined;
}

/** What checks say, and the drains of what is not wished any more. */
function tendingFor(
  comparisons: Comparisons,
  facts: ServiceFacts,
  declarer: Leaver,
  isKept: (name: string) => boolean,
): Tending {
  const { record } = facts;
  if (record === undefined) return { all: undefined, suspended: undefined };
  const results = new Health(comparisons, facts).changes();
  const drains = drainsToBegin(facts, leavingOf(facts, declarer), isKept);
  const ofEndpoints = drains.filter(({ name }) => isEndpointName(declarer.ref, name));
  const commit = (changes: readonly InstanceChange[]): Commit | undefined =>
    changes.length === 0 ? undefined : commitOf(changes, record.head);
  return { all: commit([...results, ...drains]), suspended: commit([...results, ...ofEndpoints]) };
}

function tendFirst({ all, suspended: tend }: Tending): ServicePlan | undefined {
  if (all === undefined) return undefined;
  return { kind: 'change', change: all, drifted: [], summary: summarize(all), equal: false, tend };
}

/** An endpoint, or its sidecar. */
function isEndpointName(ref: ResourceRef, name: string): boolean {
  return isEndpointId(ref, parseInstanceName(name)?.id ?? '');
}

/** What is about to stand on another node stays until it does. */
function isMovingOrWished({ instances }: ServiceWish): (name: string) => boolean {
  const ids = new Set<string>([...instances.values()].map(({ service }) => service.id));
  return name => ids.has(parseInstanceName(name)?.id ?? '');
}

function leavingOf({ record }: ServiceFacts, { installId, ref, uid, drainMs }: Leaver): Leaving {
  const isRetained = record?.head.uid !== uid && record?.head.onDelete === 'Retain';
  return { mark: ownerMark(installId, ref), drainMs, isRetained };
}

function planTowards(
  wish: ServiceWish,
  comparisons: Comparisons,
  facts: ServiceFacts,
  declarer: Declarer,
): ServicePlan {
  const rivals = refuseRivals(comparisons, facts);
  if (rivals !== undefined) return rivals;
  const taken =
    refuseAgents(comparisons, facts) ??
    refuseExisting(comparisons, declarer) ??
    refuseTakenChecks(comparisons, facts);
  if (taken !== undefined) return refused(taken, comparisons, facts);
  const work = workFor(wish, comparisons, facts, declarer);
  const refusal = refuseBlindly(work.decisions, facts) ?? refuseLarge(work.commits);
  if (refusal !== undefined) return refused(refusal, comparisons, facts);
  return nextStep(work, facts, declarer) ?? atRest(wish, work, nextReapMs(comparisons, facts));
}

/** All that is to be done, as far as can be told now. */
interface Work extends Pick<Decisions, 'drifted'> {
  readonly decisions: readonly Decision[];
  readonly departures: readonly Departure[];
  /** What transactions do now, in this order. */
  readonly commits: readonly InstanceChange[];
  /** What requests of their own do after that. */
  readonly registers: readonly RegisterChange[];
}

function workFor(wish: ServiceWish, comparisons: Comparisons, facts: ServiceFacts, declarer: Declarer): Work {
  const { uid, driftPolicy } = declarer;
  const { all, drifted } = decide(comparisons, facts, { uid, driftPolicy });
  const registered = all.filter(isRegistered);
  const direct = all.filter(decision => !isRegistered(decision));
  const health = new Health(comparisons, facts, fatesOf(direct));
  const draft = { health, nodes: new MissingNodes(facts) };
  const leavers = departures(facts, leavingOf(facts, declarer), name => wish.instances.has(name));
  const coming = new Set<string>(registered.map(({ comparison }) => comparison.wished.service.id));
  const commits = [
    ...direct.map(decision => commitChange(decision, draft)),
    ...registered.flatMap(decision => announcement(decision, draft)),
    ...health.changes(),
    ...changesIn(leavers).filter(({ name }) => !isMoving(name, coming)),
  ];
  const registers = [...registered.map(registerChange), ...registersIn(leavers)];
  return { decisions: all, drifted, departures: leavers, commits, registers };
}

/** It is about to stand on another node, and stays until it does. */
function isMoving(name: string, coming: ReadonlySet<string>): boolean {
  return coming.has(parseInstanceName(name)?.id ?? '');
}

function nextStep(work: Work, { record }: ServiceFacts, declarer: Declarer): ServicePlan | undefined {
  const { decisions, departures: leavers, commits, registers, drifted } = work;
  if (record === undefined && commits.length === 0) return undefined;
  const head = headFor(declarer, registers);
  const isToCommit = commits.length > 0 || record === undefined || !isSameHead(record.head, head);
  if (!isToCommit && registers.length === 0) return undefined;
  const adopts = decisions.some(isTaken);
  const change: ServiceChange = isToCommit
    ? commitOf(commits, head, adopts)
    : { step: 'register', instances: registers };
  const tended = commits.filter(({ cause }) => cause === 'health');
  const told = [...decisions.map(asTold), ...tended, ...changesIn(leavers)];
  const equal = decisions.every(isRecordAlone) && changesIn(leavers).every(isWithoutOperations);
  return { kind: 'change', change, drifted, summary: summarize(told), equal };
}

function headFor({ uid, generation, epoch, onDelete }: Declarer, registers: readonly RegisterChange[]): Head {
  const isAnnounced = registers.some(({ cause }) => cause !== 'correct' && cause !== 'release');
  return { uid, generation, epoch, onDelete, phase: isAnnounced ? 'claiming' : 'settled' };
}

/** Another install might be taking it as well: what is registered by a request of its own is not compared there and then. */
function isTaken(decision: Decision): boolean {
  const isClaimedFirst = isRegistered(decision) && isToBeClaimed(decision);
  return decision.cause === 'adopt' || (decision.cause === 'create' && isClaimedFirst);
}

function isRecordAlone({ comparison, verb, cause }: Decision): boolean {
  return verb === 'record' || (cause === 'adopt' && comparison.isEqual);
}

function isWithoutOperations({ operations }: InstanceChange): boolean {
  return operations.length === 0;
}

function asTold({ comparison, cause }: Decision): {
  readonly name: string;
  readonly cause: Decision['cause'];
} {
  return { name: comparison.wished.name, cause };
}

/** There is nothing to do now. */
function atRest(
  { missing }: ServiceWish,
  { drifted, departures: leavers }: Work,
  reapMs: number | undefined,
): ServicePlan {
  const againMs = soonest(nextDrainMs(leavers), reapMs);
  if (missing !== undefined) return { kind: 'wait', ...missing, isSeen: true, againMs };
  return { kind: 'noop', drifted, againMs };
}

function soonest(...times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter(time => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** What was claimed when it could still be written, and cannot any more, is let go of: nobody else should wait for it. */
function refused(refusal: Refusal, comparisons: Comparisons, { record }: ServiceFacts): ServicePlan {
  const unwritten = [...comparisons].filter(([, { state, isOurs }]) => state?.kind === 'claimed' && !isOurs);
  if (record === undefined || unwritten.length === 0) return refusal;
  const change = commitOf(
    unwritten.map(([name]) => ({ name, cause: 'remove', record: { to: undefined }, operations: [] })),
    record.head,
  );
  return {
    kind: 'change',
    change,
    drifted: [],
    summary: 'let go of what cannot be registered',
    equal: false,
  };
}

type Commit = Extract<ServiceChange, { step: 'commit' }>;

function commitOf(instances: readonly InstanceChange[], head: Head | undefined, adopts = false): Commit {
  return { step: 'commit', instances, head, adopts };
}

/** How a resource that is being deleted leaves. */
export interface ServiceEnd extends Pick<Declarer, 'installId' | 'onDelete' | 'drainMs'> {}

/**
 * The next step towards nothing: what the record lists is drained, leaves Consul, and the record goes with the last of it. Under
 * Retain all of it stays, and only the record goes.
 */
export function planServiceEnd(
  facts: ServiceFacts,
  { installId, onDelete, drainMs }: ServiceEnd,
): ServicePlan {
  const { record } = facts;
  if (record === undefined) return { kind: 'noop', drifted: [] };
  const leaving = { mark: ownerMark(installId, record.ref), drainMs, isRetained: onDelete === 'Retain' };
  const all = departures(facts, leaving);
  const changes = changesIn(all);
  const unmarked = registersIn(all);
  if (unmarked.length > 0) {
    const change = { step: 'register', instances: unmarked } as const;
    return { kind: 'change', change, drifted: [], summary: summarize(change), equal: false };
  }
  const isLast = all.every(({ kind }) => kind === 'goes');
  if (changes.length === 0 && !isLast) return waitForDrains(all);
  const change = commitOf(changes, isLast ? undefined : record.head);
  const equal = changes.every(isWithoutOperations);
  return { kind: 'change', change, drifted: [], summary: summarize(changes), equal };
}

function waitForDrains(all: readonly Departure[]): ServicePlan {
  const instances = all.filter(one => one.kind === 'draining' && !one.isSidecar).length;
  const message = instances === 1 ? 'draining 1 instance' : `draining ${Math.max(1, instances)} instances`;
  return { kind: 'wait', reason: 'Progressing', message, isSeen: true, againMs: nextDrainMs(all) };
}
