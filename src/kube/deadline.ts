import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';

/** Joins the caller's signals with a time limit. Listeners are taken off again: the callers' signals live long. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #signals: readonly AbortSignal[];
  readonly #cut = (): void => this.#controller.abort();
  readonly #stopTimer: () => void;
  #expired = false;

  constructor(clock: Clock, ms: number, signals: readonly AbortSignal[]) {
    this.#signals = signals;
    this.#stopTimer = clock.after(ms, () => {
      this.#expired = true;
      this.#cut();
    });
    for (const signal of signals) signal.addEventListener('abort', this.#cut, { once: true });
    if (this.aborted) this.#cut();
  }

  /** Aborts with the first of the signals, or when time is up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Time was up before anything else happened. */
  get expired(): boolean {
    return this.#expired;
  }

  /** One of the callers' signals has aborted. */
  get aborted(): boolean {
    return this.#signals.some(signal => signal.aborted);
  }

  /** Takes the time limit off; the signals still count. */
  stopTimer(): void {
    this.#stopTimer();
  }

  [Symbol.dispose](): void {
    this.#stopTimer();
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#cut);
  }
}

/** @throws AbortedError as soon as `signal` aborts. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new AbortedError());
    const wake = (): void => {
      cancel();
      reject(new AbortedError());
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener('abort', wake);
      resolve();
    });
    signal.addEventListener('abort', wake, { once: true });
  });
}
