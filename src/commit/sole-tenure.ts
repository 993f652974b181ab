import type { Tenure } from './tenure.ts';

/** The tenure of a process that is the only one by construction: without an election there is no fence to check. */
export function createSoleTenure(): Tenure {
  const ended = new AbortController();
  return {
    epoch: 0,
    fence: undefined,
    signal: ended.signal,
    assertHeld: () => {},
    revoke: () => ended.abort(),
  };
}
