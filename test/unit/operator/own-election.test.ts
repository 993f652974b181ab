import { describe, expect, test } from 'vitest';
import { guarded } from '../../../src/commit/held-tenure.ts';
import { parseConfig } from '../../../src/config/config.ts';
import { ownLeaseTiming } from '../../../src/operator/own-election.ts';
import { aTenure } from '../commit/tenures.ts';

describe('how the lead of an install is held (PROCONSUL_LEASE_*)', () => {
  test.each(['5s', '10s', '60s'])(
    'with a lock-delay of %s, what no fence guards has arrived or been given up before another leads',
    lockDelay => {
      const { lockDelaySeconds } = timingOf(lockDelay);
      const { deadlineMs } = guarded(aTenure());

      expect(lockDelaySeconds * 1000).toBeGreaterThanOrEqual(deadlineMs);
    },
  );

  test('a second of what was configured is left for the takeover', () => {
    expect(timingOf('10s')).toMatchObject({ ttlSeconds: 20, lockDelaySeconds: 9 });
  });
});

function timingOf(lockDelay: string) {
  const parsed = parseConfig({ PROCONSUL_LEASE_LOCK_DELAY: lockDelay });
  if (!parsed.ok) throw new Error(parsed.problem);
  return ownLeaseTiming(parsed.config.lease);
}
