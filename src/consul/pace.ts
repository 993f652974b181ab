import type { Clock } from '../core/clock.ts';
import { pause } from '../core/pause.ts';

/** A token bucket: `burst` at once, then one every `intervalMs`. */
export class Pace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #burst: number;
  /** When the bucket is, or was, full. */
  #fullAt: number;

  constructor(clock: Clock, intervalMs: number, burst: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#burst = burst;
    this.#fullAt = clock.monotonic();
  }

  async next(signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    this.#fullAt = Math.max(now, this.#fullAt) + this.#intervalMs;
    await pause(this.#clock, this.#fullAt - now - this.#burst * this.#intervalMs, signal);
  }
}
