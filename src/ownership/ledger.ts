import { CLAIMS_KEY } from '../commit/operations.ts';
import { type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { type ResourceKey, type ResourceRef, resourceKey, resourceRef } from '../core/resource.ts';
import { listedNames, type OwnerRecord } from './record.ts';

/** Who owns a name: a resource of this install, or one of another install on the same Consul. */
export type Owner =
  | { readonly kind: 'resource'; readonly ref: ResourceRef }
  | { readonly kind: 'install'; readonly install: string; readonly ref: ResourceRef };

/**
 * What is known about other installs' claims. An adoption is only sound if the claims key still has `index` when
 * it is committed: every install that adopts moves it.
 */
export interface ClaimsView {
  /** ModifyIndex of the claims key; 0 = it does not exist. */
  readonly index: ModifyIndex;
  /** Every write up to this Raft index is reflected in the view. */
  readonly asOf: number;
  /** False when the ACL token may not read all records: then nothing may be adopted. */
  readonly complete: boolean;
}

/** Names that are no longer owned as they were: whoever waits for one of them should look again. */
export type ReleaseListener = (names: Iterable<string>) => void;

/**
 * Who owns what, in memory: this install's records as last read or written (nobody else writes them), and other
 * installs' records as last read. Consul is the truth; every write is a compare-and-set against it.
 */
export class Ledger {
  readonly #records = new Map<ResourceKey, OwnerRecord>();
  readonly #owners = new Map<string, ResourceKey>();
  readonly #exclusive = new Map<string, ResourceKey>();
  readonly #foreign = new Map<string, ForeignClaims>();
  readonly #mistrusted = new Set<ResourceKey>();
  #claims: ClaimsView = { index: NOT_THERE, asOf: -1, complete: false };
  #onRelease: ReleaseListener = () => {};

  onRelease(listener: ReleaseListener): void {
    this.#onRelease = listener;
  }

  get claims(): ClaimsView {
    return this.#claims;
  }

  set claims(view: ClaimsView) {
    this.#claims = view;
  }

  get size(): number {
    return this.#records.size;
  }

  record(ref: ResourceRef): OwnerRecord | undefined {
    return this.#records.get(resourceKey(ref));
  }

  records(): IterableIterator<OwnerRecord> {
    return this.#records.values();
  }

  /** Takes over a record as Consul now holds it; undefined: there is none. */
  put(ref: ResourceRef, record: OwnerRecord | undefined): void {
    const key = resourceKey(ref);
    this.#mistrusted.delete(key);
    const before = this.#records.get(key);
    const names = record === undefined ? new Map<string, string>() : listedNames(record);
    const released: string[] = [];
    if (before !== undefined) {
      for (const name of listedNames(before).keys()) {
        if (names.has(name) || this.#owners.get(name) !== key) continue;
        this.#owners.delete(name);
        released.push(name);
      }
      const { exclusive } = before.head;
      if (exclusive !== undefined && exclusive !== record?.head.exclusive) {
        this.#exclusive.delete(exclusive);
        released.push(exclusive);
      }
    }
    for (const name of names.keys()) if (!this.#owners.has(name)) this.#owners.set(name, key);
    if (record?.head.exclusive !== undefined) this.#exclusive.set(record.head.exclusive, key);
    if (record === undefined) this.#records.delete(key);
    else this.#records.set(key, record);
    if (released.length > 0) this.#onRelease(released);
  }

  /** Takes over what an own transaction wrote. Its claims index is ours: nobody adopted anything in between. */
  committed(
    ref: ResourceRef,
    record: OwnerRecord | undefined,
    indexes: ReadonlyMap<string, ModifyIndex>,
  ): void {
    this.put(ref, record);
    const claimed = indexes.get(CLAIMS_KEY);
    if (claimed !== undefined) this.#claims = { ...this.#claims, index: claimed };
  }

  /** Whether the record is what Consul holds, as far as is known. */
  trusts(ref: ResourceRef): boolean {
    return !this.#mistrusted.has(resourceKey(ref));
  }

  /** A write ended without an answer: the record must be read before it is used. */
  mistrust(ref: ResourceRef): void {
    this.#mistrusted.add(resourceKey(ref));
  }

  /** Somebody else adopted something: the view of other installs is old. */
  mistrustClaims(): void {
    this.#claims = { ...this.#claims, asOf: -1 };
  }

  /** Replaces all of this install's records by what a complete read returned. */
  replaceOwn(records: readonly OwnerRecord[]): void {
    const present = new Set(records.map(record => resourceKey(record.ref)));
    for (const key of this.#records.keys()) if (!present.has(key)) this.put(resourceRef(key), undefined);
    for (const record of records) this.put(record.ref, record);
  }

  /** Replaces what is known of another install. No records: the install owns nothing (any more). */
  replaceForeign(install: string, records: readonly OwnerRecord[]): void {
    const before = this.#foreign.get(install);
    const claims = foreignClaims(records);
    if (claims.names.size === 0 && claims.exclusive.size === 0) this.#foreign.delete(install);
    else this.#foreign.set(install, claims);
    if (before === undefined) return;
    const gone = (now: ReadonlyMap<string, ResourceRef>) => (name: string) => !now.has(name);
    const released = [
      ...[...before.names.keys()].filter(gone(claims.names)),
      ...[...before.exclusive.keys()].filter(gone(claims.exclusive)),
    ];
    if (released.length > 0) this.#onRelease(released);
  }

  foreignInstalls(): string[] {
    return [...this.#foreign.keys()];
  }

  /** Who but `asking` owns this name, by listing it or by an exclusive prefix above it. */
  rivalFor(name: string, asking: ResourceRef): Owner | undefined {
    const own = resourceKey(asking);
    const listed = this.#owners.get(name);
    if (listed !== undefined && listed !== own) return { kind: 'resource', ref: resourceRef(listed) };
    for (const prefix of foldersAbove(name)) {
      const claimed = this.#exclusive.get(prefix);
      if (claimed !== undefined && claimed !== own) return { kind: 'resource', ref: resourceRef(claimed) };
    }
    return this.#foreignOwner(name);
  }

  /** Who but `asking` has claimed a prefix that overlaps this one. */
  rivalForPrefix(prefix: string, asking: ResourceRef): Owner | undefined {
    const own = resourceKey(asking);
    for (const [claimed, key] of this.#exclusive) {
      if (key !== own && overlaps(claimed, prefix)) return { kind: 'resource', ref: resourceRef(key) };
    }
    for (const [install, { exclusive }] of this.#foreign) {
      for (const [claimed, ref] of exclusive)
        if (overlaps(claimed, prefix)) return { kind: 'install', install, ref };
    }
    return undefined;
  }

  #foreignOwner(name: string): Owner | undefined {
    for (const [install, { names, exclusive }] of this.#foreign) {
      const listed = names.get(name);
      if (listed !== undefined) return { kind: 'install', install, ref: listed };
      for (const prefix of foldersAbove(name)) {
        const claimed = exclusive.get(prefix);
        if (claimed !== undefined) return { kind: 'install', install, ref: claimed };
      }
    }
    return undefined;
  }
}

interface ForeignClaims {
  readonly names: ReadonlyMap<string, ResourceRef>;
  readonly exclusive: ReadonlyMap<string, ResourceRef>;
}

function foreignClaims(records: readonly OwnerRecord[]): ForeignClaims {
  const names = new Map<string, ResourceRef>();
  const exclusive = new Map<string, ResourceRef>();
  for (const record of records) {
    for (const name of listedNames(record).keys()) names.set(name, record.ref);
    if (record.head.exclusive !== undefined) exclusive.set(record.head.exclusive, record.ref);
  }
  return { names, exclusive };
}

function overlaps(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

/** `a/b/c` → `a/`, `a/b/`. */
function* foldersAbove(name: string): Generator<string> {
  for (let at = name.indexOf('/'); at !== -1; at = name.indexOf('/', at + 1)) yield name.slice(0, at + 1);
}
