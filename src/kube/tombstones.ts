import { compareResourceVersions } from './resource-version.ts';

/** More objects than can vanish while one request is under way. */
const CAPACITY = 10_000;

/** Remembers at which version recently deleted objects went, so that late news cannot bring them back. */
export class Tombstones {
  /** Oldest first: Maps keep insertion order. */
  readonly #deletedAt = new Map<string, string>();

  add(key: string, resourceVersion: string): void {
    if (this.covers(key, resourceVersion)) return;
    this.#deletedAt.delete(key);
    this.#deletedAt.set(key, resourceVersion);
    if (this.#deletedAt.size > CAPACITY) this.#dropOldest();
  }

  /** The object's version is from before its deletion, or is the deletion's own. */
  covers(key: string, resourceVersion: string): boolean {
    const deletedAt = this.#deletedAt.get(key);
    return deletedAt !== undefined && compareResourceVersions(resourceVersion, deletedAt) <= 0;
  }

  clear(): void {
    this.#deletedAt.clear();
  }

  #dropOldest(): void {
    for (const key of this.#deletedAt.keys()) {
      this.#deletedAt.delete(key);
      return;
    }
  }
}
