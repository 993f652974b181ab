import { beforeEach, describe, expect, test } from 'vitest';
import { Renewals } from '../../../src/election/renewals.ts';
import { parseSessionId, type SessionId } from '../../../src/consul/types.ts';
import { RetryableError } from '../../../src/core/errors.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const id = (number: number): SessionId =>
  parseSessionId(`00000000-0000-4000-8000-${String(number).padStart(12, '0')}`);
const session = (number: number, ttl = '15s') => ({ id: id(number), ttl });

let clock: FakeClock;
let renewed: { readonly number: number; readonly atMs: number }[];
let underWay: number;
let most: number;
let answer: (number: number) => Promise<{ alive: boolean }>;
let told: string[];
let ending: AbortController;
let renewals: Renewals;

beforeEach(() => {
  clock = new FakeClock();
  renewed = [];
  [underWay, most] = [0, 0];
  answer = async () => ({ alive: true });
  told = [];
  ending = new AbortController();
  renewals = new Renewals({
    clock,
    random: () => 0.5,
    signal: ending.signal,
    sessions: {
      renew: async session => {
        const number = Number(session.slice(-12));
        renewed.push({ number, atMs: clock.monotonic() });
        most = Math.max(most, ++underWay);
        return answer(number).finally(() => underWay--);
      },
    },
    onTrouble: () => told.push('trouble'),
    onRecovered: () => told.push('recovered'),
  });
});

/** Lets the time pass in small steps, and what hangs on it. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    await settled();
  }
}

const away = async (): Promise<never> => {
  throw new RetryableError('away', { code: 'CONSUL_UNREACHABLE', reason: 'ConsulUnreachable' });
};

test('each is renewed about every third of its own TTL', async () => {
  renewals.see([session(1, '15s'), session(2, '1m30s')]);
  await pass(91_000);
  const times = (number: number) => renewed.filter(one => one.number === number).length;
  expect(times(1)).toBe(19);
  expect(times(2)).toBe(4);
});

test('what is listed again is not renewed twice, and what is listed no more not at all', async () => {
  renewals.see([session(1), session(2)]);
  await pass(1_000);
  renewals.see([session(1), session(2)]);
  renewals.see([session(2)]);
  await pass(10_000);
  expect(renewed.map(({ number }) => number)).toEqual([1, 2, 2, 2]);
  expect(renewals.size).toBe(1);
});

test('one that is gone is asked for once', async () => {
  answer = async number => ({ alive: number !== 1 });
  renewals.see([session(1), session(2)]);
  await pass(11_000);
  expect(renewed.filter(({ number }) => number === 1)).toHaveLength(1);
  expect(renewed.filter(({ number }) => number === 2)).toHaveLength(3);
});

describe('while Consul is away', () => {
  test('it goes on trying, tells so once, and all are renewed soon after', async () => {
    answer = away;
    renewals.see([session(1), session(2), session(3)]);
    await pass(40_000);
    expect(told).toEqual(['trouble']);
    expect(renewed.length).toBeGreaterThan(20);
    answer = async () => ({ alive: true });
    const before = renewed.length;
    await pass(4_000);
    expect(told).toEqual(['trouble', 'recovered']);
    expect(new Set(renewed.slice(before).map(({ number }) => number))).toEqual(new Set([1, 2, 3]));
  });

  test('however many there are, the tries stay few', async () => {
    answer = away;
    renewals.see(Array.from({ length: 500 }, (_, number) => session(number)));
    await pass(20_000);
    expect(renewed.length).toBeLessThan(20 * 4 * 4);
  });
});

test('no more than four are under way at once', async () => {
  const waiting: (() => void)[] = [];
  answer = () => new Promise(resolve => waiting.push(() => resolve({ alive: true })));
  renewals.see(Array.from({ length: 20 }, (_, number) => session(number)));
  await pass(1_000);
  expect(renewed).toHaveLength(4);
  for (let answered = 0; answered < 20; answered++) {
    waiting[answered]?.();
    await settled();
  }
  expect(renewed).toHaveLength(20);
  expect(most).toBe(4);
});

test('it ends with its signal', async () => {
  renewals.see([session(1)]);
  await pass(1_000);
  ending.abort();
  await pass(30_000);
  expect(renewed).toHaveLength(1);
});
