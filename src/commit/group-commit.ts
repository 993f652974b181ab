import type { Context } from '@opentelemetry/api';
import type { ConsulWrites } from '../consul/client.ts';
import { encodeOperation } from '../consul/txn.ts';
import type { Clock } from '../core/clock.ts';
import { ConflictError, TerminalError } from '../core/errors.ts';
import {
  answerOutrun,
  answerRefused,
  carriesClaims,
  cut,
  fenceFragment,
  indexesOf,
  layOut,
  type Pending,
} from './batch.ts';
import type { UnitOutcome, WriteUnit } from './operations.ts';
import { Stream } from './stream.ts';
import type { Tenure } from './tenure.ts';

/** A batch goes when nothing has moved for so long: no unit came, no turn began or ended. */
const SILENCE_MS = 250;
/** No unit waits for company longer than this. */
const MAX_WAIT_MS = 2000;
/** Times a batch is sent again without the units that were refused. */
const MAX_ROUNDS = 4;
/** Transactions under way at once, where the batches are full: few enough to keep Consul's log calm. */
const MAX_IN_FLIGHT = 4;

export interface GroupCommitOptions {
  readonly txn: ConsulWrites['txn'];
  readonly clock: Clock;
  /** Whether turns could still submit something: running, before their last write and not waiting here; or to start. */
  readonly othersRunnable: (waitingHere: number) => boolean;
  readonly onTransaction?: (transaction: TransactionReport) => void;
  /** The calling turn's trace context, and how a transaction that serves several turns gets its span. */
  readonly context: () => Context;
  readonly inSpan: <T>(turns: readonly Context[], operations: number, run: () => Promise<T>) => Promise<T>;
}

/** One transaction as metrics see it. */
export interface TransactionReport {
  readonly result: 'applied' | 'refused' | 'failed';
  readonly operations: number;
  readonly units: number;
}

/**
 * Gathers the units of concurrent turns into as few transactions as fit (group commit, as databases do for their
 * log). A batch goes at once when it is full, when one of its units is urgent, or when no company is to be expected:
 * no other turn could add to it, no transaction is under way, and units do not come in a stream. Else it waits for
 * company, until nothing has moved for 250 ms, and never longer than 2 s. See docs/adr/0005.
 *
 * A refused unit never takes its neighbours with it: Consul lists every failing operation, so those units are
 * taken out and the rest is sent again.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #pending: Pending[] = [];
  #waiting = 0;
  #inFlight = 0;
  /** One that moves the claims key is under way: another one beside it would only be refused. */
  #claiming = false;
  readonly #stream = new Stream();
  #movedAtMs = 0;
  #cancelTimer: (() => void) | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Turns that wait here for their transaction. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Resolves when the unit was committed or refused as a whole.
   *
   * @throws RetryableError when Consul did not take the transaction, or (`outcomeUnknown`) may have taken it.
   * @throws TerminalError when the unit alone is over Consul's limits or is not understood.
   * @throws AbortedError when the tenure ended.
   */
  async submit(unit: WriteUnit, tenure: Tenure): Promise<UnitOutcome> {
    this.#waiting++;
    try {
      return await new Promise<UnitOutcome>((resolve, reject) => {
        const fragments = unit.operations.map(encodeOperation);
        const fence = fenceFragment(tenure);
        const context = this.#options.context();
        const sinceMs = this.#options.clock.monotonic();
        this.#pending.push({ unit, fragments, fence, tenure, context, sinceMs, resolve, reject });
        this.#stream.arrived(sinceMs);
        this.nudge();
      });
    } finally {
      this.#waiting--;
    }
  }

  /** To be called when turns began, wrote their last or ended: the batch may have been waiting for those. */
  nudge(): void {
    this.#movedAtMs = this.#options.clock.monotonic();
    this.#sendWhatIsDue();
    this.#watchTime();
  }

  #sendWhatIsDue(): void {
    while (this.#pending.length > 0 && this.#inFlight < MAX_IN_FLIGHT) {
      const next = cut(this.#pending, this.#claiming);
      if (next.units === 0) return;
      const isUrgent = this.#pending.slice(0, next.units).some(({ unit }) => unit.isUrgent);
      if (!next.isClosed && !isUrgent && this.#remainingMs > 0 && this.#expectsCompany) return;
      this.#stream.sent(next);
      this.#send(this.#pending.splice(0, next.units));
    }
  }

  get #expectsCompany(): boolean {
    return this.#inFlight > 0 || this.#stream.isFlowing || this.#options.othersRunnable(this.#waiting);
  }

  /** How long the oldest unit may still wait for company. */
  get #remainingMs(): number {
    const { sinceMs } = this.#pending[0] as Pending;
    return Math.min(sinceMs + MAX_WAIT_MS, this.#movedAtMs + SILENCE_MS) - this.#options.clock.monotonic();
  }

  /** One timer, set again when it fires: what moves is more frequent than what is late. */
  #watchTime(): void {
    if (this.#pending.length === 0) {
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
    } else if (this.#remainingMs > 0) {
      this.#cancelTimer ??= this.#after(this.#remainingMs, () => {
        // Where the process was kept from running, what came meanwhile is read first: that was no silence.
        this.#cancelTimer = this.#after(0, () => this.#timeIsUp());
      });
    }
  }

  #timeIsUp(): void {
    this.#sendWhatIsDue();
    this.#watchTime();
  }

  #after(ms: number, callback: () => void): () => void {
    return this.#options.clock.after(ms, () => {
      this.#cancelTimer = undefined;
      callback();
    });
  }

  #send(batch: Pending[]): void {
    const claims = batch.some(({ unit }) => carriesClaims(unit));
    this.#claiming ||= claims;
    this.#inFlight++;
    void this.#commit(batch).finally(() => {
      this.#inFlight--;
      if (claims) this.#claiming = false;
      this.nudge();
    });
  }

  /** Never rejects: every unit of the batch is answered. */
  async #commit(batch: readonly Pending[]): Promise<void> {
    let rest = batch;
    try {
      for (let round = 0; rest.length > 0; round++) {
        if (round === MAX_ROUNDS) throw lostTooOften();
        rest = await this.#attempt(rest);
      }
    } catch (error) {
      if (error instanceof TerminalError && rest.length > 1) {
        // 413 or 400 speaks of the whole body: halve until the unit that is to blame stands alone.
        const middle = rest.length >> 1;
        await this.#commit(rest.slice(0, middle));
        await this.#commit(rest.slice(middle));
        return;
      }
      for (const { reject } of rest) reject(error);
    }
  }

  /** Sends one transaction; returns the units that are still to be sent. */
  async #attempt(batch: readonly Pending[]): Promise<readonly Pending[]> {
    const { tenure } = batch[0] as Pending;
    const { fragments, carriers } = layOut(batch);
    const report = (result: TransactionReport['result']): void =>
      this.#options.onTransaction?.({ result, operations: fragments.length, units: batch.length });
    let outcome: Awaited<ReturnType<ConsulWrites['txn']['submit']>>;
    try {
      const turns = batch.map(({ context }) => context);
      const send = () =>
        this.#options.txn.submit(fragments, { signal: tenure.signal, beforeSend: () => tenure.assertHeld() });
      outcome = await this.#options.inSpan(turns, fragments.length, send);
    } catch (error) {
      report('failed');
      throw error;
    }
    if (outcome.applied) {
      report('applied');
      const indexes = indexesOf(outcome, carriers);
      for (const { resolve } of batch) resolve({ kind: 'applied', indexes });
      this.#pending = answerOutrun(this.#pending, batch);
      return [];
    }
    report('refused');
    return answerRefused(batch, outcome.errors, carriers, tenure);
  }
}

function lostTooOften(): ConflictError {
  return new ConflictError(`lost the race for the same keys ${MAX_ROUNDS} times`, {
    code: 'CONSUL_TXN_CONTENDED',
    reason: 'Progressing',
  });
}
