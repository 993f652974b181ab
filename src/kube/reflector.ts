import { backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { pause } from '../core/pause.ts';
import type { Collection } from './collection.ts';
import { isOurs, kubeError, retryAfterOf } from './errors.ts';
import { type Listed, listAll } from './list.ts';
import { type ReflectorState, type RelistReason, ReflectorStatus } from './reflector-status.ts';
import { compareResourceVersions } from './resource-version.ts';
import type { Store } from './store.ts';
import { isStreamingRefused, streamAll } from './stream-list.ts';
import type { KubeObject } from './types.ts';
import { openWatch, type Watch, type WatchEvent, type WatchOptions } from './watch.ts';

export interface ReflectorOptions<T extends KubeObject> extends Collection {
  /** Several reflectors of one kind, each with its own namespace, may fill one store. */
  readonly store: Store<T>;
  readonly clock: Clock;
  readonly random: Random;
  /** Take the initial state from a stream (WatchList) where the server can do that; default true. */
  readonly streaming?: boolean;
  /** Objects a page of a list; default 500. */
  readonly pageSize?: number;
  /** Silence after which a watch counts as dead; default 75,000. Bookmarks come about once a minute. */
  readonly idleTimeoutMs?: number;
  readonly observer?: ReflectorObserver;
}

/** For logs and metrics; must not throw. */
export interface ReflectorObserver {
  /** The store was filled by a complete list. */
  relisted?(reason: RelistReason): void;
  /** A list or watch failed; it is tried again after `retryInMs`. */
  failed?(error: unknown, context: { readonly during: 'list' | 'watch'; readonly retryInMs: number }): void;
  /** An event or bookmark has arrived. */
  heard?(): void;
}

export interface Reflector {
  readonly state: ReflectorState;
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>;
  /** Resolves after the first complete list or the first 404 or 403, whichever comes first. */
  readonly settled: Promise<void>;
  /** Calls back after each change of the state other than the time of the last contact; returns how to stop. */
  subscribe(listener: (state: ReflectorState) => void): () => void;
  /** Ends the watch; the store keeps what it has. */
  close(): Promise<void>;
}

/**
 * Keeps `store` equal to what the API server holds: lists, watches from there on, and resumes after whatever goes
 * wrong. It starts at once, never gives up and never ends by itself.
 *
 * ```
 *            ┌───────── 410, or silent twice: pause ────────┐
 *   list ────┴─► watch ──► clean end ──► watch (no list) ───┤
 *    ▲             └─────► anything else: pause, then watch ┘ from the last version heard
 *    └── failed: pause
 * ```
 * The pauses grow from 0.8 s to 30 s, with jitter, and start over once a watch has lived for a minute. Not once an
 * event has come: a server that sends one event and breaks off would be asked hundreds of times a second.
 */
export function createReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector {
  return new LoopingReflector(options);
}

const BACKOFF = { baseMs: 800, capMs: 30_000 };
const HEALTHY_AFTER_MS = 60_000;
/** A watch that ends sooner was turned away politely; asking again at once would go on for ever. */
const SHORTEST_WATCH_MS = 1_000;
const LONGEST_RETRY_AFTER_MS = 60_000;
const DEFAULT_IDLE_TIMEOUT_MS = 75_000;
const DEFAULT_PAGE_SIZE = 500;
/** The server ends each watch after a random time in this range, so that watches do not renew all at once. */
const WATCH_SECONDS = { least: 300, most: 600 };

class LoopingReflector<T extends KubeObject> implements Reflector {
  readonly #options: ReflectorOptions<T>;
  readonly #status: ReflectorStatus;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** Why the next round has to list; undefined while the watch can be resumed. */
  #relist: RelistReason | undefined = 'start';
  /** The newest version heard of. */
  #resourceVersion: string | undefined;
  #streaming: boolean;
  #failures = 0;
  #watch: { readonly openedAt: number; events: number } | undefined;
  #silentWatches = 0;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#streaming = options.streaming ?? true;
    this.#status = new ReflectorStatus(options.clock);
    this.#running = this.#run();
  }

  get state(): ReflectorState {
    return this.#status.state;
  }

  get synced(): Promise<void> {
    return this.#status.synced;
  }

  get settled(): Promise<void> {
    return this.#status.settled;
  }

  subscribe(listener: (state: ReflectorState) => void): () => void {
    return this.#status.subscribe(listener);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#round();
      } catch (error) {
        if (!this.#closing.signal.aborted) await this.#recover(error);
      }
    }
  }

  /** From a list, if one is due, to the end of one watch. */
  async #round(): Promise<void> {
    this.#watch = undefined;
    const streamed = this.#relist === undefined ? undefined : await this.#fill(this.#relist);
    const watch =
      streamed ??
      (await openWatch<T>(
        this.#options,
        this.#watchOptions({ resourceVersion: this.#resourceVersion ?? '' }),
      ));
    this.#watch = { openedAt: this.#options.clock.monotonic(), events: 0 };
    this.#status.watching();
    for await (const event of watch.events) this.#take(event);
    this.#status.watchEnded();
    if (this.#watchedForMs() < SHORTEST_WATCH_MS)
      throw kubeError('KUBE_UNREACHABLE', 'API server ended a watch at once');
    if (this.#watchedForMs() >= HEALTHY_AFTER_MS) this.#failures = 0;
  }

  /** Resolves with the watch that goes on from the list, when the list came by one. */
  async #fill(reason: RelistReason): Promise<Watch<T> | undefined> {
    const { store, namespace, observer } = this.#options;
    const { objects, resourceVersion, watch } = await this.#readAll();
    const rewound = compareResourceVersions(resourceVersion, this.#resourceVersion ?? resourceVersion) < 0;
    store.replace({ objects, resourceVersion, namespace, rewound, initial: !this.state.synced });
    this.#resourceVersion = resourceVersion;
    this.#relist = undefined;
    this.#status.listed(reason);
    observer?.relisted?.(reason);
    return watch;
  }

  async #readAll(): Promise<Listed<T> & { readonly watch?: Watch<T> }> {
    const { store, pageSize = DEFAULT_PAGE_SIZE } = this.#options;
    const trim = (object: T): T => store.trim(object);
    if (this.#streaming) {
      try {
        return await streamAll<T>(this.#options, { ...this.#watchOptions({}), trim });
      } catch (error) {
        // For good: lists work everywhere, and whatever stands in the way of streams is likely to stay.
        this.#streaming = false;
        if (this.#closing.signal.aborted || !isStreamingRefused(error)) throw error;
      }
    }
    return listAll<T>(this.#options, {
      pageSize,
      trim,
      signal: this.#closing.signal,
      onContact: () => this.#status.heard(),
    });
  }

  #take({ type, object }: WatchEvent<T>): void {
    const { store, observer } = this.#options;
    if (type === 'DELETED') store.delete(object);
    else if (type !== 'BOOKMARK') store.upsert(object);
    const { resourceVersion } = object.metadata;
    if (compareResourceVersions(resourceVersion, this.#resourceVersion ?? '') > 0)
      this.#resourceVersion = resourceVersion;
    if (this.#watch !== undefined) this.#watch.events += 1;
    this.#silentWatches = 0;
    observer?.heard?.();
  }

  /** Decides where to go on after a failure, and pauses before that. */
  async #recover(error: unknown): Promise<void> {
    const { clock, random, observer } = this.#options;
    this.#status.failed(error);
    if (this.#watch !== undefined && this.#watchedForMs() >= HEALTHY_AFTER_MS) this.#failures = 0;
    const during = this.#relist === undefined ? 'watch' : 'list';
    this.#relist ??= this.#reasonToRelist(error);
    const askedMs = Math.min(retryAfterOf(error) ?? 0, LONGEST_RETRY_AFTER_MS);
    const retryInMs = Math.max(backoffMs(BACKOFF, this.#failures, random), askedMs);
    this.#failures += 1;
    observer?.failed?.(error, { during, retryInMs });
    await pause(clock, retryInMs, this.#closing.signal);
  }

  #reasonToRelist(error: unknown): RelistReason | undefined {
    const code = isOurs(error) ? error.code : undefined;
    if (code === 'KUBE_GONE') return 'expired';
    // A server that went back in time (a restored backup) accepts our version and then has nothing to say.
    if (code === 'KUBE_TIMEOUT' && this.#watch?.events === 0) this.#silentWatches += 1;
    if (this.#silentWatches < 2) return undefined;
    this.#silentWatches = 0;
    return 'silent';
  }

  #watchedForMs(): number {
    const { clock } = this.#options;
    return clock.monotonic() - (this.#watch?.openedAt ?? clock.monotonic());
  }

  #watchOptions(query: Readonly<Record<string, string>>): WatchOptions {
    const { clock, random, idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS } = this.#options;
    const timeoutSeconds = Math.round(
      WATCH_SECONDS.least + random() * (WATCH_SECONDS.most - WATCH_SECONDS.least),
    );
    return {
      query: { ...query, timeoutSeconds },
      clock,
      idleTimeoutMs,
      signal: this.#closing.signal,
      onContact: () => this.#status.heard(),
    };
  }
}
