import { afterAll, beforeAll, expect, test } from 'vitest';
import { CLOSED_MS, ElectionWorld, LOCK_DELAY_MS, type Reign } from '../support/election-world.ts';

/** Row 4: an admin takes the lead away, and the lock is as good as before. */

const STOP_MS = 1_000;
/** To see that the lock is free, to make a session, to open the tenure; on a busy machine. */
const CAMPAIGN_MS = 10_000;

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-admin');
});

afterAll(() => election.close());

test('the session is destroyed: the leader stops within a second, and after the lock-delay a new tenure begins', async () => {
  const reign = await election.reign();

  await election.cluster.api.destroySession(reign.session);
  const destroyedAt = performance.now();

  await election.ends(reign, STOP_MS);
  await nextTenure(reign);
  expect(performance.now() - destroyedAt).toBeGreaterThan(CLOSED_MS);
  await election.converges();
});

test('the lock is deleted: the leader stops within a second, and the next token is higher all the same', async () => {
  const reign = await election.reign();

  await election.cluster.api.kvDelete(election.lockKey);

  await election.ends(reign, STOP_MS);
  await nextTenure(reign);
  await election.converges();
});

test('the lock is released: the leader stops within a second, and a new tenure begins', async () => {
  const reign = await election.reign();
  const { text = '' } = (await election.cluster.api.kvGet(election.lockKey)) ?? {};

  expect(await election.cluster.api.kvPut(election.lockKey, text, { release: reign.session })).toBe(true);

  await election.ends(reign, STOP_MS);
  await nextTenure(reign);
  await election.converges();
});

/** Another session's, whoever's it is. */
async function nextTenure(reign: Reign): Promise<void> {
  const next = await election.nextReign(reign, { withinMs: LOCK_DELAY_MS + CAMPAIGN_MS });
  await election.acts(next);
}
