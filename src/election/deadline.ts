import type { LeaseTiming } from './timing.ts';

/** Milliseconds of one `LeaseClock`. */
export type Instant = number;

/** How long a holder may still act whose last good renewal was sent at `renewedAt`. Not positive: no longer. */
export function remainingMs(renewedAt: Instant, at: Instant, { holdMs }: LeaseTiming): number {
  return holdMs - (at - renewedAt);
}
