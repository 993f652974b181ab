import type { Logger } from '../../core/logger.ts';
import type { Clock, Random } from '../../core/clock.ts';
import { watch } from '../../consul/blocking-query.ts';
import { untilDone } from '../../consul/until-done.ts';
import type { ConsulReads } from '../../consul/client.ts';
import type { KvEntry } from '../../consul/types.ts';
import { pause } from '../../core/pause.ts';
import { type ResourceKey, type ResourceRef, resourceKey, resourceRef } from '../../core/resource.ts';
import { type Folder, FolderTree, keysBeneath, WatchedPrefixes } from './folders.ts';
import type { KeyMirror } from './mirror.ts';

/** Between two looks at what moved, while our own writes keep moving it; longer when looking takes long. */
const MIN_PAUSE_MS = 100;
const PAUSE_PER_LOOK = 4;
/** Between two tries to read what moved. */
const LOOK_AGAIN = { baseMs: 200, capMs: 10_000 };
const SWEEP_MS = 10_000;
/** Asking a folder for its index costs about as much as reading this many keys. */
const KEYS_PER_INDEX_CHECK = 64;
/** From here on one recursive read is cheaper than transactions of reads, if the folder is mostly ours. */
const RECURSE_FROM_KEYS = 8;
const MAX_STRANGERS_RATIO = 4;

export interface KeyWatcherOptions {
  readonly consul: ConsulReads;
  readonly mirror: KeyMirror;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Consul's index went back: it was restored or rebuilt, and nothing known about it holds. */
  readonly onReset: () => void;
}

/**
 * Sees every outside change of the tracked keys with a constant number of blocking queries. A wake costs a few
 * bytes; what moved is then found folder by folder, by index, and only that is read.
 */
export class KeyWatcher {
  readonly #options: KeyWatcherOptions;
  readonly #tree = new FolderTree();
  readonly #loops = new Map<string, AbortController>();
  readonly #exclusive = new Map<
    ResourceKey,
    { readonly prefix: string; strangers: ReadonlySet<string>; index: number }
  >();
  /** Prefixes where most keys are not ours: a recursive read would fetch too much. */
  readonly #crowded = new Set<string>();
  #watched = new WatchedPrefixes();
  #isFollowing = false;

  constructor(options: KeyWatcherOptions) {
    this.#options = options;
  }

  /** Reads all keys of these resources anew, whatever was believed of them. */
  async load(owned: Iterable<readonly [ResourceRef, ReadonlySet<string>]>): Promise<void> {
    const { mirror } = this.#options;
    mirror.forgetAll();
    for (const [ref, keys] of owned) this.#trackKeys(ref, keys);
    if (this.#isFollowing) this.#watched.include(mirror.keys());
    else this.#watched = WatchedPrefixes.choose(mirror.keys());
    this.#tree.forgetIndexes();
    for (const prefix of this.#watched.prefixes) {
      const folder = this.#tree.find(prefix);
      if (folder !== undefined) await this.#read(keysBeneath(folder), folder.path);
    }
    await this.#read([...mirror.keys()].filter(key => !this.#watched.covers(key)));
    // Queries under way may wait for an index of a history that is no more.
    for (const loop of this.#loops.values()) loop.abort();
    this.#loops.clear();
    this.#syncLoops();
  }

  /** Watches from now on, until the signal aborts. */
  follow(): void {
    this.#isFollowing = true;
    this.#syncLoops();
    void this.#sweepForEver();
  }

  /** Makes the keys a resource declares or owns part of the watch. */
  track(ref: ResourceRef, keys: ReadonlySet<string>): void {
    this.#trackKeys(ref, keys);
    if (this.#watched.include(keys)) this.#syncLoops();
  }

  #trackKeys(ref: ResourceRef, keys: ReadonlySet<string>): void {
    const { mirror } = this.#options;
    const before = mirror.trackedBy(ref);
    for (const key of mirror.track(ref, keys)) this.#tree.add(key);
    for (const key of before) if (!mirror.has(key)) this.#tree.remove(key);
  }

  /** Whether an outside change of these keys is seen at once, or by the sweep. */
  coverage(keys: Iterable<string>): 'Watched' | 'Swept' {
    for (const key of keys) if (!this.#watched.covers(key)) return 'Swept';
    return 'Watched';
  }

  /**
   * Who may go on now that these names and exclusive prefixes have no owner any more: whoever declares one of them
   * or something beneath, and whoever claims a prefix that overlaps.
   */
  concernedBy(released: Iterable<string>): ResourceRef[] {
    const keys = new Set<string>();
    const claimants = new Set<ResourceKey>();
    for (const name of released) {
      const folder = name.endsWith('/') ? this.#tree.find(name) : undefined;
      for (const key of folder === undefined ? [name] : keysBeneath(folder)) keys.add(key);
      for (const [claimant, { prefix }] of this.#exclusive) {
        if (name.startsWith(prefix) || prefix.startsWith(name)) claimants.add(claimant);
      }
    }
    return [...this.#options.mirror.trackersOf(keys), ...[...claimants].map(resourceRef)];
  }

  /** Keeps an eye on keys below the prefix that nobody declared. */
  trackExclusive(ref: ResourceRef, prefix: string | undefined): void {
    const key = resourceKey(ref);
    if (prefix === undefined) this.#exclusive.delete(key);
    else if (this.#exclusive.get(key)?.prefix !== prefix) {
      this.#exclusive.set(key, { prefix, strangers: new Set(), index: 0 });
      if (this.#watched.include([prefix])) this.#syncLoops();
    }
  }

  /** Starts a loop for every watched prefix that has none and ends those of prefixes that were widened. */
  #syncLoops(): void {
    const { signal } = this.#options;
    if (!this.#isFollowing) return;
    const wanted = new Set(this.#watched.prefixes);
    for (const [prefix, loop] of this.#loops) {
      if (wanted.has(prefix)) continue;
      loop.abort();
      this.#loops.delete(prefix);
    }
    for (const prefix of wanted) {
      if (this.#loops.has(prefix) || signal.aborted) continue;
      const loop = new AbortController();
      this.#loops.set(prefix, loop);
      void this.#watchPrefix(prefix, AbortSignal.any([signal, loop.signal]));
    }
  }

  async #watchPrefix(prefix: string, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    const read = (block: { index: number; waitSeconds: number; signal: AbortSignal }) =>
      this.#options.consul.kv.keys(withoutSlash(prefix), { separator: '/', signal: block.signal, block });
    const following = { signal, clock, random, onFailure: this.#say(prefix) };
    for await (const { value, reset } of watch({ read, ...following })) {
      if (reset) this.#options.onReset();
      let tookMs = 0;
      // The next query waits for what is newer still, so what moved now has to be read now.
      await untilDone(
        async () => {
          const begunAtMs = clock.monotonic();
          const folder = this.#tree.find(prefix);
          if (folder !== undefined) await this.#look(folder, value.index, signal);
          await this.#listExclusive(prefix);
          tookMs = clock.monotonic() - begunAtMs;
        },
        { ...following, range: LOOK_AGAIN },
      );
      await pause(clock, Math.max(MIN_PAUSE_MS, tookMs * PAUSE_PER_LOOK), signal);
    }
  }

  /** Reads what moved in a folder and beneath, and only that. */
  async #look(folder: Folder, index: number, signal: AbortSignal): Promise<void> {
    if (folder.index >= index) return;
    const worthAsking =
      folder.children.size > 0 && folder.children.size * KEYS_PER_INDEX_CHECK <= folder.count;
    if (worthAsking) {
      await Promise.all([
        this.#read([...folder.keys]),
        ...[...folder.children.values()].map(async child => {
          await this.#look(child, await this.#indexBeneath(child.path, signal), signal);
        }),
      ]);
    } else await this.#read(keysBeneath(folder), folder.path);
    folder.index = index;
  }

  /** The highest index at or beneath a folder. Asked without its slash, so that the answer is one name long. */
  async #indexBeneath(path: string, signal: AbortSignal): Promise<number> {
    const answer = await this.#options.consul.kv.keys(withoutSlash(path), { separator: '/', signal });
    return answer.index;
  }

  async #read(keys: readonly string[], folder?: string): Promise<void> {
    if (keys.length === 0) return;
    const { mirror, signal } = this.#options;
    const begunAt = mirror.begin();
    if (folder !== undefined && keys.length >= RECURSE_FROM_KEYS && !this.#crowded.has(folder)) {
      const found = await this.#recurse(keys, folder);
      if (found !== undefined) return mirror.learn(found.entries, begunAt, { asOf: found.asOf });
    }
    mirror.learn(await this.#readApart(keys, signal), begunAt);
  }

  /** Consul refuses a whole transaction for one key that the token may not read: the others are read without it. */
  async #readApart(keys: readonly string[], signal: AbortSignal): Promise<Map<string, KvEntry | undefined>> {
    try {
      const answer = await this.#options.consul.txn.readKeys(keys, { signal });
      return onlyTrusted(answer.value, answer.filteredByAcl);
    } catch (error) {
      if ((error as { code?: string }).code !== 'CONSUL_DENIED') throw error;
      if (keys.length === 1) return new Map();
      const middle = keys.length >> 1;
      const halves = [keys.slice(0, middle), keys.slice(middle)];
      const found = await Promise.all(halves.map(half => this.#readApart(half, signal)));
      return new Map(found.flatMap(half => [...half]));
    }
  }

  async #recurse(
    keys: readonly string[],
    folder: string,
  ): Promise<{ entries: Map<string, KvEntry | undefined>; asOf: number } | undefined> {
    const { consul, signal, logger } = this.#options;
    try {
      const answer = await consul.kv.list(folder, { signal });
      if (answer.value.length > keys.length * MAX_STRANGERS_RATIO) this.#crowded.add(folder);
      const byKey = new Map(answer.value.map(entry => [entry.key, entry]));
      const entries = onlyTrusted(new Map(keys.map(key => [key, byKey.get(key)])), answer.filteredByAcl);
      return { entries, asOf: answer.index };
    } catch (error) {
      if ((error as { code?: string }).code !== 'CONSUL_REPLY_TOO_LARGE') throw error;
      logger.info({ prefix: folder }, 'folder too large to read at once, reading owned keys only');
      this.#crowded.add(folder);
      return undefined;
    }
  }

  /**
   * Lists exclusive prefixes at, above or beneath `within` again. Told are those with other strangers than before,
   * and those where something moved while there are strangers: one may have lost the lock that kept it.
   */
  async #listExclusive(within: string): Promise<void> {
    const { consul, mirror, signal } = this.#options;
    for (const [key, tracked] of this.#exclusive) {
      const { prefix } = tracked;
      if (!prefix.startsWith(within) && !within.startsWith(prefix)) continue;
      const answer = await consul.kv.keys(prefix, { signal });
      const own = mirror.trackedBy(resourceRef(key));
      const strangers = new Set(answer.value.filter(name => !own.has(name)));
      const moved = strangers.size > 0 && answer.index > tracked.index;
      if (moved || !sameSet(tracked.strangers, strangers)) mirror.touch(resourceRef(key));
      tracked.strangers = strangers;
      tracked.index = answer.index;
    }
  }

  async #sweepForEver(): Promise<void> {
    const { mirror, signal, clock, random } = this.#options;
    while (!signal.aborted) {
      await pause(clock, SWEEP_MS * (0.9 + 0.2 * random()), signal);
      if (signal.aborted) return;
      try {
        await this.#read([...mirror.keys()].filter(key => !this.#watched.covers(key)));
        const uncovered = [...this.#exclusive.values()].filter(({ prefix }) => !this.#watched.covers(prefix));
        for (const { prefix } of uncovered) await this.#listExclusive(prefix);
        for (const prefix of this.#watched.prefixes) await this.#checkHistory(prefix);
      } catch (error) {
        this.#say('sweep')(error);
      }
    }
  }

  /**
   * Consul may be restored or rebuilt in the moment between two blocking queries. The next one would then wait for an
   * index that the new history may not reach for long.
   */
  async #checkHistory(prefix: string): Promise<void> {
    const { consul, signal } = this.#options;
    const lookedAt = this.#tree.find(prefix)?.index ?? 0;
    const consistent = { separator: '/', signal, consistency: 'consistent' } as const;
    const { index } = await consul.kv.keys(withoutSlash(prefix), consistent);
    if (index < lookedAt) this.#options.onReset();
  }

  #say(what: string): (error: unknown) => void {
    return error => {
      if (this.#options.signal.aborted) return;
      this.#options.logger.debug({ prefix: what, err: error }, 'watch of Consul interrupted');
    };
  }
}

/** What a token may not see looks absent: such an answer says nothing about the keys it does not show. */
function onlyTrusted(
  entries: ReadonlyMap<string, KvEntry | undefined>,
  filteredByAcl: boolean,
): Map<string, KvEntry | undefined> {
  if (!filteredByAcl) return new Map(entries);
  return new Map([...entries].filter(([, entry]) => entry !== undefined));
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

function sameSet(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every(member => other.has(member));
}
