import {
  type ConsulLeaderLeaseSpec,
  type ConsulLeaderLeaseStatus,
  type LeaseHolder,
  type LeaseSettings,
  leaseSettingsOf,
} from '../../api/v1alpha1/consulleaderlease.ts';
import type { ConsulReads } from '../../consul/client.ts';
import { NOT_THERE } from '../../consul/types.ts';
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
import type { ClusterNeeds, LeaseCluster } from './cluster.ts';
import { LockReader, type Locks } from './locks.ts';
import type { LeaseMemory } from './memory.ts';
import { type ObservedLease, slotsOf } from './plan.ts';
import type { Pod } from './pods.ts';
import { leaseRecordOf } from './record-write.ts';
import { applicationHolders, holdersIn, type HoldersUnseen, isUnseen, seenHolders } from './report.ts';
import { type ObservedRouting, planRouting, planUnrouting, type RoutingPlan } from './routing.ts';
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
  /** Who holds the lease, by whichever hand. */
  readonly holders: readonly LeaseHolder[] | HoldersUnseen;
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
    await cluster.listed(ref.namespace, needsOf(subject), signal);
    const record = await this.#options.ledgerSync.currentRecord(ref, {
      ...options,
      deleting: subject.deleting,
    });
    const listed = record === undefined ? [] : [...listedNames(record).keys()];
    const wish = resource ? wishOf(resource.spec, installId, ref) : wishWithoutSpec(subject, record);
    const keys = new Set([...(wish?.keys ?? []), ...listed]);
    watcher.track(ref, keys);
    const locks = await this.#locks.read(ref, [...keys], options);
    await this.#refreshClaims(record, locks);
    const facts = this.#facts(subject, record, locks);
    const holders = holdersOf(wish, facts, listed);
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
      recordIndex: record?.shards.get(0)?.index ?? NOT_THERE,
      sight: key => (entries.has(key) ? (entries.get(key) ?? 'absent') : 'unknown'),
      sessions: sessionsOf(ref, sessions.sessions),
      stranger: id => strangers.get(id) ?? sessions.sessions.find(session => session.id === id),
      readIndex,
      told: memory.told(ref, resource?.status ?? {}),
      rival: key => ledger.rivalFor(key, ref),
      claimsComplete: ledger.claims.complete,
    };
  }

  #pods(
    { ref, resource, deleting }: LeaseSubject,
    wish: WishedLease | undefined,
    holders: readonly LeaseHolder[] | HoldersUnseen,
  ): PodsSeen {
    const { cluster, memory } = this.#options;
    // Without a selector to go by, whoever holds the lease may keep it while it is Ready.
    const { selector } = resource?.spec.candidates ?? { selector: {} };
    const matching = cluster.pods(ref.namespace).filter(({ labels }) => matchesSelector(selector, labels));
    const isByName = wish?.settings.heldBy === 'Application';
    const led = seenHolders(holders).flatMap(({ name, uid }) => {
      const pod = matching.find(one => (isByName ? one.name === name : one.uid === uid));
      return pod === undefined ? [] : [pod];
    });
    const leading = deleting ? [] : led;
    memory.mayBeLabelled(ref, led);
    if (!isUnseen(holders)) {
      memory.sawLeading(ref, { label: wish?.settings.leaderLabel ?? '', pods: leading });
    }
    return {
      matching: resource === undefined ? led : matching,
      candidates: candidatesAmong(matching, selector),
      leading,
    };
  }

  /** What the plan would create may be there without the mark that is watched for. */
  async #routing(
    { ref, resource, deleting }: LeaseSubject,
    wish: WishedLease | undefined,
    { leading, candidates }: PodsSeen,
    signal: AbortSignal,
  ): Promise<RoutingPlan> {
    const { cluster } = this.#options;
    if (resource === undefined) {
      const steps = deleting ? [] : planUnrouting(ref, leading, cluster.routes(ref));
      return { steps, problems: [], refusal: undefined };
    }
    const { namespace, name } = ref;
    const owner = { namespace, name, uid: resource.metadata.uid };
    const service = deleting ? undefined : resource.spec.service;
    let observed = cluster.routes(owner);
    const plan = (leaders: readonly Pod[]) => planRouting({ owner, service, leaders }, observed);
    // Whoever is refused should be so before it holds anything.
    const expected = leading.length > 0 ? leading : candidates.slice(0, wish?.settings.holders);
    for (const step of plan(expected).steps) {
      if (step.kind !== 'create') continue;
      const found = await cluster.lookUp(step.type, { namespace, name: step.body.metadata.name }, signal);
      if (found !== undefined) observed = withObject(observed, step.type.plural, found);
    }
    const { refusal } = plan(expected);
    const { steps, problems } = plan(leading);
    const allowed = refusal === undefined ? steps : steps.filter(({ kind }) => kind !== 'create');
    return { steps: allowed, problems, refusal };
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

export const NO_SPEC: ConsulLeaderLeaseSpec = { candidates: { selector: {} } };

export function wishOf(
  spec: ConsulLeaderLeaseSpec,
  installId: string,
  { namespace, name }: LeaseSubject['ref'],
): WishedLease {
  const settings = leaseSettingsOf(spec);
  const key = spec.key ?? defaultLeaseKey(installId, namespace, name);
  return { settings, key, keys: slotKeys(key, settings.holders) };
}

/** What a spec that cannot be read any more leaves to go by: who holds something keeps it for as long as it can. */
function wishWithoutSpec(
  { deleting }: LeaseSubject,
  record: OwnerRecord | undefined,
): WishedLease | undefined {
  if (deleting || record === undefined) return undefined;
  const keys = [...listedNames(record).keys()];
  const settings = leaseSettingsOf(NO_SPEC);
  const { label = settings.leaderLabel } = record.head.lease ?? {};
  return { settings: { ...settings, holders: keys.length, leaderLabel: label }, key: '', keys };
}

/** Services are needed by who names one; everything else only delays what they do not hold up. */
function needsOf({ resource, deleting }: LeaseSubject): ClusterNeeds {
  return { routes: deleting || resource?.spec.service !== undefined, isOptional: deleting };
}

function holdersOf(
  wish: WishedLease | undefined,
  facts: ObservedLease,
  listed: readonly string[],
): readonly LeaseHolder[] | HoldersUnseen {
  if (wish?.settings.heldBy === 'Application') {
    return applicationHolders(wish.keys, facts.sight, facts.stranger);
  }
  return holdersIn(slotsOf(wish?.keys ?? listed, facts), facts.record?.names);
}
