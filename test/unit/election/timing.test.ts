import { describe, expect, test } from 'vitest';
import { remainingMs } from '../../../src/election/deadline.ts';
import { LeaseClock } from '../../../src/election/lease-clock.ts';
import { leaseTiming } from '../../../src/election/timing.ts';

describe('the timing of a lease', () => {
  test.each([
    [10, { renewEveryMs: 2500, renewDeadlineMs: 2000, marginMs: 2000, holdMs: 8000 }],
    [20, { renewEveryMs: 5000, renewDeadlineMs: 2500, marginMs: 3000, holdMs: 17_000 }],
    [300, { renewEveryMs: 75_000, renewDeadlineMs: 37_500, marginMs: 45_000, holdMs: 255_000 }],
  ])('of %d s', (ttlSeconds, expected) => {
    expect(leaseTiming({ ttlSeconds, lockDelaySeconds: 0 })).toEqual({
      ttlSeconds,
      lockDelaySeconds: 0,
      ...expected,
    });
  });

  test('leaves room for two renewals that hang, and ends a TTL before Consul, for every TTL', () => {
    for (let ttlSeconds = 10; ttlSeconds <= 300; ttlSeconds++) {
      const timing = leaseTiming({ ttlSeconds, lockDelaySeconds: 0 });
      const { renewEveryMs, renewDeadlineMs, holdMs, marginMs } = timing;
      expect(renewEveryMs + 2 * renewDeadlineMs + 500).toBeLessThan(holdMs);
      expect(2 * ttlSeconds * 1000 - holdMs).toBeGreaterThanOrEqual(ttlSeconds * 1000 + marginMs);
    }
  });

  test.each([
    [9, 0, 'the TTL of a lease is 9 s'],
    [301, 0, 'the TTL of a lease is 301 s'],
    [10.5, 0, 'the TTL of a lease is 10.5 s'],
    [Number.NaN, 0, 'the TTL of a lease is NaN s'],
    [20, -1, 'the lock-delay of a lease is -1 s'],
    [20, 61, 'the lock-delay of a lease is 61 s'],
  ])('refuses a TTL of %d s with a lock-delay of %d s', (ttlSeconds, lockDelaySeconds, message) => {
    const refused = () => leaseTiming({ ttlSeconds, lockDelaySeconds });
    expect(refused).toThrow(message);
    expect(refused).toThrow(expect.objectContaining({ name: 'TerminalError', code: 'LEASE_TIMING' }));
  });
});

describe('the time that a lease has left', () => {
  const timing = leaseTiming({ ttlSeconds: 20, lockDelaySeconds: 0 });

  /** Both clocks moved by so much, one reading after the other. */
  const left = (...moves: readonly (readonly [monotonicMs: number, wallMs: number])[]): number => {
    let [monotonicMs, wallMs] = [500, 1_700_000_000_000];
    const clock = new LeaseClock({ monotonic: () => monotonicMs, now: () => wallMs });
    const renewedAt = clock.read();
    let at = renewedAt;
    for (const [monotonic, wall] of moves) {
      monotonicMs += monotonic;
      wallMs += wall;
      at = clock.read();
    }
    return remainingMs(renewedAt, at, timing);
  };

  test.each<[string, [number, number][], number]>([
    ['runs on', [[5000, 5000]], 12_000],
    ['is over when the margin is reached', [[17_000, 17_000]], 0],
    ['runs on while the monotonic clock stands still', [[0, 17_000]], 0],
    ['is not lengthened by a wall clock that is set back', [[5000, -60_000]], 12_000],
    [
      'nor by one that was, when the machine is suspended afterwards',
      [
        [0, -60_000],
        [0, 30_000],
      ],
      -13_000,
    ],
    ['is shortened by a wall clock that is set forward', [[1000, 11_000]], 6000],
    [
      'and not lengthened again by setting it right',
      [
        [1000, 11_000],
        [1000, -9000],
      ],
      5000,
    ],
    [
      'takes no heed of milliseconds between the clocks',
      [
        [100, 101],
        [100, 99],
        [100, 101],
      ],
      16_700,
    ],
    ['nor of many of them', Array.from({ length: 1000 }, (_, n) => [1, n % 2 === 0 ? 2 : 0]), 16_000],
  ])('%s', (_, moves, expected) => {
    expect(left(...moves)).toBe(expected);
  });
});
