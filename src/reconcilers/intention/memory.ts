import type { EntryDependency } from '../../consul/config-entry-refusals.ts';
import type { Clock } from '../../core/clock.ts';
import type { TerminalError } from '../../core/errors.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';

/** How long what Consul refused is not sent again, whatever else moves at the destination. */
export const REFUSED_MS = 60_000;

/** That Consul refused an entry which a resource wants, and why. */
export type RefusedEntry = { readonly generation: number } & (
  | {
      readonly kind: 'dependency';
      /** What Consul named. */
      readonly missing: readonly EntryDependency[];
      /** The same for people; at least one. */
      readonly told: readonly string[];
    }
  /** The entry itself cannot be. */
  | { readonly kind: 'never'; readonly error: TerminalError }
);

/**
 * What Consul refused of late. A rival may edit a destination many times a second, and each time every resource there is
 * looked at: without this each look would send the same entry again.
 */
export class RefusalMemory {
  readonly #clock: Clock;
  readonly #refused = new Map<ResourceKey, { readonly refused: RefusedEntry; readonly untilMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(ref: ResourceRef, refused: RefusedEntry): void {
    this.#refused.set(resourceKey(ref), { refused, untilMs: this.#clock.monotonic() + REFUSED_MS });
  }

  /** Undefined: nothing, or nothing that holds for this generation, or too long ago. */
  of(ref: ResourceRef, generation: number): RefusedEntry | undefined {
    const key = resourceKey(ref);
    const known = this.#refused.get(key);
    if (known === undefined) return undefined;
    if (known.refused.generation === generation && this.#clock.monotonic() < known.untilMs) {
      return known.refused;
    }
    this.#refused.delete(key);
    return undefined;
  }

  forget(ref: ResourceRef): void {
    this.#refused.delete(resourceKey(ref));
  }
}
