import { untilAborted } from '../core/pause.ts';
import type { Clock } from '../core/clock.ts';
import { AbortedError, RetryableError } from '../core/errors.ts';
import type { ResourceKey } from '../core/resource.ts';
import { PRIORITY, type Priority, type WorkQueue } from './queue.ts';

/** What a turn wants next for its key. */
export type TurnResult =
  /** Nothing, until something changes. */
  | { readonly kind: 'done' }
  /** It went well; look again after a while. Priority default: `resync`. */
  | { readonly kind: 'requeue'; readonly afterMs: number; readonly priority?: Priority }
  /** It failed; again after a backoff (see `RetryOptions`). */
  | { readonly kind: 'retry'; readonly capMs?: number; readonly minMs?: number };

/**
 * One reconcile of one key. Should settle soon after `signal` aborts; its reason is a `RetryableError` when the
 * deadline passed and the pool's own reason otherwise.
 */
export type Turn = (key: ResourceKey, signal: AbortSignal) => Promise<TurnResult>;

/** What the pool tells logs and metrics, as it happens. */
export interface WorkerObserver {
  /** A turn threw: a bug, since failures are results. The key is retried with backoff. */
  panicked(key: ResourceKey, thrown: unknown): void;
  /** A turn was aborted because it passed its deadline. */
  timedOut(key: ResourceKey): void;
  /** A turn has ignored its abort for the grace period. It keeps its worker and its key until it settles. */
  stuck(key: ResourceKey, runningMs: number): void;
  activeChanged(active: number): void;
}

export interface WorkerOptions {
  readonly queue: WorkQueue;
  readonly turn: Turn;
  readonly clock: Clock;
  /** Ends the process or the tenure: aborts every turn and stops the intake. */
  readonly signal: AbortSignal;
  readonly observer: WorkerObserver;
  /** Turns at a time, default 128. */
  readonly concurrency?: number;
  /** A turn is aborted after this, default 60 s. */
  readonly deadlineMs?: number;
  /** A turn that runs on for this long after its deadline is reported as stuck, default 10 s. */
  readonly graceMs?: number;
}

export interface Workers {
  /** Turns under way. With `startableCount` it is right inside `WorkQueue.onChange`. */
  readonly activeCount: number;
  /** Turns that will start without waiting for anything: keys ready, as far as there are free workers. */
  readonly startableCount: number;
  /** Starts no more turns. Those under way go on; what is in the queue stays there. */
  stop(): void;
  /** Stops, then waits until the last turn has settled or `signal` aborts. Returns how many are still running. */
  drain(signal: AbortSignal): Promise<number>;
}

/** Runs a turn for every key the queue hands out. No turn can end the process, and none is lost. */
export function runWorkers(options: WorkerOptions): Workers {
  return new WorkerPool(options);
}

class WorkerPool implements Workers {
  readonly #queue: WorkQueue;
  readonly #options: WorkerOptions;
  readonly #concurrency: number;
  readonly #deadlineMs: number;
  readonly #graceMs: number;
  readonly #turns = new Set<AbortController>();
  readonly #intake = new AbortController();
  readonly #dispatching: Promise<void>;
  #turnEnded = Promise.withResolvers<void>();

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#queue = options.queue;
    this.#concurrency = options.concurrency ?? 128;
    this.#deadlineMs = options.deadlineMs ?? 60_000;
    this.#graceMs = options.graceMs ?? 10_000;
    this.#dispatching = this.#dispatch();
    if (options.signal.aborted) this.#abort();
    else options.signal.addEventListener('abort', () => this.#abort(), { once: true });
  }

  get activeCount(): number {
    return this.#queue.runningCount;
  }

  get startableCount(): number {
    if (this.#intake.signal.aborted) return 0;
    return Math.min(this.#queue.readyCount, this.#concurrency - this.activeCount);
  }

  stop(): void {
    this.#intake.abort();
  }

  async drain(signal: AbortSignal): Promise<number> {
    this.stop();
    await Promise.race([this.#drained(), untilAborted(signal)]);
    return this.#turns.size;
  }

  async #drained(): Promise<void> {
    await this.#dispatching;
    while (this.#turns.size > 0) await this.#turnEnded.promise;
  }

  /** The one loop: a worker exists only while it has a turn. */
  async #dispatch(): Promise<void> {
    for (;;) {
      while (this.#turns.size >= this.#concurrency) await this.#turnEnded.promise;
      const key = await this.#queue.get(this.#intake.signal);
      if (key === undefined) return;
      void this.#work(key);
    }
  }

  async #work(key: ResourceKey): Promise<void> {
    const turn = new AbortController();
    this.#turns.add(turn);
    this.#options.observer.activeChanged(this.#turns.size);
    if (this.#options.signal.aborted) turn.abort(this.#options.signal.reason);
    const cancelDeadline = this.#watch(key, turn);
    const next = await this.#outcome(key, turn.signal);
    cancelDeadline();
    next();
    this.#queue.done(key);
    this.#turns.delete(turn);
    this.#options.observer.activeChanged(this.#turns.size);
    this.#turnEnded.resolve();
    this.#turnEnded = Promise.withResolvers<void>();
  }

  /** Runs the turn and returns the one thing to tell the queue about its key. Never rejects. */
  async #outcome(key: ResourceKey, signal: AbortSignal): Promise<() => void> {
    try {
      const result = await this.#options.turn(key, signal);
      return () => this.#tell(key, result);
    } catch (thrown) {
      const cutShort = thrown instanceof AbortedError || (signal.aborted && thrown === signal.reason);
      if (!cutShort) this.#options.observer.panicked(key, thrown);
      else if (this.#options.signal.aborted) return () => this.#queue.add(key);
      return () => this.#queue.retry(key);
    }
  }

  #tell(key: ResourceKey, result: TurnResult): void {
    switch (result.kind) {
      case 'done':
        this.#queue.forget(key);
        return;
      case 'requeue':
        this.#queue.forget(key);
        this.#queue.add(key, { afterMs: result.afterMs, priority: result.priority ?? PRIORITY.resync });
        return;
      case 'retry':
        this.#queue.retry(key, result);
    }
  }

  /** Aborts a turn at its deadline, and reports it when that does not help. The returned function cancels. */
  #watch(key: ResourceKey, turn: AbortController): () => void {
    const { clock, observer } = this.#options;
    let cancel = clock.after(this.#deadlineMs, () => {
      cancel = clock.after(this.#graceMs, () => observer.stuck(key, this.#deadlineMs + this.#graceMs));
      observer.timedOut(key);
      turn.abort(deadlinePassed(this.#deadlineMs));
    });
    return () => cancel();
  }

  #abort(): void {
    this.stop();
    for (const turn of this.#turns) turn.abort(this.#options.signal.reason);
  }
}

function deadlinePassed(deadlineMs: number): RetryableError {
  return new RetryableError(`the turn was not done after ${deadlineMs / 1000} s`, {
    code: 'TURN_DEADLINE',
    reason: 'Progressing',
  });
}
