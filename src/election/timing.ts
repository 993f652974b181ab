import { TerminalError } from '../core/errors.ts';

/**
 * How long a lease lasts, and by when its holder has to have stopped.
 *
 *   0 s                      ttl/4          ttl − margin      ttl                          2 × ttl      + lockDelay
 *   last good renewal sent   next renewal   holder stops                   Consul ends the session      others may lock
 *
 * No combination within the bounds lets two holders act by expiry, for these reasons:
 * - The holder counts from before it *sent* what Consul counts from after it *received*.
 * - Consul ends a session at twice its TTL at the earliest (`SessionTTLMultiplier` in `agent/consul/session_ttl.go`), and
 *   starts over when its leader changes. So a full TTL and the margin lie between the holder's stop and the loss, even
 *   with no lock-delay at all: enough for a clock that runs at half the speed of the server's.
 * - A renewal is tried at least twice before the margin is reached, even when each try hangs.
 *
 * What is not by expiry — an admin who destroys the session or its node, deletes the key or releases the lock, a
 * restored snapshot — no timing can prevent: there the fence refuses the old holder's transactions, the watch ends the tenure, and after
 * the end of a session the lock-delay keeps others out for what no transaction can carry.
 */
export interface LeaseTiming {
  readonly ttlSeconds: number;
  readonly lockDelaySeconds: number;
  readonly renewEveryMs: number;
  /** Of one renewal, so that a server that hangs costs one try and not the lease. */
  readonly renewDeadlineMs: number;
  readonly marginMs: number;
  /** From sending the last good renewal until the holder stops. */
  readonly holdMs: number;
}

export interface LeaseSettings {
  /** 10 to 300. Consul takes no less; with more a crash would go unnoticed for over ten minutes. */
  readonly ttlSeconds: number;
  /** 0 to 60, as Consul has it. */
  readonly lockDelaySeconds: number;
}

export const TTL_SECONDS = { least: 10, most: 300 } as const;
export const LOCK_DELAY_SECONDS = { least: 0, most: 60 } as const;

const LEAST_MARGIN_MS = 2000;
const MARGIN_OF_TTL = 0.15;
const LEAST_RENEW_DEADLINE_MS = 2000;

/** @throws TerminalError `LEASE_TIMING` that names the value which is out of bounds. */
export function leaseTiming({ ttlSeconds, lockDelaySeconds }: LeaseSettings): LeaseTiming {
  assertWithin('the TTL of a lease', ttlSeconds, TTL_SECONDS);
  assertWithin('the lock-delay of a lease', lockDelaySeconds, LOCK_DELAY_SECONDS);
  const ttlMs = ttlSeconds * 1000;
  const marginMs = Math.max(LEAST_MARGIN_MS, MARGIN_OF_TTL * ttlMs);
  const renewEveryMs = ttlMs / 4;
  return {
    ttlSeconds,
    lockDelaySeconds,
    renewEveryMs,
    renewDeadlineMs: Math.max(LEAST_RENEW_DEADLINE_MS, renewEveryMs / 2),
    marginMs,
    holdMs: ttlMs - marginMs,
  };
}

function assertWithin(what: string, seconds: number, { least, most }: { least: number; most: number }): void {
  if (Number.isInteger(seconds) && seconds >= least && seconds <= most) return;
  throw new TerminalError(`${what} is ${seconds} s: it has to be ${least} to ${most} whole seconds`, {
    code: 'LEASE_TIMING',
    reason: 'InvalidSpec',
  });
}
