import { policiesOf } from '../../api/v1alpha1/common.ts';
import {
  type ConsulIntentionSpec,
  type ConsulIntentionStatus,
  parseConsulIntention,
} from '../../api/v1alpha1/consulintention.ts';
import type { IntentionEntries } from '../../commit/intention-entries.ts';
import { dryRun } from '../../commit/held-tenure.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { Clock } from '../../core/clock.ts';
import { Lanes } from '../../core/lanes.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';
import type { DependencyWatch } from '../../mirror/dependency-watch.ts';
import type { IntentionMirror } from '../../mirror/intention-mirror.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import type { Kind, KindPlan, Receipt, Report } from '../../runtime/kind.ts';
import { describeChange, IntentionApplier } from './apply.ts';
import { RefusalMemory } from './memory.ts';
import { type IntentionObservation, IntentionObserver, type IntentionSubject } from './observe.ts';
import { planIntention, planIntentionEnd } from './plan.ts';
import { intentionStatus, readyMessage } from './report.ts';
import type { Declarer, IntentionChange, Writer } from './types.ts';
import { ClaimReader } from './wish.ts';

export interface IntentionKindOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly intentionEntries: IntentionEntries;
  readonly intentionMirror: IntentionMirror;
  readonly dependencies: DependencyWatch;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly fingerprinter: Fingerprinter;
  readonly clock: Clock;
  /** Where intentions are written. */
  readonly primaryDatacenter: () => string;
}

type EntryStep = Extract<IntentionChange, { step: 'entry' }>;

/** Keeps sources in the intentions of their destinations as ConsulIntention resources declare them. */
export class ConsulIntentionKind
  implements Kind<ConsulIntentionSpec, ConsulIntentionStatus, IntentionObservation, IntentionChange>
{
  readonly name = 'ConsulIntention';
  readonly parse = parseConsulIntention;
  readonly #options: IntentionKindOptions;
  readonly #refusals: RefusalMemory;
  readonly #observer: IntentionObserver;
  readonly #applier: IntentionApplier;
  /** By destination: all its resources write the same entry. */
  readonly #lanes = new Lanes();
  /** Whose record the last transaction of a turn removed, until that turn looks again. */
  readonly #removed = new Set<ResourceKey>();

  constructor(options: IntentionKindOptions) {
    this.#options = options;
    this.#refusals = new RefusalMemory(options.clock);
    const parts = {
      ...options,
      refusals: this.#refusals,
      claimReader: new ClaimReader(options.fingerprinter),
    };
    this.#observer = new IntentionObserver(parts);
    this.#applier = new IntentionApplier(parts);
  }

  owns(ref: ResourceRef): boolean {
    return this.#options.ledger.record(ref) !== undefined;
  }

  recorded(ref: ResourceRef): { readonly uid: string; readonly generation: number } | undefined {
    return this.#options.ledger.record(ref)?.head;
  }

  forget(ref: ResourceRef): void {
    const { intentionMirror, dependencies } = this.#options;
    intentionMirror.track(ref, undefined);
    dependencies.release(ref);
    this.#refusals.forget(ref);
  }

  /** What Consul refused may be taken now: the next turn asks it again. */
  askAgain(refs: Iterable<ResourceRef>): void {
    for (const ref of refs) this.#refusals.forget(ref);
  }

  observe(
    subject: IntentionSubject,
    options: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<IntentionObservation> {
    const removedJustNow = this.#removed.delete(resourceKey(subject.ref));
    return this.#observer.observe(subject, { ...options, removedJustNow });
  }

  plan(subject: IntentionSubject, { wish, facts }: IntentionObservation): KindPlan<IntentionChange> {
    const { resource, deleting, onDelete } = subject;
    if (deleting) {
      return planIntentionEnd(facts, onDelete ?? facts.record?.head.onDelete ?? 'Retain', this.#writer());
    }
    if (resource === undefined || wish === undefined) return { kind: 'noop', drifted: [] };
    return planIntention(wish, facts, this.#declarer(subject, resource));
  }

  async apply(
    subject: IntentionSubject,
    change: IntentionChange,
    observed: IntentionObservation,
  ): Promise<Receipt> {
    if (this.#options.gate.isDryRun) throw dryRun(describeChange(change));
    if (change.step === 'entry') return this.#writeInLane(subject, change, observed);
    const receipt = await this.#applier.commit(subject, change, observed);
    if (receipt.kind !== 'refused' && !this.owns(subject.ref)) this.#removed.add(resourceKey(subject.ref));
    return receipt;
  }

  report({ resource }: IntentionSubject, { wish, facts }: IntentionObservation): Report {
    const destination = wish?.destination ?? resource?.spec.destination ?? '';
    return {
      message: readyMessage(resource?.spec.sources.length ?? 0),
      driftSeen: 'Watched',
      datacenter: this.#options.primaryDatacenter(),
      status: intentionStatus(destination, facts),
    };
  }

  /**
   * Whoever waited for the lane finds another entry than it planned with, so it looks again once inside: what is written
   * there by this process is known, and no race between its own turns reaches Consul.
   */
  async #writeInLane(
    subject: IntentionSubject,
    { destination }: EntryStep,
    { signal }: IntentionObservation,
  ): Promise<Receipt> {
    const leave = await this.#lanes.enter(destination, signal);
    try {
      const observed = await this.#observer.observe(subject, { fresh: false, removedJustNow: false, signal });
      const plan = this.plan(subject, observed);
      if (plan.kind !== 'change' || plan.change.step !== 'entry') return { kind: 'refused' };
      if (plan.change.destination !== destination) return { kind: 'refused' };
      return await this.#applier.write(subject, plan.change, observed);
    } finally {
      leave();
    }
  }

  #writer(): Writer {
    const { installId, gate } = this.#options;
    return { installId, epoch: gate.epoch };
  }

  #declarer(
    { ref, onDelete }: IntentionSubject,
    { metadata, spec }: NonNullable<IntentionSubject['resource']>,
  ): Declarer {
    const { adoptionPolicy, driftPolicy } = policiesOf(spec);
    const { uid, generation } = metadata;
    const policies = { onDelete: onDelete ?? 'Delete', adoptionPolicy, driftPolicy };
    return { ...this.#writer(), ref, uid, generation, ...policies };
  }
}
