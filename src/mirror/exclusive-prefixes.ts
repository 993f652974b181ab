import type { ConsulReads } from '../consul/client.ts';
import type { KvEntry } from '../consul/types.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../core/resource.ts';
import { foldersAbove } from './folders.ts';
import type { KeyMirror } from './key-mirror.ts';

interface Claimed {
  readonly ref: ResourceRef;
  readonly prefix: string;
  /** Keys below it that the resource neither declares nor owns. */
  strangers: ReadonlySet<string>;
  /** The highest index met below it. */
  index: number;
  /** The Raft index up to which all this is known; 0: never looked. */
  asOf: number;
}

export interface ExclusivePrefixesOptions {
  readonly consul: ConsulReads;
  readonly mirror: KeyMirror;
  readonly signal: AbortSignal;
}

/**
 * Keeps an eye on keys that nobody declared below exclusive prefixes, and tells when a resource should look: when
 * other strangers are there than before, and when one moved, which may have lost the lock that kept it.
 */
export class ExclusivePrefixes {
  readonly #options: ExclusivePrefixesOptions;
  readonly #claimed = new Map<ResourceKey, Claimed>();

  constructor(options: ExclusivePrefixesOptions) {
    this.#options = options;
  }

  /** Whether the prefix is a new one. Its resource looks by itself at first. */
  track(ref: ResourceRef, prefix: string | undefined): boolean {
    const key = resourceKey(ref);
    if (prefix === undefined) this.#claimed.delete(key);
    else if (this.#claimed.get(key)?.prefix !== prefix) {
      this.#claimed.set(key, { ref, prefix, strangers: new Set(), index: 0, asOf: 0 });
      return true;
    }
    return false;
  }

  /** Who has claimed a prefix that overlaps this name or folder. */
  claimantsOf(name: string): ResourceRef[] {
    return [...this.#claimed.values()].flatMap(({ ref, prefix }) => (overlaps(name, prefix) ? [ref] : []));
  }

  /** Consul's indexes begin anew. */
  forgetIndexes(): void {
    for (const claimed of this.#claimed.values()) claimed.index = claimed.asOf = 0;
  }

  /** Takes in all that stands in a folder, as it was read at or after index `asOf`. */
  sawFolder(folder: string, entries: readonly KvEntry[], asOf: number): void {
    const within = [...this.#claimed.values()].filter(({ prefix }) => prefix.startsWith(folder));
    if (within.length === 0) return;
    const beneath = new Map(within.map(({ prefix }) => [prefix, [] as KvEntry[]]));
    for (const entry of entries) {
      for (const above of foldersAbove(entry.key)) beneath.get(above)?.push(entry);
    }
    for (const claimed of within) {
      const own = this.#options.mirror.trackedBy(claimed.ref);
      const strangers = (beneath.get(claimed.prefix) ?? []).filter(({ key }) => !own.has(key));
      const index = strangers.reduce((highest, { modifyIndex }) => Math.max(highest, modifyIndex), 0);
      this.#take(claimed, new Set(strangers.map(({ key }) => key)), { index, asOf });
    }
  }

  /** Nothing at or beneath the folder is newer than `index`, as was asked at or after index `asOf`. */
  sawUnmoved(folder: string, index: number, asOf: number): void {
    for (const claimed of this.#claimed.values()) {
      const isKnown = claimed.prefix.startsWith(folder) && claimed.asOf > 0 && claimed.asOf >= index;
      if (isKnown) claimed.asOf = Math.max(claimed.asOf, asOf);
    }
  }

  /** Lists the prefixes at, above or beneath a folder that are not known as of this index. */
  async look(folder: string, asOf: number): Promise<void> {
    for (const claimed of this.#claimed.values()) {
      if (overlaps(folder, claimed.prefix) && claimed.asOf < asOf) await this.#list(claimed, asOf);
    }
  }

  /** Lists those that are not covered. */
  async sweep(isCovered: (prefix: string) => boolean): Promise<void> {
    for (const claimed of this.#claimed.values()) {
      if (!isCovered(claimed.prefix)) await this.#list(claimed, 0);
    }
  }

  async #list(claimed: Claimed, asOf: number): Promise<void> {
    const { consul, mirror, signal } = this.#options;
    const { value, index } = await consul.kv.keys(claimed.prefix, { signal });
    const own = mirror.trackedBy(claimed.ref);
    this.#take(claimed, new Set(value.filter(name => !own.has(name))), { index, asOf });
  }

  #take(
    claimed: Claimed,
    strangers: ReadonlySet<string>,
    { index, asOf }: { readonly index: number; readonly asOf: number },
  ): void {
    if (asOf < claimed.asOf) return;
    const moved = strangers.size > 0 && index > claimed.index;
    if (moved || !isSame(claimed.strangers, strangers)) this.#options.mirror.touch(claimed.ref);
    claimed.strangers = strangers;
    claimed.index = Math.max(claimed.index, index);
    claimed.asOf = asOf;
  }
}

function overlaps(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every(member => other.has(member));
}
