import { createHash } from 'node:crypto';
import { type ResourceKey, type ResourceRef, resourceKey, resourceRef } from '../core/resource.ts';
import type { Ledger } from './ledger.ts';

/** Inferred removals of more than this share of the records, if there are more than so many, wait for a go-ahead. */
export const HELD_SHARE = 0.3;
export const HELD_FROM_RECORDS = 20;
/** Deletions seen before any record is known; beyond that the oldest count as inferred, which is the safe side. */
const MAX_SEEN_EARLY = 10_000;

export interface RemovalsOptions {
  readonly ledger: Ledger;
  /**
   * Whether the absence of a resource means anything: its namespace is watched and a complete list of its kind has
   * been taken in. A 403 or 404 is no list.
   */
  readonly isAbsenceKnown: (ref: ResourceRef) => boolean;
  readonly exists: (ref: ResourceRef) => boolean;
}

/** Removals that wait for somebody to say that they are meant. */
export interface HeldRemovals {
  /** Names exactly this set. */
  readonly token: string;
  readonly count: number;
  readonly total: number;
}

/**
 * Decides whether what a vanished resource owned may be removed. One that was seen being deleted: always. One that
 * is only missing (its finalizer was taken off, or etcd was restored): unless so many are missing at once that
 * something else than a user is more likely to be the cause. Promise P4: never delete on ignorance.
 */
export class Removals {
  readonly #options: RemovalsOptions;
  readonly #seenDeleted = new Set<ResourceKey>();
  readonly #released = new Set<ResourceKey>();

  constructor(options: RemovalsOptions) {
    this.#options = options;
  }

  /** The API server told of the deletion itself. Before the ledger is loaded any resource may turn out to have a record. */
  sawDeleted(ref: ResourceRef): void {
    const { ledger } = this.#options;
    if (!ledger.isLoaded) return this.#rememberEarly(resourceKey(ref));
    if (ledger.record(ref) === undefined) return;
    this.#seenDeleted.add(resourceKey(ref));
    if (this.#seenDeleted.size > 2 * ledger.size) this.#forgetRemoved(this.#seenDeleted);
  }

  #rememberEarly(key: ResourceKey): void {
    this.#seenDeleted.add(key);
    const [oldest] = this.#seenDeleted;
    if (oldest !== undefined && this.#seenDeleted.size > MAX_SEEN_EARLY) this.#seenDeleted.delete(oldest);
  }

  /** The resource is there (again). */
  sawPresent(ref: ResourceRef): void {
    this.#seenDeleted.delete(resourceKey(ref));
    this.#released.delete(resourceKey(ref));
  }

  /** Records whose resource is missing. */
  orphans(): ResourceRef[] {
    const { ledger, exists, isAbsenceKnown } = this.#options;
    const orphans: ResourceRef[] = [];
    for (const { ref } of ledger.records()) if (!exists(ref) && isAbsenceKnown(ref)) orphans.push(ref);
    return orphans;
  }

  mayRemove(ref: ResourceRef): boolean {
    const { ledger, isAbsenceKnown } = this.#options;
    const key = resourceKey(ref);
    const record = ledger.record(ref);
    if (record === undefined || !isAbsenceKnown(ref)) return false;
    // Nothing in Consul goes with a record that says Retain.
    if (this.#seenDeleted.has(key) || record.head.onDelete === 'Retain') return true;
    if (!this.#released.has(key) && !this.#areTooMany()) this.#releaseAll();
    return this.#released.has(key);
  }

  /**
   * What waits for a go-ahead now. A set that is small enough is released as a whole, here and at once; what was
   * released and is not removed yet still counts, so that waves of losses add up.
   */
  held(): HeldRemovals | undefined {
    const waiting = [...this.#inferred()].filter(key => !this.#released.has(key));
    if (waiting.length === 0) return undefined;
    if (this.#areTooMany()) {
      return { token: this.#tokenFor(waiting), count: waiting.length, total: this.#options.ledger.size };
    }
    this.#releaseAll();
    return undefined;
  }

  /** Releases the set that this token names, and no other. Returns whether it did. */
  confirm(token: string): boolean {
    if (this.held()?.token !== token) return false;
    this.#releaseAll();
    return true;
  }

  /** Asked by every turn of a vanished resource, so it looks no further than it must. */
  #areTooMany(): boolean {
    const total = this.#options.ledger.size;
    if (total <= HELD_FROM_RECORDS) return false;
    let count = 0;
    for (const _key of this.#inferred()) if (++count > total * HELD_SHARE) return true;
    return false;
  }

  #releaseAll(): void {
    this.#forgetRemoved(this.#released);
    for (const key of this.#inferred()) this.#released.add(key);
  }

  /** What has no record any more needs no remembering. */
  #forgetRemoved(keys: Set<ResourceKey>): void {
    for (const key of keys) if (this.#options.ledger.record(resourceRef(key)) === undefined) keys.delete(key);
  }

  /** Records whose keys would go with them, and whose resources are missing without having been seen deleted. */
  *#inferred(): Generator<ResourceKey> {
    const { ledger, exists, isAbsenceKnown } = this.#options;
    for (const { ref, head } of ledger.records()) {
      if (head.onDelete !== 'Delete' || exists(ref) || !isAbsenceKnown(ref)) continue;
      const key = resourceKey(ref);
      if (!this.#seenDeleted.has(key)) yield key;
    }
  }

  /** By name and version of each record, so that an old go-ahead never fits what is lost another time. */
  #tokenFor(keys: readonly ResourceKey[]): string {
    const { ledger } = this.#options;
    const versions = keys.map(key => `${key}@${ledger.record(resourceRef(key))?.shards.get(0)?.index}`);
    return createHash('sha256').update(versions.sort().join('\n')).digest('hex').slice(0, 12);
  }
}
