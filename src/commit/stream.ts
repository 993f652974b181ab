/** After a second without a unit, whatever comes next is a single change again. */
const LULL_MS = 1000;

/** Small transactions that go at once, by how many waits in a row brought no company. */
const FREE = [0, 16, 256, 4096] as const;
/** Nobody has waited yet: counts as one in vain, so that single changes go at once. */
const NOT_TRIED = 1;
/** A wait has paid: the next that does not may be no more than a stumble of the stream. */
const PAID = -1;

/**
 * Tells a stream of changes, as from `kubectl apply` of many files, from single ones: both come one by one, but
 * only the stream goes on while the operator waits. So after a row of small transactions one waits, to try; if
 * that fills it well, the next ones wait too. If not, the row was a script that waits for each change, and the next
 * try is a longer row away: at most one in a hundred changes of such a script waits in vain.
 */
export class Stream {
  #waits = NOT_TRIED;
  #free: number = FREE[NOT_TRIED];
  #lastUnitMs = Number.NEGATIVE_INFINITY;

  /** More units are likely to come soon, though no running turn could bring one. */
  get isFlowing(): boolean {
    return this.#free === 0;
  }

  arrived(nowMs: number): void {
    if (nowMs - this.#lastUnitMs > LULL_MS) {
      this.#waits = NOT_TRIED;
      this.#free = FREE[NOT_TRIED];
    }
    this.#lastUnitMs = nowMs;
  }

  sent({ isSmall }: { readonly isSmall: boolean }): void {
    if (!isSmall) this.#waits = PAID;
    else if (this.isFlowing) {
      this.#waits = Math.min(this.#waits + 1, FREE.length - 1);
      this.#free = FREE[this.#waits] as number;
    } else this.#free--;
  }
}
