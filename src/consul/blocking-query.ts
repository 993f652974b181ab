/**
 * Blocking queries: https://developer.hashicorp.com/consul/api-docs/features/blocking
 *
 *             ┌──────────── index 0: answered at once ───────────┐
 *             ▼                                                  │
 *   ── read ──┬─ index grew, or stayed for the whole wait ─▶ yield, block on it
 *             ├─ index went back ──────────────────────────▶ start over at 0
 *             ├─ same index before the wait was over ──────▶ start over at 0
 *             └─ failed ─────────────────▶ backoff, ask without waiting, then block on the same index
 *
 * The index goes back when Consul was restored, rebuilt, or dropped its tombstones. The third case is what a restore
 * looks like to the query that is blocked just then: it is answered early with the data and the index of before, and
 * the next one would block although everything has changed.
 */
import { backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { pause } from '../core/pause.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import { RetryableError } from '../core/errors.ts';
import type { Answer } from './types.ts';

export interface WatchOptions<T> {
  /** One read with these as its `block`. */
  readonly read: (params: WatchParams) => Promise<Answer<T>>;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a query stays blocked without news, and so how stale a restore unseen can leave us. Default: 55. */
  readonly waitSeconds?: number;
  /** Told of every failed read, with the number of failures before it in a row. */
  readonly onFailure?: (error: unknown, attempt: number) => void;
}

export interface WatchParams {
  readonly index: number;
  readonly waitSeconds: number;
  readonly signal: AbortSignal;
}

export interface WatchEvent<T> {
  /** All there is, not what changed: Consul also answers when nothing did. */
  readonly value: Answer<T>;
  /** The index was lost: whatever was concluded from earlier answers has to be concluded anew. */
  readonly reset: boolean;
}

const DEFAULT_WAIT_SECONDS = 55;
const SHORTEST_WAIT_SECONDS = 5;

/** A server rounds its wait up, never down; the rest is room for clocks that differ. */
const EARLY = 0.95;

const FAILURE_BACKOFF = { baseMs: 200, capMs: 30_000 };

/** A key written in a loop wakes us each time. */
const PACE = { intervalMs: 100, burst: 5 };

/** Reads again and again, whenever there may be news. Never gives up: ends when `signal` aborts, and only then. */
export async function* watch<T>(options: WatchOptions<T>): AsyncGenerator<WatchEvent<T>, void> {
  const { signal } = options;
  const cursor = new Cursor(options);
  while (!signal.aborted) {
    await cursor.turn();
    if (signal.aborted) return;
    const event = await options.read(cursor.params).then(
      answer => cursor.take(answer),
      (error: unknown) => cursor.failed(error),
    );
    if (event !== undefined && !signal.aborted) yield event;
  }
}

/** Where a watch stands. */
class Cursor<T> {
  readonly #options: WatchOptions<T>;
  readonly #pace: TokenBucket;
  #index = 0;
  #waitSeconds: number;
  #reset = false;
  /** The next read only asks where Consul stands: one that restarted may have another past and would let us wait. */
  #probing = false;
  /** Of reads that failed, or that led nowhere, in a row. */
  #failures = 0;
  #resets = 0;
  #lostConnections = 0;
  #backoffMs = 0;

  constructor(options: WatchOptions<T>) {
    this.#options = options;
    this.#waitSeconds = options.waitSeconds ?? DEFAULT_WAIT_SECONDS;
    this.#pace = new TokenBucket(options.clock, PACE);
  }

  get params(): WatchParams {
    return {
      index: this.#probing ? 0 : this.#index,
      waitSeconds: this.#waitSeconds,
      signal: this.#options.signal,
    };
  }

  /** Resolves when the next read may go. */
  async turn(): Promise<void> {
    const { clock, signal } = this.#options;
    await pause(clock, this.#backoffMs, signal);
    this.#backoffMs = 0;
    await this.#pace.take(signal);
  }

  take(answer: Answer<T>): WatchEvent<T> | undefined {
    const probed = this.#probing;
    this.#probing = false;
    if (probed && answer.index === this.#index) return;
    this.#failures = 0;
    this.#lostConnections = 0;
    if (this.#isLost(answer)) return this.#startOver();
    if (this.#index > 0) this.#resets = 0;
    const reset = this.#reset;
    this.#reset = false;
    // Blocking on 0 would not block at all.
    this.#index = Math.max(1, answer.index);
    return { value: answer, reset };
  }

  failed(error: unknown): undefined {
    const { signal, onFailure } = this.#options;
    if (signal.aborted) return;
    onFailure?.(error, this.#failures);
    const askedMs = error instanceof RetryableError ? (error.retryAfterMs ?? 0) : 0;
    this.#backoffMs = Math.max(askedMs, this.#backoff(this.#failures));
    this.#failures += 1;
    this.#probing = this.#index > 0;
    if (isLostConnection(error)) this.#shortenWait();
  }

  #isLost({ index, elapsedMs }: Answer<T>): boolean {
    if (this.#index === 0) return false;
    return index < this.#index || (index === this.#index && elapsedMs < this.#waitSeconds * 1000 * EARLY);
  }

  /** Once is normal. A server that sends us back again and again must not draw us into a loop. */
  #startOver(): undefined {
    if (this.#resets > 0) this.#backoffMs = this.#backoff(this.#resets);
    this.#resets += 1;
    this.#index = 0;
    this.#reset = true;
  }

  /** Something on the way, as `http_config.write_timeout`, may allow no answer as late as ours. */
  #shortenWait(): void {
    this.#lostConnections += 1;
    if (this.#lostConnections < 2) return;
    this.#waitSeconds = Math.max(SHORTEST_WAIT_SECONDS, Math.floor(this.#waitSeconds / 2));
  }

  #backoff(attempt: number): number {
    return backoffMs(FAILURE_BACKOFF, attempt, this.#options.random);
  }
}

function isLostConnection(error: unknown): boolean {
  return error instanceof RetryableError && error.code === 'CONSUL_CONNECTION_LOST';
}
