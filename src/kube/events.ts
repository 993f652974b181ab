import { context, ROOT_CONTEXT } from '@opentelemetry/api';
import type { Clock } from '../core/clock.ts';
import { TokenBucket } from '../core/token-bucket.ts';
import type { KubeClient } from './client.ts';
import { kubeStatus } from './errors.ts';
import { EVENT, type EventNotice, eventBody, eventName, eventNamespace, microTime } from './event-body.ts';
import { collectionPath, objectPath } from './paths.ts';
import { Recent } from './recent.ts';

export interface EventRecorder {
  /** Returns at once and never throws. Beyond 10 a second (bursts of 50) notices are dropped. */
  emit(notice: EventNotice): void;
  /** Resolves when all that was taken in is sent or given up; `signal` cuts that short. For the end of the program. */
  flush(signal: AbortSignal): Promise<void>;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** Pod name, or host name. */
  readonly instance: string;
  readonly onDropped?: (cause: 'rate' | 'queue' | 'failed', error?: unknown) => void;
}

/**
 * Tells users what happened to their objects, by events.k8s.io/v1: one Event for equal notices, counted as a series.
 * Best effort by design: nothing waits for an Event and no failure of one reaches anybody.
 */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new QueueingRecorder(options);
}

const RATE = { intervalMs: 100, burst: 50 };
const MAX_QUEUED = 500;
/** The series of client-go's recorder end after six minutes of rest, too. */
const SERIES = { capacity: 4096, ttlMs: 6 * 60_000 };
const DEADLINE_MS = 10_000;

interface Series {
  readonly notice: EventNotice;
  /** Times it was emitted, those dropped included. */
  count: number;
  lastObservedAt: number;
  /** Name of the Event at the server, once there is one. */
  name: string | undefined;
}

class QueueingRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #bucket: TokenBucket;
  readonly #series: Recent<Series>;
  readonly #queue = new Set<Series>();
  readonly #abandon = new AbortController();
  #sending: Promise<void> | undefined;
  #named = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#bucket = new TokenBucket(options.clock, RATE);
    this.#series = new Recent(options.clock, SERIES);
  }

  emit(notice: EventNotice): void {
    const series = this.#series.getOrCreate(keyOf(notice), () => ({
      notice,
      count: 0,
      lastObservedAt: 0,
      name: undefined,
    }));
    series.count += 1;
    series.lastObservedAt = this.#options.clock.now();
    // What waits to be sent will tell the new count.
    if (this.#queue.has(series)) return;
    if (this.#queue.size >= MAX_QUEUED) return this.#options.onDropped?.('queue');
    if (!this.#bucket.tryTake()) return this.#options.onDropped?.('rate');
    this.#queue.add(series);
    // Not in the caller's trace: it does not wait for this, and the next caller's Event may be sent along.
    this.#sending ??= context.with(ROOT_CONTEXT, () => this.#sendAll());
  }

  async flush(signal: AbortSignal): Promise<void> {
    const giveUp = (): void => this.#abandon.abort();
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    await this.#sending;
    signal.removeEventListener('abort', giveUp);
  }

  /** One after another: a burst of Events must not take the connections that reconciles need. */
  async #sendAll(): Promise<void> {
    for (const series of this.#queue) {
      this.#queue.delete(series);
      try {
        await this.#send(series);
      } catch (error) {
        this.#options.onDropped?.('failed', error);
      }
    }
    this.#sending = undefined;
  }

  async #send(series: Series): Promise<void> {
    if (series.name !== undefined && (await this.#extend(series, series.name))) return;
    await this.#create(series);
  }

  async #create(series: Series): Promise<void> {
    const { client, clock, instance } = this.#options;
    const { notice, count } = series;
    this.#named += 1;
    const name = eventName(notice, `${clock.now().toString(16)}${this.#named.toString(16).padStart(4, '0')}`);
    const time = microTime(series.lastObservedAt);
    const repeated = count > 1 ? { series: { count, lastObservedTime: time } } : {};
    await client.request({
      method: 'POST',
      path: collectionPath(EVENT, eventNamespace(notice)),
      body: eventBody(notice, { name, instance, time, ...repeated }),
      signal: this.#abandon.signal,
      deadlineMs: DEADLINE_MS,
    });
    series.name = name;
  }

  /** False when the server has forgotten the Event: they live for an hour. */
  async #extend(series: Series, name: string): Promise<boolean> {
    const { count, lastObservedAt, notice } = series;
    try {
      await this.#options.client.request({
        method: 'PATCH',
        path: objectPath(EVENT, { name, namespace: eventNamespace(notice) }),
        contentType: 'application/merge-patch+json',
        body: { series: { count, lastObservedTime: microTime(lastObservedAt) } },
        signal: this.#abandon.signal,
        deadlineMs: DEADLINE_MS,
      });
      return true;
    } catch (error) {
      if (kubeStatus(error) === 404) return false;
      throw error;
    }
  }
}

/** Without the resourceVersion: the object moves on between equal notices. */
function keyOf({ regarding, type, reason, action, note }: EventNotice): string {
  const { apiVersion, kind, namespace, name, uid } = regarding;
  return JSON.stringify([apiVersion, kind, namespace, name, uid, type, reason, action, note]);
}
