import { type KvEntry, type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../core/resource.ts';
import type { Fingerprinter } from '../ownership/fingerprint.ts';

/**
 * What is known to stand at a key. Index 0: nothing. `session`: somebody holds a lock there.
 * A key of which nothing is known is planned as absent: the compare-and-set finds out.
 */
export interface Seen {
  readonly fingerprint: string;
  readonly index: ModifyIndex;
  readonly session: boolean;
}

/** Nothing stands there. */
export const ABSENT: Seen = { fingerprint: '', index: NOT_THERE, session: false };

/** Called with the resources whose keys no longer stand as last seen. */
export type MirrorListener = (refs: readonly ResourceRef[]) => void;

interface Tracked {
  readonly trackers: Set<ResourceKey>;
  seen: Seen | undefined;
  /** Consul refused what we believed: it must be read before it is written. */
  doubted: boolean;
  /** Order of what was learned: what was begun before it and arrives after it counts only if it is newer for sure. */
  learnedAt: number;
  /** The Raft index up to which it holds for certain; undefined: absent, and nobody knows since when. */
  asOf: number | undefined;
}

export interface LearnOptions {
  /** Who has read it, and is not told. */
  readonly reader?: ResourceRef | undefined;
  /** Every write up to this Raft index is reflected; left out where the answer does not say. */
  readonly asOf?: number | undefined;
}

/** An own write that was carried out. */
export interface OwnWrite {
  /** From `begin`, called before it was sent. */
  readonly begunAt: number;
  /** The index that its compare-and-set believed. */
  readonly replaced: ModifyIndex;
}

/**
 * What stands in Consul at the keys that resources declare or own: names, fingerprints and indexes, never values.
 * Fed by our own receipts, by the watch and by direct reads; asked by the planner.
 */
export class KeyMirror {
  readonly #fingerprinter: Fingerprinter;
  readonly #keys = new Map<string, Tracked>();
  readonly #tracked = new Map<ResourceKey, ReadonlySet<string>>();
  #moment = 0;
  #highestIndex = 0;
  #listener: MirrorListener = () => {};

  constructor(fingerprinter: Fingerprinter) {
    this.#fingerprinter = fingerprinter;
  }

  onChange(listener: MirrorListener): void {
    this.#listener = listener;
  }

  /** The highest ModifyIndex met so far: a consistent read that starts now shows everything up to it. */
  get highestIndex(): number {
    return this.#highestIndex;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** Undefined: not known. */
  seen(key: string): Seen | undefined {
    return this.#keys.get(key)?.seen;
  }

  /** Whether it has to be read before it is written. */
  isDoubted(key: string): boolean {
    return this.#keys.get(key)?.doubted ?? false;
  }

  keys(): IterableIterator<string> {
    return this.#keys.keys();
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** From now on changes of exactly these keys concern the resource. Returns keys that nobody tracked before. */
  track(ref: ResourceRef, keys: ReadonlySet<string>): string[] {
    const tracker = resourceKey(ref);
    const before = this.#tracked.get(tracker);
    const fresh: string[] = [];
    for (const key of keys) {
      if (before?.has(key)) continue;
      const tracked = this.#keys.get(key);
      if (tracked !== undefined) tracked.trackers.add(tracker);
      else {
        this.#keys.set(key, newlyTracked(tracker));
        fresh.push(key);
      }
    }
    for (const key of before ?? []) if (!keys.has(key)) this.#untrack(key, tracker);
    if (keys.size === 0) this.#tracked.delete(tracker);
    else this.#tracked.set(tracker, keys);
    return fresh;
  }

  trackedBy(ref: ResourceRef): ReadonlySet<string> {
    return this.#tracked.get(resourceKey(ref)) ?? new Set();
  }

  trackersOf(keys: Iterable<string>): ResourceRef[] {
    const trackers = new Set<ResourceKey>();
    for (const key of keys) for (const tracker of this.#keys.get(key)?.trackers ?? []) trackers.add(tracker);
    return [...trackers].map(resourceRef);
  }

  /** To be called before a read or a write is sent; goes with its result into `learn` or `wrote`. */
  begin(): number {
    return ++this.#moment;
  }

  /** Takes in what a read saw at the given keys; trackers of those that changed are told. */
  learn(
    entries: ReadonlyMap<string, KvEntry | undefined>,
    begunAt: number,
    { reader, asOf }: LearnOptions = {},
  ): void {
    const moved: string[] = [];
    for (const [key, entry] of entries) {
      const tracked = this.#keys.get(key);
      if (entry !== undefined) this.#highestIndex = Math.max(this.#highestIndex, entry.modifyIndex);
      if (tracked === undefined) continue;
      const verdict = tracked.learnedAt > begunAt ? compare(entry, asOf, tracked) : 'newer';
      if (verdict === 'older') continue;
      const known = tracked.seen;
      tracked.seen = verdict === 'newer' ? this.#look(key, entry, known) : undefined;
      if (verdict === 'newer') tracked.doubted = false;
      tracked.asOf = entry === undefined ? asOf : Math.max(entry.modifyIndex, asOf ?? 0);
      tracked.learnedAt = Math.max(tracked.learnedAt, begunAt);
      if (known === undefined || tracked.seen === undefined || differs(known, tracked.seen)) moved.push(key);
    }
    const told = this.trackersOf(moved).filter(ref => !reader || resourceKey(ref) !== resourceKey(reader));
    if (told.length > 0) this.#listener(told);
  }

  /** Something about the resource other than its own keys changed. */
  touch(ref: ResourceRef): void {
    this.#listener([ref]);
  }

  /**
   * Takes in what our own transaction did to a key: unless something newer was seen there before its answer came,
   * which nobody would see again.
   */
  wrote(key: string, now: Seen, { begunAt, replaced }: OwnWrite): void {
    const tracked = this.#keys.get(key);
    this.#highestIndex = Math.max(this.#highestIndex, now.index);
    if (tracked === undefined) return;
    const asOf = now.index === NOT_THERE ? replaced : now.index;
    const verdict = tracked.learnedAt > begunAt ? compareOwn(now, asOf, tracked) : 'newer';
    if (verdict === 'newer') {
      tracked.seen = now;
      tracked.doubted = false;
      tracked.asOf = asOf;
    } else if (verdict === 'unclear') tracked.seen = undefined;
    tracked.learnedAt = ++this.#moment;
  }

  /** A request failed in a way that leaves open what stands there now. */
  forget(keys: Iterable<string>): void {
    for (const key of keys) {
      const tracked = this.#keys.get(key);
      if (tracked === undefined) continue;
      tracked.seen = undefined;
      tracked.learnedAt = ++this.#moment;
    }
  }

  /** Consul said that something else stands there than was believed. */
  doubt(keys: readonly string[]): void {
    this.forget(keys);
    for (const key of keys) {
      const tracked = this.#keys.get(key);
      if (tracked !== undefined) tracked.doubted = true;
    }
  }

  /** Consul was restored or rebuilt: no index means what it did. */
  forgetAll(): void {
    this.#highestIndex = 0;
    this.forget(this.#keys.keys());
  }

  #untrack(key: string, tracker: ResourceKey): void {
    const tracked = this.#keys.get(key);
    if (tracked === undefined) return;
    tracked.trackers.delete(tracker);
    if (tracked.trackers.size === 0) this.#keys.delete(key);
  }

  #look(key: string, entry: KvEntry | undefined, known: Seen | undefined): Seen {
    if (entry === undefined) return ABSENT;
    const session = entry.session !== undefined;
    const unchanged = known !== undefined && known.index === entry.modifyIndex;
    const fingerprint = unchanged ? known.fingerprint : this.#fingerprinter.of(key, entry);
    return { fingerprint, index: entry.modifyIndex, session };
  }
}

function newlyTracked(tracker: ResourceKey): Tracked {
  return { trackers: new Set([tracker]), seen: undefined, doubted: false, learnedAt: 0, asOf: undefined };
}

type Verdict = 'newer' | 'older' | 'unclear';

/** Of what a read saw that began before something else was learned: Raft indexes tell which of the two is newer. */
function compare(entry: KvEntry | undefined, asOf: number | undefined, known: Tracked): Verdict {
  // Dropped meanwhile, and so it stays until it is read again.
  if (known.seen === undefined) return 'older';
  if (entry === undefined && known.seen.index === NOT_THERE) return 'older';
  const index = entry?.modifyIndex ?? asOf;
  if (index === undefined || known.asOf === undefined) return 'unclear';
  return index > known.asOf ? 'newer' : 'older';
}

/** The same of an own write, during which something was learned. */
function compareOwn(now: Seen, asOf: number, known: Tracked): Verdict {
  if (known.seen === undefined) return 'older';
  if (known.seen.index !== NOT_THERE) return known.seen.index > asOf ? 'older' : 'newer';
  if (now.index === NOT_THERE) return 'newer';
  if (known.asOf === undefined) return 'unclear';
  return known.asOf > asOf ? 'older' : 'newer';
}

function differs(one: Seen, other: Seen): boolean {
  return one.index !== other.index || one.session !== other.session;
}
