import type { ConsulKVSpec, ConsulKVStatus } from '../../api/v1alpha1/consulkv.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import type { ConsulReads } from '../../consul/client.ts';
import type { KvEntry } from '../../consul/types.ts';
import { ConflictError, RetryableError } from '../../core/errors.ts';
import { keyProblem } from '../../core/keys.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { listedNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import type { Subject } from '../../runtime/kind.ts';
import type { DesiredKv } from './desire.ts';
import type { KeyWatcher } from '../../mirror/key-watcher.ts';
import { ABSENT, type KeyMirror } from '../../mirror/key-mirror.ts';
import type { Seen } from '../../mirror/key-mirror.ts';
import type { ObservedKv, Stranger } from './types.ts';
import type { Wish, WishReader } from './wish.ts';

/** Up to here a resource fits into one transaction for certain; new names are tried without looking, as that looks. */
const OPTIMISTIC_NAMES = 64;
const OPTIMISTIC_BYTES = 200_000;

export interface ObserverOptions {
  readonly consul: ConsulReads;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly fingerprinter: Fingerprinter;
  readonly wishes: WishReader;
}

/** What one look gave: the wish, computed from the sources as they are now, and what is known of Consul. */
export interface KvObservation extends Wish {
  readonly facts: ObservedKv;
}

export interface LookOptions {
  /** Read everything from Consul, consistently, whatever is remembered. */
  readonly fresh: boolean;
  /** Our own transaction has just said that there is no record any more. */
  readonly removedJustNow: boolean;
  readonly signal: AbortSignal;
}

export type KvSubject = Subject<ConsulKVSpec, ConsulKVStatus>;

const NOTHING: ReadonlyMap<string, KvEntry | undefined> = new Map();

type Listed = ReadonlyMap<string, string>;

/** Finds out what must be known before planning, and nothing that the transaction itself can find out. */
export class KvObserver {
  readonly #options: ObserverOptions;

  constructor(options: ObserverOptions) {
    this.#options = options;
  }

  /**
   * @throws RetryableError when Consul does not answer or does not show all that is asked for.
   * @throws ConflictError when Consul was reset meanwhile.
   */
  async observe(subject: KvSubject, options: LookOptions): Promise<KvObservation> {
    const { ref } = subject;
    const wish = await this.#options.wishes.read(subject, options.signal);
    const { desire } = wish;
    const desired = desire?.kind === 'desired' ? desire.desired : undefined;
    const record = await this.#options.ledgerSync.currentRecord(ref, {
      ...options,
      deleting: subject.deleting,
    });
    const listed = record === undefined ? new Map<string, string>() : listedNames(record);
    this.#track(ref, desired, listed);
    // A wish that is not known, or not possible, is not compared with anything.
    const compares = desire === undefined || desired !== undefined;
    if (compares) await this.#look(subject, desired, listed, options);
    const strangers = desired === undefined ? [] : await this.#strangers(desired, listed, options.signal);
    await this.#refreshClaims(desired, listed, strangers);
    const seen = compares ? this.#snapshot(ref, listed) : new Map<string, Seen>();
    return { ...wish, facts: this.#facts(ref, record, seen, strangers) };
  }

  #facts(
    ref: ResourceRef,
    record: OwnerRecord | undefined,
    seen: ReadonlyMap<string, Seen>,
    strangers: readonly Stranger[],
  ): ObservedKv {
    const { ledger } = this.#options;
    const { claims } = ledger;
    return {
      record,
      strangers,
      claims,
      seen: key => seen.get(key),
      rival: key => ledger.rivalFor(key, ref),
      prefixRival: prefix => ledger.rivalForPrefix(prefix, ref),
      rivalBeneath: prefix => ledger.rivalBeneath(prefix, ref),
    };
  }

  #track(ref: ResourceRef, desired: DesiredKv | undefined, listed: Listed): void {
    const { watcher } = this.#options;
    watcher.track(ref, new Set([...listed.keys(), ...(desired?.contents.keys() ?? [])]));
    watcher.trackExclusive(ref, desired?.exclusive);
  }

  async #look(
    { ref, resource }: KvSubject,
    desired: DesiredKv | undefined,
    listed: Listed,
    { fresh, signal }: LookOptions,
  ): Promise<void> {
    const { mirror, consul, gate } = this.#options;
    const names = [...mirror.trackedBy(ref)];
    const isSmall = names.length <= OPTIMISTIC_NAMES && valueBytes(desired) <= OPTIMISTIC_BYTES;
    // What is not tried can only be told by looking; and what was in the way may well be there still.
    const isWithheld = gate.isDryRun || resource?.spec.suspend === true;
    const careful =
      isWithheld || wasInTheWay(resource?.status) || desired?.exclusive !== undefined || !isSmall;
    const isToRead = (name: string): boolean =>
      mirror.isDoubted(name) || (mirror.seen(name) === undefined && (careful || listed.has(name)));
    const toRead = fresh ? names : names.filter(isToRead);
    if (toRead.length === 0) return;
    const begunAt = mirror.begin();
    const { value, filteredByAcl } = await consul.txn.readKeys(toRead, { signal, consistency: 'consistent' });
    if (filteredByAcl)
      throw hidden('the ACL token does not show all keys of this resource: it needs key:write on them');
    mirror.learn(value, begunAt, { reader: ref });
  }

  /**
   * What is known of the resource's keys at this moment, so that the planner sees one world.
   *
   * @throws ConflictError when a listed key is unknown: Consul was reset while we looked, and a removal planned now
   *   would be planned on ignorance.
   */
  #snapshot(ref: ResourceRef, listed: Listed): ReadonlyMap<string, Seen> {
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
    listed: Listed,
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
    listed: Listed,
    signal: AbortSignal,
  ): Promise<Stranger[]> {
    if (exclusive === undefined) return [];
    const { consul, fingerprinter } = this.#options;
    const consistent = { signal, consistency: 'consistent' } as const;
    const all = await consul.kv.keys(exclusive, consistent);
    if (all.filteredByAcl) throw hidden(`the ACL token does not show all keys below ${exclusive}`);
    const names = all.value.filter(name => !contents.has(name) && !listed.has(name));
    const addressable = new Set(names.filter(name => keyProblem(name) === undefined));
    const value =
      addressable.size === 0 ? NOTHING : (await consul.txn.readKeys([...addressable], consistent)).value;
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
}

/** What stands in Consul refused the last turn: a transaction would find that out again. */
function wasInTheWay({ conditions }: Partial<ConsulKVStatus> = {}): boolean {
  return conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'AlreadyExists') ?? false;
}

function valueBytes(desired: DesiredKv | undefined): number {
  let bytes = 0;
  for (const { value } of desired?.contents.values() ?? []) bytes += value.length;
  return bytes;
}

function hidden(what: string): RetryableError {
  return new RetryableError(what, { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
}

function resetMeanwhile(): ConflictError {
  return new ConflictError('what is known of Consul was dropped while the resource was looked at', {
    code: 'TURN_CONTENDED',
    reason: 'Progressing',
  });
}
