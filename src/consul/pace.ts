import type { Clock } from '../core/clock.ts';

/** Waits, or returns early when `signal` aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted || ms <= 0) return resolve();
    const end = (): void => {
      cancel();
      signal.removeEventListener('abort', end);
      resolve();
    };
    const cancel = clock.after(ms, end);
    signal.addEventListener('abort', end, { once: true });
  });
}

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
