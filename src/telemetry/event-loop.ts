import type { Clock } from '../core/clock.ts';
import type { Check } from './probes.ts';

/** How often the loop is asked; what stands still for less may go unnoticed. Costs about 0.1 % of a CPU. */
const PERIOD_MS = 100;

/** How late the event loop ran a timer, in milliseconds. */
export interface EventLoopLag {
  readonly meanMs: number;
  readonly maxMs: number;
}

export interface EventLoopMonitor {
  /** A reader that tells, each time it is called, of the time since it was called last. Readers are independent. */
  openWindow(): () => EventLoopLag;
  close(): void;
}

interface Window {
  samples: number;
  sumMs: number;
  maxMs: number;
}

/** Measures how late the event loop runs, until `close`. Unlike perf_hooks' monitor it can be read by several. */
export function createEventLoopMonitor(clock: Clock): EventLoopMonitor {
  const windows: Window[] = [];
  let cancel: () => void;
  const arm = (): void => {
    const dueAtMs = clock.monotonic() + PERIOD_MS;
    cancel = clock.after(PERIOD_MS, () => {
      const lateMs = Math.max(0, clock.monotonic() - dueAtMs);
      for (const window of windows) add(window, lateMs);
      arm();
    });
  };
  arm();
  return {
    openWindow: () => {
      const window: Window = { samples: 0, sumMs: 0, maxMs: 0 };
      windows.push(window);
      return () => take(window);
    },
    close: () => cancel(),
  };
}

/** Fails when the loop stood still for longer than `limitMs` since the check was last asked. */
export function eventLoopCheck(window: () => EventLoopLag, limitMs: number): Check {
  return () => {
    const { maxMs } = window();
    return maxMs <= limitMs ? undefined : `the event loop stood still for ${Math.round(maxMs)} ms`;
  };
}

function add(window: Window, lateMs: number): void {
  window.samples++;
  window.sumMs += lateMs;
  window.maxMs = Math.max(window.maxMs, lateMs);
}

function take(window: Window): EventLoopLag {
  const { samples, sumMs, maxMs } = window;
  Object.assign(window, { samples: 0, sumMs: 0, maxMs: 0 });
  return { meanMs: samples === 0 ? 0 : sumMs / samples, maxMs };
}
