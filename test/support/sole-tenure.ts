import type { Tenure } from '../../src/commit/tenure.ts';
import { parseSessionId } from '../../src/consul/types.ts';
import type { ModelStore } from './model-store.ts';

export const LEADER_LOCK = 'proconsul/leader';
const SESSION = parseSessionId('00000000-0000-0000-0000-00000000000a');

/** The tenure of the only process there is, which holds its lock for ever. */
export function createSoleTenure(store: ModelStore): Tenure {
  store.acquire(LEADER_LOCK, SESSION);
  const ended = new AbortController();
  return {
    epoch: 0,
    fence: { lockKey: LEADER_LOCK, session: SESSION },
    signal: ended.signal,
    assertHeld: () => {},
    revoke: () => ended.abort(),
  };
}
