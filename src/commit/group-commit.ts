import type { Context } from '@opentelemetry/api';
import type { ConsulWrites } from '../consul/client.ts';
import { encodeOperation, MAX_TXN_BYTES, MAX_TXN_OPERATIONS } from '../consul/txn.ts';
import type { Clock } from '../core/clock.ts';
import { ConflictError, TerminalError } from '../core/errors.ts';
import { answerRefused, carriesClaims, fenceFragment, isShared, layOut, type Pending } from './batch.ts';
import type { UnitOutcome, WriteOperation, WriteUnit } from './operations.ts';
import type { Tenure } from './tenure.ts';

/** How long the first unit of a batch waits for company while other turns could still add to it. */
const GATHER_MS = 250;
/** Times a batch is sent again without the units that were refused. */
const MAX_ROUNDS = 4;
/** Transactions under way at once: enough to hide one round trip, few enough to keep Consul's log calm. */
const MAX_IN_FLIGHT = 4;

export interface GroupCommitOptions {
  readonly txn: ConsulWrites['txn'];
  readonly clock: Clock;
  /** Turns that could still submit something: running and not waiting here, or about to start. */
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
 * log): a batch goes at once when nobody else could add to it, else when it is full, else after 250 ms.
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
  #cancelTimer: (() => void) | undefined;
  #overdue = false;

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
        this.#pending.push({ unit, fragments, fence, tenure, context, resolve, reject });
        this.#cancelTimer ??= this.#options.clock.after(GATHER_MS, () => {
          this.#overdue = true;
          this.nudge();
        });
        this.nudge();
      });
    } finally {
      this.#waiting--;
    }
  }

  /** To be called when a turn ended: the batch may have been waiting for that one. */
  nudge(): void {
    while (this.#pending.length > 0 && this.#inFlight < MAX_IN_FLIGHT) {
      const taken = this.#nextBatch();
      if (taken === 0) return;
      const full = taken < this.#pending.length;
      if (!full && !this.#overdue && this.#options.othersRunnable(this.#waiting)) return;
      this.#send(this.#pending.splice(0, taken));
    }
  }

  /** How many of the pending units, from the oldest, go together now: one tenure, within Consul's limits. */
  #nextBatch(): number {
    const { tenure, fence } = this.#pending[0] as Pending;
    let bytes = 2 + (fence === undefined ? 0 : Buffer.byteLength(fence) + 1);
    let operations = fence === undefined ? 0 : 1;
    const shared = new Set<string>();
    for (const [position, { unit, fragments, tenure: held }] of this.#pending.entries()) {
      if (held !== tenure || (this.#claiming && carriesClaims(unit))) return position;
      for (const [at, fragment] of fragments.entries()) {
        if (shared.has(fragment)) continue;
        if (isShared(unit.operations[at] as WriteOperation)) shared.add(fragment);
        operations++;
        bytes += Buffer.byteLength(fragment) + 1;
      }
      const fits = operations <= MAX_TXN_OPERATIONS && bytes <= MAX_TXN_BYTES;
      // A unit over the limits travels alone, so that it alone hears of it.
      if (!fits) return Math.max(position, 1);
    }
    return this.#pending.length;
  }

  #send(batch: Pending[]): void {
    if (this.#pending.length === 0) {
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
      this.#overdue = false;
    }
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
      const indexes = new Map(outcome.entries.map(({ key, modifyIndex }) => [key, modifyIndex]));
      for (const { resolve } of batch) resolve({ kind: 'applied', indexes });
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
