import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { eventually } from '../support/eventually.ts';
import { type Holder, Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { World } from '../support/world.ts';

/** A fencing token only ever grows, whatever happens to Consul, to the operator and to the Pods. */

let own: Consul & { close(): Promise<void> };
let world: World;
let leases: Leases;
let operator: Operator;

const PODS = ['pods-a', 'pods-b', 'pods-c'];
const key = (): string => leases.defaultKey('pods');

beforeEach(async () => {
  own = await startConsulSandbox({ durable: true });
  world = await World.create('lease-tokens', { consulAddress: own.address });
  leases = new Leases(world);
  operator = await world.startOperator();
  await leases.readyPods('pods', PODS);
  await leases.declare('pods', { session: { lockDelay: '0s' } });
  await leases.ledBy('pods', 'pods-a');
});

afterEach(async () => {
  await world.close();
  await own.close();
});

/** What happened, and the token that the holder then has: as the key says, and the status with it. */
async function tokenAfter(what: string, before: bigint): Promise<bigint> {
  return eventually(
    async () => {
      const [holder] = await leases.holders('pods');
      const entry = await leases.lock(key());
      expect(entry?.session).toBe(holder?.sessionID);
      expect(entry?.lock.fencingToken).toBe(holder?.fencingToken);
      const token = BigInt(holder?.fencingToken ?? 0);
      expect(token).toBeGreaterThan(before);
      return token;
    },
    { what: `a token above ${before} after ${what}` },
  );
}

const loseLease: Readonly<Record<string, (holder: Holder) => Promise<unknown>>> = {
  'the Pod turned un-Ready': async ({ name }) => {
    const [before] = await leases.holders('pods');
    await leases.setReady(name, false);
    await eventually(async () => (await leases.holders('pods'))[0]?.sessionID !== before?.sessionID, {
      what: 'another holds it',
    });
    await leases.setReady(name, true);
  },
  'the Pod was deleted': async ({ name }) => {
    await leases.deletePod(name);
    await leases.createPod('pods', name);
    await leases.setReady(name, true);
  },
  'the key was deleted': () => world.consul.kvDelete(key()),
  'the lock was released': ({ sessionID }) => world.consul.kvPut(key(), '', { release: sessionID }),
  'the session was destroyed': ({ sessionID }) => world.consul.destroySession(sessionID),
};

test('over 20 random handovers', async () => {
  const causes = fc.sample(fc.constantFrom(...Object.keys(loseLease)), { numRuns: 20 });
  let token = BigInt((await leases.holders('pods'))[0]?.fencingToken ?? 0);
  for (const cause of causes) {
    const [holder] = await leases.holders('pods');
    await loseLease[cause]?.(holder as Holder);
    token = await tokenAfter(cause, token);
  }
  expect((await leases.get('pods'))['status'].transitions).toBeGreaterThanOrEqual(20);
  process.stdout.write(`20 handovers: ${causes.join(', ')}\n`);
});

test('over a restart of the operator it stays, and grows from there', async () => {
  const before = await leases.lock(key());
  await operator.crash();
  await world.startOperator();
  await leases.setReady('pods-a', false);
  const [holder] = await leases.ledBy('pods', 'pods-b');
  expect(BigInt(holder?.fencingToken ?? 0)).toBeGreaterThan(BigInt(before?.lock.fencingToken ?? 0));
});

test.each<[when: string, restart: boolean]>([
  ['while the operator runs', false],
  ['while no operator runs', true],
])('over the restore of a snapshot %s, which brings an earlier holder back', async (_when, restart) => {
  const snapshot = await (await fetch(`${own.address}/v1/snapshot`)).arrayBuffer();
  await leases.setReady('pods-a', false);
  await leases.ledBy('pods', 'pods-b');
  await leases.setReady('pods-b', false);
  const [last] = await leases.ledBy('pods', 'pods-c');
  await leases.setReady('pods-a', true, new Date(0));
  if (restart) await world.stopOperators();
  const { status } = await fetch(`${own.address}/v1/snapshot`, { method: 'PUT', body: snapshot });
  expect(status).toBe(200);
  if (restart) await world.startOperator();
  const token = await tokenAfter('the restore', BigInt(last?.fencingToken ?? 0));
  const [holder] = await leases.holders('pods');
  await leases.setReady(holder?.name ?? '', false);
  await tokenAfter('a handover after that', token);
});
