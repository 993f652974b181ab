import { beforeEach, expect, test } from 'vitest';
import { timeoutError, type ConsulError } from '../../../src/consul/errors.ts';
import { HealthMonitor } from '../../../src/consul/health.ts';
import { Outages } from '../../../src/operator/outages.ts';
import { OUTAGE_GRACE_MS } from '../../../src/runtime/status.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let clock: FakeClock;
let health: HealthMonitor;
let outages: Outages;
let turns: number;

beforeEach(() => {
  clock = new FakeClock();
  health = new HealthMonitor(clock);
  turns = 0;
  outages = new Outages(health, clock, () => turns++);
  health.answered();
});

test('an outage concerns nobody for its first seconds', () => {
  health.failed(failure('GET /v1/leader'));
  clock.advance(OUTAGE_GRACE_MS - 1);
  expect([outages.away(), turns]).toEqual([undefined, 0]);

  clock.advance(1);
  expect([outages.away()?.forMs, turns]).toEqual([OUTAGE_GRACE_MS, 1]);
});

test('all are told the same of one outage, as it was found when it began to concern them', () => {
  health.failed(failure('GET /v1/first'));
  health.failed(failure('GET /v1/found'));
  clock.advance(OUTAGE_GRACE_MS);
  const told = outages.away()?.error;
  health.failed(failure('GET /v1/later'));

  expect(told?.message).toContain('GET /v1/found');
  expect(outages.away()?.error).toBe(told);
});

test('of the next one they are told anew', () => {
  for (const operation of ['GET /v1/one', 'GET /v1/two']) {
    health.failed(failure(operation));
    clock.advance(OUTAGE_GRACE_MS);
    expect(outages.away()?.error.message).toContain(operation);
    health.answered();
    expect(outages.away()).toBeUndefined();
  }
  expect(turns).toBe(4);
});

function failure(operation: string): ConsulError {
  return timeoutError(
    { address: 'http://consul:8500', datacenter: undefined, operation, writes: false },
    1000,
    false,
  );
}
