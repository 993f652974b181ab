import {
  type ConsulLeaderLeaseSpec,
  type ConsulLeaderLeaseStatus,
  leaseSettingsOf,
  parseConsulLeaderLease,
} from '../../api/v1alpha1/consulleaderlease.ts';
import type { LeaseSessions } from '../../commit/lease-sessions.ts';
import { dryRun } from '../../commit/held-tenure.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { ConsulReads } from '../../consul/client.ts';
import type { Clock, Random } from '../../core/clock.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';
import type { KeyMirror } from '../../mirror/key-mirror.ts';
import type { KeyWatcher } from '../../mirror/key-watcher.ts';
import type { SessionMirror } from '../../mirror/session-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import type { Kind, KindPlan, Receipt, Report } from '../../runtime/kind.ts';
import { LeaseApplier } from './apply.ts';
import type { LeaseCluster } from './cluster.ts';
import { applyCluster, type ClusterSteps, planCluster } from './cluster-steps.ts';
import { LeaseMemory } from './memory.ts';
import { type LeaseObservation, LeaseObserver, type LeaseSubject, NO_SPEC, wishOf } from './observe.ts';
import {
  type LeasePlan,
  type LeaseRefusal,
  type LeaseWish,
  planLease,
  planLeaseEnd,
  planLettingGo,
  slotsOf,
} from './plan.ts';
import {
  applicationWait,
  countsSeen,
  effectiveOf,
  isUnseen,
  receiptFor,
  reportLease,
  seenHolders,
  summarize,
} from './report.ts';
import { isGranted, isHeld } from './slots.ts';
import type { LeaseStep } from './steps.ts';

export interface LeaseKindOptions {
  readonly installId: string;
  readonly consul: Pick<ConsulReads, 'txn' | 'sessions'>;
  readonly gate: WriteGate;
  readonly leaseSessions: LeaseSessions;
  readonly sessionMirror: SessionMirror;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly cluster: LeaseCluster;
  readonly clock: Clock;
  readonly random: Random;
  /** Never the same twice. */
  readonly drawAttempt: () => string;
  /** The agent's own: the only one that can be written to for now. */
  readonly datacenter: () => string;
}

/** What one round of a turn does: in Consul, or when nothing is left to do there, in Kubernetes. */
export type LeaseChange =
  | { readonly in: 'consul'; readonly steps: readonly LeaseStep[] }
  | ({ readonly in: 'kubernetes' } & ClusterSteps);

/** While something has not been read that another is about to make, or that is about to go. */
const LOOK_AGAIN_MS = 1_000;
/** While a Service that is not ours has the name: it is not watched. */
const LOOK_AT_SERVICE_MS = 10_000;

/** Keeps the locks of leases with the Pods that may lead, and labels and Services with those that do. */
export class ConsulLeaderLeaseKind
  implements Kind<ConsulLeaderLeaseSpec, ConsulLeaderLeaseStatus, LeaseObservation, LeaseChange>
{
  readonly name = 'ConsulLeaderLease';
  readonly parse = parseConsulLeaderLease;
  readonly tendsUnreadable = true;
  readonly #options: LeaseKindOptions;
  readonly #memory = new LeaseMemory();
  readonly #observer: LeaseObserver;
  readonly #applier: LeaseApplier;
  /** Whose record the last transaction of a turn removed, until that turn looks again. */
  readonly #removed = new Set<ResourceKey>();
  /** The tenure in which sessions and leaders were last read: what a former leader did must not be missing. */
  #epoch: number | undefined;

  constructor(options: LeaseKindOptions) {
    const parts = { ...options, memory: this.#memory };
    this.#options = options;
    this.#observer = new LeaseObserver(parts);
    this.#applier = new LeaseApplier(parts);
  }

  /** A record is written before anything else, in Consul or in Kubernetes, and goes last. */
  owns(ref: ResourceRef): boolean {
    return this.#options.ledger.record(ref) !== undefined;
  }

  recorded(ref: ResourceRef): { readonly uid: string; readonly generation: number } | undefined {
    return this.#options.ledger.record(ref)?.head;
  }

  forget(ref: ResourceRef): void {
    this.#options.watcher.track(ref, new Set());
    this.#memory.forget(ref);
  }

  effective(ref: ResourceRef, spec: ConsulLeaderLeaseSpec): Readonly<Record<string, unknown>> {
    const { settings, key } = wishOf(spec, this.#options.installId, ref);
    return effectiveOf({ settings, key });
  }

  observe(
    subject: LeaseSubject,
    options: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<LeaseObservation> {
    const { gate } = this.#options;
    if (gate.epoch !== this.#epoch) this.#doubtAll();
    this.#epoch = gate.epoch;
    const removedJustNow = this.#removed.delete(resourceKey(subject.ref));
    return this.#observer.observe(subject, { ...options, removedJustNow });
  }

  /** Another replica may have led meanwhile. */
  #doubtAll(): void {
    this.#options.sessionMirror.doubt();
    this.#memory.forgetLeading();
  }

  plan(subject: LeaseSubject, observed: LeaseObservation): KindPlan<LeaseChange> {
    if (subject.deleting) return this.#planEnd(subject, observed);
    const { wish, facts, pods, record } = observed;
    if (wish === undefined) return NOTHING;
    const wanted: LeaseWish = {
      keys: wish.keys,
      candidates: pods.candidates,
      handover: wish.settings.handover,
      uid: subject.resource?.metadata.uid ?? record?.head.uid ?? '',
      label: wish.settings.leaderLabel,
      obstacle: this.#obstacle(subject, observed),
    };
    return this.#planBoth(
      subject,
      observed,
      wish.settings.heldBy === 'Application'
        ? planForApplication(wanted, observed)
        : planLease(wanted, facts),
    );
  }

  async apply(subject: LeaseSubject, change: LeaseChange, observed: LeaseObservation): Promise<Receipt> {
    if (this.#options.gate.isDryRun) throw dryRun(describeChange(change));
    if (change.in === 'kubernetes') return applyCluster(subject.ref, change, this.#options.cluster);
    const isFirst = ![...(observed.record?.shards.values() ?? [])].some(({ names }) =>
      [...names.keys()].some(key => isGranted(names, key)),
    );
    const done = await this.#applier.apply(subject, change.steps, observed);
    if (!this.owns(subject.ref)) this.#removed.add(resourceKey(subject.ref));
    if (done.length === 0) return { kind: 'refused' };
    const work = receiptFor(done, { isFirst, deleting: subject.deleting });
    if (work === undefined) return { kind: 'tidied' };
    const isGrant = work.event === 'LeaderChanged' && done.some(({ kind }) => kind === 'grant');
    return { kind: 'applied', ...work, ...(isGrant ? { supersedes: true } : {}) };
  }

  report({ ref, resource }: LeaseSubject, observed: LeaseObservation): Report {
    const { watcher, mirror, datacenter } = this.#options;
    const { wish, facts, routing } = observed;
    const holders = seenHolders(observed.holders);
    const { settings = leaseSettingsOf(NO_SPEC) } = wish ?? {};
    return reportLease({
      settings,
      datacenter: datacenter(),
      driftSeen: watcher.coverage(mirror.trackedBy(ref)),
      holders,
      ...countsSeen({ settings, holders, facts, previous: resource?.status }),
      problems: routing.problems,
    });
  }

  /** Consul first: who leads is decided there, and everything else follows. */
  #planBoth(subject: LeaseSubject, observed: LeaseObservation, plan: LeasePlan): KindPlan<LeaseChange> {
    const { keys, againMs } = observed.delays;
    const steps = plan.kind === 'change' ? plan.steps.filter(step => !isDelayed(step, keys)) : [];
    if (steps.length > 0) return inConsul(steps);
    if (plan.kind === 'wait' && isUnseen(observed.holders) && plan.reason === 'Progressing') return plan;
    // What is refused from the start writes nothing anywhere.
    const isNothingOurs = plan.kind === 'refuse' && observed.record === undefined;
    const rest = isNothingOurs ? undefined : this.#planRest(subject, observed);
    if (rest !== undefined) return rest;
    if (plan.kind === 'refuse') {
      const isByRouting = plan === observed.routing.refusal;
      return { ...plan, isSeen: true, againMs: isByRouting ? LOOK_AT_SERVICE_MS : undefined };
    }
    if (plan.kind === 'wait') {
      const isSoon = plan.reason === 'Progressing' && observed.wish?.settings.heldBy === 'Operator';
      return { ...plan, isSeen: true, againMs: isSoon ? LOOK_AGAIN_MS : plan.againMs };
    }
    if (plan.kind === 'noop') return NOTHING;
    if (slotsOf(observed.wish?.keys ?? [], observed.facts).some(isHeld)) return { ...NOTHING, againMs };
    return { ...IN_LOCK_DELAY, againMs };
  }

  /** What is left to do when Consul is as it should be. */
  #planRest(subject: LeaseSubject, observed: LeaseObservation): KindPlan<LeaseChange> | undefined {
    const rest = planCluster(subject, observed, this.#options.cluster, this.#memory);
    if (rest === undefined) return undefined;
    return rest === 'after the record' ? inConsul([{ kind: 'record' }]) : inKubernetes(rest);
  }

  /** The record goes last: until then it says what is left to do. */
  #planEnd(subject: LeaseSubject, observed: LeaseObservation): KindPlan<LeaseChange> {
    const { record, facts } = observed;
    const plan = planLeaseEnd(facts, subject.onDelete ?? record?.head.onDelete ?? 'Retain');
    if (plan.kind === 'wait' || plan.kind === 'refuse') return { ...plan, againMs: LOOK_AGAIN_MS };
    const steps = plan.kind === 'change' ? plan.steps : [];
    const before = steps.filter(({ kind }) => kind !== 'end');
    if (before.length > 0) return inConsul(before);
    const rest = planCluster(subject, observed, this.#options.cluster, this.#memory);
    if (rest !== undefined && rest !== 'after the record') return inKubernetes(rest);
    return steps.length > 0 ? inConsul(steps) : NOTHING;
  }

  /** Why nobody may get the lease, other than by what stands in Consul. */
  #obstacle({ resource }: LeaseSubject, { routing }: LeaseObservation): LeaseRefusal | undefined {
    if (resource === undefined) return UNREADABLE;
    return this.#refuseDatacenter(resource.spec.datacenter) ?? routing.refusal;
  }

  #refuseDatacenter(wanted: string | undefined): LeaseRefusal | undefined {
    const own = this.#options.datacenter();
    if (wanted === undefined || wanted === own) return undefined;
    const message = `spec.datacenter is ${wanted}; a lease can only be held in ${own}, the datacenter of the agent that the operator talks to`;
    return { kind: 'refuse', reason: 'UnsupportedByConsul', message };
  }
}

/** What the operator held there before is given up; then it only watches. */
function planForApplication(wish: LeaseWish, { facts, holders, pods }: LeaseObservation): LeasePlan {
  const plan = planLettingGo(wish, facts);
  if (plan.kind !== 'noop') return plan;
  return applicationWait(holders, pods.candidates.length) ?? plan;
}

const NOTHING = { kind: 'noop', drifted: [] } as const;
const UNREADABLE = { kind: 'refuse', reason: 'InvalidSpec', message: 'the spec cannot be read' } as const;
const IN_LOCK_DELAY = {
  kind: 'wait',
  reason: 'Progressing',
  message: 'the lock-delay of the last holder passes before the next one gets the lease',
  isSeen: true,
} as const;

function inConsul(steps: readonly LeaseStep[]): KindPlan<LeaseChange> {
  const equal = steps.every(({ kind }) => kind === 'record' || kind === 'discard');
  return { kind: 'change', change: { in: 'consul', steps }, drifted: [], summary: summarize(steps), equal };
}

function inKubernetes(steps: ClusterSteps): KindPlan<LeaseChange> {
  const change = { in: 'kubernetes', ...steps } as const;
  return { kind: 'change', change, drifted: [], summary: describeChange(change), equal: true };
}

function isDelayed(step: LeaseStep, keys: ReadonlySet<string>): boolean {
  return step.kind === 'grant' && keys.has(step.key);
}

function describeChange(change: LeaseChange): string {
  if (change.in === 'consul') return summarize(change.steps);
  const { labels, routes } = change;
  const labelled = labels.length === 0 ? [] : [`label ${labels.map(({ pod }) => pod.name).join(', ')}`];
  return [...labelled, ...(routes.length === 0 ? [] : ['update the Service'])].join('; ');
}
