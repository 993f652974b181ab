import {
  type ConsulLeaderLeaseSpec,
  type ConsulLeaderLeaseStatus,
  type LeaseHolder,
  type LeaseSettings,
  leaseSettingsOf,
} from '../../api/v1alpha1/consulleaderlease.ts';
import type { ConsulReads } from '../../consul/client.ts';
import type { Clock } from '../../core/clock.ts';
import { defaultLeaseKey, slotKeys } from '../../core/lease-keys.ts';
import type { KeyMirror } from '../../mirror/key-mirror.ts';
import type { KeyWatcher } from '../../mirror/key-watcher.ts';
import type { SessionMirror } from '../../mirror/session-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { listedNames, type OwnerRecord, UNWRITTEN } from '../../ownership/record.ts';
import type { Subject } from '../../runtime/kind.ts';
import { candidatesAmong } from './candidates.ts';
import type { LeaseCluster } from './cluster.ts';
import { LockReader, type Locks } from './locks.ts';
import type { LeaseMemory } from './memory.ts';
import { type ObservedLease, slotsOf } from './plan.ts';
import type { Pod } from './pods.ts';
import { leaseRecordOf } from './record-write.ts';
import { applicationHolders, holdersIn } from './report.ts';
import { type ObservedRouting, planRouting, type RoutingPlan } from './routing.ts';
import { matchesSelector } from './selector.ts';
import { sessionsOf } from './sessions.ts';

export type LeaseSubject = Subject<ConsulLeaderLeaseSpec, ConsulLeaderLeaseStatus>;

/** What one look gave. */
export interface LeaseObservation {
  /** Undefined: there is no spec to go by, only what is left. */
  readonly wish: WishedLease | undefined;
  readonly record: OwnerRecord | undefined;
  readonly facts: ObservedLease;
  readonly pods: PodsSeen;
  /** Who holds the lease, by whichever hand; undefined: not known. */
  readonly holders: readonly LeaseHolder[] | undefined;
  readonly routing: RoutingPlan;
  /** Keys that Consul keeps closed for a while, and when to try again. */
  readonly delays: { readonly keys: ReadonlySet<string>; readonly againMs: number };
}

export interface WishedLease {
  readonly settings: LeaseSettings;
  /** As declared, or the default. */
  readonly key: string;
  /** Of all slots, in order. */
  readonly keys: readonly string[];
}

export interface PodsSeen {
  /** Those that the selector matches. */
  readonly matching: readonly Pod[];
  readonly candidates: readonly Pod[];
  /** Those that lead, as far as they exist. */
  readonly leading: readonly Pod[];
}

export interface LeaseObserverOptions {
  readonly installId: string;
  readonly consul: Pick<ConsulReads, 'txn' | 'sessions'>;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly mirror: KeyMirror;
  readonly watcher: KeyWatcher;
  readonly sessionMirror: SessionMirror;
  readonly cluster: LeaseCluster;
  readonly memory: LeaseMemory;
  readonly clock: Clock;
}

export interface LookOptions {
  /** Read everything from Consul, whatever is remembered. */
  readonly fresh: boolean;
  /** Our own transaction has just said that there is no record any more. */
  readonly removedJustNow: boolean;
  readonly signal: AbortSignal;
}

/** Finds out what must be known before planning. */
export class LeaseObserver {
  readonly #options: LeaseObserverOptions;
  readonly #locks: LockReader;

  constructor(options: LeaseObserverOptions) {
    this.#options = options;
    this.#locks = new LockReader(options);
  }

  /**
   * @throws RetryableError when Consul or the API server does not answer or does not show all that is asked for.
   */
  async observe(subject: LeaseSubject, options: LookOptions): Promise<LeaseObservation> {
    const { installId, cluster, memory, watcher, clock } = this.#options;
    const { ref, resource } = subject;
    const { signal } = options;
    if (resource !== undefined) await cluster.listed(ref.namespace, signal);
    const record = await this.#record(subject, options);
    const wish = resource && wishOf(resource.spec, installId, ref);
    const listed = record === undefined ? [] : [...listedNames(record).keys()];
    const keys = new Set([...(wish?.keys ?? []), ...listed]);
    watcher.track(ref, keys);
    const locks = await this.#locks.read(ref, [...keys], options);
    await this.#refreshClaims(record, locks);
    const facts = this.#facts(subject, record, locks);
    const holders = holdersOf(wish, facts, locks);
    const pods = this.#pods(subject, wish, holders);
    return {
      wish,
      record,
      facts,
      holders,
      pods,
      routing: await this.#routing(subject, wish, pods, signal),
      delays: memory.delays(ref, clock.monotonic()),
    };
  }

  /** The owner record, from memory wherever that is known to be what Consul holds. */
  async #record(
    { ref, deleting }: LeaseSubject,
    { fresh, removedJustNow }: LookOptions,
  ): Promise<OwnerRecord | undefined> {
    const { ledger, ledgerSync } = this.#options;
    // The last write of a predecessor may have landed after the records were read.
    const missing = deleting && ledger.record(ref) === undefined && !removedJustNow;
    const unsure = fresh || missing || !ledger.trusts(ref);
    return unsure ? ledgerSync.refreshRecord(ref) : ledger.record(ref);
  }

  /** Something stands where nothing of ours should: whose it is must be known as of the time it was written. */
  async #refreshClaims(record: OwnerRecord | undefined, { entries }: Locks): Promise<void> {
    const { ledger, ledgerSync } = this.#options;
    const listed = record === undefined ? new Map<string, string>() : listedNames(record);
    let newest = 0;
    for (const [key, entry] of entries) {
      const isWritten = (listed.get(key) ?? UNWRITTEN) !== UNWRITTEN;
      if (!isWritten) newest = Math.max(newest, entry?.modifyIndex ?? 0);
    }
    const { complete, asOf } = ledger.claims;
    if (newest > 0 || (complete && asOf < 0)) await ledgerSync.refreshClaims(newest);
  }

  #facts(
    { ref, resource }: LeaseSubject,
    record: OwnerRecord | undefined,
    { entries, sessions, strangers, readIndex }: Locks,
  ): ObservedLease {
    const { ledger, memory } = this.#options;
    return {
      record: leaseRecordOf(record),
      sight: key => (entries.has(key) ? (entries.get(key) ?? 'absent') : 'unknown'),
      sessions: sessionsOf(ref, sessions.sessions),
      stranger: id => strangers.get(id) ?? sessions.sessions.find(session => session.id === id)?.name,
      readIndex,
      told: memory.told(ref, resource?.status ?? {}),
      rival: key => ledger.rivalFor(key, ref),
      claimsComplete: ledger.claims.complete,
    };
  }

  #pods(
    { ref, resource, deleting }: LeaseSubject,
    wish: WishedLease | undefined,
    holders: readonly LeaseHolder[] = [],
  ): PodsSeen {
    if (resource === undefined) return { matching: [], candidates: [], leading: [] };
    const { selector } = resource.spec.candidates;
    const matching = this.#options.cluster
      .pods(ref.namespace)
      .filter(({ labels }) => matchesSelector(selector, labels));
    const isByName = wish?.settings.heldBy === 'Application';
    const leading = holders.flatMap(({ name, uid }) => {
      const pod = matching.find(one => (isByName ? one.name === name : one.uid === uid));
      return pod === undefined ? [] : [pod];
    });
    return { matching, candidates: candidatesAmong(matching, selector), leading: deleting ? [] : leading };
  }

  /** What the plan would create may be there without the mark that is watched for. */
  async #routing(
    { ref, resource, deleting }: LeaseSubject,
    wish: WishedLease | undefined,
    { leading, candidates }: PodsSeen,
    signal: AbortSignal,
  ): Promise<RoutingPlan> {
    if (resource === undefined) return { kind: 'steps', steps: [], problems: [] };
    const { cluster } = this.#options;
    const { namespace, name } = ref;
    const owner = { namespace, name, uid: resource.metadata.uid };
    const service = deleting ? undefined : resource.spec.service;
    let observed = cluster.routes(owner);
    const plan = (leaders: readonly Pod[]) => planRouting({ owner, service, leaders }, observed);
    // Whoever is refused should be so before it holds anything.
    const expected = leading.length > 0 ? leading : candidates.slice(0, wish?.settings.holders);
    const checked = plan(expected);
    const missing = checked.kind === 'steps' ? checked.steps.filter(({ kind }) => kind === 'create') : [];
    for (const step of missing) {
      if (step.kind !== 'create') continue;
      const found = await cluster.lookUp(step.type, { namespace, name: step.body.metadata.name }, signal);
      if (found !== undefined) observed = withObject(observed, step.type.plural, found);
    }
    const verdict = plan(expected);
    return verdict.kind === 'refuse' ? verdict : plan(leading);
  }
}

function withObject(
  { services, slices }: ObservedRouting,
  plural: string,
  object: ObservedRouting['services'][number],
): ObservedRouting {
  return plural === 'services'
    ? { services: [...services, object], slices }
    : { services, slices: [...slices, object] };
}

export function wishOf(
  spec: ConsulLeaderLeaseSpec,
  installId: string,
  { namespace, name }: LeaseSubject['ref'],
): WishedLease {
  const settings = leaseSettingsOf(spec);
  const key = spec.key ?? defaultLeaseKey(installId, namespace, name);
  return { settings, key, keys: slotKeys(key, settings.holders) };
}

function holdersOf(
  wish: WishedLease | undefined,
  facts: ObservedLease,
  { strangers }: Locks,
): readonly LeaseHolder[] | undefined {
  if (wish === undefined) return [];
  if (wish.settings.heldBy === 'Application') {
    return applicationHolders(wish.keys, facts.sight, id => strangers.get(id));
  }
  return holdersIn(slotsOf(wish.keys, facts), facts.record?.names);
}
