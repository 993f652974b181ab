import {
  createCandidate,
  type Candidate,
  type Leadership,
  leaseTiming,
} from '../../../src/election/index.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { LockServer } from './lock-server.ts';
import { consulFor, Process } from './process.ts';

export const LOCK = 'locks/lead';
export const TTL_SECONDS = 20;
export const LOCK_DELAY_SECONDS = 5;

export interface Tenure {
  readonly process: Process;
  readonly leadership: Leadership;
}

interface Member {
  readonly process: Process;
  readonly candidate: Candidate;
  /** What its `progress` says. */
  stuck: string | undefined;
}

export interface ElectorateOptions {
  /** How fast the clocks of each process run; its length is how many there are. */
  readonly rates: readonly number[];
  readonly random: () => number;
  readonly lockDelaySeconds?: number;
}

/** Candidates for one lock, each in a process of its own, that campaign whenever they do not lead. */
export class Electorate {
  readonly world = new FakeClock();
  readonly server = new LockServer(() => this.world.monotonic());
  readonly members: readonly Member[];
  /** In the order in which they began. */
  readonly tenures: Tenure[] = [];
  readonly #ended = new AbortController();
  /** Looks at the world whenever anything may have happened. */
  check: () => void = () => {};

  constructor({ rates, random, lockDelaySeconds = LOCK_DELAY_SECONDS }: ElectorateOptions) {
    const timing = leaseTiming({ ttlSeconds: TTL_SECONDS, lockDelaySeconds });
    this.members = rates.map((rate, n) => {
      const process = new Process(this.world, random, rate);
      const member: Member = {
        process,
        stuck: undefined,
        candidate: createCandidate({
          consul: consulFor(process, this.server, this.world),
          lockKey: LOCK,
          node: 'virtual',
          name: `member ${n}`,
          timing,
          clock: process,
          random,
          signal: this.#ended.signal,
          value: () => ({ holder: `member ${n}`, uid: String(n) }),
          progress: () => member.stuck,
        }),
      };
      return member;
    });
  }

  /** Lets every member campaign, now and whenever its tenure has ended. */
  open(): void {
    for (const member of this.members) void this.#campaign(member);
  }

  async #campaign({ process, candidate }: Member): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const leadership = await candidate.campaign().catch(() => undefined);
      if (leadership === undefined) {
        await new Promise<void>(resolve => process.after(100, resolve));
        continue;
      }
      this.tenures.push({ process, leadership });
      const { signal } = leadership;
      if (!signal.aborted)
        await new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }));
    }
  }

  /** Those whose holders would act if they ran now. */
  get effective(): Tenure[] {
    return this.tenures.filter(({ leadership }) => {
      try {
        leadership.assertHeld();
        return true;
      } catch {
        return false;
      }
    });
  }

  /** Lets time pass, from one thing that happens to the next. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.world.monotonic() + ms;
    await this.#look();
    while (this.world.monotonic() < untilMs) {
      const nowMs = this.world.monotonic();
      const timerMs = this.world.timerCount > 0 ? this.world.nextTimerMs : Number.POSITIVE_INFINITY;
      const expiryMs = this.server.nextExpiryMs - nowMs;
      this.world.advance(Math.max(0, Math.min(timerMs, expiryMs, untilMs - nowMs)));
      this.server.expire();
      await this.#look();
    }
  }

  /** @returns whether the condition held within `ms`. */
  async passUntil(condition: () => boolean, ms: number): Promise<boolean> {
    const untilMs = this.world.monotonic() + ms;
    while (!condition() && this.world.monotonic() < untilMs) await this.pass(100);
    return condition();
  }

  close(): void {
    this.#ended.abort();
  }

  async #look(): Promise<void> {
    await settled();
    this.check();
  }
}

/** Mulberry32: as many numbers as needed from one that fast-check can shrink and show. */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
