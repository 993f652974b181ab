import { AbortedError } from '../core/errors.ts';
import type { SessionId } from '../consul/types.ts';

/** One tenure as its holder sees it. Once ended it never comes back; leading again is another one. */
export interface Leadership {
  readonly lockKey: string;
  /** Of this tenure alone. Goes into every transaction, as `check-session` on the lock's key. */
  readonly session: SessionId;
  /** Greater than that of any tenure before: for guarded systems outside of Consul. */
  readonly fencingToken: bigint;
  /** Aborts before the lease can be lost, with an AbortedError that says why. */
  readonly signal: AbortSignal;
  /**
   * To be called right before what must only be done while leading: in a process that was paused no timer has fired
   * yet, and so `signal` does not know.
   * @throws AbortedError unless the lease has margin left.
   */
  assertHeld(): void;
  /** Ends the tenure: Consul said that the fence is lost. */
  revoke(why: string): void;
}

export interface HeldLockOptions {
  readonly lockKey: string;
  readonly session: SessionId;
  readonly fencingToken: bigint;
  /** Of the lease, as it was renewed last. */
  readonly remainingMs: () => number;
  /** Told once, after the signal has aborted. */
  readonly onRevoked: (why: string) => void;
}

export class HeldLock implements Leadership {
  readonly #options: HeldLockOptions;
  readonly #ended = new AbortController();

  constructor(options: HeldLockOptions) {
    this.#options = options;
  }

  get lockKey(): string {
    return this.#options.lockKey;
  }

  get session(): SessionId {
    return this.#options.session;
  }

  get fencingToken(): bigint {
    return this.#options.fencingToken;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  assertHeld(): void {
    if (!this.signal.aborted && this.#options.remainingMs() <= 0) this.revoke('its lease ran out');
    if (this.signal.aborted) throw this.signal.reason;
  }

  revoke(why: string): void {
    if (this.signal.aborted) return;
    this.end(why);
    this.#options.onRevoked(why);
  }

  /** As `revoke`, by the candidate itself. */
  end(why: string): void {
    this.#ended.abort(new AbortedError(`the lead of ${this.lockKey} is over: ${why}`));
  }
}
