import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_FAILOVER_MS, ElectionWorld, type Reign } from '../support/election-world.ts';

/** Rows 18 and 19: a Consul with another past, in which another one led, or nobody ever did. */

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-history');
});

afterAll(() => election.close());

test('a snapshot of an earlier tenure is restored, whose leader stands by: its revived session is never used', async () => {
  const earlier = await election.reign();
  const taken = await election.takeSnapshot();
  await election.cluster.api.destroySession(earlier.session);
  const later = await election.nextReign(earlier);
  await election.acts(later);

  await election.restore(taken);

  await newTenureAfter(earlier, later);
  await election.converges();
});

test('a snapshot of an earlier tenure is restored, whose leader is dead: its revived session is never used', async () => {
  const earlier = await election.reign();
  const taken = await election.takeSnapshot();
  await earlier.replica.operator.crash();
  const later = await election.nextReign(earlier);
  await election.acts(later);

  await election.restore(taken);

  await newTenureAfter(earlier, later);
  await earlier.replica.start();
  await election.converges();
});

test('Consul is wiped: all is written again, by a tenure of a higher epoch', async () => {
  const reign = await election.reign();

  await election.wipe('replicas');

  const next = await election.nextReign(reign);
  await election.acts(next);
  await election.converges();
});

test('Consul is wiped while no replica runs: the epoch is higher all the same, for Kubernetes has counted on', async () => {
  const reign = await election.reign();
  await Promise.all(election.replicas.map(({ operator }) => operator.crash()));

  await election.wipe('nobody');
  await Promise.all(election.replicas.map(replica => replica.start()));

  await election.acts(await election.nextReign(reign));
  await election.converges();
});

/** Neither the session that was restored, nor the one that the restore took away, leads again. */
async function newTenureAfter(earlier: Reign, later: Reign): Promise<void> {
  const withinMs = 2 * CRASH_FAILOVER_MS;
  const next = await election.nextReign(later, { withinMs, otherThan: [earlier.session] });
  await election.acts(next);
  const committed = election.committed(earlier.session).length;
  await election.whileNothingChanges(() => Promise.resolve());
  expect(election.committed(earlier.session).length, 'transactions with the revived session').toBe(committed);
}
