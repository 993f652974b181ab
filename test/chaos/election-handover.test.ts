import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_FAILOVER_MS, ElectionWorld, HANDOVER_MS, type Reign } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import { Stopwatch } from '../support/stopwatch.ts';
import { isSessionRenewal } from '../support/traffic.ts';

/** Torture rows 1, 23 and 25: a leader that ends, by choice or not. */

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-handover');
});

afterAll(() => election.close());

test('SIGTERM to the leader: within a second the next one leads, and within another it has written', async () => {
  const reign = await election.reign();

  const stopwatch = new Stopwatch();
  reign.replica.operator.kill('SIGTERM');
  const next = await election.nextReign(reign, { withinMs: HANDOVER_MS });
  stopwatch.tell('from SIGTERM to the next tenure', HANDOVER_MS);
  const tenure = new Stopwatch();
  await election.acts(next, HANDOVER_MS);
  tenure.tell('from there to its first transaction', HANDOVER_MS);

  expect(await reign.replica.operator.waitForExit()).toEqual({ code: 0, signal: null });
  await reign.replica.start();
  await election.converges();
});

test('kill -9 of the leader on a machine that the others do not see: twice the TTL and the lock-delay', async () => {
  const reign = await election.reign();
  await election.moveElsewhere(reign);
  await renewalUnderWay(reign);

  const stopwatch = new Stopwatch();
  await reign.replica.operator.crash();
  const next = await election.nextReign(reign, { withinMs: CRASH_FAILOVER_MS });
  stopwatch.tell('the failover after kill -9', CRASH_FAILOVER_MS);
  await election.acts(next);

  await reign.replica.start();
  await election.converges();
});

test('kill -9 of a single replica: its successor knows it to be dead and leads at once', async () => {
  const reign = await election.reign();
  await Promise.all(election.others(reign).map(({ operator }) => operator.stop()));

  await reign.replica.operator.crash();
  await reign.replica.start();
  const stopwatch = new Stopwatch();
  const next = await election.nextReign(reign, { withinMs: HANDOVER_MS });
  stopwatch.tell('the takeover from a dead predecessor, once ready,', HANDOVER_MS);
  await election.acts(next);

  await Promise.all(election.others(reign).map(replica => replica.start()));
  await election.converges();
});

/** What Consul counts from is then known: one renewal's time ago. */
async function renewalUnderWay({ replica }: Reign): Promise<void> {
  const rules = replica.toConsul.map(proxy => proxy.when(isSessionRenewal, { kind: 'hang' }));
  await eventually(() => rules.some(({ hits }) => hits.length > 0), { what: 'a renewal under way' });
  for (const rule of rules) rule.remove();
}
