import { CLAIMS_KEY } from '../commit/operations.ts';
import { watch } from '../consul/blocking-query.ts';
import { untilDone } from '../consul/until-done.ts';
import type { ConsulReads } from '../consul/client.ts';
import { type KvEntry, NOT_THERE } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import { type ResourceKey, type ResourceRef, resourceKey, resourceRef } from '../core/resource.ts';
import type { Ledger } from './ledger.ts';
import { decodeRecords, type OwnerRecord, ownersPrefix, shardKey } from './record.ts';

/** Between two looks at what moved below `proconsul/`, most of which is our own doing. */
const PAUSE_MS = 1_000;
/** Between two tries to read what moved. */
const LOOK_AGAIN = { baseMs: 200, capMs: 10_000 };
const ROOT = 'proconsul/';
const CONSISTENT = { consistency: 'consistent' } as const;

export interface LedgerSyncOptions {
  readonly consul: ConsulReads;
  readonly ledger: Ledger;
  readonly installId: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** The highest ModifyIndex this process has met. */
  readonly highestIndex: () => number;
  /** An index went back, as by a restore. Resolves when it is settled what that means for what is known. */
  readonly onIndexFell: () => Promise<void>;
  /** A record of ours was changed by somebody else. */
  readonly onTampered: (ref: ResourceRef) => void;
}

/** Reads owner records into the ledger: all at the start, other installs' whenever they move. */
export class LedgerSync {
  readonly #options: LedgerSyncOptions;
  readonly #foreignIndexes = new Map<string, number>();
  /** Reads of everything: how many were begun, and which of them is what the ledger shows. */
  #begun = 0;
  #shown = 0;
  /** Ends the blocking query of the history that it began in. */
  #history = new AbortController();
  #loading: { readonly asOf: number; readonly done: Promise<void> } | undefined;

  constructor(options: LedgerSyncOptions) {
    this.#options = options;
  }

  /**
   * Reads all records, this install's and others', from one consistent snapshot.
   *
   * @throws RetryableError `ConsulDenied` when the token hides some of this install's records: acting on a part
   *   would mean to take what is ours for nobody's.
   */
  async load(): Promise<void> {
    const { ledger, installId, highestIndex } = this.#options;
    const begunAt = ledger.beginRead();
    const entries = await this.#readEverything(highestIndex());
    if (!ledger.claims.complete) await this.#requireOwnRecords();
    ledger.replaceOwn(decodeRecords(installId, entries), begunAt);
    // A query under way may wait for an index of a history that is no more.
    this.#history.abort();
  }

  /** Makes the view of other installs' claims at least as new as a write at `index`. */
  async refreshClaims(index: number): Promise<void> {
    const { claims } = this.#options.ledger;
    if (claims.complete && claims.asOf >= index) return;
    if (this.#loading === undefined || this.#loading.asOf < index) {
      const asOf = Math.max(index, this.#options.highestIndex());
      const done = this.#readEverything(asOf).then(() => {});
      const loading = { asOf, done };
      this.#loading = loading;
      void done
        .catch(() => {})
        .finally(() => {
          if (this.#loading === loading) this.#loading = undefined;
        });
    }
    await this.#loading.done;
  }

  /**
   * The record of a resource of this install, from memory wherever that is known to be what Consul holds.
   *
   * @param how.fresh read it whatever is remembered.
   * @param how.deleting letting go on the word of memory alone would be ignorance: the last write of a predecessor may
   *   have landed after the records were read, so a missing one is looked up, unless `removedJustNow`: our own
   *   transaction has just said that there is none any more.
   */
  async currentRecord(
    ref: ResourceRef,
    how: { readonly fresh: boolean; readonly deleting: boolean; readonly removedJustNow: boolean },
  ): Promise<OwnerRecord | undefined> {
    const { ledger } = this.#options;
    const missing = how.deleting && ledger.record(ref) === undefined && !how.removedJustNow;
    const unsure = how.fresh || missing || !ledger.trusts(ref);
    return unsure ? this.refreshRecord(ref) : ledger.record(ref);
  }

  /** Reads one record of this install again, as it stands now. */
  async refreshRecord(ref: ResourceRef): Promise<OwnerRecord | undefined> {
    const { consul, installId, signal, ledger } = this.#options;
    const headKey = shardKey(installId, ref, 0);
    const options = { ...CONSISTENT, signal };
    // One after the other: should a transaction fall between the two, the head is the older half, and no write
    // based on it can succeed.
    const head = await consul.kv.get(headKey, options);
    const shards = await consul.kv.list(`${headKey}/`, options);
    if (head.filteredByAcl || shards.filteredByAcl) throw hiddenRecords(installId);
    const entries = head.value === undefined ? shards.value : [head.value, ...shards.value];
    const record = decodeRecords(installId, entries)[0];
    ledger.put(ref, record);
    return record;
  }

  /**
   * Whether all of this install's records stand in Consul as they are known, so that whatever made an index go back,
   * no record was set back, lost or brought back. One that is written meanwhile says nothing, and without any that
   * does the answer is no.
   */
  async standsAsKnown(): Promise<boolean> {
    const { consul, installId, signal, ledger } = this.#options;
    const known = byKey(ledger.records());
    const answer = await consul.kv.list(ownersPrefix(installId), { ...CONSISTENT, signal });
    if (answer.filteredByAcl) return false;
    const standing = byKey(decodeRecords(installId, answer.value));
    let compared = 0;
    for (const key of new Set([...known.keys(), ...standing.keys()])) {
      const ref = resourceRef(key);
      const movedMeanwhile = ledger.record(ref) !== known.get(key);
      if (movedMeanwhile || ledger.isBeingWritten(ref)) continue;
      if (!isSameVersion(known.get(key), standing.get(key))) return false;
      compared++;
    }
    return compared > 0;
  }

  /** Follows what others write below `proconsul/` until the signal aborts. */
  async follow(): Promise<void> {
    const { consul, clock, random, signal, logger } = this.#options;
    const read = (block: { index: number; waitSeconds: number; signal: AbortSignal }) =>
      consul.kv.keys(ROOT.slice(0, -1), { separator: '/', signal: block.signal, block });
    const onFailure = (error: unknown): void => {
      if (!signal.aborted) logger.debug({ prefix: ROOT, err: error }, 'watch of Consul interrupted');
    };
    while (!signal.aborted) {
      this.#history = new AbortController();
      const following = { signal: AbortSignal.any([signal, this.#history.signal]), clock, random, onFailure };
      for await (const { reset } of watch({ read, ...following })) {
        if (reset) await this.#options.onIndexFell();
        await untilDone(() => this.#lookAtInstalls(), { ...following, range: LOOK_AGAIN });
        await pause(clock, PAUSE_MS, following.signal);
      }
    }
  }

  async #lookAtInstalls(): Promise<void> {
    const { consul, installId, signal, ledger } = this.#options;
    const begun = this.#begun;
    const { value, filteredByAcl } = await consul.kv.keys(ROOT, { ...CONSISTENT, separator: '/', signal });
    if (filteredByAcl) return ledger.mistrustClaims();
    const installs = value.filter(name => name.endsWith('/')).map(name => name.slice(ROOT.length, -1));
    const gone = ledger.foreignInstalls().filter(install => !installs.includes(install));
    if (this.#isNewest(begun)) for (const install of gone) ledger.replaceForeign(install, []);
    for (const install of installs) {
      const { index } = await consul.kv.keys(`${ROOT}${install}`, { separator: '/', signal });
      if (install === installId) await this.#lookAtOwn(index);
      else if (index !== this.#foreignIndexes.get(install)) await this.#readForeign(install, index);
    }
  }

  async #readForeign(install: string, index: number): Promise<void> {
    const { consul, signal, ledger } = this.#options;
    const begun = this.#begun;
    const { value, filteredByAcl } = await consul.kv.list(ownersPrefix(install), { ...CONSISTENT, signal });
    // Claims that are not shown are claims all the same.
    if (filteredByAcl) return ledger.mistrustClaims();
    if (!this.#isNewest(begun)) return;
    ledger.replaceForeign(install, decodeRecords(install, value));
    this.#foreignIndexes.set(install, index);
  }

  /**
   * Whether a read that started after that many reads of everything is at least as new as what the ledger shows.
   * An older one must not be taken in: with it a claim would be forgotten that an adoption relies on knowing.
   */
  #isNewest(begun: number): boolean {
    return begun >= this.#shown;
  }

  /** A record that stands at another index than our own last write was written, or removed, by somebody else. */
  async #lookAtOwn(index: number): Promise<void> {
    const { consul, installId, signal, ledger } = this.#options;
    const highest = highestRecordIndex(ledger);
    if (index < highest) return this.#lookForReset(highest);
    if (index === highest) return;
    const answer = await consul.kv.list(ownersPrefix(installId), { ...CONSISTENT, signal });
    if (answer.filteredByAcl) return;
    const indexes = new Map(answer.value.map(({ key, modifyIndex }) => [key, modifyIndex]));
    for (const { ref, shards } of ledger.records()) {
      const moved = [...shards].some(([number, shard]) => {
        const isInAnswer = shard.index <= answer.index;
        return isInAnswer && indexes.get(shardKey(installId, ref, number)) !== shard.index;
      });
      if (moved) this.#options.onTampered(ref);
    }
  }

  /** Below its own records Consul should be at least as far as the newest of them; a stale server may lag behind. */
  async #lookForReset(highest: number): Promise<void> {
    const { consul, installId, signal } = this.#options;
    const own = `${ROOT}${installId}`;
    const { index } = await consul.kv.keys(own, { ...CONSISTENT, separator: '/', signal });
    if (index < highest) await this.#options.onIndexFell();
  }

  /** @param asOf an index that has been met already, so that a consistent read shows everything up to it. */
  async #readEverything(asOf: number): Promise<readonly KvEntry[]> {
    const { consul, ledger, installId, signal } = this.#options;
    const begun = ++this.#begun;
    const { value, filteredByAcl } = await consul.kv.list(ROOT, { ...CONSISTENT, signal });
    if (!this.#isNewest(begun)) return value;
    this.#shown = begun;
    const complete = !filteredByAcl;
    // An install of which nothing is shown has gone, or is hidden.
    const gone = complete ? ledger.foreignInstalls() : [];
    const byInstall = new Map<string, KvEntry[]>(gone.map(install => [install, []]));
    for (const entry of value) {
      const install = entry.key.slice(ROOT.length).split('/', 1)[0] as string;
      if (install === installId || entry.key === CLAIMS_KEY) continue;
      const entries = byInstall.get(install) ?? [];
      byInstall.set(install, entries);
      entries.push(entry);
    }
    for (const [install, entries] of byInstall)
      ledger.replaceForeign(install, decodeRecords(install, entries));
    const index = value.find(({ key }) => key === CLAIMS_KEY)?.modifyIndex ?? NOT_THERE;
    ledger.claims = { index, asOf, complete };
    return value;
  }

  async #requireOwnRecords(): Promise<void> {
    const { consul, installId, signal } = this.#options;
    const { filteredByAcl } = await consul.kv.list(ownersPrefix(installId), { ...CONSISTENT, signal });
    if (filteredByAcl) throw hiddenRecords(installId);
  }
}

function highestRecordIndex(ledger: Ledger): number {
  let highest = 0;
  for (const { shards } of ledger.records())
    for (const { index } of shards.values()) highest = Math.max(highest, index);
  return highest;
}

function byKey(records: Iterable<OwnerRecord>): Map<ResourceKey, OwnerRecord> {
  return new Map(Array.from(records, record => [resourceKey(record.ref), record]));
}

/** An index belongs to one write: two shards that have the same say the same. */
function isSameVersion(one: OwnerRecord | undefined, other: OwnerRecord | undefined): boolean {
  if (one?.shards.size !== other?.shards.size) return false;
  return [...(one?.shards ?? [])].every(([number, { index }]) => other?.shards.get(number)?.index === index);
}

function hiddenRecords(installId: string): RetryableError {
  const rule = `key_prefix "proconsul/${installId}/" { policy = "write" }`;
  return new RetryableError(`the ACL token may not read all owner records of this install: add ${rule}`, {
    code: 'RECORDS_HIDDEN',
    reason: 'ConsulDenied',
  });
}
