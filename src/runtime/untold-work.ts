import type { ResourceKey } from '../core/resource.ts';
import type { AppliedWork } from './kind.ts';

/**
 * What was written to Consul and has not been told: by an Event, once the change is through, and by the time in the
 * status. A later turn, which finds nothing left to write, cannot know it otherwise. At most one entry a resource.
 */
export class UntoldWork {
  readonly #changes = new Map<ResourceKey, AppliedWork>();
  readonly #appliedAtMs = new Map<ResourceKey, number>();

  /** A transaction was applied. The first of a change says best what it was (created, adopted, updated), as a rule. */
  add(key: ResourceKey, work: AppliedWork, nowMs: number): void {
    const before = this.#changes.get(key);
    const { event, note } = before === undefined || work.supersedes ? work : before;
    this.#changes.set(key, { event, note, corrected: (before?.corrected ?? 0) + work.corrected });
    this.#appliedAtMs.set(key, nowMs);
  }

  /** The change, for its one Event. */
  takeChange(key: ResourceKey): AppliedWork | undefined {
    const change = this.#changes.get(key);
    this.#changes.delete(key);
    return change;
  }

  /** When the last transaction was applied, if no status says so yet. */
  appliedAtMs(key: ResourceKey): number | undefined {
    return this.#appliedAtMs.get(key);
  }

  /** The status says so now. */
  timeTold(key: ResourceKey): void {
    this.#appliedAtMs.delete(key);
  }

  /** The resource is gone. */
  forget(key: ResourceKey): void {
    this.#changes.delete(key);
    this.#appliedAtMs.delete(key);
  }
}
