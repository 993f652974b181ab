/** Who has not looked for so long does not know whether a check was better meanwhile. */
const MAX_GAP_MS = 30_000;

interface Seen {
  readonly atMs: number;
  /** Whether the service was there when somebody last looked. */
  readonly stands: boolean;
  /** By id of a check that was critical. */
  readonly sinceMs: ReadonlyMap<string, number>;
}

/**
 * For how long checks of services have been critical, as far as looks at them tell: never longer than they were. Times are
 * milliseconds of a monotonic clock.
 */
export class CriticalTimes {
  readonly #seen = new Map<string, Seen>();

  /** @param critical ids of its checks that are; undefined: the service is not there. */
  saw(serviceId: string, critical: readonly string[] | undefined, atMs: number): void {
    const before = this.#seen.get(serviceId);
    if (critical !== undefined) {
      const isFollowed = before?.stands === true && atMs - before.atMs <= MAX_GAP_MS;
      const sinceOf = (id: string) => (isFollowed ? before.sinceMs.get(id) : undefined) ?? atMs;
      const sinceMs = new Map(critical.map(id => [id, sinceOf(id)]));
      this.#seen.set(serviceId, { atMs, stands: true, sinceMs });
    } else if (before !== undefined) this.#seen.set(serviceId, { ...before, stands: false });
  }

  forget(serviceId: string): void {
    this.#seen.delete(serviceId);
  }

  /** When the service was last seen. 0: the check was not critical then, or nobody saw it. */
  criticalMs(serviceId: string, checkId: string): number {
    const seen = this.#seen.get(serviceId);
    const sinceMs = seen?.sinceMs.get(checkId);
    return seen === undefined || sinceMs === undefined ? 0 : seen.atMs - sinceMs;
  }
}
