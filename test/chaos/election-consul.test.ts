import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsulServer } from '../../tools/sandbox/consul.ts';
import { ElectionWorld, type Reign } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { LogLine } from '../support/operator.ts';
import { Stopwatch } from '../support/stopwatch.ts';

/** Rows 6, 7 and 10: servers of Consul that die and come back. */

const UNREACHABLE = { ready: 'Unknown', reason: 'ConsulUnreachable', reconciling: true } as const;
const TOLD_WITHIN_MS = 60_000;

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

test.each([
  { leader: 'lives on', teller: 'it' },
  { leader: 'dies with it', teller: 'one of the others' },
])(
  'the quorum is lost, and the leader $leader: $teller alone tells all resources within a minute, and takes it back',
  async ({ leader }) => {
    const { changing, cluster, kvs, replicas } = election;
    const reign = await election.reign();
    // The one that led answers what it was asked before, as if nothing were wrong.
    const survivor = await cluster.leader();
    const lost = cluster.servers.filter(server => server !== survivor);
    await election.whileNothingChanges(async () => {
      const stopwatch = new Stopwatch();

      await Promise.all(lost.map(server => server.kill()));
      try {
        if (leader === 'dies with it') await reign.replica.operator.crash();
        // Not what the leader still did until then.
        const before = replicas.map(({ logs }) => logs.length);
        await Promise.all(changing.names.map(name => kvs.stands(name, UNREACHABLE, TOLD_WITHIN_MS)));

        expect(stopwatch.tell("to tell of Consul's outage", TOLD_WITHIN_MS)).toBeLessThan(TOLD_WITHIN_MS);
        await everybodyHasLooked();
        // Who has no part in it does not even look at them.
        const tellers = replicas
          .filter(({ logs }, at) => logs.slice(before[at]).some(isOfTurn))
          .map(({ name }) => name);
        expect(tellers).toHaveLength(1);
        expect(tellers.includes(reign.replica.name)).toBe(leader === 'lives on');
      } finally {
        await Promise.all(lost.map(server => server.start()));
      }
      for (const name of changing.names) await kvs.ready(name);
    });
    if (leader === 'dies with it') await reign.replica.start();
    await election.converges();
  },
);

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
