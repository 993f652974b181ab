import { type Policies, policiesOf } from '../../api/v1alpha1/common.ts';
import { type ConsulKVSpec, type ConsulKVStatus, parseConsulKV } from '../../api/v1alpha1/consulkv.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { ConsulReads } from '../../consul/client.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { listedNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import type { Kind, KindPlan, Receipt, Report } from '../../runtime/kind.ts';
import { KvApplier } from './apply.ts';
import type { DesireResult } from './desire.ts';
import type { KeyWatcher } from '../../mirror/key-watcher.ts';
import type { KeyMirror } from '../../mirror/key-mirror.ts';
import { planWithinLimits } from './limits.ts';
import { type KvObservation, KvObserver, type KvSubject } from './observe.ts';
import { planDeletion } from './plan.ts';
import { readyMessage, summarize } from './report.ts';
import type { SourceReader } from './sources.ts';
import type { KvChanges, KvPlan } from './types.ts';
import { WishReader } from './wish.ts';

export interface KvKindOptions {
  readonly installId: string;
  readonly consul: ConsulReads;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly fingerprinter: Fingerprinter;
  readonly sources: SourceReader;
  /** The agent's own: the only one that can be written to for now. */
  readonly datacenter: () => string;
}

/** Keeps keys in Consul as ConsulKV resources declare them. */
export class ConsulKVKind implements Kind<ConsulKVSpec, ConsulKVStatus, KvObservation, KvChanges> {
  readonly name = 'ConsulKV';
  readonly parse = parseConsulKV;
  readonly #options: KvKindOptions;
  readonly #observer: KvObserver;
  readonly #applier: KvApplier;
  /** Whose record the last transaction of a turn removed, until that turn looks again. */
  readonly #removed = new Set<ResourceKey>();

  constructor(options: KvKindOptions) {
    this.#options = options;
    const wishes = new WishReader(options.sources, options.fingerprinter);
    this.#observer = new KvObserver({ ...options, wishes });
    this.#applier = new KvApplier(options);
  }

  owns(ref: ResourceRef): boolean {
    return this.#options.ledger.record(ref) !== undefined;
  }

  recorded(ref: ResourceRef): { readonly uid: string; readonly generation: number } | undefined {
    return this.#options.ledger.record(ref)?.head;
  }

  forget(ref: ResourceRef): void {
    this.#options.watcher.track(ref, new Set());
    this.#options.watcher.trackExclusive(ref, undefined);
  }

  observe(
    subject: KvSubject,
    options: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<KvObservation> {
    const removedJustNow = this.#removed.delete(resourceKey(subject.ref));
    return this.#observer.observe(subject, { ...options, removedJustNow });
  }

  plan(subject: KvSubject, observed: KvObservation): KindPlan<KvChanges> {
    const plan = subject.deleting
      ? this.#planDeletion(subject, observed)
      : this.#planTowards(subject, observed);
    if (plan.kind !== 'change') return plan;
    const equal = plan.changes.every(({ write }) => write.verb === 'none' || write.verb === 'check');
    return { ...plan, change: plan, summary: summarize(plan.changes), equal };
  }

  async apply(subject: KvSubject, change: KvChanges, observed: KvObservation): Promise<Receipt> {
    const receipt = await this.#applier.apply(subject, change, observed);
    if (receipt.kind === 'applied' && !this.owns(subject.ref)) this.#removed.add(resourceKey(subject.ref));
    return receipt;
  }

  report({ ref, resource }: KvSubject, { wishes, facts }: KvObservation): Report {
    const { watcher, mirror, datacenter, fingerprinter } = this.#options;
    const strangers = resource?.spec.driftPolicy === 'Ignore' ? [] : facts.strangers;
    return {
      message: readyMessage(wishes.size, strangers),
      driftSeen: watcher.coverage(mirror.trackedBy(ref)),
      datacenter: datacenter(),
      status: { keys: countWritten(facts.record), hash: fingerprinter.ofAll(wishes) },
    };
  }

  #planDeletion({ onDelete }: KvSubject, { facts }: KvObservation): KvPlan {
    return planDeletion(facts, onDelete ?? facts.record?.head.onDelete ?? 'Retain');
  }

  #planTowards(
    { ref, resource, onDelete }: KvSubject,
    { desire, wishes, facts }: KvObservation,
  ): KvPlan | Extract<DesireResult, { kind: 'wait' | 'refuse' }> {
    if (resource === undefined || desire === undefined) return { kind: 'noop', drifted: [] };
    const elsewhere = this.#refuseDatacenter(resource.spec.datacenter);
    if (elsewhere !== undefined) return elsewhere;
    if (desire.kind !== 'desired') return desire;
    const { adoptionPolicy, driftPolicy }: Policies = policiesOf(resource.spec);
    const { installId, gate } = this.#options;
    return planWithinLimits(desire.desired, wishes, facts, {
      installId,
      ref,
      uid: resource.metadata.uid,
      generation: resource.metadata.generation,
      epoch: gate.epoch,
      onDelete: onDelete ?? 'Delete',
      adoptionPolicy,
      driftPolicy,
    });
  }

  #refuseDatacenter(wanted: string | undefined): KvPlan | undefined {
    const own = this.#options.datacenter();
    if (wanted === undefined || wanted === own) return undefined;
    const message = `spec.datacenter is ${wanted}; keys can only be written to ${own}, the datacenter of the agent that the operator talks to`;
    return { kind: 'refuse', reason: 'UnsupportedByConsul', message };
  }
}

function countWritten(record: OwnerRecord | undefined): number {
  if (record === undefined) return 0;
  return [...listedNames(record).values()].filter(fingerprint => fingerprint !== UNWRITTEN).length;
}
