import { CLAIMS_KEY } from '../commit/operations.ts';
import { watch } from '../consul/blocking-query.ts';
import type { ConsulReads } from '../consul/client.ts';
import { type KvEntry, NOT_THERE } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Ledger } from './ledger.ts';
import { decodeRecords, type OwnerRecord, ownersPrefix, shardKey } from './record.ts';

/** Between two looks at what moved below `proconsul/`, most of which is our own doing. */
const PAUSE_MS = 1_000;
const ROOT = 'proconsul/';

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
  readonly onReset: () => void;
  /** A record of ours was changed by somebody else. */
  readonly onTampered: (ref: ResourceRef) => void;
}

/** Reads owner records into the ledger: all at the start, other installs' whenever they move. */
export class LedgerSync {
  readonly #options: LedgerSyncOptions;
  readonly #foreignIndexes = new Map<string, number>();
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
    const { ledger, installId } = this.#options;
    const entries = await this.#readEverything();
    if (!ledger.claims.complete) await this.#requireOwnRecords();
    ledger.replaceOwn(decodeRecords(installId, entries));
  }

  /** Makes the view of other installs' claims at least as new as a write at `index`. */
  async refreshClaims(index: number): Promise<void> {
    const { claims } = this.#options.ledger;
    if (claims.complete && claims.asOf >= index) return;
    if (this.#loading === undefined || this.#loading.asOf < index) {
      const asOf = this.#options.highestIndex();
      const done = this.#readEverything().then(() => {});
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

  /** Reads one record of this install again, as it stands now. */
  async refreshRecord(ref: ResourceRef): Promise<OwnerRecord | undefined> {
    const { consul, installId, signal, ledger } = this.#options;
    const headKey = shardKey(installId, ref, 0);
    const options = { signal, consistency: 'consistent' } as const;
    const [head, shards] = await Promise.all([
      consul.kv.get(headKey, options),
      consul.kv.list(`${headKey}/`, options),
    ]);
    if (head.filteredByAcl || shards.filteredByAcl) throw hiddenRecords(installId);
    const entries = head.value === undefined ? shards.value : [head.value, ...shards.value];
    const record = decodeRecords(installId, entries)[0];
    ledger.put(ref, record);
    return record;
  }

  /** Follows what others write below `proconsul/` until the signal aborts. */
  async follow(): Promise<void> {
    const { consul, clock, random, signal, logger } = this.#options;
    const read = (block: { index: number; waitSeconds: number; signal: AbortSignal }) =>
      consul.kv.keys(ROOT.slice(0, -1), { separator: '/', signal: block.signal, block });
    const onFailure = (error: unknown): void => {
      if (!signal.aborted) logger.debug({ prefix: ROOT, err: error }, 'watch of Consul interrupted');
    };
    for await (const { reset } of watch({ read, signal, clock, random, onFailure })) {
      if (reset) this.#options.onReset();
      try {
        await this.#lookAtInstalls();
      } catch (error) {
        onFailure(error);
      }
      await new Promise<void>(resolve => {
        const cancel = clock.after(PAUSE_MS, resolve);
        signal.addEventListener('abort', () => (cancel(), resolve()), { once: true });
      });
    }
  }

  async #lookAtInstalls(): Promise<void> {
    const { consul, installId, signal, ledger } = this.#options;
    const { value } = await consul.kv.keys(ROOT, { separator: '/', signal });
    const installs = value.filter(name => name.endsWith('/')).map(name => name.slice(ROOT.length, -1));
    for (const gone of ledger.foreignInstalls())
      if (!installs.includes(gone)) ledger.replaceForeign(gone, []);
    for (const install of installs) {
      const { index } = await consul.kv.keys(`${ROOT}${install}`, { separator: '/', signal });
      if (install === installId) await this.#lookAtOwn(index);
      else if (index > (this.#foreignIndexes.get(install) ?? 0)) await this.#readForeign(install, index);
    }
  }

  async #readForeign(install: string, index: number): Promise<void> {
    const { consul, signal, ledger } = this.#options;
    const { value } = await consul.kv.list(ownersPrefix(install), { signal });
    ledger.replaceForeign(install, decodeRecords(install, value));
    this.#foreignIndexes.set(install, index);
  }

  /** A record that stands at another index than our own last write was written, or removed, by somebody else. */
  async #lookAtOwn(index: number): Promise<void> {
    const { consul, installId, signal, ledger } = this.#options;
    if (index <= highestRecordIndex(ledger)) return;
    const { value, filteredByAcl } = await consul.kv.list(ownersPrefix(installId), {
      signal,
      consistency: 'consistent',
    });
    if (filteredByAcl) return;
    const indexes = new Map(value.map(({ key, modifyIndex }) => [key, modifyIndex]));
    for (const record of ledger.records()) {
      for (const [number, shard] of record.shards) {
        if (indexes.get(shardKey(installId, record.ref, number)) !== shard.index) {
          this.#options.onTampered(record.ref);
          break;
        }
      }
    }
  }

  async #readEverything(): Promise<readonly KvEntry[]> {
    const { consul, ledger, installId, signal, highestIndex } = this.#options;
    const asOf = highestIndex();
    const { value, filteredByAcl } = await consul.kv.list(ROOT, { signal, consistency: 'consistent' });
    const byInstall = new Map<string, KvEntry[]>(ledger.foreignInstalls().map(install => [install, []]));
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
    ledger.claims = { index, asOf, complete: !filteredByAcl };
    return value;
  }

  async #requireOwnRecords(): Promise<void> {
    const { consul, installId, signal } = this.#options;
    const { filteredByAcl } = await consul.kv.list(ownersPrefix(installId), {
      signal,
      consistency: 'consistent',
    });
    if (filteredByAcl) throw hiddenRecords(installId);
  }
}

function highestRecordIndex(ledger: Ledger): number {
  let highest = 0;
  for (const { shards } of ledger.records())
    for (const { index } of shards.values()) highest = Math.max(highest, index);
  return highest;
}

function hiddenRecords(installId: string): RetryableError {
  const rule = `key_prefix "proconsul/${installId}/" { policy = "write" }`;
  return new RetryableError(`the ACL token may not read all owner records of this install: add ${rule}`, {
    code: 'RECORDS_HIDDEN',
    reason: 'ConsulDenied',
  });
}
