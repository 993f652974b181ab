import type { Tenure } from '../commit/tenure.ts';
import { isConsulError } from '../consul/errors.ts';
import { backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError, TerminalError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/pause.ts';
import type { Candidate, Leadership } from '../election/index.ts';

/** A leader that cannot open its tenure in Kubernetes for so long lets another one try. */
const OPENING_MS = 30_000;
const RETRY = { baseMs: 500, capMs: 10_000 };

export interface LeadOptions {
  /** Asked for once, when the election begins. */
  readonly candidate: () => Promise<Candidate>;
  /** Opens the tenure in Kubernetes and returns its epoch; called once the lock is won. */
  readonly openEpoch: (options: {
    readonly signal: AbortSignal;
    readonly beforeSend: () => void;
  }) => Promise<number>;
  /** All that may be done only while leading. Resolves when the tenure is over and nothing of it runs any more. */
  readonly work: (tenure: Tenure) => Promise<void>;
  /** The election cannot go on, as when another install is at the same lock. */
  readonly onFatal: (error: unknown) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Leads whenever it may: campaign, open the tenure, work, and when it is over stand by again, in the same process and
 * with caches warm.
 */
export class Lead {
  readonly #options: LeadOptions;
  #candidate: Candidate | undefined;
  #tenure: Tenure | undefined;
  #hasResigned = false;

  constructor(options: LeadOptions) {
    this.#options = options;
  }

  /** The one in which this process may write. */
  get tenure(): Tenure | undefined {
    return this.#tenure;
  }

  /** This replica or another one leads, as far as seen. */
  get isLed(): boolean {
    return this.#tenure !== undefined || this.#candidate?.holder !== undefined;
  }

  /** For `/readyz`: a standby is as ready as a leader. */
  get notice(): { readonly notice: string } | undefined {
    if (this.#tenure !== undefined) return undefined;
    const holder = this.#candidate?.holder?.holder;
    return { notice: holder === undefined ? 'nobody is known to lead' : `standing by, ${holder} leads` };
  }

  /** Never rejects; ends when the signal aborts, after resigning, or when the election cannot go on. */
  async run(): Promise<void> {
    const { signal, clock, random, onFatal } = this.#options;
    const candidate = await this.#options.candidate();
    this.#candidate = candidate;
    for (let failures = 0; !signal.aborted && !this.#hasResigned; ) {
      try {
        failures = (await this.#serve(await candidate.campaign(signal))) ? 0 : failures + 1;
      } catch (error) {
        // Whatever Consul, or a proxy before it, refuses for good today it may take tomorrow; the candidate has told of it.
        if (!(error instanceof AbortedError || isConsulError(error))) return onFatal(error);
        failures += 1;
      }
      // Held still by a tenure that could not be opened, or whose work broke off.
      await candidate.resign(signal);
      if (failures > 0) await pause(clock, backoffMs(RETRY, failures, random), signal);
    }
  }

  /** Lets the next leader in at once, and stands for no election again. */
  async resign(signal: AbortSignal): Promise<void> {
    this.#hasResigned = true;
    await this.#candidate?.resign(signal);
  }

  /** False when the tenure could not be opened. */
  async #serve(leadership: Leadership): Promise<boolean> {
    const { logger, work } = this.#options;
    const epoch = await this.#open(leadership);
    if (epoch === undefined) return false;
    const tenure = asTenure(leadership, epoch);
    this.#tenure = tenure;
    logger.info({ epoch, sessionId: leadership.session }, 'leading');
    try {
      await work(tenure);
    } finally {
      this.#tenure = undefined;
    }
    if (!this.#hasResigned) logger.warn({ epoch, err: leadership.signal.reason }, 'no longer leading');
    return true;
  }

  /** Undefined: Kubernetes could not be asked, or the lead was lost meanwhile. */
  async #open(leadership: Leadership): Promise<number | undefined> {
    const { openEpoch, clock, random, logger } = this.#options;
    const enough = new AbortController();
    const cancel = clock.after(OPENING_MS, () => enough.abort());
    const signal = AbortSignal.any([leadership.signal, enough.signal]);
    try {
      for (let attempt = 0; !signal.aborted; attempt++) {
        try {
          return await openEpoch({ signal, beforeSend: () => leadership.assertHeld() });
        } catch (error) {
          if (error instanceof TerminalError && attempt === 0) {
            logger.error({ err: error }, 'the lock was won, but the tenure cannot be opened in Kubernetes');
          } else if (attempt === 0)
            logger.warn({ err: error }, 'the tenure cannot be opened yet, trying again');
          await pause(clock, backoffMs(RETRY, attempt, random), signal);
        }
      }
      return undefined;
    } finally {
      cancel();
    }
  }
}

/** A lead with the number it goes by in owner records. */
export function asTenure(leadership: Leadership, epoch: number): Tenure {
  return {
    epoch,
    fence: { lockKey: leadership.lockKey, session: leadership.session },
    signal: leadership.signal,
    assertHeld: () => leadership.assertHeld(),
    revoke: why => leadership.revoke(why),
  };
}
