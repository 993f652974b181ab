import { afterAll, beforeAll, expect, test } from 'vitest';
import { CRASH_FAILOVER_MS, ElectionWorld, TTL_MS } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import { type Fate, LateWrites, REPAIRED_MS, STATUSES, TRANSACTIONS } from '../support/late-writes.ts';

/** Row 2: what a leader sent before it was paused arrives when another one leads. */

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
  const late = new LateWrites(election, reign, `${fault.ttls}`);
  await late.hold();

  operator.kill('SIGSTOP');
  late.holdNoMore();
  await pauseFor(fault.ttls);
  const resume = async (): Promise<void> => {
    operator.kill('SIGCONT');
    await election.ends(reign, RESUMED_MS);
    expect(
      operator.logs.map(({ msg }) => msg),
      'stands by again',
    ).not.toContain('the operator cannot go on');
  };
  if (fault.letGo === 'after') await resume();
  const next = await election.nextReign(reign, { withinMs: CRASH_FAILOVER_MS + RESUMED_MS });
  await election.acts(next);

  await election.whileNothingChanges(async () => {
    await late.overtake();
    const before = await election.world.stored();
    const fates = await late.letGo();
    for (const fate of fates) tell(fate);
    assertAllRefused(fates);
    if (fault.letGo === 'before') await resume();
    await sessionDestroyed(reign.session);
    expect(await election.world.stored(), 'what is stored').toEqual(before);
    await late.remove();
  });
  await election.converges();
}

/** Nothing has been written by them, or what was written is not there any more. */
function assertAllRefused(fates: readonly Fate[]): void {
  for (const { what, refused, taken, repairedMs } of fates) {
    expect(refused.length + taken.length, `how many ${what} came late`).toBeGreaterThan(0);
    if (what === TRANSACTIONS || what === STATUSES) expect(taken, `late ${what} that were taken`).toEqual([]);
    if (taken.length > 0) expect(repairedMs, `to put late ${what} right`).toBeLessThan(REPAIRED_MS);
    if (what !== TRANSACTIONS) continue;
    for (const { reply } of refused) {
      expect(reply, 'late transactions are refused by the fence, whatever else').toMatch(
        /"OpIndex":0,"What":"failed session check/,
      );
    }
  }
}

function tell({ what, refused, taken, repairedMs }: Fate): void {
  const repaired = taken.length === 0 ? '' : `, put right within ${repairedMs} ms; bound: ${REPAIRED_MS} ms`;
  process.stdout.write(`late ${what}: ${refused.length} refused, ${taken.length} taken${repaired}\n`);
}

/** The last that a tenure writes. */
async function sessionDestroyed(session: string): Promise<void> {
  const path = `/v1/session/destroy/${session}`;
  const isDone = (): boolean =>
    election.replicas.some(({ consulRequests }) =>
      consulRequests.some(one => one.path === path && one.finished),
    );
  await eventually(isDone, { what: 'the session is destroyed' });
}

/** The fault itself. */
function pauseFor(ttls: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ttls * TTL_MS));
}
