import type { CheckStatus } from '../../consul/registration.ts';
import type { CheckPlace } from '../../consul/service-ids.ts';
import { HELD_FROM_RECORDS, HELD_SHARE } from '../../ownership/removals.ts';
import type { HeldReaps } from './types.ts';

/**
 * Since when checks have been critical, by a monotonic clock. Of those that may take their instance out it also tells when so
 * many are critical at once that their network, or ours, is more likely to be the cause than they: by the same measure as missing
 * resources (`ownership/removals.ts`), since that is ignorance too.
 */
export class CriticalChecks {
  readonly #sinceMs = new Map<CheckPlace, number>();
  readonly #reaping = new Set<CheckPlace>();
  readonly #failing = new Set<CheckPlace>();

  /** Undefined: it is not critical. */
  sinceMs(place: CheckPlace): number | undefined {
    return this.#sinceMs.get(place);
  }

  /** What a check says now. */
  note(place: CheckPlace, status: CheckStatus, nowMs: number): void {
    if (status !== 'critical') this.#sinceMs.delete(place);
    else if (!this.#sinceMs.has(place)) this.#sinceMs.set(place, nowMs);
    this.#count(place);
  }

  /** Whether it takes its instance out when it has been critical for long. */
  setReaping(place: CheckPlace, isReaping: boolean): void {
    if (isReaping) this.#reaping.add(place);
    else this.#reaping.delete(place);
    this.#count(place);
  }

  /** What it was before is forgiven. */
  restart(place: CheckPlace, nowMs: number): void {
    if (this.#sinceMs.has(place)) this.#sinceMs.set(place, nowMs);
  }

  forget(place: CheckPlace): void {
    this.#sinceMs.delete(place);
    this.setReaping(place, false);
  }

  clear(): void {
    for (const all of [this.#sinceMs, this.#reaping, this.#failing]) all.clear();
  }

  /** Undefined: no more than fail by themselves. */
  get held(): HeldReaps | undefined {
    const [critical, total] = [this.#failing.size, this.#reaping.size];
    return total > HELD_FROM_RECORDS && critical > total * HELD_SHARE ? { critical, total } : undefined;
  }

  #count(place: CheckPlace): void {
    if (this.#reaping.has(place) && this.#sinceMs.has(place)) this.#failing.add(place);
    else this.#failing.delete(place);
  }
}
