import type { Clock } from '../core/clock.ts';

/** Keeps what was used last: at most `capacity` entries, none unused for longer than `ttlMs`. */
export class Recent<V> {
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #ttlMs: number;
  /** Least recently used first: each use moves an entry to the end. */
  readonly #entries = new Map<string, { readonly value: V; readonly usedAt: number }>();

  constructor(clock: Clock, { capacity, ttlMs }: { readonly capacity: number; readonly ttlMs: number }) {
    this.#clock = clock;
    this.#capacity = capacity;
    this.#ttlMs = ttlMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  getOrCreate(key: string, create: () => V): V {
    this.#dropExpired();
    const value = this.#entries.get(key)?.value ?? create();
    this.#entries.delete(key);
    this.#entries.set(key, { value, usedAt: this.#clock.monotonic() });
    if (this.#entries.size > this.#capacity) this.#dropOldest();
    return value;
  }

  #dropExpired(): void {
    const oldest = this.#clock.monotonic() - this.#ttlMs;
    for (const [key, { usedAt }] of this.#entries) {
      if (usedAt >= oldest) return;
      this.#entries.delete(key);
    }
  }

  #dropOldest(): void {
    for (const key of this.#entries.keys()) {
      this.#entries.delete(key);
      return;
    }
  }
}
