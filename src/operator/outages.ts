import type { ConsulHealth } from '../consul/health.ts';
import type { Clock } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import { OUTAGE_GRACE_MS } from '../runtime/status.ts';

/** Why Consul cannot be worked with, and for how long that has been so. */
export interface Away {
  readonly error: RetryableError;
  readonly forMs: number;
}

/** Tells outages of Consul from the moments without a leader that every election brings. */
export class Outages {
  readonly #health: ConsulHealth;
  readonly #clock: Clock;
  /** The one that was found when the outage first concerned anybody: all who are told of it are told the same. */
  #error: RetryableError | undefined;

  /** @param onTurn called when an outage has lasted long enough to concern every resource, and when it is over. */
  constructor(health: ConsulHealth, clock: Clock, onTurn: () => void) {
    this.#health = health;
    this.#clock = clock;
    let told = false;
    let cancel = (): void => {};
    health.subscribe(({ reachable }) => {
      cancel();
      if (reachable) {
        this.#error = undefined;
        if (told) onTurn();
        told = false;
        return;
      }
      cancel = clock.after(OUTAGE_GRACE_MS, () => {
        told = true;
        onTurn();
      });
    });
  }

  /** Undefined while Consul answers, and for the first seconds that it does not. */
  away(): Away | undefined {
    const { reachable, since, lastError } = this.#health;
    const forMs = this.#clock.monotonic() - since;
    if (reachable || forMs < OUTAGE_GRACE_MS) return undefined;
    this.#error ??= lastError instanceof RetryableError ? lastError : unreachable();
    return { error: this.#error, forMs };
  }
}

function unreachable(): RetryableError {
  return new RetryableError('Consul cannot be reached', {
    code: 'CONSUL_UNREACHABLE',
    reason: 'ConsulUnreachable',
  });
}
