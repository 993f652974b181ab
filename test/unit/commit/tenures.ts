import type { Tenure } from '../../../src/commit/tenure.ts';
import { parseSessionId } from '../../../src/consul/types.ts';
import { AbortedError } from '../../../src/core/errors.ts';

export const LOCK = 'proconsul/install-a/lock';
export const SESSION = parseSessionId('00000000-0000-0000-0000-000000000001');

/** A tenure as the election will hand it out: it ends once, and with it whatever is sent. */
export function aTenure(epoch = 1): Tenure & { readonly revoked: string[] } {
  const ended = new AbortController();
  const revoked: string[] = [];
  return {
    epoch,
    fence: { lockKey: LOCK, session: SESSION },
    signal: ended.signal,
    revoked,
    assertHeld() {
      if (ended.signal.aborted) throw new AbortedError('the tenure is over');
    },
    revoke(why) {
      revoked.push(why);
      ended.abort();
    },
  };
}
