import type { Clock } from '../core/clock.ts';

/** The machine's clock. Its timers are unref'd: a process with nothing else to do may end. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.ceil(ms)).unref();
    return () => clearTimeout(timer);
  },
};
