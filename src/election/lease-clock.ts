import type { Clock } from '../core/clock.ts';
import type { Instant } from './deadline.ts';

/** Clocks drift apart, and the wall clock has whole milliseconds only; far below any margin. */
const TOLERANCE_MS = 250;

/**
 * The time that leases are judged by: never slower than the monotonic clock, nor than the wall clock runs between two
 * readings. The monotonic one alone would not do, for it stops while a virtual machine is suspended; and a wall clock
 * that is set back must not lengthen a lease. One that is set forward ends a lease early, which is harmless.
 *
 * Where both stand still, as in a machine whose hypervisor hides a pause from it, no clock of its own can tell, and
 * only the fence is left.
 */
export class LeaseClock {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  /** Of the wall clock over the monotonic one. */
  #offsetMs: number;
  /** What the monotonic clock has missed. */
  #missedMs = 0;

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock;
    this.#offsetMs = clock.now() - clock.monotonic();
  }

  read(): Instant {
    const monotonicMs = this.#clock.monotonic();
    const offsetMs = this.#clock.now() - monotonicMs;
    const grownMs = offsetMs - this.#offsetMs;
    if (Math.abs(grownMs) > TOLERANCE_MS) {
      this.#offsetMs = offsetMs;
      this.#missedMs += Math.max(0, grownMs);
    }
    return monotonicMs + this.#missedMs;
  }
}
