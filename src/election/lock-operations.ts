import type { Clock, Random } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import { encodeLockValue, LOCK_FLAGS, type LockContent, nextFencingToken } from '../core/lock-value.ts';
import { timestamp } from '../core/conditions.ts';
import type { CatalogWrites } from '../consul/catalog.ts';
import { classifyLockRefusal, consulError, isConsulError } from '../consul/errors.ts';
import type { KvReads, KvWrites } from '../consul/kv.ts';
import type { SessionReads, SessionWrites } from '../consul/session.ts';
import { encodeOperation, type KvOperation, type TxnOutcome, type TxnWrites } from '../consul/txn.ts';
import {
  type Answer,
  type BlockingParams,
  type KvEntry,
  type ModifyIndex,
  NOT_THERE,
  type SessionId,
} from '../consul/types.ts';
import type { Instant } from './deadline.ts';
import type { LeaseClock } from './lease-clock.ts';
import type { AcquireRefusal } from './model.ts';
import type { SeenLock } from './seen-lock.ts';
import type { LeaseTiming } from './timing.ts';

/** What an election needs of Consul: a client, or as much of one. */
export interface ElectionConsul {
  readonly kv: Pick<KvReads, 'get'> & Pick<KvWrites, 'release'>;
  readonly txn: TxnWrites;
  readonly sessions: SessionReads & SessionWrites;
  readonly catalog: CatalogWrites;
}

export interface LockOperationsOptions {
  readonly consul: ElectionConsul;
  readonly lockKey: string;
  readonly node: string;
  readonly name: string;
  readonly timing: LeaseTiming;
  readonly clock: Clock;
  readonly leaseClock: LeaseClock;
  readonly random: Random;
}

export type Acquisition =
  | { readonly applied: true; readonly fencingToken: bigint; readonly index: number }
  | { readonly applied: false; readonly why: AcquireRefusal };

/** Of one acquisition or look: long enough for Consul to elect a leader, short enough to try again within a lease. */
const DEADLINE_MS = 5000;
/** Of giving something back, when somebody may be waiting for it. */
const LEAVING_DEADLINE_MS = 1500;

/** Names of sessions of which nobody knows whether they were made. More are forgotten: their TTL ends them. */
const MAX_STRAYS = 8;

/** One request of a lock's life each; what they mean is for `state.ts`. */
export class LockOperations {
  readonly #options: LockOperationsOptions;
  readonly #strays = new Set<string>();
  /** The last that was made, with Consul's index then: that goes on over a restore, which sets back the lock's own. */
  #opened: { readonly session: SessionId; readonly index: number } | undefined;
  /** As the last acquisition wrote it, or may have. */
  #value: Buffer = Buffer.alloc(0);

  constructor(options: LockOperationsOptions) {
    this.#options = options;
  }

  /** Makes a session, and the node it belongs to where that is missing. What an earlier attempt left is destroyed. */
  async open(signal: AbortSignal): Promise<{ readonly session: SessionId; readonly sentAt: Instant }> {
    await this.#sweep(signal);
    try {
      return await this.#create(signal);
    } catch (error) {
      if (!isConsulError(error) || error.code !== 'CONSUL_NODE_MISSING') throw error;
    }
    // That answer was the look: a node that is there is never registered again, which would be a Raft entry each time.
    const node = { node: this.#options.node, address: '127.0.0.1', meta: { 'managed-by': 'proconsul' } };
    await this.#options.consul.catalog.registerNode(node, { signal, deadlineMs: DEADLINE_MS });
    return await this.#create(signal);
  }

  /**
   * Takes the lock if it still is as it was seen, so that the token written was computed from what really stood there.
   * @param seenToken the highest of earlier tenures: it may be gone from the key.
   */
  async acquire(
    { session, lock }: { readonly session: SessionId; readonly lock: SeenLock },
    content: LockContent,
    seenToken: bigint,
    signal: AbortSignal,
  ): Promise<Acquisition> {
    const { lockKey: key, clock } = this.#options;
    const index = lock.entry?.modifyIndex ?? (await this.#createKey(signal));
    if (index === undefined) return { applied: false, why: 'moved' };
    const madeAt = this.#opened?.session === session ? this.#opened.index : 0;
    const seen = [seenToken, lock.value?.fencingToken ?? 0n];
    const fencingToken = nextFencingToken(seen, Math.max(index, madeAt));
    this.#value = encodeLockValue({ ...content, fencingToken, acquiredTime: timestamp(clock.now()) });
    const outcome = await this.#submit(
      [
        { verb: 'check-index', key, index },
        { verb: 'lock', key, session, value: this.#value, flags: LOCK_FLAGS },
      ],
      signal,
    );
    if (outcome.applied) return { applied: true, fencingToken, index: outcome.index };
    return { applied: false, why: refusalOf(outcome, key) };
  }

  /**
   * A key is made before it is locked: an acquisition that is conditional on there being none may arrive late, when
   * another has been made and deleted, and would carry the same token as that. Undefined: another was faster.
   */
  async #createKey(signal: AbortSignal): Promise<ModifyIndex | undefined> {
    const { lockKey: key } = this.#options;
    const empty = { key, value: Buffer.alloc(0), flags: LOCK_FLAGS, index: NOT_THERE };
    const outcome = await this.#submit([{ verb: 'cas', ...empty }], signal);
    if (outcome.applied) return outcome.index as ModifyIndex;
    refusalOf(outcome, key);
    return undefined;
  }

  async look(signal: AbortSignal, block?: BlockingParams): Promise<Answer<KvEntry | undefined>> {
    const patience = block === undefined ? { deadlineMs: DEADLINE_MS } : { block };
    const options = { signal, consistency: 'consistent', ...patience } as const;
    return await this.#options.consul.kv.get(this.#options.lockKey, options);
  }

  async renew(session: SessionId, signal: AbortSignal): Promise<{ alive: boolean; sentAt: Instant }> {
    const { consul, leaseClock, timing } = this.#options;
    const sentAt = leaseClock.read();
    const { alive } = await consul.sessions.renew(session, { signal, deadlineMs: timing.renewDeadlineMs });
    return { alive, sentAt };
  }

  /** Gives the lock up without a lock-delay. The value stays, or the next token could be lower. */
  async release(session: SessionId, signal: AbortSignal): Promise<void> {
    const lock = { key: this.#options.lockKey, session, value: this.#value, flags: LOCK_FLAGS };
    await this.#options.consul.kv.release(lock, { signal, deadlineMs: LEAVING_DEADLINE_MS });
  }

  async destroy(session: SessionId, signal: AbortSignal): Promise<void> {
    await this.#options.consul.sessions.destroy(session, { signal, deadlineMs: LEAVING_DEADLINE_MS });
  }

  /** Takes the lock from a holder that is known to be dead, and ends its session. Refused: the lock has moved on. */
  async clear({ entry }: SeenLock, session: SessionId, signal: AbortSignal): Promise<void> {
    if (entry === undefined) return;
    const { key, value, modifyIndex: index } = entry;
    const outcome = await this.#submit(
      [
        { verb: 'check-index', key, index },
        { verb: 'unlock', key, session, value, flags: LOCK_FLAGS },
      ],
      signal,
    );
    if (outcome.applied || refusalOf(outcome, key) === 'held') await this.destroy(session, signal);
  }

  async #create(signal: AbortSignal): Promise<{ readonly session: SessionId; readonly sentAt: Instant }> {
    const { consul, node, timing, leaseClock } = this.#options;
    const { ttlSeconds, lockDelaySeconds } = timing;
    const name = this.#uniqueName();
    const sentAt = leaseClock.read();
    const options = { signal, deadlineMs: DEADLINE_MS };
    try {
      const wanted = { node, name, ttlSeconds, lockDelaySeconds };
      const session = await consul.sessions.create(wanted, options);
      const { value } = await consul.sessions.info(session, { ...options, consistency: 'consistent' });
      if (value !== undefined) this.#opened = { session, index: value.createIndex };
      return { session, sentAt };
    } catch (error) {
      // Unless it certainly was not made.
      if (error instanceof RetryableError) this.#strays.add(name);
      throw error;
    }
  }

  /** At best: a stray holds no lock, and its TTL ends it. */
  async #sweep(signal: AbortSignal): Promise<void> {
    if (this.#strays.size === 0) return;
    const { consul, node } = this.#options;
    const options = { signal, deadlineMs: DEADLINE_MS, consistency: 'consistent' } as const;
    const { value } = await consul.sessions.listNode(node, options);
    const strays = value.filter(({ name }) => this.#strays.has(name));
    await Promise.all(strays.map(({ id }) => this.destroy(id, signal)));
    // One that is still on its way would be found the next time.
    for (const { name } of strays) this.#strays.delete(name);
    for (const name of this.#strays) if (this.#strays.size > MAX_STRAYS) this.#strays.delete(name);
  }

  /** Says who it is to people, and tells each attempt from all others. */
  #uniqueName(): string {
    const { name, random } = this.#options;
    const draw = (): string =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, '0');
    return `${name} ${draw()}${draw()}`;
  }

  async #submit(operations: readonly KvOperation[], signal: AbortSignal): Promise<TxnOutcome> {
    const options = { signal, deadlineMs: DEADLINE_MS };
    return await this.#options.consul.txn.submit(operations.map(encodeOperation), options);
  }
}

/** @throws ConsulError when it is no answer to the question. */
function refusalOf({ errors }: Extract<TxnOutcome, { applied: false }>, key: string): AcquireRefusal {
  const why = classifyLockRefusal(errors);
  if (why !== 'denied' && why !== 'other') return why;
  const code = why === 'denied' ? 'CONSUL_DENIED' : 'CONSUL_SERVER_ERROR';
  throw consulError(code, `Consul refused the lock ${JSON.stringify(key)}: ${errors[0]?.what}`);
}
