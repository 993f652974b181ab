import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import type { InstallLease, LeaseObject } from './install-lease.ts';

const LOOK_MS = 5_000;
/**
 * Who led last has gone with Consul if it has not said anything for so long. Seen by the own clock, as client-go does;
 * longer than one replica may take to see the outage after another.
 */
const SILENT_MS = 25_000;

export interface OutageReporterOptions {
  readonly lease: InstallLease;
  readonly identity: string;
  /** Whether Consul has been away for longer than an election takes. */
  readonly isAway: () => boolean;
  readonly isLeading: () => boolean;
  /** Consul is away, and it is this process that says so to the users; ends with `signal`. */
  readonly report: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * While Consul is away nobody can lead, and yet users must read in their resources that it is. One process writes
 * that: the holder of the install's Lease, or, when that one is silent, whoever takes the Lease over. One that is held
 * up until after it has lost the Lease does no harm: both write the same, and nothing but that.
 */
export class OutageReporter {
  readonly #options: OutageReporterOptions;
  #reporting: { readonly end: AbortController; readonly done: Promise<void> } | undefined;
  #seen: { readonly version: string; readonly sinceMs: number } | undefined;

  constructor(options: OutageReporterOptions) {
    this.#options = options;
  }

  /** Whether statuses may be written without the lock: not any more once Consul is back. */
  get isReporting(): boolean {
    return this.#reporting !== undefined && this.#options.isAway();
  }

  /** Never rejects; ends when the signal aborts. */
  async run(): Promise<void> {
    const { clock, signal, isLeading } = this.#options;
    while (!signal.aborted) {
      await pause(clock, LOOK_MS, signal);
      const shouldReport = !signal.aborted && (await this.#shouldReport());
      // Consul may have come back meanwhile, and with it the lead.
      if (!shouldReport || isLeading()) await this.rest();
      else this.#begin();
    }
    await this.rest();
  }

  /** Ends what is under way. Resolves when nothing of it runs any more. */
  async rest(): Promise<void> {
    const reporting = this.#reporting;
    reporting?.end.abort();
    await reporting?.done;
    if (this.#reporting === reporting) this.#reporting = undefined;
  }

  #begin(): void {
    if (this.#reporting !== undefined) return;
    const end = new AbortController();
    const done = Promise.resolve().then(() =>
      this.#options.report(AbortSignal.any([this.#options.signal, end.signal])),
    );
    this.#reporting = { end, done };
  }

  async #shouldReport(): Promise<boolean> {
    const { isAway, isLeading, logger } = this.#options;
    if (!isAway() || isLeading()) {
      this.#seen = undefined;
      return false;
    }
    try {
      return await this.#holdLease();
    } catch (error) {
      logger.debug({ err: error }, 'the Lease of this install cannot be read or written');
      return this.#reporting !== undefined;
    }
  }

  async #holdLease(): Promise<boolean> {
    const { lease, identity, signal } = this.#options;
    const present = await lease.read(signal);
    if (present?.spec?.holderIdentity === identity) return lease.renew(present, signal);
    if (present !== undefined && !this.#isSilent(present)) return false;
    return lease.takeOver(present, signal);
  }

  #isSilent({ metadata: { resourceVersion } }: LeaseObject): boolean {
    const now = this.#options.clock.monotonic();
    if (this.#seen?.version !== resourceVersion) this.#seen = { version: resourceVersion, sinceMs: now };
    return now - this.#seen.sinceMs >= SILENT_MS;
  }
}
