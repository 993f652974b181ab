import type { Clock } from './clock.ts';
import { pause } from './pause.ts';

/** `burst` at once, then one every `intervalMs`. */
export interface Rate {
  readonly intervalMs: number;
  readonly burst: number;
}

/** Lets through what a rate allows. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #rate: Rate;
  /** When the bucket will be full again, if nothing more is taken. */
  #fullAt: number;

  constructor(clock: Clock, rate: Rate) {
    this.#clock = clock;
    this.#rate = rate;
    this.#fullAt = clock.monotonic();
  }

  /** False when the bucket is empty: nothing is taken then. */
  tryTake(): boolean {
    const fullAt = this.#fullAtAfterOne();
    if (this.#waitMs(fullAt) > 0) return false;
    this.#fullAt = fullAt;
    return true;
  }

  /** Waits for its turn, or returns early when `signal` aborts. Never rejects. */
  take(signal: AbortSignal): Promise<void> {
    this.#fullAt = this.#fullAtAfterOne();
    return pause(this.#clock, this.#waitMs(this.#fullAt), signal);
  }

  #fullAtAfterOne(): number {
    return Math.max(this.#clock.monotonic(), this.#fullAt) + this.#rate.intervalMs;
  }

  #waitMs(fullAt: number): number {
    return fullAt - this.#clock.monotonic() - this.#rate.burst * this.#rate.intervalMs;
  }
}
