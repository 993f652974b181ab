import { isDeepStrictEqual } from 'node:util';
import type { Clock, Random } from '../core/clock.ts';
import { Deadline } from '../core/deadline.ts';
import { messageOf } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { createCadence, nextRun, timeOf } from './cadence.ts';
import { type Debounce, debounce, debounceFrom } from './debounce.ts';
import { cleanOutput } from './output.ts';
import type { Places } from './places.ts';
import type { ProbeOutcome, Prober, ProbeResult, ProbeSpec } from './spec.ts';

/** What a check is run with. */
export interface ProbeSurroundings {
  readonly probe: Prober;
  readonly places: Places;
  readonly clock: Clock;
  readonly random: Random;
}

/** Whom a check tells. */
export interface ProbeListener {
  /** A run has ended, whatever is made of it. */
  readonly onRun: (found: ProbeOutcome['status']) => void;
  readonly onResult: (result: ProbeResult) => void;
  readonly onUnknown: (why: string) => void;
}

/** A check, and whose it is. */
export interface CheckToRun {
  readonly spec: ProbeSpec;
  readonly initial: ProbeResult | undefined;
  readonly owner: () => string;
}

/** However long a check may wait for an answer, it holds a place that others wait for. */
const MAX_RUN_MS = 60_000;
/** Any target is slow once. */
const TIMEOUTS_OF_A_HANGING_ONE = 2;
/** A timer that is longer fires at once: nodejs.org/api/timers.html#settimeoutcallback-delay-args */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** One check: runs on its cadence, never twice at a time, and tells when what it says has changed. */
export class ScheduledProbe {
  readonly #with: ProbeSurroundings;
  readonly #tell: ProbeListener;
  readonly #owner: () => string;
  #spec: ProbeSpec;
  #state: Debounce;
  #verdict: ProbeResult | undefined;
  /** Runs in a row in which the target did not answer in time; one that was never asked is held to do the same. */
  #timeouts = TIMEOUTS_OF_A_HANGING_ONE;
  #hasRun = false;
  #life = new AbortController();
  #ended: Promise<void>;

  constructor(surroundings: ProbeSurroundings, check: CheckToRun, listener: ProbeListener) {
    this.#with = surroundings;
    this.#tell = listener;
    this.#owner = check.owner;
    this.#spec = check.spec;
    this.#verdict = check.initial;
    this.#state = debounceFrom(check.initial?.status, check.spec.thresholds);
    this.#ended = this.#live(this.#life.signal);
  }

  /** What the check says now; undefined before the first run. */
  get verdict(): ProbeResult | undefined {
    return this.#verdict;
  }

  /** Whether a run has found something. */
  get hasRun(): boolean {
    return this.#hasRun;
  }

  /**
   * Goes on by another spec, with the verdict it has, or with a fresher one as long as no run has found any. Another target or interval breaks off the run under way and
   * starts a new cadence; other thresholds are counted from anew; another timeout holds from the next run on.
   */
  change(spec: ProbeSpec, fresher: ProbeResult | undefined): void {
    const old = this.#spec;
    this.#spec = spec;
    if (!this.#hasRun && fresher !== undefined) {
      this.#verdict = fresher;
      this.#state = debounceFrom(fresher.status, spec.thresholds);
    }
    const otherTarget = !isDeepStrictEqual(old.target, spec.target);
    if (otherTarget) this.#timeouts = TIMEOUTS_OF_A_HANGING_ONE;
    if (otherTarget || !isDeepStrictEqual(old.thresholds, spec.thresholds)) {
      this.#state = debounceFrom(this.#state.status, spec.thresholds);
    }
    if (otherTarget || old.intervalMs !== spec.intervalMs) this.#restart();
  }

  /** Breaks off the run under way; nothing is told from here on. Resolves when the run has ended. */
  end(): Promise<void> {
    this.#life.abort();
    return this.#ended;
  }

  #restart(): void {
    const ended = this.end();
    this.#life = new AbortController();
    const { signal } = this.#life;
    this.#ended = ended.then(() => this.#live(signal));
  }

  async #live(life: AbortSignal): Promise<void> {
    const { clock, random } = this.#with;
    const cadence = createCadence(clock.monotonic(), this.#spec.intervalMs, random);
    for (let run = -1; !life.aborted; ) {
      run = nextRun(cadence, run, clock.monotonic());
      await this.#waitUntil(timeOf(cadence, run), life);
      if (!life.aborted) await this.#takeTurn(life);
    }
  }

  async #waitUntil(timeMs: number, life: AbortSignal): Promise<void> {
    const { clock } = this.#with;
    while (!life.aborted && clock.monotonic() < timeMs) {
      await pause(clock, Math.min(timeMs - clock.monotonic(), MAX_TIMER_MS), life);
    }
  }

  async #takeTurn(life: AbortSignal): Promise<void> {
    // It rejects for one reason only: the check has ended.
    const claimant = { owner: this.#owner(), proven: this.#timeouts < TIMEOUTS_OF_A_HANGING_ONE };
    const leave = await this.#with.places.acquire(claimant, life).catch(() => undefined);
    if (leave === undefined) return;
    try {
      if (!life.aborted) await this.#runOnce(life);
    } finally {
      leave();
    }
  }

  async #runOnce(life: AbortSignal): Promise<void> {
    const outcome = await this.#ask(life);
    if (!life.aborted) this.#take(outcome);
  }

  async #ask(life: AbortSignal): Promise<ProbeOutcome> {
    const { target } = this.#spec;
    const timeoutMs = Math.min(this.#spec.timeoutMs, MAX_RUN_MS);
    using deadline = new Deadline(this.#with.clock, timeoutMs, [life]);
    try {
      return await this.#with.probe(target, deadline.signal);
    } catch (thrown) {
      if (deadline.expired) return { status: 'critical', output: `no answer within ${timeoutMs} ms` };
      return { status: 'unknown', output: messageOf(thrown) };
    } finally {
      if (!life.aborted) this.#timeouts = deadline.expired ? this.#timeouts + 1 : 0;
    }
  }

  #take(outcome: ProbeOutcome): void {
    this.#tell.onRun(outcome.status);
    const output = cleanOutput(outcome.output);
    if (outcome.status === 'unknown') return this.#tell.onUnknown(output);
    this.#hasRun = true;
    const before = this.#state.status;
    this.#state = debounce(this.#state, outcome.status, this.#spec.thresholds);
    // A status that changes is always the one that was just found.
    if (this.#state.status === before) return;
    this.#verdict = { status: outcome.status, output };
    this.#tell.onResult(this.#verdict);
  }
}
