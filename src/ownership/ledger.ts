import type { Owner } from './owner.ts';
import { CLAIMS_KEY } from '../commit/operations.ts';
import { type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { type ResourceKey, type ResourceRef, resourceKey, resourceRef } from '../core/resource.ts';
import { ForeignClaims, type ForeignOwner, overlaps } from './foreign-claims.ts';
import { Holdings } from './holdings.ts';
import { isWritten, listedNames, type OwnerRecord, UNWRITTEN } from './record.ts';

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

/** What a write is about to take for the first time. */
export interface Claim {
  readonly names: readonly string[];
  /** A prefix that becomes exclusive. */
  readonly exclusive: string | undefined;
}

/**
 * Names and prefixes that are no longer owned as they were: whoever waits for one of them should look again.
 * `by`: the resource that let go of them; undefined: another install did.
 */
export type ReleaseListener = (released: Iterable<string>, by: ResourceRef | undefined) => void;

/** A record as it was last learned, and when. */
interface Learned {
  readonly record: OwnerRecord;
  readonly at: number;
}

/**
 * Who owns what, in memory: this install's records as last read or written (nobody else writes them), and other
 * installs' records as last read. Consul is the truth; every write is a compare-and-set against it.
 */
export class Ledger {
  readonly #records = new Map<ResourceKey, Learned>();
  readonly #names = new Holdings();
  readonly #prefixes = new Holdings();
  /** What the writes under way are taking. */
  readonly #reserved = new Map<ResourceKey, Claim>();
  readonly #foreign = new ForeignClaims();
  readonly #mistrusted = new Set<ResourceKey>();
  #moment = 0;
  #loaded = false;
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

  /** Whether all of this install's records were read: before that, one that is not here may stand in Consul. */
  get isLoaded(): boolean {
    return this.#loaded;
  }

  record(ref: ResourceRef): OwnerRecord | undefined {
    return this.#records.get(resourceKey(ref))?.record;
  }

  *records(): IterableIterator<OwnerRecord> {
    for (const { record } of this.#records.values()) yield record;
  }

  /**
   * Takes names and a prefix for as long as a write that claims them is under way: two units of one transaction
   * could both adopt a key, and nothing in Consul would tell them apart. Ends with `put` or `giveBack`.
   *
   * @returns false, and nothing is taken, when somebody was faster.
   */
  reserve(ref: ResourceRef, claim: Claim): boolean {
    const { names, exclusive } = claim;
    if (names.some(name => this.rivalFor(name, ref) !== undefined)) return false;
    if (exclusive !== undefined) {
      const rival = this.rivalForPrefix(exclusive, ref) ?? this.rivalBeneath(exclusive, ref);
      if (rival !== undefined) return false;
    }
    const key = resourceKey(ref);
    this.#reserved.set(key, claim);
    for (const name of names) this.#names.take(name, key);
    if (exclusive !== undefined) this.#prefixes.take(exclusive, key);
    return true;
  }

  /** The write did not happen: what was reserved for it is anybody's again. */
  giveBack(ref: ResourceRef): void {
    this.#tell(this.#letGo(ref, this.record(ref)), ref);
  }

  /** Takes over a record as Consul now holds it; undefined: there is none. */
  put(ref: ResourceRef, record: OwnerRecord | undefined): void {
    const key = resourceKey(ref);
    this.#mistrusted.delete(key);
    if (record !== undefined) {
      for (const name of listedNames(record).keys()) this.#names.take(name, key);
      if (record.head.exclusive !== undefined) this.#prefixes.take(record.head.exclusive, key);
    }
    const released = this.#letGo(ref, record);
    if (record === undefined) this.#records.delete(key);
    else this.#records.set(key, { record, at: ++this.#moment });
    this.#tell(released, ref);
  }

  /** Ends the ownership of what was listed or reserved and is not in the record any more. */
  #letGo(ref: ResourceRef, record: OwnerRecord | undefined): string[] {
    const key = resourceKey(ref);
    const before = this.record(ref);
    const reserved = this.#reserved.get(key);
    this.#reserved.delete(key);
    const kept = namesOf(record);
    const names = new Set([...namesOf(before).keys(), ...(reserved?.names ?? [])]);
    const prefixes = new Set([before?.head.exclusive, reserved?.exclusive]);
    const released: string[] = [];
    for (const name of names) if (!kept.has(name) && this.#names.letGo(name, key)) released.push(name);
    for (const prefix of prefixes) {
      if (prefix === undefined || prefix === record?.head.exclusive) continue;
      if (this.#prefixes.letGo(prefix, key)) released.push(prefix);
    }
    return released;
  }

  #tell(released: readonly string[], by: ResourceRef | undefined): void {
    if (released.length > 0) this.#onRelease(released, by);
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

  /** Whether a write of the record is under way, or ended without an answer: Consul may hold another than this. */
  isBeingWritten(ref: ResourceRef): boolean {
    return this.#reserved.has(resourceKey(ref));
  }

  /** To be called before a read of all records is sent; goes with its result into `replaceOwn`. */
  beginRead(): number {
    return ++this.#moment;
  }

  /** Replaces all of this install's records by what a complete read returned; own writes since then stay. */
  replaceOwn(records: readonly OwnerRecord[], begunAt: number): void {
    const isNewer = (key: ResourceKey): boolean =>
      this.#reserved.has(key) || (this.#records.get(key)?.at ?? 0) > begunAt;
    const present = new Set(records.map(({ ref }) => resourceKey(ref)));
    for (const key of this.#records.keys()) {
      if (!present.has(key) && !isNewer(key)) this.put(resourceRef(key), undefined);
    }
    for (const record of records) if (!isNewer(resourceKey(record.ref))) this.put(record.ref, record);
    this.#loaded = true;
  }

  /** Replaces what is known of another install. No records: the install owns nothing (any more). */
  replaceForeign(install: string, records: readonly OwnerRecord[]): void {
    this.#tell(this.#foreign.replace(install, records), undefined);
  }

  foreignInstalls(): string[] {
    return this.#foreign.installs();
  }

  /**
   * Who but `asking` owns this name: by listing it, or else by an exclusive prefix above it. What `asking` lists
   * itself is not subject to prefixes, and among installs the one that has written goes before those that only
   * mean to.
   */
  rivalFor(name: string, asking: ResourceRef): Owner | undefined {
    const own = resourceKey(asking);
    const owner = this.#names.holderOf(name);
    if (owner !== undefined && owner !== own) return ofResource(owner);
    const lister = this.#foreign.listerOf(name, { written: this.#hasWritten(own, name) });
    if (lister !== undefined) return ofInstall(lister);
    return owner === own ? undefined : this.#claimantAbove(name, own);
  }

  /** Who but `asking` has claimed a prefix that overlaps this one. */
  rivalForPrefix(prefix: string, asking: ResourceRef): Owner | undefined {
    const own = resourceKey(asking);
    for (const [claimed, key] of this.#prefixes.entries()) {
      if (key !== own && overlaps(claimed, prefix)) return ofResource(key);
    }
    const foreign = this.#foreign.overlapping(prefix);
    return foreign === undefined ? undefined : ofInstall(foreign);
  }

  /** A name below the prefix that somebody but `asking` lists, whether or not anything stands there. */
  rivalBeneath(
    prefix: string,
    asking: ResourceRef,
  ): { readonly name: string; readonly owner: Owner } | undefined {
    const own = resourceKey(asking);
    for (const [name, key] of this.#names.entries()) {
      if (key !== own && name.startsWith(prefix)) return { name, owner: ofResource(key) };
    }
    const foreign = this.#foreign.nameBeneath(prefix);
    return foreign === undefined ? undefined : { name: foreign.name, owner: ofInstall(foreign) };
  }

  #claimantAbove(name: string, own: ResourceKey): Owner | undefined {
    for (const prefix of foldersAbove(name)) {
      const claimed = this.#prefixes.holderOf(prefix);
      if (claimed !== undefined && claimed !== own) return ofResource(claimed);
      const foreign = this.#foreign.claimantOf(prefix);
      if (foreign !== undefined) return ofInstall(foreign);
    }
    return undefined;
  }

  #hasWritten(key: ResourceKey, name: string): boolean {
    const { record } = this.#records.get(key) ?? {};
    return record !== undefined && isWritten(fingerprintIn(record, name) ?? UNWRITTEN);
  }
}

const NO_NAMES: ReadonlyMap<string, string> = new Map();

function namesOf(record: OwnerRecord | undefined): ReadonlyMap<string, string> {
  return record === undefined ? NO_NAMES : listedNames(record);
}

function fingerprintIn({ shards }: OwnerRecord, name: string): string | undefined {
  for (const { names } of shards.values()) {
    const fingerprint = names.get(name);
    if (fingerprint !== undefined) return fingerprint;
  }
  return undefined;
}

function ofResource(key: ResourceKey): Owner {
  return { kind: 'resource', ref: resourceRef(key) };
}

function ofInstall({ install, ref }: ForeignOwner): Owner {
  return { kind: 'install', install, ref };
}

/** `a/b/c` → `a/`, `a/b/`. */
function* foldersAbove(name: string): Generator<string> {
  for (let at = name.indexOf('/'); at !== -1; at = name.indexOf('/', at + 1)) yield name.slice(0, at + 1);
}
