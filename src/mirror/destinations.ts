import type { ConfigEntry } from '../consul/config-entry.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../core/resource.ts';

/** What stands at a destination. */
export interface DestinationSeen {
  /** Undefined: nothing. */
  readonly entry: ConfigEntry | undefined;
  /** Raft index up to which that holds for certain. */
  readonly asOf: number;
}

interface Tracked {
  readonly trackers: Set<ResourceKey>;
  seen: DestinationSeen | undefined;
  /** Only a consistent read that was begun later than this counts. */
  doubtedAt: number;
  /** When the last consistent read was begun that has been taken in. */
  readAt: number;
  /** Our own write is under way: what moves may be it, and is told once that is known. */
  writing: boolean;
  heldBack: boolean;
  /** Of another history: what is seen next is news, whatever its index. */
  isNews: boolean;
}

/** The moment at which a request was sent. */
export interface Begun {
  readonly at: number;
  /** The highest index met by then in this history: whatever is read consistently is at it or beyond. */
  readonly index: number;
}

export interface Learning {
  /** From `begin`, called before the request was sent. */
  readonly begun: Begun;
  readonly consistent: boolean;
  /** Who has read it, and is not told. */
  readonly reader?: ResourceRef | undefined;
}

/**
 * What stands at the destinations that resources have to do with, and who has to be told when it moves. What is seen is
 * ordered by the index of Consul's table of config entries, which grows with every write and deletion.
 */
export class Destinations {
  readonly #byName = new Map<string, Tracked>();
  readonly #tracked = new Map<ResourceKey, string>();
  #moment = 0;
  #historyBegunAt = 0;
  #highestIndex = 0;

  get size(): number {
    return this.#byName.size;
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  has(destination: string): boolean {
    return this.#byName.has(fold(destination));
  }

  /** To be called before a read is sent; goes with what it sees into `learn`. */
  begin(): Begun {
    return { at: ++this.#moment, index: this.#highestIndex };
  }

  /** Whether a consistent read at this index tells that Consul was restored or rebuilt since the highest one was met. */
  isOfAnotherHistory(index: number, begun: Begun): boolean {
    return index < begun.index && begun.at >= this.#historyBegunAt;
  }

  /** From now on what happens at this destination, and at no other, concerns the resource. */
  track(ref: ResourceRef, destination: string | undefined): void {
    const key = resourceKey(ref);
    const before = this.#tracked.get(key);
    const now = destination === undefined ? undefined : fold(destination);
    if (before === now) return;
    if (before !== undefined) this.#untrack(before, key);
    if (now === undefined) return;
    this.#tracked.set(key, now);
    const tracked = this.#byName.get(now) ?? newlyTracked(this.#moment);
    tracked.trackers.add(key);
    this.#byName.set(now, tracked);
  }

  trackersOf(destinations: Iterable<string>, except?: ResourceRef): ResourceRef[] {
    const keys = new Set<ResourceKey>();
    for (const name of destinations) {
      for (const key of this.#byName.get(fold(name))?.trackers ?? []) keys.add(key);
    }
    if (except !== undefined) keys.delete(resourceKey(except));
    return [...keys].map(resourceRef);
  }

  /** Undefined: nobody knows, or only a read can tell. */
  seen(destination: string): DestinationSeen | undefined {
    const tracked = this.#byName.get(fold(destination));
    return tracked !== undefined && isTrusted(tracked) ? tracked.seen : undefined;
  }

  /** Takes in what was seen at a destination, unless something newer is known. @returns who has to be told. */
  learn(destination: string, seen: DestinationSeen, { begun, consistent, reader }: Learning): ResourceRef[] {
    if (begun.at < this.#historyBegunAt) return [];
    this.#highestIndex = Math.max(this.#highestIndex, seen.asOf);
    const tracked = this.#byName.get(fold(destination));
    if (tracked === undefined) return [];
    if (consistent) tracked.readAt = Math.max(tracked.readAt, begun.at);
    const { seen: known } = tracked;
    if (known !== undefined && known.asOf > seen.asOf) return [];
    tracked.seen = seen;
    const moved = tracked.isNews || (known !== undefined && indexOf(known) !== indexOf(seen));
    tracked.isNews = false;
    if (!moved) return [];
    if (!tracked.writing) return this.trackersOf([destination], reader);
    tracked.heldBack = true;
    return [];
  }

  /**
   * A list that an ACL filtered, as of this index, does not show an entry that stood there: it is gone, or hidden. It is
   * doubted, so that whoever has to do with it finds out by a read of its own. @returns who has to be told.
   */
  missed(destination: string, asOf: number, begun: Begun): ResourceRef[] {
    const known = this.seen(destination);
    if (known?.entry === undefined || known.asOf > asOf || begun.at < this.#historyBegunAt) return [];
    this.doubt(destination);
    return this.trackersOf([destination]);
  }

  /** What is known of it does not hold, or nobody knows whether it does. */
  doubt(destination: string): void {
    const tracked = this.#byName.get(fold(destination));
    if (tracked !== undefined) tracked.doubtedAt = ++this.#moment;
  }

  /** Consul was restored or rebuilt: no index means what it did. What is seen next is news to everybody. */
  loseHistory(): void {
    this.#historyBegunAt = ++this.#moment;
    this.#highestIndex = 0;
    for (const tracked of this.#byName.values()) {
      tracked.seen = undefined;
      tracked.doubtedAt = this.#historyBegunAt;
      tracked.isNews = true;
    }
  }

  /** @throws TypeError, for it is a defect: two writes of one entry at the same time, or one of an entry nobody tracks. */
  beginWrite(destination: string): void {
    const tracked = this.#byName.get(fold(destination));
    if (tracked === undefined || tracked.writing)
      throw new TypeError('writes of a destination are not serial');
    tracked.writing = true;
    tracked.heldBack = false;
  }

  /** @param asSent nothing but our own write moved it. @returns who has to be told. */
  endWrite(destination: string, asSent: boolean, writer: ResourceRef): ResourceRef[] {
    const tracked = this.#byName.get(fold(destination));
    if (tracked === undefined) return [];
    const isTold = tracked.heldBack && !asSent;
    tracked.writing = false;
    tracked.heldBack = false;
    return isTold ? this.trackersOf([destination], writer) : [];
  }

  #untrack(name: string, key: ResourceKey): void {
    this.#tracked.delete(key);
    const tracked = this.#byName.get(name);
    tracked?.trackers.delete(key);
    if (tracked?.trackers.size === 0) this.#byName.delete(name);
  }
}

/** To Consul, names in upper and lower case are one. */
export function fold(destination: string): string {
  return destination.toLowerCase();
}

/** What has never been read is doubted from its first moment on: nothing is concluded from a list alone. */
function newlyTracked(moment: number): Tracked {
  return {
    trackers: new Set(),
    seen: undefined,
    doubtedAt: moment,
    readAt: -1,
    writing: false,
    heldBack: false,
    isNews: false,
  };
}

function isTrusted({ readAt, doubtedAt }: Tracked): boolean {
  return readAt >= doubtedAt;
}

function indexOf({ entry }: DestinationSeen): number {
  return entry?.modifyIndex ?? 0;
}
