import type { Clock } from '../core/clock.ts';

/** The machine's clock for programs: unlike the operator's, its timers keep a process alive that waits for a lock. */
export const programClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.ceil(ms));
    return () => clearTimeout(timer);
  },
};
