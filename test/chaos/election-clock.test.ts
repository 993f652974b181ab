import { afterAll, beforeAll, expect, test } from 'vitest';
import { ElectionWorld, LOCK_DELAY_MS, TTL_MS } from '../support/election-world.ts';

/** Row 20: the wall clock of a leader is set. */

const HOUR_MS = 3_600_000;
const preload = new URL('../support/stepped-clock.ts', import.meta.url).href;

let election: ElectionWorld;

beforeAll(async () => {
  const env = { NODE_OPTIONS: `--import ${preload}`, CLOCK_STEPS_MS: `${-HOUR_MS},${HOUR_MS}` };
  election = await ElectionWorld.create('election-clock', { env });
});

afterAll(() => election.close());

test('the clock of the leader is set back an hour: it leads on, and does not take its lease to be longer', async () => {
  const reign = await election.reign();

  reign.replica.operator.kill('SIGUSR2');
  await election.renews();

  expect(await election.reign()).toEqual(reign);
  await election.converges();
});

test('the clock of the leader is set forward an hour: it stops at once, and a new tenure begins', async () => {
  const reign = await election.reign();

  reign.replica.operator.kill('SIGUSR2');

  await election.ends(reign, TTL_MS);
  const next = await election.nextReign(reign, { withinMs: TTL_MS + 2 * LOCK_DELAY_MS });
  await election.acts(next);
  await election.converges();
});
