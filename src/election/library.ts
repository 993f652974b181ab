/**
 * Locks, semaphores and leader election on Consul for Node programs: the code that the operator elects its own leader
 * with.
 *
 *     await using election = createConsulElection({ addresses: ['127.0.0.1:8500'], token });
 *     await election.withLock('locks/nightly-report', async ({ signal, fence, fencingToken }) => {
 *       for (const part of parts) await write(part, { signal, fence, fencingToken });
 *     });
 *
 * A lock does not stop a process that was paused: its next line runs whatever Consul has decided meanwhile. So what a
 * holder writes has to be refused once it is not the holder any more:
 * - in Consul, by a transaction that begins with `{"KV": {"Verb": "check-session", "Key": fence.key, "Session":
 *   fence.session}}`, and is conditional on the ModifyIndex of what it changes (`cas`);
 * - elsewhere, by comparing `fencingToken` with the highest that the guarded system has seen.
 * Where neither is possible, call `assertHeld()` right before each write.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock, Random } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import type { LockContent } from '../core/lock-value.ts';
import { createConsulClient } from '../consul/client.ts';
import { type Candidate, type CandidateOptions, createCandidate } from './candidate.ts';
import { LeaseClock } from './lease-clock.ts';
import { assertHolder, assertKey } from './library-input.ts';
import type { Leadership } from './leadership.ts';
import type {
  ConsulElection,
  ConsulElectionOptions,
  Held,
  KeptAliveSession,
  LeaseOptions,
  LibraryConsul,
  Semaphore,
  WithLockOptions,
} from './library-types.ts';
import { LockOperations } from './lock-operations.ts';
import { programClock } from './program-clock.ts';
import { SessionKeeper } from './session-keeper.ts';
import { takeSlot } from './slots.ts';
import { leaseTiming } from './timing.ts';

export type * from './library-types.ts';
export type { Candidate } from './candidate.ts';
export type { Leadership } from './leadership.ts';
export type { ElectionNews } from './news.ts';

const DEFAULT_NODE = 'proconsul-library';
const DEFAULT_TTL_SECONDS = 15;
const DEFAULT_LOCK_DELAY_SECONDS = 5;

/**
 * Connects when it is first used.
 * @throws TerminalError `CONSUL_SETTINGS` when the options cannot be right. What cannot be right of a lock is thrown where
 * it is given: TerminalError `KEY_INVALID`, `SETTING_INVALID` for the holder, `LEASE_TIMING` for a TTL or lock-delay.
 */
export function createConsulElection(options: ConsulElectionOptions): ConsulElection {
  return new Library(options);
}

class Library implements ConsulElection {
  readonly #options: ConsulElectionOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #consul: LibraryConsul;
  readonly #disconnect: () => Promise<void>;
  readonly #closing = new AbortController();
  /** After `closing`, when all has been given back that could be. */
  readonly #closed = new AbortController();
  readonly #uid = randomUUID();
  /** What is open, as the way to close it. */
  readonly #open = new Map<object, () => Promise<void>>();

  constructor(options: ConsulElectionOptions) {
    this.#options = options;
    this.#clock = options.clock ?? programClock;
    this.#random = options.random ?? Math.random;
    if (options.consul === undefined) {
      const { addresses = ['127.0.0.1:8500'], token, tokenFile, tls, datacenter } = options;
      const client = createConsulClient({ addresses, token, tokenFile, tls, datacenter, clock: this.#clock });
      this.#consul = client;
      this.#disconnect = () => client.close();
    } else {
      this.#consul = options.consul;
      this.#disconnect = () => Promise.resolve();
    }
  }

  async withLock<T>(key: string, fn: (held: Held) => Promise<T>, options: WithLockOptions = {}): Promise<T> {
    const candidate = this.candidate(key, options);
    try {
      return await this.#run(await candidate.campaign(options.signal), fn, options.signal);
    } finally {
      await this.#retire(candidate);
    }
  }

  semaphore(key: string, slots: number): Semaphore {
    assertKey(key);
    if (!Number.isSafeInteger(slots) || slots < 1) throw new RangeError('a semaphore has one slot at least');
    return {
      withSlot: async (fn, options = {}) => {
        const { candidate, leadership, slot } = await takeSlot({
          slotKeys: Array.from({ length: slots }, (_, slot) => `${key}/${slot}`),
          candidateFor: slotKey => this.#enter(slotKey, { ...options, patient: false }),
          retire: candidate => this.#retire(candidate),
          consul: this.#consul,
          prefix: `${key}/`,
          clock: this.#clock,
          random: this.#random,
          signals: [this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])],
        });
        try {
          return await this.#run(leadership, async held => await fn({ ...held, slot }), options.signal);
        } finally {
          await this.#retire(candidate);
        }
      },
    };
  }

  candidate(key: string, options: LeaseOptions = {}): Candidate {
    return this.#enter(key, options);
  }

  async session(options: LeaseOptions & { readonly signal?: AbortSignal } = {}): Promise<KeptAliveSession> {
    const lease = { ...this.#lease(options), leaseClock: new LeaseClock(this.#clock) };
    const operations = new LockOperations({ ...lease, lockKey: '' });
    const signal = AbortSignal.any([this.#closing.signal, ...(options.signal ? [options.signal] : [])]);
    const keeper = new SessionKeeper(await operations.open(signal), { ...lease, operations });
    const close = async (): Promise<void> => {
      this.#open.delete(keeper);
      keeper.end('closed');
      await operations.destroy(keeper.id, new AbortController().signal);
    };
    this.#open.set(keeper, close);
    return {
      id: keeper.id,
      signal: keeper.signal,
      assertAlive: () => keeper.assertAlive(),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled([...this.#open.values()].map(close => close()));
    this.#closed.abort();
    await this.#disconnect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #enter(key: string, options: LeaseOptions & Pick<CandidateOptions, 'patient'>): Candidate {
    if (this.#closing.signal.aborted) throw new AbortedError('the library was closed');
    assertKey(key);
    const lease = this.#lease(options);
    const content: LockContent = { holder: lease.name, uid: this.#uid };
    const { onStep } = this.#options;
    const candidate = createCandidate({
      ...lease,
      lockKey: key,
      signal: this.#closed.signal,
      value: () => content,
      ...(options.patient !== undefined && { patient: options.patient }),
      ...(onStep !== undefined && { onStep }),
    });
    this.#open.set(candidate, () => this.#retire(candidate));
    return candidate;
  }

  async #retire(candidate: Candidate): Promise<void> {
    await candidate.resign();
    this.#open.delete(candidate);
  }

  #lease({
    ttlSeconds = DEFAULT_TTL_SECONDS,
    lockDelaySeconds = DEFAULT_LOCK_DELAY_SECONDS,
    holder = this.#options.holder ?? `${hostname()}/${process.pid}`,
  }: LeaseOptions) {
    assertHolder(holder);
    return {
      consul: this.#consul,
      node: this.#options.node ?? DEFAULT_NODE,
      name: holder,
      timing: leaseTiming({ ttlSeconds, lockDelaySeconds }),
      clock: this.#clock,
      random: this.#random,
    };
  }

  /** What was done after the lock was lost was not protected by it: then not even a success counts. */
  async #run<T>(
    leadership: Leadership,
    fn: (held: Held) => Promise<T>,
    caller: AbortSignal | undefined,
  ): Promise<T> {
    const signal = caller === undefined ? leadership.signal : AbortSignal.any([leadership.signal, caller]);
    const { lockKey, session, fencingToken } = leadership;
    const result = await fn({
      signal,
      fencingToken,
      fence: { key: lockKey, session },
      assertHeld: () => leadership.assertHeld(),
    });
    leadership.assertHeld();
    return result;
  }
}
