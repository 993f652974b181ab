import { AbortedError, TerminalError } from '../core/errors.ts';
import type { Tenure } from './tenure.ts';

/** No longer than the shortest lock-delay of the operator's own lead, which is what keeps a late request harmless. */
const DEADLINE_MS = 4_000;

/** The tenure in which this process may write now. @throws AbortedError when it does not lead (any more). */
export function heldTenure(current: () => Tenure | undefined): Tenure {
  const tenure = current();
  if (tenure === undefined) throw new AbortedError('this replica does not lead');
  tenure.assertHeld();
  return tenure;
}

/** For a write that no transaction carries: looked at right before it is sent, given up with the tenure. */
export function guarded(tenure: Tenure) {
  return { signal: tenure.signal, deadlineMs: DEADLINE_MS, beforeSend: () => tenure.assertHeld() };
}

/** In the place of a write. @param would What would be done: names, never values. */
export function dryRun(would: string): TerminalError {
  return new TerminalError(`dry run: would ${would}`, { code: 'DRY_RUN', reason: 'DryRun' });
}
