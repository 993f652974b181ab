import { beforeEach, describe, expect, test } from 'vitest';
import { TokenBucket } from '../../../src/core/token-bucket.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

let clock: FakeClock;
let bucket: TokenBucket;
beforeEach(() => {
  clock = new FakeClock();
  bucket = new TokenBucket(clock, { intervalMs: 100, burst: 3 });
});

describe('who does not wait', () => {
  const takes = (times: number) => Array.from({ length: times }, () => bucket.tryTake());

  test('gets the burst, and then one an interval', () => {
    expect(takes(4)).toEqual([true, true, true, false]);
    clock.advance(99);
    expect(takes(1)).toEqual([false]);
    clock.advance(1);
    expect(takes(2)).toEqual([true, false]);
  });

  test('finds no more than the burst after a long time', () => {
    takes(3);
    clock.advance(3_600_000);
    expect(takes(4)).toEqual([true, true, true, false]);
  });
});

describe('who waits', () => {
  test('gets the burst at once, and then one an interval', async () => {
    let taken = 0;
    for (let turn = 0; turn < 5; turn += 1) void bucket.take(signal).then(() => (taken += 1));
    await settled();
    expect(taken).toBe(3);
    clock.advance(100);
    await settled();
    expect(taken).toBe(4);
    clock.advance(100);
    await settled();
    expect(taken).toBe(5);
  });

  test('is let go when the signal aborts', async () => {
    const impatient = new AbortController();
    for (let turn = 0; turn < 3; turn += 1) await bucket.take(signal);
    const waiting = bucket.take(impatient.signal);
    impatient.abort();
    await waiting;
    expect(clock.timerCount).toBe(0);
  });
});
