import { type BackoffRange, backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { type ResourceKey, resourceRef } from '../core/resource.ts';
import { type DelayEntry, DelayHeap } from './delay-heap.ts';
import { FairLane, type LaneEntry } from './fair-lane.ts';

/** Higher goes first. `resync` is also for the initial list and for drift sweeps: work nobody is waiting for. */
export const PRIORITY = { deletion: 100, specChange: 0, resync: -100 } as const;
export type Priority = (typeof PRIORITY)[keyof typeof PRIORITY];
const HIGHEST_FIRST = [PRIORITY.deletion, PRIORITY.specChange, PRIORITY.resync] as const;

/** How long a key that failed waits: from 200 ms, doubled with each failure, to 5 minutes, with full jitter. */
export const RETRY_BACKOFF: BackoffRange = { baseMs: 200, capMs: 300_000 };

/** Nothing is put off for longer: a wrong number must not lose a key, nor overflow a timer (2^31 ms). */
const MAX_DELAY_MS = 24 * 60 * 60 * 1000;

/** What the queue tells the metrics, as it happens. For gauges read `longestRunningMs` and `unfinishedWorkMs`. */
export interface QueueMetrics {
  /** A key entered that was not waiting already. */
  added(): void;
  /** The number of keys that are due (delayed ones are not) went up or down by one. */
  depthChanged(priority: Priority, change: 1 | -1): void;
  /** A key was added to be due later: after a failure, or to look again. */
  delayed(): void;
  /** A key was handed out `ms` after it was due. */
  handedOut(ms: number): void;
  /** A key was given back `ms` after it was handed out. */
  finished(ms: number): void;
}

export interface AddOptions {
  /** Default `specChange`. */
  readonly priority?: Priority;
  /** Not before this many milliseconds; default at once. */
  readonly afterMs?: number;
}

export interface RetryOptions {
  /** Backoff no longer than this, however often it failed: while the cause is an outage, not the key. */
  readonly capMs?: number;
  /** Not before this, as by `Retry-After`; at most 5 minutes. */
  readonly minMs?: number;
  /** Default: the one under which the key was handed out. */
  readonly priority?: Priority;
}

interface Item {
  readonly key: ResourceKey;
  priority: Priority;
  dueAtMs: number;
  place: Place;
}

/** Exactly one at a time: waiting for its time, for its key's running turn, or for a worker. */
type Place =
  | { readonly kind: 'nowhere' }
  | { readonly kind: 'delayed'; readonly entry: DelayEntry<Item> }
  | { readonly kind: 'held' }
  | { readonly kind: 'ready'; readonly entry: LaneEntry<Item> };

interface Run {
  readonly priority: Priority;
  readonly startedAtMs: number;
}

/**
 * The keyed work queue, with the guarantees of controller-runtime's priority queue:
 *
 * - one entry a key: adding a waiting key merges (highest priority, earliest time);
 * - a key is never handed out twice at once;
 * - adding a key while it runs means exactly one more run afterwards;
 * - higher priority first, then namespaces in turn, then first come, first served.
 *
 * ```
 *   add ──► delayed ──(time)──► held ──(done)──► ready ──get──► running ──done──►
 *     └──────────────────────────┴────────────────┘
 * ```
 *
 * No operation costs more than O(log n), and there is one timer however many keys are delayed.
 *
 * Source: sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue, plus the fairness between namespaces.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #metrics: QueueMetrics;
  readonly #items = new Map<ResourceKey, Item>();
  readonly #running = new Map<ResourceKey, Run>();
  readonly #failures = new Map<ResourceKey, number>();
  readonly #delayed = new DelayHeap<Item>();
  readonly #lanes: Readonly<Record<Priority, FairLane<Item>>> = {
    [PRIORITY.deletion]: new FairLane(),
    [PRIORITY.specChange]: new FairLane(),
    [PRIORITY.resync]: new FairLane(),
  };
  readonly #listeners = new Set<() => void>();
  readonly #sleepers = new Set<() => void>();
  #timer: { readonly dueAtMs: number; readonly cancel: () => void } | undefined;
  #isShutDown = false;
  #reported = { ready: 0, running: 0 };

  constructor(options: { readonly clock: Clock; readonly random: Random; readonly metrics: QueueMetrics }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#metrics = options.metrics;
  }

  /** Keys that could be handed out right now: due, and not running. */
  get readyCount(): number {
    let count = 0;
    for (const priority of HIGHEST_FIRST) count += this.#lanes[priority].size;
    return count;
  }

  /** Keys handed out and not yet given back. */
  get runningCount(): number {
    return this.#running.size;
  }

  /** Age of the oldest hand-out that has not been given back, 0 when there is none. */
  get longestRunningMs(): number {
    // A Map iterates in the order of insertion, and a run is inserted when it starts.
    const oldest = this.#running.values().next().value;
    return oldest === undefined ? 0 : this.#clock.monotonic() - oldest.startedAtMs;
  }

  /** Sum of the ages of all hand-outs that have not been given back. */
  get unfinishedWorkMs(): number {
    const now = this.#clock.monotonic();
    return this.#running.values().reduce((sum, run) => sum + now - run.startedAtMs, 0);
  }

  /** Wants a run for `key`. Of two wishes for a waiting key the higher priority and the earlier time win. */
  add(key: ResourceKey, { priority = PRIORITY.specChange, afterMs = 0 }: AddOptions = {}): void {
    if (this.#isShutDown) return;
    const delayMs = afterMs > 0 ? Math.min(afterMs, MAX_DELAY_MS) : 0;
    if (delayMs > 0) this.#metrics.delayed();
    const dueAtMs = this.#clock.monotonic() + delayMs;
    const waiting = this.#items.get(key);
    if (waiting === undefined) this.#insert(key, priority, dueAtMs);
    else this.#merge(waiting, priority, dueAtMs);
    this.#settle();
  }

  /** Counts a failure of `key` and adds it again after a backoff that grows with the failures in a row. */
  retry(key: ResourceKey, { capMs = RETRY_BACKOFF.capMs, minMs = 0, priority }: RetryOptions = {}): void {
    const failures = this.attempts(key);
    this.#failures.set(key, failures + 1);
    const range = { baseMs: RETRY_BACKOFF.baseMs, capMs: Math.min(capMs, RETRY_BACKOFF.capMs) };
    const afterMs = Math.max(backoffMs(range, failures, this.#random), Math.min(minMs, RETRY_BACKOFF.capMs));
    this.add(key, { afterMs, priority: priority ?? this.#running.get(key)?.priority ?? PRIORITY.specChange });
  }

  /** Failures of `key` since it was last forgotten. */
  attempts(key: ResourceKey): number {
    return this.#failures.get(key) ?? 0;
  }

  /** `key` went well: its next backoff starts from the beginning. */
  forget(key: ResourceKey): void {
    this.#failures.delete(key);
  }

  /**
   * The next key, as soon as there is one. Whoever gets it owns it until `done(key)`. Undefined once the queue
   * is shut down or `signal` aborts.
   */
  async get(signal: AbortSignal): Promise<ResourceKey | undefined> {
    while (!this.#isShutDown && !signal.aborted) {
      const key = this.#handOut();
      if (key !== undefined) return key;
      await this.#woken(signal);
    }
    return undefined;
  }

  /** Gives `key` back. If it was added meanwhile, it is ready again. Not running: no effect. */
  done(key: ResourceKey): void {
    const run = this.#running.get(key);
    if (run === undefined) return;
    this.#running.delete(key);
    this.#metrics.finished(this.#clock.monotonic() - run.startedAtMs);
    const waiting = this.#items.get(key);
    if (waiting?.place.kind === 'held') this.#place(waiting);
    this.#settle();
  }

  /**
   * Hands out and takes in nothing more; every `get` ends. What waits is dropped: the next start lists every
   * resource again.
   */
  shutDown(): void {
    this.#isShutDown = true;
    for (const item of this.#items.values()) this.#unplace(item);
    this.#items.clear();
    this.#wake();
    this.#settle();
  }

  /**
   * Calls `listener` after every change of `readyCount` or `runningCount`, with the queue in its new state. It
   * must not throw. The returned function ends it.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #insert(key: ResourceKey, priority: Priority, dueAtMs: number): void {
    const item: Item = { key, priority, dueAtMs, place: { kind: 'nowhere' } };
    this.#items.set(key, item);
    this.#metrics.added();
    this.#place(item);
  }

  #merge(item: Item, priority: Priority, dueAtMs: number): void {
    if (priority <= item.priority && dueAtMs >= item.dueAtMs) return;
    this.#unplace(item);
    item.priority = priority > item.priority ? priority : item.priority;
    item.dueAtMs = Math.min(dueAtMs, item.dueAtMs);
    this.#place(item);
  }

  #place(item: Item): void {
    const wasDue = isDue(item);
    if (item.dueAtMs > this.#clock.monotonic()) {
      item.place = { kind: 'delayed', entry: this.#delayed.push(item.dueAtMs, item) };
    } else if (this.#running.has(item.key)) {
      item.place = { kind: 'held' };
    } else {
      const { namespace } = resourceRef(item.key);
      item.place = { kind: 'ready', entry: this.#lanes[item.priority].push(namespace, item) };
    }
    if (!wasDue && isDue(item)) this.#metrics.depthChanged(item.priority, 1);
  }

  #unplace(item: Item): void {
    if (isDue(item)) this.#metrics.depthChanged(item.priority, -1);
    if (item.place.kind === 'delayed') this.#delayed.remove(item.place.entry);
    if (item.place.kind === 'ready') this.#lanes[item.priority].remove(item.place.entry);
    item.place = { kind: 'nowhere' };
  }

  #handOut(): ResourceKey | undefined {
    for (const priority of HIGHEST_FIRST) {
      const item = this.#lanes[priority].take();
      if (item === undefined) continue;
      const now = this.#clock.monotonic();
      this.#items.delete(item.key);
      this.#running.set(item.key, { priority: item.priority, startedAtMs: now });
      this.#metrics.depthChanged(item.priority, -1);
      this.#metrics.handedOut(now - item.dueAtMs);
      this.#settle();
      return item.key;
    }
    return undefined;
  }

  #releaseDue(): void {
    this.#timer = undefined;
    for (;;) {
      const item = this.#delayed.takeDue(this.#clock.monotonic());
      if (item === undefined) break;
      this.#place(item);
    }
    this.#settle();
  }

  /** What every change ends with: the timer right, sleepers woken, listeners told. */
  #settle(): void {
    this.#armTimer();
    const { readyCount: ready, runningCount: running } = this;
    if (ready > 0) this.#wake();
    if (ready === this.#reported.ready && running === this.#reported.running) return;
    this.#reported = { ready, running };
    for (const listener of this.#listeners) listener();
  }

  #armTimer(): void {
    const dueAtMs = this.#delayed.earliestMs;
    if (dueAtMs === this.#timer?.dueAtMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (dueAtMs === undefined) return;
    const afterMs = Math.max(0, dueAtMs - this.#clock.monotonic());
    this.#timer = { dueAtMs, cancel: this.#clock.after(afterMs, () => this.#releaseDue()) };
  }

  /**
   * Everyone who sleeps is woken and looks again, rather than one being handed the key: a sleeper that was
   * aborted in the same moment would take the wake-up with it.
   */
  #wake(): void {
    for (const wake of this.#sleepers) wake();
    this.#sleepers.clear();
  }

  async #woken(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    this.#sleepers.add(wake);
    signal.addEventListener('abort', wake);
    await promise;
    signal.removeEventListener('abort', wake);
    this.#sleepers.delete(wake);
  }
}

function isDue({ place }: Item): boolean {
  return place.kind === 'held' || place.kind === 'ready';
}
