import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_FAILOVER_MS, ElectionWorld, type Reign, TTL_MS } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest, Rule } from '../support/fault-rules.ts';
import { isWritingTransaction } from '../support/traffic.ts';

/** Torture row 2: what a leader sent before it was paused arrives when another one leads. */

const RESUMED_MS = 15_000;

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-pause');
});

afterAll(() => election.close());

test('the leader is paused for 1 TTL: what it had sent arrives after it was resumed, and is refused', () =>
  pauseLeader({ ttls: 1, letGo: 'after' }));

test('the leader is paused for 2 TTL: what it had sent arrives after it was resumed, and is refused', () =>
  pauseLeader({ ttls: 2, letGo: 'after' }));

test('the leader is paused for 4 TTL: what it had sent arrives while it is still paused, and is refused', () =>
  pauseLeader({ ttls: 4, letGo: 'before' }));

/** @param fault for how long, and whether what it had sent is let go before or after it is resumed. */
async function pauseLeader(fault: {
  readonly ttls: number;
  readonly letGo: 'before' | 'after';
}): Promise<void> {
  const reign = await election.reign();
  const { operator } = reign.replica;
  const held = await holdWritesOf(reign);

  operator.kill('SIGSTOP');
  held.holdNoMore();
  await pauseFor(fault.ttls);
  if (fault.letGo === 'after') operator.kill('SIGCONT');
  const next = await election.nextReign(reign, { withinMs: CRASH_FAILOVER_MS + RESUMED_MS });
  await election.acts(next);

  const { transactions, statuses } = await election.whileNothingChanges(async () => {
    const before = await election.world.stored();
    const arrived = await held.letGo();
    operator.kill('SIGCONT');
    await election.ends(reign, RESUMED_MS);
    await sessionDestroyed(reign);
    expect(await election.world.stored()).toEqual(before);
    return arrived;
  });

  expect(transactions.length, 'transactions that came late').toBeGreaterThan(0);
  for (const { upstreamStatus, reply } of transactions) {
    expect(upstreamStatus).toBe(409);
    expect(reply, 'refused by the fence, whatever else').toMatch(/"OpIndex":0,"What":"failed session check/);
  }
  expect(statuses.length, 'statuses that came late').toBeGreaterThan(0);
  for (const { upstreamStatus } of statuses) expect(upstreamStatus).toBe(409);
  await election.converges();
}

/** Resolves when at least one status and one transaction are on their way and have not arrived. */
async function holdWritesOf({ replica, session }: Reign) {
  const statuses = replica.toKube.when(isStatusWrite, { kind: 'hold' });
  await hit([statuses], 'a status under way');
  const isOfTheReign = (request: RecordedRequest): boolean =>
    isWritingTransaction(request) && request.body.includes(session);
  const transactions = replica.toConsul.map(proxy => proxy.when(isOfTheReign, { kind: 'hold' }));
  await hit(transactions, 'a transaction under way');
  const rules = [statuses, ...transactions];
  return {
    /** What comes from now on. */
    holdNoMore: () => rules.forEach(rule => rule.remove()),
    letGo: async () => {
      for (const rule of rules) rule.release();
      const arrived = (): boolean =>
        rules.every(({ hits }) => hits.every(({ upstreamStatus }) => upstreamStatus !== undefined));
      await eventually(arrived, { what: 'what was held has arrived' });
      return { transactions: transactions.flatMap(({ hits }) => hits), statuses: statuses.hits };
    },
  };
}

/** The last that a tenure writes. */
async function sessionDestroyed({ replica, session }: Reign): Promise<void> {
  const path = `/v1/session/destroy/${session}`;
  const isDone = (): boolean => replica.consulRequests.some(one => one.path === path && one.finished);
  await eventually(isDone, { what: 'the session is destroyed' });
}

async function hit(rules: readonly Rule[], what: string): Promise<void> {
  await eventually(() => rules.some(({ hits }) => hits.length > 0), { what });
}

function isStatusWrite({ method, path }: RecordedRequest): boolean {
  return method === 'PATCH' && path.endsWith('/status');
}

/** The fault itself. */
function pauseFor(ttls: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ttls * TTL_MS));
}
