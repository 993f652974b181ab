import type { BackoffRange } from '../core/backoff.ts';
import { AbortedError, RetryableError, TerminalError } from '../core/errors.ts';
import type { LockContent } from '../core/lock-value.ts';
import { watch } from '../consul/blocking-query.ts';
import type { SessionId } from '../consul/types.ts';
import { untilDone } from '../consul/until-done.ts';
import { LockOperations, type LockOperationsOptions } from './lock-operations.ts';
import type { Effect, ElectionEvent } from './model.ts';
import type { NewsDesk, Operation } from './news.ts';
import type { Sightings } from './sightings.ts';

export interface RequestsOptions extends LockOperationsOptions {
  readonly signal: AbortSignal;
  readonly value: () => LockContent;
}

export interface RequestsParts {
  readonly sightings: Sightings;
  readonly news: NewsDesk;
  /** Told what came of each request. */
  readonly take: (event: ElectionEvent) => void;
}

/** An effect that asks something of Consul. */
type Request = Exclude<Effect, { do: 'lead' | 'end' | 'fail' | 'retry' | 'await-lock-delay' }>;

const DESTROY_RETRY: BackoffRange = { baseMs: 500, capMs: 5000 };
/** A session that could not be destroyed for so many TTLs has ended by itself. */
const DESTROY_FOR_TTLS = 6;

/** A blocked query may be stuck at a server that the others have left behind: it must not be so for long. */
const WAIT_OF_TTL = 0.5;
const MAX_WAIT_SECONDS = 55;

/** What one candidate has under way at Consul. */
export class Requests {
  readonly #options: RequestsOptions;
  readonly #parts: RequestsParts;
  readonly #operations: LockOperations;
  #watching: AbortController | undefined;
  #left: Promise<void> = Promise.resolve();

  constructor(options: RequestsOptions, parts: RequestsParts) {
    this.#options = options;
    this.#parts = parts;
    this.#operations = new LockOperations(options);
  }

  /** Resolves when what was to be given back has been, or could not be. */
  get left(): Promise<void> {
    return this.#left;
  }

  send(request: Request): void {
    switch (request.do) {
      case 'open':
        return this.#ask(
          'open',
          () => this.#open(),
          error => hopeless(error) ?? { kind: 'not-opened' },
        );
      case 'acquire':
        return this.#acquire(request);
      case 'look': {
        const { session } = request;
        return this.#ask(
          'look',
          () => this.#look(request),
          () => ({ kind: 'look-failed', session }),
        );
      }
      case 'renew': {
        const { session } = request;
        return this.#ask(
          'renew',
          () => this.#renew(session),
          () => ({ kind: 'renew-failed', session }),
        );
      }
      case 'clear': {
        const { session, lock } = request;
        this.#parts.news.tell({ what: 'clearing', session });
        const clear = () => this.#operations.clear(lock, session, this.#options.signal);
        return this.#ask('clear', clear, error => hopeless(error) ?? { kind: 'clear-failed' });
      }
      case 'release':
        this.#left = this.#leave(request.session);
        return;
      case 'destroy':
        return void this.#destroy(request.session);
    }
  }

  /** Starts or ends the watch of the lock's key. */
  watch(isWanted: boolean): void {
    if (isWanted === (this.#watching !== undefined)) return;
    this.#watching?.abort();
    this.#watching = isWanted ? new AbortController() : undefined;
    if (this.#watching !== undefined) void this.#watch(this.#watching.signal);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, random, timing } = this.#options;
    const { news, sightings, take } = this.#parts;
    const events = watch({
      read: ({ index, waitSeconds, signal }) => this.#operations.look(signal, { index, waitSeconds }),
      signal,
      clock,
      random,
      waitSeconds: Math.min(MAX_WAIT_SECONDS, timing.ttlSeconds * WAIT_OF_TTL),
      onFailure: error => {
        news.failed('watch', error);
        const event = hopeless(error);
        if (event !== undefined) take(event);
      },
    });
    for await (const { value, reset } of events) {
      news.succeeded('watch');
      if (reset) news.tell({ what: 'reset' });
      take({ kind: 'seen', sight: sightings.take(value), reset });
    }
  }

  /** Asks, and takes in what comes of it; of what was aborted nothing is told. */
  #ask(
    operation: Operation,
    request: () => Promise<ElectionEvent | void>,
    failed: (error: unknown) => ElectionEvent,
  ): void {
    const { news, take } = this.#parts;
    request().then(
      event => {
        news.succeeded(operation);
        if (event !== undefined) take(event);
      },
      (error: unknown) => {
        if (!(error instanceof AbortedError)) news.failed(operation, error);
        take(failed(error));
      },
    );
  }

  async #open(): Promise<ElectionEvent> {
    return { kind: 'opened', ...(await this.#operations.open(this.#options.signal)) };
  }

  #acquire(request: Extract<Request, { do: 'acquire' }>): void {
    const { session } = request;
    const { signal, value } = this.#options;
    const { highestToken } = this.#parts.sightings;
    const acquire = async (): Promise<ElectionEvent> => {
      const acquisition = await this.#operations.acquire(request, value(), highestToken, signal);
      if (!acquisition.applied) return { kind: 'refused', session, why: acquisition.why };
      return { kind: 'acquired', session, ...acquisition };
    };
    this.#ask('acquire', acquire, error => {
      const outcomeUnknown = error instanceof RetryableError && error.outcomeUnknown;
      return hopeless(error) ?? { kind: 'acquire-failed', session, outcomeUnknown };
    });
  }

  async #look({ session, acquiredAt }: Extract<Request, { do: 'look' }>): Promise<ElectionEvent> {
    const answer = await this.#operations.look(this.#options.signal);
    return { kind: 'looked', session, acquiredAt, sight: this.#parts.sightings.take(answer) };
  }

  async #renew(session: SessionId): Promise<ElectionEvent> {
    const { alive, sentAt } = await this.#operations.renew(session, this.#options.signal);
    return alive ? { kind: 'renewed', session, sentAt } : { kind: 'session-gone', session };
  }

  /** Release before destroy: the other way round the lock-delay would keep the next leader waiting. */
  async #leave(session: SessionId): Promise<void> {
    const { news } = this.#parts;
    // Not that of the options: it may be what ends the candidate.
    const { signal } = new AbortController();
    try {
      await this.#operations.release(session, signal);
      await this.#operations.destroy(session, signal);
      news.succeeded('release');
    } catch (error) {
      news.failed('release', error);
      void this.#destroy(session);
    }
  }

  /** Until it is done, or cannot matter any more; once only when the candidate is stopped. */
  async #destroy(session: SessionId): Promise<void> {
    const { news } = this.#parts;
    const { clock, random, timing, signal: stopped } = this.#options;
    const { signal } = new AbortController();
    const destroy = async (): Promise<void> => {
      await this.#operations.destroy(session, signal);
      news.succeeded('destroy');
    };
    const onFailure = (error: unknown): void => news.failed('destroy', error);
    const enough = new AbortController();
    const cancel = clock.after(DESTROY_FOR_TTLS * timing.ttlSeconds * 1000, () => enough.abort());
    try {
      await destroy();
    } catch (error) {
      onFailure(error);
      const until = AbortSignal.any([stopped, enough.signal]);
      await untilDone(destroy, { range: DESTROY_RETRY, clock, random, signal: until, onFailure });
    } finally {
      cancel();
    }
  }
}

/** A defect, or what Consul refuses for good: nothing comes of asking again. */
function hopeless(error: unknown): ElectionEvent | undefined {
  const isFinal = error instanceof TypeError || error instanceof TerminalError;
  return isFinal ? { kind: 'hopeless', error } : undefined;
}
