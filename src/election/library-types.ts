/** What Node programs see of the election; `library.ts` has the example. */
import type { Clock, Random } from '../core/clock.ts';
import type { KvReads } from '../consul/kv.ts';
import type { TlsFiles } from '../consul/tls.ts';
import type { SessionId } from '../consul/types.ts';
import type { Candidate } from './candidate.ts';
import type { ElectionConsul } from './lock-operations.ts';
import type { ElectionNews } from './news.ts';

/** A client, or as much of one. */
export type LibraryConsul = ElectionConsul & { readonly kv: Pick<KvReads, 'list'> };

export interface ConsulElectionOptions {
  /** `host:port` or URLs of one Consul: the next is used when one fails. Or a client, which is left open. */
  readonly addresses?: readonly string[];
  readonly consul?: LibraryConsul;
  /** The ACL token, or the file it is in, which is followed. */
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly tls?: TlsFiles;
  readonly datacenter?: string;
  /**
   * Who holds a lock, for people: written at its key and into the names of the sessions. Default: the host's name and the
   * pid.
   */
  readonly holder?: string;
  /**
   * The node of the catalog that the sessions belong to; default `proconsul-library`. A session dies with its node, so it
   * is one that no machine stands behind and nobody deregisters. It is registered when it is missing. One for all
   * programs is enough; name another to give each its own ACL policy. The token needs, beside `key_prefix` write on the locks:
   * `session_prefix` write on this node, and `node` write on it unless it has been registered before.
   */
  readonly node?: string;
  /** Default: that of the machine. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** For logs. What it throws becomes a warning of the process. */
  readonly onStep?: (news: ElectionNews) => void;
}

export interface LeaseOptions {
  /** 10 to 300; default 15. A lock whose holder crashed becomes free after twice that, and the lock-delay. */
  readonly ttlSeconds?: number;
  /** 0 to 60; default 5: how long a lock stays closed after a holder that did not give it back. */
  readonly lockDelaySeconds?: number;
  /** Default: that of the library. */
  readonly holder?: string;
}

export interface WithLockOptions extends LeaseOptions {
  /** Ends the wait for the lock, and aborts the signal that `fn` gets. */
  readonly signal?: AbortSignal;
}

/** What the work under a lock is given. */
export interface Held {
  /** Aborts before the lock can be lost. Pass it on to everything that is begun. */
  readonly signal: AbortSignal;
  /** Greater than that of any holder of this lock before. */
  readonly fencingToken: bigint;
  /** What a transaction in Consul checks first. */
  readonly fence: { readonly key: string; readonly session: SessionId };
  /** @throws AbortedError unless the lock is certain to be held. Right before a write that nothing else guards. */
  assertHeld(): void;
}

export interface KeptAliveSession extends AsyncDisposable {
  readonly id: SessionId;
  /** Aborts before the session can expire, and within a quarter of the TTL when somebody destroyed it. */
  readonly signal: AbortSignal;
  /** @throws AbortedError unless the session is certain to be alive. */
  assertAlive(): void;
  /** Destroys it. What it locks goes into its lock-delay: release first. */
  close(): Promise<void>;
}

export interface Semaphore {
  /**
   * Runs `fn` while holding one of the slots, as `withLock` does. Slot n is the lock `<key>/n`: tokens are in order
   * within a slot, not between slots.
   */
  withSlot<T>(
    fn: (held: Held & { readonly slot: number }) => Promise<T>,
    options?: WithLockOptions,
  ): Promise<T>;
}

export interface ConsulElection extends AsyncDisposable {
  /**
   * Waits for the lock, runs `fn`, and gives the lock back. Renews meanwhile.
   *
   * @returns what `fn` returns.
   * @throws what `fn` throws; else AbortedError when the lock was lost before `fn` was done, or `signal` ended
   * the wait for it;
   * TerminalError `LOCK_CONFLICT` when the key is used for something else, and when nothing comes of waiting.
   */
  withLock<T>(key: string, fn: (held: Held) => Promise<T>, options?: WithLockOptions): Promise<T>;
  /** At most `slots` holders at a time. All programs have to name the same number. */
  semaphore(key: string, slots: number): Semaphore;
  /** For one that leads for long: campaign, resign, campaign again. Ends with `close` at the latest. */
  candidate(key: string, options?: LeaseOptions): Candidate;
  /** A session that is renewed until it is closed, for locks that are taken by other means. */
  session(options?: LeaseOptions & { readonly signal?: AbortSignal }): Promise<KeptAliveSession>;
  /** Ends all tenures and campaigns; their sessions too, if Consul answers within seconds. Else their TTL does. */
  close(): Promise<void>;
}
