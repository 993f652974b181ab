import type { Clock } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import type { ElectionNews } from '../election/index.ts';
import { OUTAGE_GRACE_MS } from '../runtime/status.ts';
import type { Away } from './outages.ts';

type Operation = Extract<ElectionNews, { what: 'failing' }>['operation'];

/** Without these nobody can be elected; the others only end what is over. */
const NEEDED: ReadonlySet<Operation> = new Set(['watch', 'open', 'acquire', 'look']);

/**
 * What keeps this replica from being elected, such as an ACL token without the right to sessions: users should read
 * it in their resources, as long as nobody else leads.
 */
export class ElectionTrouble {
  readonly #clock: Clock;
  readonly #failing = new Map<Operation, RetryableError>();
  readonly #onLasting: () => void;
  #sinceMs = 0;
  #cancel: () => void = () => {};

  /** @param onLasting called when the trouble has lasted long enough to concern every resource. */
  constructor(clock: Clock, onLasting: () => void) {
    this.#clock = clock;
    this.#onLasting = onLasting;
  }

  heard(news: ElectionNews): void {
    if (news.what === 'recovered') this.#recovered(news.operation);
    if (news.what !== 'failing' || !NEEDED.has(news.operation)) return;
    if (!(news.error instanceof RetryableError)) return;
    if (this.#failing.size === 0) {
      this.#sinceMs = this.#clock.monotonic();
      this.#cancel = this.#clock.after(OUTAGE_GRACE_MS, this.#onLasting);
    }
    this.#failing.set(news.operation, news.error);
  }

  #recovered(operation: Operation): void {
    this.#failing.delete(operation);
    if (this.#failing.size === 0) this.#cancel();
  }

  /** Undefined for the first seconds, too, which every election of Consul's own takes. */
  away(): Away | undefined {
    const [error] = this.#failing.values();
    const forMs = this.#clock.monotonic() - this.#sinceMs;
    return error === undefined || forMs < OUTAGE_GRACE_MS ? undefined : { error, forMs };
  }
}
