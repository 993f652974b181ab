import type { SessionId } from '../consul/types.ts';
import { type Instant, remainingMs } from './deadline.ts';
import type { LeaseTiming } from './timing.ts';

/** A session that is kept alive, one renewal at a time. */
export interface KeptSession {
  readonly id: SessionId;
  /** When the last renewal that succeeded, or the creation, was sent. */
  readonly renewedAt: Instant;
  readonly isRenewing: boolean;
  /** After a renewal that failed: when the next may be sent. */
  readonly retryAt?: Instant;
}

/** After a renewal that failed. Longer waits would cost tries: the lease runs on. */
const RETRY_MS = 500;

export function keptSince(id: SessionId, renewedAt: Instant): KeptSession {
  return { id, renewedAt, isRenewing: false };
}

export function renewing({ id, renewedAt }: KeptSession): KeptSession {
  return { id, renewedAt, isRenewing: true };
}

export function notRenewed({ id, renewedAt }: KeptSession, at: Instant): KeptSession {
  return { id, renewedAt, isRenewing: false, retryAt: at + RETRY_MS };
}

/** Whether its holder must not act any more. For good: a renewal that is answered later changes nothing. */
export function isOver({ renewedAt }: KeptSession, at: Instant, timing: LeaseTiming): boolean {
  return remainingMs(renewedAt, at, timing) <= 0;
}

/** Not positive: to be renewed now. */
export function untilRenewalMs(
  { renewedAt, isRenewing, retryAt }: KeptSession,
  at: Instant,
  timing: LeaseTiming,
): number {
  if (isRenewing) return Number.POSITIVE_INFINITY;
  return Math.max(renewedAt + timing.renewEveryMs, retryAt ?? 0) - at;
}

/** When to look again: when it is to be renewed, or over. */
export function untilNextMs(kept: KeptSession, at: Instant, timing: LeaseTiming): number {
  return Math.max(0, Math.min(untilRenewalMs(kept, at, timing), remainingMs(kept.renewedAt, at, timing)));
}
