import { type BackoffRange, backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import type { LockContent } from '../core/lock-value.ts';
import type { SessionId } from '../consul/types.ts';
import { remainingMs } from './deadline.ts';
import { LeaseClock } from './lease-clock.ts';
import { HeldLock, type Leadership } from './leadership.ts';
import type { ElectionConsul } from './lock-operations.ts';
import type { Effect, ElectionEvent, State } from './model.ts';
import { type ElectionNews, NewsDesk } from './news.ts';
import { Requests } from './requests.ts';
import { type Judge, Sightings } from './sightings.ts';
import { IDLE, nextTimeMs, step } from './state.ts';
import type { LeaseTiming } from './timing.ts';

export interface CandidateOptions {
  readonly consul: ElectionConsul;
  /** Used for nothing else. Never deleted by a candidate. */
  readonly lockKey: string;
  /**
   * The node of the catalog that the sessions belong to; registered when it is missing. Never that of a machine, with
   * which its sessions would die.
   */
  readonly node: string;
  /** Shown in the names of the sessions. */
  readonly name: string;
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  readonly random: Random;
  /** Ends everything: a tenure under way at once, and its session too if Consul answers the first attempt. */
  readonly signal: AbortSignal;
  /** What is written at the key when the lock is taken. */
  readonly value: () => LockContent;
  /**
   * Why the work makes no progress, if it makes none: then the lease is not renewed but given up, and no lead is taken.
   * Else a leader of which nothing but its timers is alive would hold the lock for ever.
   */
  readonly progress?: () => string | undefined;
  /**
   * What is known of the present holder. Dead: its lock is released and its session destroyed. An Error ends the
   * campaign. Default: alive.
   */
  readonly judge?: Judge;
  /** False: a campaign ends with a ConflictError `LOCK_TAKEN` when the lock is not to be had at once. Default: true. */
  readonly patient?: boolean;
  /** For logs: what changes, and each failure once until it is over. */
  readonly onStep?: (news: ElectionNews) => void;
}

/** One that wants to lead, and leads once at a time. */
export interface Candidate {
  /**
   * Resolves when this candidate leads. To be called again when that tenure has ended.
   *
   * @throws AbortedError when `signal`, or that of the options, aborts; and after `resign`.
   * @throws TerminalError `LOCK_CONFLICT` when the key is used for something else; what `judge` returns; and what makes
   * every further attempt as vain, as a name that Consul refuses.
   */
  campaign(signal?: AbortSignal): Promise<Leadership>;
  /**
   * Ends the tenure or the campaign, and gives the lock back without a lock-delay. Never rejects: resolves when that is
   * done, when Consul cannot be asked, or when `signal` aborts; the session then ends by its TTL.
   */
  resign(signal?: AbortSignal): Promise<void>;
  /** Who holds the lock, as far as seen. Looked at only while this candidate campaigns or leads. */
  readonly holder: LockContent | undefined;
}

export function createCandidate(options: CandidateOptions): Candidate {
  return new LockCandidate(options);
}

const RETRY: BackoffRange = { baseMs: 500, capMs: 10_000 };
/** While a lock-delay is likely to last, for that of the last holder may be shorter than ours; and when it lasts longer. */
const LOCK_DELAY_RETRY_MS = 1000;
const LATE_RETRY_MS = 150;

interface Campaign {
  readonly resolve: (leadership: Leadership) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Performs what `step` decides and tells it what came of it. Requests run beside one another; what comes of them is
 * taken in one at a time, each with the session it was asked for.
 */
class LockCandidate implements Candidate {
  readonly #options: CandidateOptions;
  readonly #leaseClock: LeaseClock;
  readonly #news: NewsDesk;
  readonly #sightings: Sightings;
  readonly #requests: Requests;
  #state: State = IDLE;
  readonly #events: ElectionEvent[] = [];
  #isStepping = false;
  #campaign: Campaign | undefined;
  #leadership: HeldLock | undefined;
  #resignations = 0;
  #cancelTime: () => void = () => {};
  #cancelRetry: () => void = () => {};

  constructor(options: CandidateOptions) {
    this.#options = options;
    this.#leaseClock = new LeaseClock(options.clock);
    this.#news = new NewsDesk(options.onStep);
    this.#sightings = new Sightings(this.#leaseClock, options.judge);
    this.#requests = new Requests(
      { ...options, leaseClock: this.#leaseClock },
      {
        sightings: this.#sightings,
        news: this.#news,
        take: event => this.#take(event),
      },
    );
  }

  get holder(): LockContent | undefined {
    return this.#sightings.holder;
  }

  async campaign(signal?: AbortSignal): Promise<Leadership> {
    const signals = [this.#options.signal, ...(signal === undefined ? [] : [signal])];
    const ended = (): AbortedError =>
      new AbortedError('the campaign was ended', signals.find(one => one.aborted)?.reason);
    const resignations = this.#resignations;
    // Its own lock would look like one to be taken from its holder, with a lock-delay.
    await this.#requests.left;
    if (signals.some(one => one.aborted) || this.#resignations > resignations) throw ended();
    if (this.#state.kind !== 'idle') throw new TypeError('this candidate campaigns or leads already');
    const { promise, resolve, reject } = Promise.withResolvers<Leadership>();
    const giveUp = (): void => {
      reject(ended());
      this.#take({ kind: 'resign' });
    };
    for (const one of signals) one.addEventListener('abort', giveUp, { once: true });
    this.#campaign = { resolve, reject };
    this.#take({ kind: 'campaign' });
    try {
      return await promise;
    } finally {
      for (const one of signals) one.removeEventListener('abort', giveUp);
    }
  }

  async resign(signal?: AbortSignal): Promise<void> {
    this.#resignations += 1;
    this.#take({ kind: 'resign' });
    this.#campaign?.reject(new AbortedError('the candidate resigned'));
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const stopWaiting = (): void => resolve();
    signal?.addEventListener('abort', stopWaiting, { once: true });
    if (signal?.aborted === true) stopWaiting();
    await Promise.race([this.#requests.left, enough]);
    signal?.removeEventListener('abort', stopWaiting);
  }

  /** What happens while something is worked on, as from a listener of a tenure's signal, waits for its turn. */
  #take(event: ElectionEvent): void {
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#isStepping = false;
    }
  }

  #step(event: ElectionEvent): void {
    const { lockKey, timing, progress, patient = true } = this.#options;
    const context = { lockKey, timing, patient, at: this.#leaseClock.read(), stuck: progress?.() };
    const { state, effects } = step(this.#state, event, context);
    this.#state = state;
    this.#sightings.useSession('kept' in state ? state.kept.id : undefined);
    for (const effect of effects) this.#perform(effect);
    this.#news.stateIs(state);
    this.#requests.watch(state.kind !== 'idle');
    this.#heedStop(state.kind !== 'idle');
    this.#setTimers();
  }

  /** Only while there is something to stop: the signal may outlive many candidates. */
  #heedStop(isWanted: boolean): void {
    const { signal } = this.#options;
    if (isWanted) signal.addEventListener('abort', this.#stop, { once: true });
    else signal.removeEventListener('abort', this.#stop);
  }

  readonly #stop = (): void => this.#take({ kind: 'stop', why: 'the candidate was stopped' });

  #perform(effect: Effect): void {
    switch (effect.do) {
      case 'lead':
        return this.#lead(effect);
      case 'end':
        this.#leadership?.end(effect.why);
        this.#leadership = undefined;
        return this.#news.tell({ what: 'ended', session: effect.session, why: effect.why });
      case 'fail':
        return this.#campaign?.reject(effect.error);
      case 'retry':
        return this.#retryIn(backoffMs(RETRY, effect.failures, this.#options.random));
      case 'await-lock-delay':
        return this.#awaitLockDelay(effect.forMs);
      case 'open':
      case 'acquire':
      case 'look':
      case 'renew':
      case 'clear':
      case 'release':
      case 'destroy':
        return this.#requests.send(effect);
    }
  }

  #lead({ session, fencingToken }: Extract<Effect, { do: 'lead' }>): void {
    const leadership = new HeldLock({
      lockKey: this.#options.lockKey,
      session,
      fencingToken,
      remainingMs: () => this.#remainingMs(session),
      onRevoked: why => this.#take({ kind: 'revoked', session, why }),
    });
    this.#leadership = leadership;
    this.#campaign?.resolve(leadership);
  }

  #remainingMs(session: SessionId): number {
    if (this.#state.kind !== 'leading' || this.#state.kept.id !== session) return 0;
    return remainingMs(this.#state.kept.renewedAt, this.#leaseClock.read(), this.#options.timing);
  }

  #setTimers(): void {
    const { clock, timing } = this.#options;
    this.#cancelTime();
    if (this.#state.kind === 'idle') this.#cancelRetry();
    const ms = nextTimeMs(this.#state, { at: this.#leaseClock.read(), timing });
    if (ms === undefined) return;
    this.#cancelTime = clock.after(Math.max(1, ms), () => this.#take({ kind: 'time' }));
  }

  #awaitLockDelay(forMs: number): void {
    // Not in step with other candidates.
    const spread = 0.75 + this.#options.random() / 2;
    this.#retryIn(forMs > 0 ? Math.min(forMs, LOCK_DELAY_RETRY_MS * spread) : LATE_RETRY_MS * spread);
  }

  #retryIn(ms: number): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(ms, () => this.#take({ kind: 'retry' }));
  }
}
