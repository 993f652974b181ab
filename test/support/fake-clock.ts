import type { Clock } from '../../src/core/clock.ts';

interface Timer {
  readonly dueAtMs: number;
  readonly callback: () => void;
}

/** A clock that stands still until the test moves it. */
export class FakeClock implements Clock {
  readonly #startedAtMs: number;
  readonly #timers = new Set<Timer>();
  #elapsedMs = 0;

  constructor(startedAtMs = Date.UTC(2026, 0, 1)) {
    this.#startedAtMs = startedAtMs;
  }

  /** Timers that have been set and have neither fired nor been cancelled. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** How far off the next timer is. Throws when there is none: a test that waits for it would never end. */
  get nextTimerMs(): number {
    const next = this.#next(Number.POSITIVE_INFINITY);
    if (next === undefined) throw new Error('no timer is set');
    return next.dueAtMs - this.#elapsedMs;
  }

  now(): number {
    return this.#startedAtMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { dueAtMs: this.#elapsedMs + Math.max(0, ms), callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /**
   * Moves on by `ms` and fires what comes due, in order, each at its own time. Synchronous: follow it with
   * `settled()` when promises hang on the timers.
   */
  advance(ms: number): void {
    const untilMs = this.#elapsedMs + ms;
    for (let timer = this.#next(untilMs); timer !== undefined; timer = this.#next(untilMs)) {
      this.#timers.delete(timer);
      this.#elapsedMs = timer.dueAtMs;
      timer.callback();
    }
    this.#elapsedMs = untilMs;
  }

  #next(untilMs: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueAtMs <= untilMs && (next === undefined || timer.dueAtMs < next.dueAtMs)) next = timer;
    }
    return next;
  }
}

/** Resolves after every promise that could settle without a timer or I/O has settled. */
export function settled(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve);
  });
}
