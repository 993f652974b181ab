import type { Clock } from './clock.ts';
import { AbortedError } from './errors.ts';

/**
 * Joins the callers' signals with a time limit; what comes first counts. To be disposed of when the call has ended:
 * a caller's signal may outlive thousands of calls, and would keep a listener for each.
 */
export class Deadline {
  readonly ms: number;
  readonly #controller = new AbortController();
  readonly #callers: readonly AbortSignal[];
  readonly #cancelTimer: () => void;
  #expired = false;

  constructor(clock: Clock, ms: number, callers: readonly AbortSignal[]) {
    this.ms = ms;
    this.#callers = callers;
    this.#cancelTimer = clock.after(ms, () => {
      this.#expired = !this.signal.aborted;
      this.#controller.abort(new Error('deadline'));
    });
    for (const caller of callers) caller.addEventListener('abort', this.#follow, { once: true });
    if (callers.some(caller => caller.aborted)) this.#follow();
  }

  /** Aborts with a caller's signal, by an AbortedError that its reason caused, or when time is up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get expired(): boolean {
    return this.#expired;
  }

  get abortedByCaller(): boolean {
    return this.signal.aborted && !this.#expired;
  }

  /** Takes the time limit off; the callers' signals still count. */
  stopTimer(): void {
    this.#cancelTimer();
  }

  [Symbol.dispose](): void {
    this.#cancelTimer();
    for (const caller of this.#callers) caller.removeEventListener('abort', this.#follow);
  }

  readonly #follow = (): void => {
    const reason: unknown = this.#callers.find(caller => caller.aborted)?.reason;
    this.#controller.abort(new AbortedError('aborted', reason));
  };
}
