import { systemClock } from '../../../src/runtime/system-clock.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createEventLoopMonitor,
  eventLoopCheck,
  type EventLoopMonitor,
} from '../../../src/telemetry/event-loop.ts';

describe('the check', () => {
  test.each([
    ['passes at the limit', 5000, undefined],
    ['fails over the limit and says by how much', 7321.4, 'the event loop stood still for 7321 ms'],
  ])('%s', (_case, maxMs, verdict) => {
    expect(eventLoopCheck(() => ({ meanMs: 0, maxMs }), 5000)()).toBe(verdict);
  });
});

describe('the monitor', () => {
  let monitor: EventLoopMonitor;
  beforeEach(() => {
    monitor = createEventLoopMonitor(systemClock);
  });
  afterEach(() => monitor.close());

  /** The monitor notices once its own timer fires, for which the loop must turn. */
  async function standStill(): Promise<void> {
    const until = performance.now() + 300;
    while (performance.now() < until);
    await new Promise(resolve => {
      setTimeout(resolve, 0);
    });
  }

  test('tells every reader of a standstill, and tells it once', async () => {
    const [one, other] = [monitor.openWindow(), monitor.openWindow()];
    let seen = 0;
    while (seen <= 200) {
      await standStill();
      seen = one().maxMs;
    }
    expect(one().maxMs).toBe(0);
    expect(other().maxMs).toBeGreaterThan(200);
  });
});
