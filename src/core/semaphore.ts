import { AbortedError } from './errors.ts';

/** At most so many holders at a time, first come, first served. */
export class Semaphore {
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(places: number) {
    this.#free = places;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a place and holds it until the returned function is called, once.
   * @throws AbortedError, caused by the signal's reason, when that aborts first.
   */
  acquire(signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.delete(proceed);
        reject(new AbortedError('aborted', signal.reason));
      };
      const proceed = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(this.#release);
      };
      if (signal.aborted) return giveUp();
      if (this.#free > 0) {
        this.#free -= 1;
        return proceed();
      }
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(proceed);
    });
  }

  /** The place goes straight to the next in line, so that nobody who arrives in between overtakes. */
  readonly #release = (): void => {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  };
}
