import { type Policies, policiesOf } from '../../api/v1alpha1/common.ts';
import { type ConsulKVSpec, type ConsulKVStatus, parseConsulKV } from '../../api/v1alpha1/consulkv.ts';
import { CLAIMS_KEY, type UnitOutcome, type WriteOperation } from '../../commit/operations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { ConsulReads } from '../../consul/client.ts';
import { type KvEntry, type ModifyIndex, NOT_THERE } from '../../consul/types.ts';
import { ConflictError, RetryableError, TerminalError } from '../../core/errors.ts';
import { keyProblem } from '../../core/keys.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Content, Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { listedNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import type { Kind, KindPlan, Receipt, Report, Subject } from '../../runtime/kind.ts';
import {
  type DesiredKv,
  type DesireResult,
  desireKv,
  type Source,
  type SourceRef,
  sourceRefs,
} from './desire.ts';
import type { KeyWatcher } from './key-watcher.ts';
import { ABSENT, type KeyMirror } from './mirror.ts';
import {
  type KvChanges,
  type NameChange,
  type ObservedKv,
  planDeletion,
  planKv,
  type Seen,
  type Stranger,
} from './plan.ts';
import { readyMessage, receiptFor, summarize } from './report.ts';
import type { SourceReader } from './sources.ts';
import { cutUnit } from './units.ts';

/** Up to here a resource fits into one transaction for certain; new names are tried without looking, as that looks. */
const OPTIMISTIC_NAMES = 64;
const OPTIMISTIC_BYTES = 200_000;

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

/** What one look gave: the wish, computed from the sources as they are now, and what is known of Consul. */
export interface KvObservation {
  readonly desire: DesireResult | undefined;
  /** Fingerprint of every desired name. */
  readonly wishes: ReadonlyMap<string, string>;
  readonly facts: ObservedKv;
}

type KvSubject = Subject<ConsulKVSpec, ConsulKVStatus>;

/** Keeps keys in Consul as ConsulKV resources declare them. */
export class ConsulKVKind implements Kind<ConsulKVSpec, ConsulKVStatus, KvObservation, KvChanges> {
  readonly name = 'ConsulKV';
  readonly parse = parseConsulKV;
  readonly #options: KvKindOptions;

  constructor(options: KvKindOptions) {
    this.#options = options;
  }

  owns(ref: ResourceRef): boolean {
    return this.#options.ledger.record(ref) !== undefined;
  }

  forget(ref: ResourceRef): void {
    this.#options.watcher.track(ref, new Set());
    this.#options.watcher.trackExclusive(ref, undefined);
  }

  async observe(
    subject: KvSubject,
    { fresh, signal }: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<KvObservation> {
    const desire = await this.#desire(subject, signal);
    const desired = desire?.kind === 'desired' ? desire.desired : undefined;
    const { ledger, ledgerSync } = this.#options;
    // Deleting on the word of memory alone would be deleting on ignorance: a missing record is looked up.
    const unsure =
      fresh || !ledger.trusts(subject.ref) || (subject.deleting && ledger.record(subject.ref) === undefined);
    const record = unsure ? await ledgerSync.refreshRecord(subject.ref) : ledger.record(subject.ref);
    const listed = record === undefined ? new Map<string, string>() : listedNames(record);
    this.#track(subject.ref, desired, listed);
    // A wish that is not known, or not possible, is not compared with anything.
    const compares = desire === undefined || desired !== undefined;
    if (compares) await this.#look(subject, desired, listed, fresh, signal);
    const strangers = desired === undefined ? [] : await this.#strangers(desired, listed, signal);
    await this.#refreshClaims(desired, listed, strangers);
    const wishes = this.#wishes(desired);
    const seen = compares ? this.#snapshot(subject.ref, listed) : new Map<string, Seen>();
    const { claims } = ledger;
    const facts: ObservedKv = {
      record,
      strangers,
      claims,
      seen: key => seen.get(key),
      rival: key => ledger.rivalFor(key, subject.ref),
      prefixRival: prefix => ledger.rivalForPrefix(prefix, subject.ref),
      rivalBeneath: prefix => ledger.rivalBeneath(prefix, subject.ref),
    };
    return { desire, wishes, facts };
  }

  plan(subject: KvSubject, { desire, wishes, facts }: KvObservation): KindPlan<KvChanges> {
    const plan = subject.deleting
      ? planDeletion(facts, subject.onDelete ?? facts.record?.head.onDelete ?? 'Retain')
      : this.#planTowards(subject, desire, wishes, facts);
    if (plan.kind !== 'change') return plan;
    const equal = plan.changes.every(({ write }) => write.verb === 'none' || write.verb === 'check');
    return { ...plan, change: plan, summary: summarize(plan.changes), equal };
  }

  async apply(subject: KvSubject, change: KvChanges, observed: KvObservation): Promise<Receipt> {
    const { ledger, mirror, installId } = this.#options;
    const { record, claims } = observed.facts;
    const contents = observed.desire?.kind === 'desired' ? observed.desire.desired.contents : undefined;
    const cut = cutUnit(change, {
      installId,
      ref: subject.ref,
      record,
      content: name => contents?.get(name) as Content,
      claimsIndex: claims.complete ? claims.index : undefined,
    });
    if (!ledger.reserve(subject.ref, cut.claim)) return { kind: 'refused' };
    const begunAt = mirror.begin();
    const outcome = await this.#commit(subject.ref, cut.operations);
    if (outcome.kind === 'denied') throw denied(outcome.operations[0]?.what ?? '');
    if (outcome.kind === 'refused') {
      mirror.forget(cut.operations.map(({ key }) => key));
      const claimsMoved = outcome.operations.some(({ operation }) => operation.key === CLAIMS_KEY);
      // If our own adoptions moved the claims key, what is known of other installs still holds.
      if (claimsMoved && ledger.claims.index === claims.index) ledger.mistrustClaims();
      return { kind: 'refused' };
    }
    ledger.committed(
      subject.ref,
      cut.after(key => outcome.indexes.get(key) ?? NOT_THERE),
      outcome.indexes,
    );
    for (const written of cut.done) this.#wrote(written, begunAt, outcome.indexes);
    return receiptFor(change, cut.done, record === undefined, subject.deleting);
  }

  report({ ref, resource }: KvSubject, { wishes, facts }: KvObservation): Report {
    const { watcher, datacenter, fingerprinter } = this.#options;
    const strangers = resource?.spec.driftPolicy === 'Ignore' ? [] : facts.strangers;
    const keys = facts.record === undefined ? 0 : writtenNames(facts.record).length;
    return {
      message: readyMessage(wishes.size, strangers),
      driftSeen: watcher.coverage(this.#options.mirror.trackedBy(ref)),
      datacenter: datacenter(),
      status: { keys, hash: fingerprinter.ofAll(wishes) },
    };
  }

  async #desire(subject: KvSubject, signal: AbortSignal): Promise<DesireResult | undefined> {
    const { resource, deleting, ref } = subject;
    if (resource === undefined || deleting) return undefined;
    const sources = new Map<string, Source>();
    const id = (source: SourceRef): string => `${source.kind}/${source.name}`;
    for (const source of sourceRefs(resource.spec)) {
      if (sources.has(id(source))) continue;
      sources.set(id(source), await this.#options.sources.read(ref.namespace, source, signal));
    }
    return desireKv(resource.spec, source => sources.get(id(source)) ?? { kind: 'missing' });
  }

  #planTowards(
    { ref, resource, onDelete }: KvSubject,
    desire: DesireResult | undefined,
    wishes: ReadonlyMap<string, string>,
    facts: ObservedKv,
  ): ReturnType<typeof planKv> | Extract<DesireResult, { kind: 'wait' | 'refuse' }> {
    if (resource === undefined || desire === undefined) return { kind: 'noop', drifted: [] };
    const elsewhere = this.#refuseDatacenter(resource.spec.datacenter);
    if (elsewhere !== undefined) return elsewhere;
    if (desire.kind !== 'desired') return desire;
    const { adoptionPolicy, driftPolicy }: Policies = policiesOf(resource.spec);
    const { uid, generation } = resource.metadata;
    return planKv(desire.desired, wishes, facts, {
      ref,
      uid,
      generation,
      epoch: this.#options.gate.epoch,
      onDelete: onDelete ?? 'Delete',
      adoptionPolicy,
      driftPolicy,
    });
  }

  #refuseDatacenter(wanted: string | undefined): ReturnType<typeof planKv> | undefined {
    const own = this.#options.datacenter();
    if (wanted === undefined || wanted === own) return undefined;
    const message = `spec.datacenter is ${wanted}; keys can only be written to ${own}, the datacenter of the agent that the operator talks to`;
    return { kind: 'refuse', reason: 'UnsupportedByConsul', message };
  }

  #track(ref: ResourceRef, desired: DesiredKv | undefined, listed: ReadonlyMap<string, string>): void {
    const { watcher } = this.#options;
    watcher.track(ref, new Set([...listed.keys(), ...(desired?.contents.keys() ?? [])]));
    watcher.trackExclusive(ref, desired?.exclusive);
  }

  /** Reads what must be known before planning, and nothing that the transaction itself can find out. */
  async #look(
    { ref, resource }: KvSubject,
    desired: DesiredKv | undefined,
    listed: ReadonlyMap<string, string>,
    fresh: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { mirror, consul } = this.#options;
    const names = [...mirror.trackedBy(ref)];
    const unknown = names.filter(name => mirror.seen(name) === undefined);
    const isSmall = names.length <= OPTIMISTIC_NAMES && valueBytes(desired) <= OPTIMISTIC_BYTES;
    // What is suspended is not tried, so only looking tells.
    const suspended = resource?.spec.suspend === true;
    const careful = suspended || desired?.exclusive !== undefined || !isSmall;
    const toRead = fresh ? names : unknown.filter(name => careful || listed.has(name));
    if (toRead.length === 0) return;
    const begunAt = mirror.begin();
    const { value, filteredByAcl } = await consul.txn.readKeys(toRead, { signal, consistency: 'consistent' });
    if (filteredByAcl)
      throw denied('the ACL token does not show all keys of this resource: it needs key:write on them');
    mirror.learn(value, begunAt, { reader: ref });
  }

  /**
   * What is known of the resource's keys at this moment, so that the planner sees one world.
   *
   * @throws ConflictError when a listed key is unknown: Consul was reset while we looked, and a removal planned now
   *   would be planned on ignorance.
   */
  #snapshot(ref: ResourceRef, listed: ReadonlyMap<string, string>): ReadonlyMap<string, Seen> {
    const { mirror } = this.#options;
    const snapshot = new Map<string, Seen>();
    for (const name of mirror.trackedBy(ref)) {
      const seen = mirror.seen(name);
      if (seen !== undefined) snapshot.set(name, seen);
      else if (listed.has(name)) throw resetMeanwhile();
    }
    return snapshot;
  }

  /** Something stands where nothing of ours should: whose it is must be known as of the time it was written. */
  async #refreshClaims(
    desired: DesiredKv | undefined,
    listed: ReadonlyMap<string, string>,
    strangers: readonly Stranger[],
  ): Promise<void> {
    const { mirror, ledger, ledgerSync } = this.#options;
    let newest = 0;
    for (const name of desired?.contents.keys() ?? []) {
      const isWritten = (listed.get(name) ?? UNWRITTEN) !== UNWRITTEN;
      if (!isWritten) newest = Math.max(newest, mirror.seen(name)?.index ?? 0);
    }
    for (const { seen } of strangers) newest = Math.max(newest, seen.index);
    const { complete, asOf } = ledger.claims;
    const isMistrusted = complete && asOf < 0;
    if (newest > 0 || desired?.exclusive !== undefined || isMistrusted)
      await ledgerSync.refreshClaims(newest);
  }

  /** What stands below the exclusive prefix and is not declared, with what is needed to remove it. */
  async #strangers(
    { contents, exclusive }: DesiredKv,
    listed: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<Stranger[]> {
    if (exclusive === undefined) return [];
    const { consul, fingerprinter } = this.#options;
    const consistent = { signal, consistency: 'consistent' } as const;
    const all = await consul.kv.keys(exclusive, consistent);
    if (all.filteredByAcl) throw denied(`the ACL token does not show all keys below ${exclusive}`);
    const names = all.value.filter(name => !contents.has(name) && !listed.has(name));
    const addressable = new Set(names.filter(name => keyProblem(name) === undefined));
    const { value } =
      addressable.size === 0 ? NOTHING_READ : await consul.txn.readKeys([...addressable], consistent);
    const strangers: Stranger[] = [];
    for (const key of names) {
      const entry = value.get(key);
      if (entry !== undefined) {
        const { modifyIndex: index, session } = entry;
        const seen = { fingerprint: fingerprinter.of(key, entry), index, session: session !== undefined };
        strangers.push({ key, seen, addressable: true });
      } else if (!addressable.has(key)) strangers.push({ key, seen: ABSENT, addressable: false });
    }
    return strangers;
  }

  #wishes(desired: DesiredKv | undefined): Map<string, string> {
    const wishes = new Map<string, string>();
    for (const [name, content] of desired?.contents ?? [])
      wishes.set(name, this.#options.fingerprinter.of(name, content));
    return wishes;
  }

  #wrote({ name, to, write }: NameChange, begunAt: number, indexes: ReadonlyMap<string, ModifyIndex>): void {
    const { mirror } = this.#options;
    if (write.verb === 'none' || write.verb === 'check') return;
    const own = { begunAt, replaced: write.index };
    if (write.verb === 'delete' || to === undefined) return mirror.wrote(name, ABSENT, own);
    const session = mirror.seen(name)?.session ?? false;
    mirror.wrote(name, { fingerprint: to, index: indexes.get(name) ?? NOT_THERE, session }, own);
  }

  /** Commits what was reserved in the ledger, and gives it back when nothing was written. */
  async #commit(ref: ResourceRef, operations: readonly WriteOperation[]): Promise<UnitOutcome> {
    const { gate, ledger, mirror } = this.#options;
    try {
      const outcome = await gate.commit({ owner: ref, operations });
      if (outcome.kind !== 'applied') ledger.giveBack(ref);
      return outcome;
    } catch (error) {
      if (isUnwritten(error)) ledger.giveBack(ref);
      else {
        // Committed or not: nothing that is remembered can be trusted until it was read again.
        mirror.forget(operations.map(({ key }) => key));
        ledger.mistrust(ref);
      }
      throw error;
    }
  }
}

const NOTHING_READ: { readonly value: ReadonlyMap<string, KvEntry | undefined> } = { value: new Map() };

/** Whether the error says that the transaction was not carried out. One that was aborted may have been. */
function isUnwritten(error: unknown): boolean {
  if (error instanceof RetryableError) return !error.outcomeUnknown;
  return error instanceof ConflictError || error instanceof TerminalError;
}

function resetMeanwhile(): ConflictError {
  return new ConflictError('what is known of Consul was dropped while the resource was looked at', {
    code: 'TURN_CONTENDED',
    reason: 'Progressing',
  });
}

function writtenNames(record: OwnerRecord): string[] {
  return [...listedNames(record)].flatMap(([name, fingerprint]) => (fingerprint === UNWRITTEN ? [] : [name]));
}

function valueBytes(desired: DesiredKv | undefined): number {
  let bytes = 0;
  for (const { value } of desired?.contents.values() ?? []) bytes += value.length;
  return bytes;
}

function denied(what: string): RetryableError {
  return new RetryableError(what, { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
}
