import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_FAILOVER_MS, ElectionWorld, HANDOVER_MS } from '../support/election-world.ts';
import { Stopwatch } from '../support/stopwatch.ts';

/** Rows 1, 23 and 25: a leader that ends, by choice or not. */

/** To see by how much a bound is missed, if it is. */
const PATIENCE_MS = 10_000;

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-handover');
});

afterAll(() => election.close());

test('SIGTERM to the leader: within a second the next one has written', async () => {
  const reign = await election.reign();
  await election.acts(reign);
  const past = election.sessions;

  await election.changing.stop();
  const stopwatch = new Stopwatch();
  reign.replica.operator.kill('SIGTERM');
  // So that there is something to be done, and it waits for nothing but a leader.
  await election.changing.changeAll();
  const next = await election.actsAfter(past, PATIENCE_MS);
  const tookMs = stopwatch.tell('from SIGTERM to the first transaction of the next leader', HANDOVER_MS);
  election.changing.start();

  expect(tookMs).toBeLessThan(HANDOVER_MS);
  expect(next).toBe((await election.reign()).session);
  expect(await reign.replica.operator.waitForExit()).toEqual({ code: 0, signal: null });
  await reign.replica.start();
  await election.converges();
});

test('kill -9 of the leader right after a renewal, on a machine that the others do not see: twice the TTL and the lock-delay', async () => {
  const reign = await election.reign();
  await election.moveElsewhere(reign);
  await election.acts(reign);
  const past = election.sessions;
  await election.renews();

  const stopwatch = new Stopwatch();
  await reign.replica.operator.crash();
  await election.actsAfter(past, CRASH_FAILOVER_MS + PATIENCE_MS);
  const tookMs = stopwatch.tell(
    'from kill -9 to the first transaction of the next leader (2 x TTL + lock-delay),',
    CRASH_FAILOVER_MS,
  );

  expect(tookMs).toBeLessThan(CRASH_FAILOVER_MS);
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
