import type { ProbeStatus } from './spec.ts';

/** How many results in a row it takes; 0 and 1 both mean that each counts. */
export interface Thresholds {
  readonly successBeforePassing: number;
  readonly failuresBeforeCritical: number;
}

/** What a check says, and how many results in a row have been of one sort. */
export interface Debounce {
  /** Undefined before the first result. */
  readonly status: ProbeStatus | undefined;
  readonly successes: number;
  readonly failures: number;
}

/**
 * Where counting starts. A status that is known stands as if its threshold had just been reached: only the full
 * threshold of the other sort changes it, so that a change of leader does not flap. Without one the first result
 * counts at once, as on a Consul agent (`NewStatusHandler` in its `agent/checks/check.go`).
 */
export function debounceFrom(status: ProbeStatus | undefined, thresholds: Thresholds): Debounce {
  return {
    status,
    successes: status === 'critical' ? 0 : thresholds.successBeforePassing,
    failures: status === undefined || status === 'critical' ? thresholds.failuresBeforeCritical : 0,
  };
}

/**
 * The next state, as `StatusHandler.updateCheck` of a Consul agent has it: a warning counts as a success, passing and
 * warning replace each other at once while the successes in a row suffice, and a single failure starts their count anew
 * even where it changes nothing. Consul's `failuresBeforeWarning` is not in our API; unset, it equals
 * `failuresBeforeCritical` there and has no effect.
 */
export function debounce(state: Debounce, status: ProbeStatus, thresholds: Thresholds): Debounce {
  const failed = status === 'critical';
  const successes = failed ? 0 : state.successes + 1;
  const failures = failed ? state.failures + 1 : 0;
  const counts = failed
    ? failures >= thresholds.failuresBeforeCritical
    : successes >= thresholds.successBeforePassing;
  return { status: counts ? status : state.status, successes, failures };
}
