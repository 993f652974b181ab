/** What the election is made of: its states, what happens to it, and what it wants done. `state.ts` has the rules. */
import type { LockRefusal } from '../consul/errors.ts';
import type { SessionId } from '../consul/types.ts';
import type { Instant } from './deadline.ts';
import type { KeptSession } from './renewal.ts';
import type { SeenLock, Verdict } from './seen-lock.ts';
import type { LeaseTiming } from './timing.ts';

/** The lock as it was seen last, and what is known of its holder. */
export interface Sight {
  readonly lock: SeenLock;
  readonly verdict: Verdict;
  /** When the lock was first seen as it is. */
  readonly since: Instant;
}

/** What became of the last acquisition: `unclear` until a look at the key tells. */
export type Asking = 'not' | 'acquiring' | 'unclear';

export interface Campaigning {
  readonly kind: 'campaigning';
  readonly kept: KeptSession;
  readonly sight: Sight;
  readonly asking: Asking;
  /** Index of the lock that the last acquisition was conditional on. */
  readonly askedAt: number;
  readonly failures: number;
}

export interface Leading {
  readonly kind: 'leading';
  readonly kept: KeptSession;
  readonly fencingToken: bigint;
  /** Index of the acquisition: what was seen of the lock before it says nothing. */
  readonly acquiredAt: number;
}

export interface Watching {
  readonly kind: 'watching';
  readonly sight: Sight | undefined;
  readonly failures: number;
}

export interface Opening {
  readonly kind: 'opening';
  readonly sight: Sight;
  readonly failures: number;
}

export type State = { readonly kind: 'idle' } | Watching | Opening | Campaigning | Leading;

/** Denied, or failed for reasons of Consul's own, an acquisition counts as one that failed. */
export type AcquireRefusal = Exclude<LockRefusal, 'denied' | 'other'>;

export type ElectionEvent =
  | { readonly kind: 'campaign' }
  /** By choice: whatever the candidate has is given back at once. */
  | { readonly kind: 'resign' }
  /** The candidate ends for good. */
  | { readonly kind: 'stop'; readonly why: string }
  /** By the watch. `reset`: Consul's index went back. */
  | { readonly kind: 'seen'; readonly sight: Sight; readonly reset: boolean }
  /** By a consistent read that this session asked for, and since which acquisition, if it had one then. */
  | {
      readonly kind: 'looked';
      readonly session: SessionId;
      readonly acquiredAt: number | undefined;
      readonly sight: Sight;
    }
  | { readonly kind: 'look-failed'; readonly session: SessionId }
  | { readonly kind: 'opened'; readonly session: SessionId; readonly sentAt: Instant }
  | { readonly kind: 'not-opened' }
  | {
      readonly kind: 'acquired';
      readonly session: SessionId;
      readonly fencingToken: bigint;
      readonly index: number;
    }
  | { readonly kind: 'refused'; readonly session: SessionId; readonly why: AcquireRefusal }
  | { readonly kind: 'acquire-failed'; readonly session: SessionId; readonly outcomeUnknown: boolean }
  | { readonly kind: 'renewed'; readonly session: SessionId; readonly sentAt: Instant }
  | { readonly kind: 'renew-failed'; readonly session: SessionId }
  | { readonly kind: 'session-gone'; readonly session: SessionId }
  | { readonly kind: 'revoked'; readonly session: SessionId; readonly why: string }
  | { readonly kind: 'clear-failed' }
  /** Every further attempt would end like this one. */
  | { readonly kind: 'hopeless'; readonly error: Error }
  /** The pause that a `retry` or `await-lock-delay` asked for is over. */
  | { readonly kind: 'retry' }
  | { readonly kind: 'time' };

/** What the driver is to do. Each carries the session it was decided under. */
export type Effect =
  | { readonly do: 'open' }
  | { readonly do: 'acquire'; readonly session: SessionId; readonly lock: SeenLock }
  | { readonly do: 'look'; readonly session: SessionId; readonly acquiredAt: number | undefined }
  | { readonly do: 'renew'; readonly session: SessionId }
  | {
      readonly do: 'lead';
      readonly session: SessionId;
      readonly fencingToken: bigint;
    }
  | { readonly do: 'end'; readonly session: SessionId; readonly why: string }
  /** And destroy then. */
  | { readonly do: 'release'; readonly session: SessionId }
  | { readonly do: 'destroy'; readonly session: SessionId }
  /** Of a holder that is known to be dead. */
  | { readonly do: 'clear'; readonly session: SessionId; readonly lock: SeenLock }
  | { readonly do: 'fail'; readonly error: Error }
  /** After a pause that grows with `failures`. */
  | { readonly do: 'retry'; readonly failures: number }
  /** `forMs`: how long it goes on if the last holder's was ours. Not positive: longer than expected. */
  | { readonly do: 'await-lock-delay'; readonly forMs: number };

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export interface Context {
  readonly lockKey: string;
  readonly timing: LeaseTiming;
  readonly at: Instant;
  /** Why the work loop makes no progress, if it does not: then nothing is renewed, and no lead is taken. */
  readonly stuck: string | undefined;
  /** False: the campaign ends at once when the lock is not to be had. */
  readonly patient: boolean;
}
