import type { Clock } from '../core/clock.ts';

/**
 * Calls back once when nothing was heard for `limitMs`. Touching it costs nothing: its timer looks back when it
 * fires, instead of being set anew for each byte.
 */
export class IdleWatchdog {
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #limitMs: number;
  #heardAt: number;
  #cancel: () => void;

  constructor(clock: Clock, limitMs: number, onIdle: () => void) {
    this.#clock = clock;
    this.#onIdle = onIdle;
    this.#limitMs = limitMs;
    this.#heardAt = clock.monotonic();
    this.#cancel = clock.after(limitMs, () => this.#look());
  }

  touch(): void {
    this.#heardAt = this.#clock.monotonic();
  }

  /** Waits for `limitMs` from now on. */
  reset(limitMs: number): void {
    this.#cancel();
    this.#limitMs = limitMs;
    this.touch();
    this.#cancel = this.#clock.after(limitMs, () => this.#look());
  }

  stop(): void {
    this.#cancel();
  }

  #look(): void {
    const leftMs = this.#heardAt + this.#limitMs - this.#clock.monotonic();
    if (leftMs <= 0) this.#onIdle();
    else this.#cancel = this.#clock.after(leftMs, () => this.#look());
  }
}
