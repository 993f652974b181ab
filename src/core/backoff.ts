import type { Random } from './clock.ts';

export interface BackoffRange {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * Exponential backoff with full jitter: uniform in [0, min(cap, base × 2^attempt)), but never under a tenth of
 * that bound, so that a run of small draws cannot become a hot loop.
 *
 * Source: "Exponential Backoff and Jitter", AWS Architecture Blog (2015).
 *
 * @param attempt failures so far, from 0.
 */
export function backoffMs(range: BackoffRange, attempt: number, random: Random): number {
  const bound = Math.min(range.capMs, range.baseMs * 2 ** Math.min(attempt, 30));
  return Math.max(bound / 10, bound * random());
}
