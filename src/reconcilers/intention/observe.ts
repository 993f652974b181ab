import type { ConsulIntentionSpec, ConsulIntentionStatus } from '../../api/v1alpha1/consulintention.ts';
import type { IntentionEntries } from '../../commit/intention-entries.ts';
import type { ConfigEntry } from '../../consul/config-entry.ts';
import { parseClaimName } from '../../core/intention-claims.ts';
import { type ResourceRef, resourceKey } from '../../core/resource.ts';
import type { IntentionMirror } from '../../mirror/intention-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import type { LedgerSync } from '../../ownership/ledger-sync.ts';
import { isWritten, listedNames, type OwnerRecord } from '../../ownership/record.ts';
import type { Subject } from '../../runtime/kind.ts';
import type { RefusalMemory } from './memory.ts';
import type { IntentionFacts, IntentionWish, Refused, SeenEntry } from './types.ts';
import type { ClaimReader } from './wish.ts';

export type IntentionSubject = Subject<ConsulIntentionSpec, ConsulIntentionStatus>;

/** What one look gave. */
export interface IntentionObservation {
  /** Undefined: it is being deleted, or cannot be read. */
  readonly wish: IntentionWish | undefined;
  readonly facts: IntentionFacts;
  /** What stands at each destination that matters, for the precondition of a write. */
  readonly entries: ReadonlyMap<string, ConfigEntry>;
  /** Ends the turn that looked. */
  readonly signal: AbortSignal;
}

export interface LookOptions {
  /** Read everything from Consul, consistently, whatever is remembered. */
  readonly fresh: boolean;
  /** Our own transaction has just said that there is no record any more. */
  readonly removedJustNow: boolean;
  readonly signal: AbortSignal;
}

export interface IntentionObserverOptions {
  readonly installId: string;
  readonly intentionEntries: IntentionEntries;
  readonly intentionMirror: IntentionMirror;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly claimReader: ClaimReader;
  readonly refusals: RefusalMemory;
}

/** Finds out what must be known before planning. */
export class IntentionObserver {
  readonly #options: IntentionObserverOptions;

  constructor(options: IntentionObserverOptions) {
    this.#options = options;
  }

  /**
   * @throws RetryableError when Consul does not answer or does not show all that is asked for.
   * @throws AbortedError when an entry shows that a later leader of this install has written it.
   */
  async observe(subject: IntentionSubject, options: LookOptions): Promise<IntentionObservation> {
    const { claimReader, intentionMirror, refusals } = this.#options;
    const { ref, resource, deleting } = subject;
    const record = await this.#options.ledgerSync.currentRecord(ref, {
      ...options,
      deleting: subject.deleting,
    });
    const wish = resource === undefined || deleting ? undefined : claimReader.wish(resource.spec);
    const destinations = destinationsOf(resource?.spec, record);
    intentionMirror.track(ref, destinations[0]);
    if (options.fresh) refusals.forget(ref);
    const entries = new Map<string, ConfigEntry>();
    for (const destination of destinations) {
      const { entry } = await intentionMirror.current(destination, { ...options, reader: ref });
      if (entry !== undefined) entries.set(destination, entry);
    }
    const seen = new Map([...entries].map(([name, entry]) => [name, this.#seen(name, entry)] as const));
    await this.#refreshClaims(wish, record, seen);
    return { wish, facts: this.#facts(subject, record, seen), entries, signal: options.signal };
  }

  /** With the mark of our own install only as far as it can be true. */
  #seen(destination: string, entry: ConfigEntry): SeenEntry {
    const { claimReader, intentionEntries, installId } = this.#options;
    const seen = claimReader.entry(destination, entry);
    const { epochs } = seen.contents;
    const own = epochs.get(installId);
    if (own === undefined) return seen;
    intentionEntries.outranked(own);
    if (own <= intentionEntries.epoch) return seen;
    // Nobody who led wrote it: whoever may write the entry may write that, too.
    const others = new Map([...epochs].filter(([install]) => install !== installId));
    return { ...seen, contents: { ...seen.contents, epochs: others } };
  }

  #facts(
    { ref, resource }: IntentionSubject,
    record: OwnerRecord | undefined,
    seen: ReadonlyMap<string, SeenEntry>,
  ): IntentionFacts {
    const { ledger } = this.#options;
    return {
      record,
      entry: destination => seen.get(destination),
      rival: name => ledger.rivalFor(name, ref),
      neighbours: destination => this.#neighbours(destination, ref),
      claims: ledger.claims,
      refused: this.#refused(ref, resource?.metadata.generation ?? 0),
    };
  }

  #refused(ref: ResourceRef, generation: number): Refused | undefined {
    const known = this.#options.refusals.of(ref, generation);
    return known?.kind === 'dependency' ? { generation, missing: known.told } : undefined;
  }

  #neighbours(destination: string, ref: ResourceRef): OwnerRecord[] {
    const { intentionMirror, ledger } = this.#options;
    const own = resourceKey(ref);
    const others = intentionMirror.concernedBy([destination]).filter(other => resourceKey(other) !== own);
    return others.map(other => ledger.record(other)).filter(record => record !== undefined);
  }

  /** Something stands where nothing of ours should: whose it is must be known as of the time it was written. */
  async #refreshClaims(
    wish: IntentionWish | undefined,
    record: OwnerRecord | undefined,
    seen: ReadonlyMap<string, SeenEntry>,
  ): Promise<void> {
    const { ledger, ledgerSync } = this.#options;
    const listed = record === undefined ? new Map<string, string>() : listedNames(record);
    const entry = wish && seen.get(wish.destination);
    const isTaken = [...(wish?.claims.keys() ?? [])].some(
      name => entry?.fingerprints.has(name) && !isWritten(listed.get(name) ?? ''),
    );
    const { complete, asOf } = ledger.claims;
    if (isTaken || (complete && asOf < 0)) await ledgerSync.refreshClaims(isTaken ? (entry?.index ?? 0) : 0);
  }
}

/** Where the resource declares or owns something: the declared one first, so that it is the one that is followed. */
function destinationsOf(spec: ConsulIntentionSpec | undefined, record: OwnerRecord | undefined): string[] {
  const destinations = new Set(spec === undefined ? [] : [spec.destination]);
  for (const name of record === undefined ? [] : listedNames(record).keys()) {
    const claim = parseClaimName(name);
    if (claim !== undefined) destinations.add(claim.destination);
  }
  return [...destinations];
}
