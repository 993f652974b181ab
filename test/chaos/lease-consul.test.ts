import { afterAll, beforeAll, expect, test } from 'vitest';
import { ElectionWorld } from '../support/election-world.ts';
import { eventually } from '../support/eventually.ts';
import { type Holder, Leases } from '../support/leases.ts';

/** Leases on three Consul servers, three replicas of the operator: no holder changes because a server dies. */

const NAMES = Array.from({ length: 4 }, (_, at) => `steady-${at}`);
/** Moved from one Pod to the other after each fault: then somebody grants again. */
const MOVED = 'moved';

let election: ElectionWorld;
let leases: Leases;

beforeAll(async () => {
  election = await ElectionWorld.create('lease-consul');
  leases = new Leases(election.world);
  for (const name of [...NAMES, MOVED]) {
    await leases.readyPods(name, [`${name}-a`, `${name}-b`]);
    // Longer than an outage here, so that only an operator could take a lease away.
    await leases.declare(name, { session: { ttl: '60s', lockDelay: '0s' } });
    await leases.ledBy(name, `${name}-a`);
  }
});

afterAll(() => election.close());

const all = async (): Promise<readonly (readonly Holder[])[]> =>
  Promise.all(NAMES.map(name => leases.holders(name)));

const locks = async (): Promise<unknown> =>
  Promise.all(
    NAMES.map(async name => {
      const entry = await readLock(name);
      return { session: entry?.session, text: entry?.text };
    }),
  );

function readLock(name: string) {
  return election.cluster.api.kvGet(leases.defaultKey(name));
}

/** The lease goes to the other Pod; resolves when it has, with a token above the last. */
async function handsOver(): Promise<void> {
  const [before] = await leases.holders(MOVED);
  const from = before?.name ?? '';
  const to = from.endsWith('-a') ? `${MOVED}-b` : `${MOVED}-a`;
  await leases.setReady(from, false);
  await eventually(
    async () => {
      const [now] = await leases.holders(MOVED);
      expect(now?.name).toBe(to);
      expect(BigInt(now?.fencingToken ?? 0)).toBeGreaterThan(BigInt(before?.fencingToken ?? 0));
    },
    { what: `${MOVED} goes to ${to}`, timeoutMs: 90_000 },
  );
  await leases.setReady(from, true);
}

async function expectSteady(act: () => Promise<void>): Promise<void> {
  const [holders, held] = [await all(), await locks()];
  await act();
  await handsOver();
  expect(await locks()).toEqual(held);
  expect(await all()).toEqual(holders);
}

test("Consul's leader is killed", () =>
  expectSteady(async () => {
    const leader = await election.cluster.leader();
    await leader.kill();
    await handsOver();
    await leader.start();
  }));

test('the server that the leading replica talks to is killed', () =>
  expectSteady(async () => {
    const { replica, session } = await election.reign();
    await election.acts({ session });
    const address = replica.consulAddressOf(election.committed(session).at(-1)?.request as never);
    const contacted = election.cluster.servers.find(server => server.address === address);
    await election.cluster.leadElsewhere(contacted as never);
    await contacted?.kill();
    await handsOver();
    await contacted?.start();
  }));

test('the quorum is lost, and comes back', () =>
  expectSteady(async () => {
    const survivor = await election.cluster.leader();
    const lost = election.cluster.servers.filter(server => server !== survivor);
    await Promise.all(lost.map(server => server.kill()));
    const isUnreachable = async (name: string): Promise<boolean> =>
      (await leases.ready(name))?.reason === 'ConsulUnreachable';
    try {
      await eventually(async () => (await Promise.all(NAMES.map(isUnreachable))).every(Boolean), {
        what: 'every lease says that Consul is away',
        timeoutMs: 60_000,
      });
    } finally {
      await Promise.all(lost.map(server => server.start()));
    }
    for (const name of NAMES) await leases.heldBy(name, `${name}-a`);
  }));
