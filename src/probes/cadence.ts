import type { Random } from '../core/clock.ts';

/** The times at which a check runs: fixed once, so that late runs do not shift later ones. */
export interface Cadence {
  readonly firstAtMs: number;
  /** The others follow at a distance of `intervalMs`. */
  readonly secondAtMs: number;
  readonly intervalMs: number;
}

/** Until its first run nobody knows what a check says, and an interval may be a day. */
const FIRST_WITHIN_MS = 2_000;

/**
 * The first run comes soon. Checks that begin together, as at a change of leader, do not stay together: the second comes when
 * between a half and the whole of a long interval has passed.
 */
export function createCadence(nowMs: number, intervalMs: number, random: Random): Cadence {
  const firstAtMs = nowMs + random() * Math.min(intervalMs, FIRST_WITHIN_MS);
  const earlierMs = (random() / 2) * Math.max(0, intervalMs - FIRST_WITHIN_MS);
  return { firstAtMs, secondAtMs: firstAtMs + intervalMs - earlierMs, intervalMs };
}

/**
 * The number of the run after `last` (-1: none yet), leaving out those whose time has passed: a run that took longer
 * than the interval is followed by the next in time, not by all that were missed.
 */
export function nextRun(cadence: Cadence, last: number, nowMs: number): number {
  const { firstAtMs, secondAtMs, intervalMs } = cadence;
  const inTime = nowMs <= firstAtMs ? 0 : 1 + Math.max(0, Math.ceil((nowMs - secondAtMs) / intervalMs));
  return Math.max(last + 1, inTime);
}

export function timeOf({ firstAtMs, secondAtMs, intervalMs }: Cadence, run: number): number {
  return run === 0 ? firstAtMs : secondAtMs + (run - 1) * intervalMs;
}
