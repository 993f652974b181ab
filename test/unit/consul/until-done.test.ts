import { describe, expect, test } from 'vitest';
import { untilDone } from '../../../src/consul/until-done.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const range = { baseMs: 100, capMs: 1_000 };

describe('untilDone', () => {
  test('tries again, after a pause, until it succeeds', async () => {
    const clock = new FakeClock();
    const failures: unknown[] = [];
    let tries = 0;
    const attempt = async (): Promise<void> => {
      if (++tries < 3) throw new Error(`try ${tries}`);
    };
    const options = { range, clock, random: () => 0.5, signal: new AbortController().signal };
    const done = untilDone(attempt, { ...options, onFailure: error => failures.push(String(error)) });
    await settled();
    expect(tries).toBe(1);
    clock.advance(50);
    await settled();
    expect(tries).toBe(2);
    clock.advance(100);
    await done;
    expect([tries, failures]).toEqual([3, ['Error: try 1', 'Error: try 2']]);
  });

  test('gives up with the signal, also in the middle of a pause', async () => {
    const stop = new AbortController();
    const clock = new FakeClock();
    const attempt = () => Promise.reject(new Error('never'));
    const options = { range, clock, random: () => 0.5, signal: stop.signal, onFailure: () => {} };
    const done = untilDone(attempt, options);
    await settled();
    stop.abort();
    await done;
    expect(clock.timerCount).toBe(0);
  });
});
