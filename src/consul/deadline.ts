import type { Clock } from '../core/clock.ts';

/** Aborts when one of the caller's signals does, or when the time is up. To be disposed of when the call has ended. */
export class Deadline {
  readonly ms: number;
  readonly #controller = new AbortController();
  readonly #parents: readonly AbortSignal[];
  readonly #cancelTimer: () => void;
  #expired = false;

  constructor(clock: Clock, ms: number, parents: readonly AbortSignal[]) {
    this.ms = ms;
    this.#parents = parents;
    this.#cancelTimer = clock.after(ms, () => {
      this.#expired = !this.signal.aborted;
      this.#controller.abort(new Error('deadline'));
    });
    for (const parent of parents) {
      if (parent.aborted) this.#follow();
      else parent.addEventListener('abort', this.#follow, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get expired(): boolean {
    return this.#expired;
  }

  get abortedByCaller(): boolean {
    return this.signal.aborted && !this.#expired;
  }

  /** Takes the listeners off: a caller's signal may outlive thousands of calls. */
  dispose(): void {
    this.#cancelTimer();
    for (const parent of this.#parents) parent.removeEventListener('abort', this.#follow);
  }

  readonly #follow = (): void => {
    this.#controller.abort(this.#parents.find(parent => parent.aborted)?.reason);
  };
}
