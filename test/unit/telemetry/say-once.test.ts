import { expect, test } from 'vitest';
import { createSayOnce } from '../../../src/telemetry/say-once.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function aSayOnce() {
  const clock = new FakeClock();
  const sayOnce = createSayOnce(() => clock.monotonic(), 1000);
  const said: [string, number][] = [];
  return { clock, said, say: (key: string) => sayOnce(key, suppressed => said.push([key, suppressed])) };
}

test('says the same thing once a period and counts what it left out', () => {
  const { clock, said, say } = aSayOnce();
  for (let times = 0; times < 5; times++) say('away');
  clock.advance(1000);
  say('away');
  expect(said).toEqual([
    ['away', 0],
    ['away', 4],
  ]);
});

test('says different things each', () => {
  const { said, say } = aSayOnce();
  say('away');
  say('slow');
  expect(said.map(([key]) => key)).toEqual(['away', 'slow']);
});

test('forgets the oldest of too many things, and only that', () => {
  const { said, say } = aSayOnce();
  for (let key = 0; key <= 256; key++) say(String(key));
  say('1');
  say('0');
  expect(said.length).toBe(258);
  expect(said.at(-1)).toEqual(['0', 0]);
});
