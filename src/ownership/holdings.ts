import type { ResourceKey } from '../core/resource.ts';

/**
 * Who holds what, one holder each: first come, first served. That two records list the same name should not happen;
 * where it did, the later one is remembered and inherits when the earlier lets go.
 */
export class Holdings {
  readonly #holders = new Map<string, ResourceKey>();
  readonly #heirs = new Map<string, Set<ResourceKey>>();

  holderOf(what: string): ResourceKey | undefined {
    return this.#holders.get(what);
  }

  entries(): IterableIterator<[string, ResourceKey]> {
    return this.#holders.entries();
  }

  take(what: string, key: ResourceKey): void {
    const holder = this.#holders.get(what);
    if (holder === undefined) this.#holders.set(what, key);
    else if (holder !== key) this.#heirs.set(what, (this.#heirs.get(what) ?? new Set()).add(key));
  }

  /** Whether the holder changed by it. */
  letGo(what: string, key: ResourceKey): boolean {
    const heirs = this.#heirs.get(what);
    heirs?.delete(key);
    const isHolder = this.#holders.get(what) === key;
    if (isHolder) this.#passOn(what, heirs);
    if (heirs?.size === 0) this.#heirs.delete(what);
    return isHolder;
  }

  #passOn(what: string, heirs: Set<ResourceKey> = new Set()): void {
    const [heir] = heirs;
    if (heir === undefined) this.#holders.delete(what);
    else {
      this.#holders.set(what, heir);
      heirs.delete(heir);
    }
  }
}
