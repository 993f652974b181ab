import type { WriteGate } from '../commit/write-gate.ts';
import type { ConsulClient } from '../consul/client.ts';
import { backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, messageOf, RetryableError } from '../core/errors.ts';
import { parseClaimName } from '../core/intention-claims.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import type { Fingerprinter } from '../ownership/fingerprint.ts';
import type { Ledger } from '../ownership/ledger.ts';
import type { LedgerSync } from '../ownership/ledger-sync.ts';
import { listedNames, type OwnerRecord, ownsKeys } from '../ownership/record.ts';
import { ensurePrivateKey } from '../ownership/private-key.ts';
import type { IntentionMirror } from '../mirror/intention-mirror.ts';
import type { KeyWatcher } from '../mirror/key-watcher.ts';
import type { ServiceMirror } from '../mirror/service-mirror.ts';
import { catalogInstances } from '../mirror/tracked-instances.ts';

const RETRY = { baseMs: 500, capMs: 10_000 };
/** Between two looks whether a leader, this process or another, has made what a new install lacks. */
const LEADER_MS = 200;

export interface KnowledgeOptions {
  readonly consul: ConsulClient;
  readonly gate: WriteGate;
  readonly installId: string;
  /** As set; undefined: that of the agent. */
  readonly datacenter: string | undefined;
  readonly fingerprinter: Fingerprinter;
  readonly ledger: Ledger;
  readonly ledgerSync: LedgerSync;
  readonly watcher: KeyWatcher;
  readonly intentionMirror: IntentionMirror;
  readonly serviceMirror: ServiceMirror;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Everything is known (again): every resource should be looked at. */
  readonly onLoaded: () => void;
}

/**
 * What this process knows of Consul as a whole: the private key, who owns what, what stands at owned keys, which
 * datacenter it is. Nothing is planned before it is complete, and when Consul was restored or rebuilt it is
 * forgotten and read anew.
 *
 * ```
 *   an index went back ──▶ do all owner records stand as known? ── yes ─▶ known still holds: keys are looked at again
 *                                        │ no, or no answer
 *                                        ▼
 *                          nothing holds: no turn runs until all is read anew
 * ```
 */
export class Knowledge {
  readonly #options: KnowledgeOptions;
  #datacenters: Datacenters = { own: '', primary: undefined };
  #missing: { readonly sinceMs: number; readonly error: RetryableError } | undefined;
  #loading: Promise<void> | undefined;
  #stale = false;
  #judging: Promise<void> | undefined;
  #fell = false;

  constructor(options: KnowledgeOptions) {
    this.#options = options;
    this.#missing = { sinceMs: options.clock.monotonic(), error: notYet() };
  }

  get datacenter(): string {
    return this.#datacenters.own;
  }

  /** Where config entries are written; undefined: the token may not ask, and nothing has been read yet. */
  get primaryDatacenter(): string | undefined {
    return this.#datacenters.primary;
  }

  /** Why nothing can be planned now, and for how long that has been so. */
  get missing(): { readonly error: RetryableError; readonly forMs: number } | undefined {
    if (this.#missing === undefined) return undefined;
    const { error, sinceMs } = this.#missing;
    return { error, forMs: this.#options.clock.monotonic() - sinceMs };
  }

  /** Resolves once everything is known; at once when it is. */
  get complete(): Promise<void> {
    return this.#missing === undefined ? Promise.resolve() : (this.#loading ?? this.load());
  }

  /** Reads everything; tries until it succeeds or the signal aborts. Called again: reads everything again. */
  load(): Promise<void> {
    this.#stale = true;
    this.#missing ??= { sinceMs: this.#options.clock.monotonic(), error: notYet() };
    this.#loading ??= this.#loadUntilKnown();
    return this.#loading;
  }

  /**
   * To be told when an index of Consul went back: it was restored or rebuilt, or it collected the tombstones of keys
   * deleted 15 minutes ago (`agent/consul/config.go`, TombstoneTTL), which happens in every quiet Consul. Turns go on
   * until that is settled, since each write carries the index it believed. Resolves when what is known holds, or is
   * being read anew. Never rejects.
   */
  indexFell(): Promise<void> {
    this.#fell = true;
    this.#judging ??= this.#judge();
    return this.#judging;
  }

  async #judge(): Promise<void> {
    const { signal, logger } = this.#options;
    while (this.#fell && !signal.aborted) {
      this.#fell = false;
      if (await this.#stillHolds()) {
        logger.debug({}, 'an index of Consul went back, all owner records stand: nothing was restored');
      } else if (!signal.aborted) {
        logger.warn({}, "Consul's index went back: it was restored or rebuilt, reading everything again");
        void this.load();
      }
    }
    this.#judging = undefined;
  }

  /** Anything but a clear yes is a no. */
  async #stillHolds(): Promise<boolean> {
    const { ledger, ledgerSync, watcher, intentionMirror, serviceMirror } = this.#options;
    try {
      if (this.#missing !== undefined || !(await ledgerSync.standsAsKnown())) return false;
      // What is not ours may have been set back all the same.
      ledger.mistrustClaims();
      await watcher.lookAtAll();
      await intentionMirror.lookAtAll();
      await serviceMirror.lookAtAll();
      return true;
    } catch {
      return false;
    }
  }

  async #loadUntilKnown(): Promise<void> {
    const { signal, random, clock, logger } = this.#options;
    for (let attempt = 0; this.#stale && !signal.aborted; attempt++) {
      try {
        this.#stale = false;
        await this.#loadOnce();
      } catch (error) {
        if (signal.aborted) return;
        this.#stale = true;
        if (error instanceof AbortedError) {
          // What is not there yet only a leader can make.
          await pause(clock, LEADER_MS, signal);
          continue;
        }
        const sinceMs = this.#missing?.sinceMs ?? clock.monotonic();
        this.#missing = { sinceMs, error: asRetryable(error) };
        if (attempt === 0) logger.warn({ err: error }, 'Consul cannot be read yet, trying again');
        await pause(clock, backoffMs(RETRY, attempt, random), signal);
      }
    }
    this.#loading = undefined;
    if (signal.aborted) return;
    this.#missing = undefined;
    logger.info({ count: this.#options.ledger.size, datacenter: this.datacenter }, 'Consul has been read');
    this.#options.onLoaded();
  }

  /** The one set, else the agent's own. A token without `agent:read` is enough: the nearest one is the agent's. */
  async #readDatacenters(): Promise<Datacenters> {
    const { consul, signal, datacenter: set } = this.#options;
    try {
      const { datacenter, primaryDatacenter } = await consul.agent.self({ signal });
      return { own: set ?? datacenter, primary: primaryDatacenter };
    } catch (error) {
      if (!isDenied(error)) throw error;
      return { own: set ?? (await consul.catalog.datacenters({ signal }))[0] ?? '', primary: undefined };
    }
  }

  async #loadOnce(): Promise<void> {
    const { consul, gate, installId, fingerprinter, ledger, ledgerSync, signal } = this.#options;
    this.#datacenters = await this.#readDatacenters();
    fingerprinter.use(await ensurePrivateKey({ consul, gate, installId, signal, known: fingerprinter.key }));
    await ledgerSync.load();
    await this.#loadOwned([...ledger.records()]);
  }

  /** What stands where the resources own something. */
  async #loadOwned(records: readonly OwnerRecord[]): Promise<void> {
    const { watcher, intentionMirror, serviceMirror } = this.#options;
    const ofKeys = records.filter(({ ref }) => ownsKeys(ref));
    await watcher.load(ofKeys.map(record => [record.ref, new Set(listedNames(record).keys())] as const));
    const others = records.filter(({ ref }) => !ownsKeys(ref));
    await intentionMirror.load(
      others.flatMap(record => destinationsIn(record).map(name => [record.ref, name] as const)),
    );
    await serviceMirror.load(
      others.map(record => [record.ref, catalogInstances(listedNames(record).keys())] as const),
    );
  }
}

interface Datacenters {
  readonly own: string;
  readonly primary: string | undefined;
}

function destinationsIn(record: OwnerRecord): string[] {
  const claims = [...listedNames(record).keys()].map(parseClaimName).filter(claim => claim !== undefined);
  return [...new Set(claims.map(({ destination }) => destination))];
}

function isDenied(error: unknown): boolean {
  return error instanceof RetryableError && error.code === 'CONSUL_DENIED';
}

function notYet(): RetryableError {
  return new RetryableError('Consul has not been read completely yet', {
    code: 'CONSUL_NOT_READ',
    reason: 'ConsulUnreachable',
  });
}

function asRetryable(error: unknown): RetryableError {
  if (error instanceof RetryableError) return error;
  return new RetryableError(messageOf(error), {
    code: 'CONSUL_NOT_READ',
    reason: 'ConsulUnreachable',
    cause: error,
  });
}
