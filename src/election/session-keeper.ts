import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import type { SessionId } from '../consul/types.ts';
import { type Instant, remainingMs } from './deadline.ts';
import type { LeaseClock } from './lease-clock.ts';
import type { LockOperations } from './lock-operations.ts';
import { isOver, keptSince, notRenewed, renewing, untilNextMs, untilRenewalMs } from './renewal.ts';
import type { LeaseTiming } from './timing.ts';

export interface SessionKeeperOptions {
  readonly operations: Pick<LockOperations, 'renew'>;
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  readonly leaseClock: LeaseClock;
}

/** Renews a session that serves no lock of ours, until it is lost or closed. */
export class SessionKeeper {
  readonly id: SessionId;
  readonly #options: SessionKeeperOptions;
  readonly #ended = new AbortController();
  #kept: ReturnType<typeof keptSince>;
  #cancel: () => void = () => {};

  constructor(
    opened: { readonly session: SessionId; readonly sentAt: Instant },
    options: SessionKeeperOptions,
  ) {
    this.id = opened.session;
    this.#options = options;
    this.#kept = keptSince(opened.session, opened.sentAt);
    this.#setTimer();
  }

  /** Aborts before Consul can end the session, with an AbortedError that says why. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** @throws AbortedError unless the session is certain to be alive for a while. */
  assertAlive(): void {
    const { leaseClock, timing } = this.#options;
    if (remainingMs(this.#kept.renewedAt, leaseClock.read(), timing) <= 0) this.end('its time ran out');
    if (this.signal.aborted) throw this.signal.reason;
  }

  end(why: string): void {
    this.#cancel();
    this.#ended.abort(new AbortedError(`the session ${this.id} is over: ${why}`));
  }

  #setTimer(): void {
    const { clock, leaseClock, timing } = this.#options;
    this.#cancel();
    const ms = untilNextMs(this.#kept, leaseClock.read(), timing);
    this.#cancel = clock.after(Math.max(1, ms), () => this.#look());
  }

  #look(): void {
    const { leaseClock, timing } = this.#options;
    const at = leaseClock.read();
    if (isOver(this.#kept, at, timing)) return this.end('no renewal was answered in time');
    if (untilRenewalMs(this.#kept, at, timing) <= 0) void this.#renew();
    this.#setTimer();
  }

  async #renew(): Promise<void> {
    const { operations, leaseClock, timing } = this.#options;
    this.#kept = renewing(this.#kept);
    const renewal = await operations.renew(this.id, this.signal).catch(() => undefined);
    if (this.signal.aborted) return;
    const at = leaseClock.read();
    if (isOver(this.#kept, at, timing)) return this.end('no renewal was answered in time');
    if (renewal?.alive === false) return this.end('Consul does not know it any more');
    this.#kept = renewal === undefined ? notRenewed(this.#kept, at) : keptSince(this.id, renewal.sentAt);
    this.#setTimer();
  }
}
