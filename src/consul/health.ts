import type { Clock } from '../core/clock.ts';
import { type ConsulError, isOutage } from './errors.ts';

/** Whether Consul serves us, judged by the outcome of every request that is made anyway. */
export interface ConsulHealth {
  /** False until the first answer. */
  readonly reachable: boolean;
  /** Since when, on the monotonic clock. */
  readonly since: number;
  /** What made it unreachable. */
  readonly lastError: Error | undefined;
  /** Calls back whenever `reachable` flips; the returned function ends that. */
  subscribe(listener: (health: ConsulHealth) => void): () => void;
}

export class HealthMonitor implements ConsulHealth {
  readonly #clock: Clock;
  readonly #listeners = new Set<(health: ConsulHealth) => void>();
  #reachable = false;
  #since: number;
  #lastError: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.monotonic();
  }

  get reachable(): boolean {
    return this.#reachable;
  }

  get since(): number {
    return this.#since;
  }

  get lastError(): Error | undefined {
    return this.#lastError;
  }

  subscribe(listener: (health: ConsulHealth) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  answered(): void {
    this.#lastError = undefined;
    this.#settle(true);
  }

  /** A refusal is an answer too; an overload proves nothing either way. */
  failed(error: ConsulError): void {
    if (isOutage(error)) {
      this.#lastError = error;
      this.#settle(false);
    } else if (error.reason !== 'ConsulUnreachable') {
      this.answered();
    }
  }

  #settle(reachable: boolean): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#since = this.#clock.monotonic();
    for (const listener of this.#listeners) listener(this);
  }
}
