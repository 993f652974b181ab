import { afterAll, beforeAll, expect, test } from 'vitest';
import { ElectionWorld, LOCK_DELAY_MS, TTL_MS } from '../support/election-world.ts';

/** Row 9: the leader sees Consul and not the API server. */

/** A leader bears with it for half a minute; then the lock-delay has to pass, and an election. */
const GIVEN_UP_WITHIN_MS = 30_000 + TTL_MS + 2 * LOCK_DELAY_MS;

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-kube');
});

afterAll(() => election.close());

test('the API server is out of reach for the leader alone: another one takes over, and changes are carried out', async () => {
  const reign = await election.reign();
  const { network } = reign.replica.toKube;

  await network.refuse();
  network.cutAll();
  const next = await election.nextReign(reign, { withinMs: GIVEN_UP_WITHIN_MS });
  expect(next.replica).not.toBe(reign.replica);
  await election.acts(next);
  await election.whileNothingChanges(() => Promise.resolve());

  await network.accept();
  await election.converges();
});
