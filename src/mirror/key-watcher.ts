import type { Logger } from '../core/logger.ts';
import type { Clock, Random } from '../core/clock.ts';
import { watch } from '../consul/blocking-query.ts';
import { untilDone } from '../consul/until-done.ts';
import type { ConsulReads } from '../consul/client.ts';
import type { Consistency } from '../consul/types.ts';
import { pause } from '../core/pause.ts';
import type { ResourceRef } from '../core/resource.ts';
import { ExclusivePrefixes } from './exclusive-prefixes.ts';
import { type Folder, FolderTree, keysBeneath, WatchedPrefixes } from './folders.ts';
import { KeyReader } from './key-reader.ts';
import type { KeyMirror } from './key-mirror.ts';

/** Between two looks at what moved, while our own writes keep moving it; longer when looking takes long. */
const MIN_PAUSE_MS = 100;
const PAUSE_PER_LOOK = 4;
/** Between two tries to read what moved. */
const LOOK_AGAIN = { baseMs: 200, capMs: 10_000 };
const SWEEP_MS = 10_000;
/** Asking a folder for its index costs about as much as reading this many keys. */
const KEYS_PER_INDEX_CHECK = 64;
export interface KeyWatcherOptions {
  readonly consul: ConsulReads;
  readonly mirror: KeyMirror;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** An index went back, as by a restore. Resolves when it is settled what that means for what is known. */
  readonly onIndexFell: () => Promise<void>;
}

/**
 * Sees every outside change of the tracked keys with a constant number of blocking queries. A wake costs a few
 * bytes; what moved is then found folder by folder, by index, and only that is read.
 */
export class KeyWatcher {
  readonly #options: KeyWatcherOptions;
  readonly #tree = new FolderTree();
  readonly #reader: KeyReader;
  readonly #exclusive: ExclusivePrefixes;
  readonly #loops = new Map<string, AbortController>();
  #watched = new WatchedPrefixes();
  #isFollowing = false;

  constructor(options: KeyWatcherOptions) {
    this.#options = options;
    this.#reader = new KeyReader(options);
    this.#exclusive = new ExclusivePrefixes(options);
  }

  /** Reads all keys of these resources anew, whatever was believed of them. */
  async load(owned: Iterable<readonly [ResourceRef, ReadonlySet<string>]>): Promise<void> {
    const { mirror } = this.#options;
    mirror.forgetAll();
    for (const [ref, keys] of owned) this.#trackKeys(ref, keys);
    if (this.#isFollowing) this.#watched.include(mirror.keys());
    else this.#watched = WatchedPrefixes.choose(mirror.keys());
    this.#forgetIndexes();
    for (const prefix of this.#watched.prefixes) {
      const folder = this.#tree.find(prefix);
      if (folder !== undefined) await this.#reader.readIn(folder.path, keysBeneath(folder));
    }
    await this.#reader.read(this.#uncoveredKeys());
    // Queries under way may wait for an index of a history that is no more.
    for (const loop of this.#loops.values()) loop.abort();
    this.#loops.clear();
    this.#syncLoops();
  }

  /**
   * Reads all keys once more and tells of those that moved, while what is known of the others stays in use: for an
   * index that went back, after which indexes do not tell what moved.
   */
  async lookAtAll(): Promise<void> {
    const { signal } = this.#options;
    this.#forgetIndexes();
    for (const prefix of this.#watched.prefixes) {
      await this.#lookBeneath(prefix, await this.#indexBeneath(prefix, signal, 'consistent'), signal);
    }
    await this.#lookAtUncovered();
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
    const claimants: ResourceRef[] = [];
    for (const name of released) {
      const folder = name.endsWith('/') ? this.#tree.find(name) : undefined;
      for (const key of folder === undefined ? [name] : keysBeneath(folder)) keys.add(key);
      claimants.push(...this.#exclusive.claimantsOf(name));
    }
    return [...this.#options.mirror.trackersOf(keys), ...claimants];
  }

  /** Keeps an eye on keys below the prefix that nobody declared. */
  trackExclusive(ref: ResourceRef, prefix: string | undefined): void {
    const isNew = this.#exclusive.track(ref, prefix);
    if (isNew && prefix !== undefined && this.#watched.include([prefix])) this.#syncLoops();
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
      if (reset) await this.#options.onIndexFell();
      let tookMs = 0;
      // The next query waits for what is newer still, so what moved now has to be read now.
      await untilDone(
        async () => {
          const begunAtMs = clock.monotonic();
          await this.#lookBeneath(prefix, value.index, signal);
          tookMs = clock.monotonic() - begunAtMs;
        },
        { ...following, range: LOOK_AGAIN },
      );
      await pause(clock, Math.max(MIN_PAUSE_MS, tookMs * PAUSE_PER_LOOK), signal);
    }
  }

  /** Reads what moved beneath a watched prefix up to index `asOf`. */
  async #lookBeneath(prefix: string, asOf: number, signal: AbortSignal): Promise<void> {
    const folder = this.#tree.find(prefix);
    if (folder !== undefined) await this.#look(folder, asOf, { asOf, signal });
    await this.#exclusive.look(prefix, asOf);
  }

  /** Reads what moved in a folder and beneath, and only that. `index`: the highest there, as of `asOf`. */
  async #look(
    folder: Folder,
    index: number,
    at: { readonly asOf: number; readonly signal: AbortSignal },
  ): Promise<void> {
    if (folder.index >= index) return this.#exclusive.sawUnmoved(folder.path, index, at.asOf);
    const worthAsking =
      folder.children.size > 0 && folder.children.size * KEYS_PER_INDEX_CHECK <= folder.count;
    if (worthAsking) {
      const children = [...folder.children.values()];
      await Promise.all([
        this.#reader.read([...folder.keys]),
        ...children.map(async child =>
          this.#look(child, await this.#indexBeneath(child.path, at.signal), at),
        ),
      ]);
    } else {
      const all = await this.#reader.readIn(folder.path, keysBeneath(folder));
      if (all !== undefined) this.#exclusive.sawFolder(folder.path, all, at.asOf);
    }
    folder.index = index;
  }

  /** The highest index at or beneath a folder. Asked without its slash, so that the answer is one name long. */
  async #indexBeneath(
    path: string,
    signal: AbortSignal,
    consistency: Consistency = 'default',
  ): Promise<number> {
    const options = { separator: '/', signal, consistency } as const;
    const answer = await this.#options.consul.kv.keys(withoutSlash(path), options);
    return answer.index;
  }

  async #sweepForEver(): Promise<void> {
    const { signal, clock, random } = this.#options;
    while (!signal.aborted) {
      await pause(clock, SWEEP_MS * (0.9 + 0.2 * random()), signal);
      if (signal.aborted) return;
      try {
        await this.#lookAtUncovered();
        for (const prefix of this.#watched.prefixes) await this.#checkHistory(prefix);
      } catch (error) {
        this.#say('sweep')(error);
      }
    }
  }

  /** Reads what no watched prefix covers. */
  async #lookAtUncovered(): Promise<void> {
    await this.#reader.read(this.#uncoveredKeys());
    await this.#exclusive.sweep(prefix => this.#watched.covers(prefix));
  }

  #uncoveredKeys(): string[] {
    return [...this.#options.mirror.keys()].filter(key => !this.#watched.covers(key));
  }

  #forgetIndexes(): void {
    this.#tree.forgetIndexes();
    this.#exclusive.forgetIndexes();
  }

  /**
   * Consul may be restored or rebuilt in the moment between two blocking queries. The next one would then wait for an
   * index that the new history may not reach for long.
   */
  async #checkHistory(prefix: string): Promise<void> {
    const folder = this.#tree.find(prefix);
    if (folder === undefined) return;
    // Own writes count: the watch may have been about to ask for them when Consul lost them.
    let known = folder.index;
    for (const key of keysBeneath(folder))
      known = Math.max(known, this.#options.mirror.seen(key)?.index ?? 0);
    const index = await this.#indexBeneath(prefix, this.#options.signal, 'consistent');
    if (index < known) await this.#options.onIndexFell();
  }

  #say(what: string): (error: unknown) => void {
    return error => {
      if (this.#options.signal.aborted) return;
      this.#options.logger.debug({ prefix: what, err: error }, 'watch of Consul interrupted');
    };
  }
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}
