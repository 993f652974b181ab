import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsulServer } from '../../tools/sandbox/consul.ts';
import { CRASH_FAILOVER_MS, ElectionWorld, type Reign } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { LogLine } from '../support/operator.ts';
import { Stopwatch } from '../support/stopwatch.ts';

/** Rows 6, 7 and 10: servers of Consul that die and come back. */

const UNREACHABLE = { ready: 'Unknown', reason: 'ConsulUnreachable', reconciling: true } as const;
const TOLD_WITHIN_MS = 60_000;
const PATIENCE_MS = 30_000;
const HALF_REMOVED = 'half-removed';

let election: ElectionWorld;

beforeAll(async () => {
  election = await ElectionWorld.create('election-consul');
});

afterAll(() => election.close());

test("Consul's leader is killed: what was under way is not done twice, and it all goes on", async () => {
  const leader = await election.cluster.leader();

  await leader.kill();
  await writesOn();
  await leader.start();

  await election.converges();
});

test('a server that the leader talks to is killed: it goes on with another one, and keeps the lead', async () => {
  const reign = await election.reign();
  const contacted = await contactedBy(reign);
  await election.cluster.leadElsewhere(contacted);

  await contacted.kill();
  await writesOn();

  expect(await election.reign()).toEqual(reign);
  await contacted.start();
  await election.converges();
});

test('the quorum is lost: the leader alone tells all resources within a minute, and takes it back', async () => {
  const reign = await election.reign();
  await election.whileNothingChanges(async () => {
    expect(await tellersOfOutage()).toEqual([reign.replica.name]);

    await tookBack();
  });
  await election.converges();
});

test('the quorum is lost, and the leader dies with it: one of the others alone tells, and does nothing else before it leads', async () => {
  const reign = await election.reign();
  await election.whileNothingChanges(async () => {
    await removesWithoutLettingGo(reign);
    // Nobody leads for a while after Consul is back.
    await election.moveElsewhere(reign);

    const tellers = await tellersOfOutage(() => reign.replica.operator.crash());

    expect(tellers).toHaveLength(1);
    expect(tellers).not.toContain(reign.replica.name);
    await election.nextReign(reign, { withinMs: CRASH_FAILOVER_MS + PATIENCE_MS });
    await tookBack();
  });
  await election.kvs.gone(HALF_REMOVED);
  reign.replica.toKube.heal();
  await reign.replica.start();
  await election.converges();
});

/** Takes the quorum away until all resources say so, and tells which replicas have looked at any meanwhile. */
async function tellersOfOutage(alongside = async (): Promise<void> => {}): Promise<readonly string[]> {
  const { changing, cluster, kvs, replicas } = election;
  // The one that led answers what it was asked before, as if nothing were wrong.
  const survivor = await cluster.leader();
  const lost = cluster.servers.filter(server => server !== survivor);
  const stopwatch = new Stopwatch();
  await Promise.all(lost.map(server => server.kill()));
  try {
    await alongside();
    // Not what the leader still did until then.
    const before = replicas.map(({ logs }) => logs.length);
    await Promise.all(changing.names.map(name => kvs.stands(name, UNREACHABLE, TOLD_WITHIN_MS)));
    expect(stopwatch.tell("to tell of Consul's outage", TOLD_WITHIN_MS)).toBeLessThan(TOLD_WITHIN_MS);
    await everybodyHasLooked();
    // Who has no part in it does not even look at them.
    return replicas.filter(({ logs }, at) => logs.slice(before[at]).some(isOfTurn)).map(({ name }) => name);
  } finally {
    await Promise.all(lost.map(server => server.start()));
  }
}

async function tookBack(): Promise<void> {
  for (const name of election.changing.names) await election.kvs.ready(name);
}

/** What its resource owned is gone from Consul, and the finalizer still there: whoever leads next has to take it off. */
async function removesWithoutLettingGo({ replica }: Reign): Promise<void> {
  const { kvs, world } = election;
  await kvs.declareReady(HALF_REMOVED, { key: world.key(HALF_REMOVED), value: 'x' });
  const patches = replica.toKube.when(isPatchOf(HALF_REMOVED), { kind: 'hang' });
  await world.kube.delete(kvs.object(HALF_REMOVED));
  await eventually(() => patches.hits.length > 0, { what: 'the leader would let go of it' });
  await world.becomesStored(HALF_REMOVED, {});
}

/** Resolves when the present leader, whoever it is, has committed something that was not yet sent now. */
async function writesOn(): Promise<void> {
  const since = performance.now();
  await eventually(
    () => election.transactions.some(({ outcome, request }) => outcome === 'committed' && request.at > since),
    { what: 'somebody writes' },
  );
}

/** Resolves when each replica has had time to join in: all of them look as often as the one renews the Lease. */
async function everybodyHasLooked(): Promise<void> {
  const renewals = (): number =>
    election.replicas.reduce((sum, { toKube }) => sum + toKube.count(isLeaseRenewal), 0);
  const before = renewals();
  await eventually(() => renewals() >= before + 2, { what: "the Lease's holder renews it twice" });
}

function isPatchOf(name: string) {
  return ({ method, path }: RecordedRequest): boolean => method === 'PATCH' && path.endsWith(`/${name}`);
}

function isLeaseRenewal({ method, path }: RecordedRequest): boolean {
  return method === 'PATCH' && path.includes('/leases/');
}

/** The server that a leader's last transaction went to. */
async function contactedBy({ replica, session }: Reign): Promise<ConsulServer> {
  await election.acts({ session });
  const last = election.committed(session).at(-1)?.request as RecordedRequest;
  const address = replica.consulAddressOf(last);
  return election.cluster.servers.find(server => server.address === address) as ConsulServer;
}

/** Every turn logs how it ended. */
function isOfTurn({ kind }: LogLine): boolean {
  return kind === 'ConsulKV';
}
