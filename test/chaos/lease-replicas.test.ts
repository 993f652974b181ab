import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type Holder, Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { isSessionRenewal } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Leases outlive the operator's processes: holders change only when Pods do. */

const TTL_SECONDS = 10;
const session = { ttl: `${TTL_SECONDS}s`, lockDelay: '1s' };
/** A renewal every third of the TTL, give or take a fifth: after so many, two TTLs have passed. */
const RENEWALS_IN_TWO_TTLS = 8;

let world: World;
let leases: Leases;

beforeEach(async () => {
  world = await World.create('lease-replicas');
  leases = new Leases(world);
});

afterEach(() => world.close());

/** Leases `held-0` to `held-<n-1>` with two Pods each, all of them held. */
async function declareHeld(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, n) => `held-${n}`);
  await Promise.all(
    names.map(async name => {
      await leases.readyPods(name, [`${name}-a`, `${name}-b`]);
      await leases.declare(name, { session });
    }),
  );
  for (const name of names) await leases.ledBy(name, `${name}-a`);
  return names;
}

async function allHolders(names: readonly string[]): Promise<Record<string, readonly Holder[]>> {
  return Object.fromEntries(await Promise.all(names.map(async name => [name, await leases.holders(name)])));
}

/** The locks themselves: who, by which session and token, since when. */
async function allLocks(names: readonly string[]): Promise<unknown> {
  const locks = await Promise.all(names.map(name => leases.lock(leases.defaultKey(name))));
  return locks.map(entry => ({ session: entry?.session, text: entry?.text }));
}

const isLeading = (operator: Operator): boolean => operator.logs.some(({ msg }) => msg === 'leading');

/** Kills the leader of `operators`; resolves with who leads then. */
async function killLeader(operators: readonly Operator[]): Promise<Operator> {
  const leader = operators.find(isLeading) as Operator;
  const next = operators.find(one => one !== leader) as Operator;
  await leader.crash();
  await eventually(() => isLeading(next), { what: 'the standby leads', timeoutMs: 60_000 });
  return next;
}

async function startTwo(): Promise<[Operator, Operator]> {
  return Promise.all([world.startOperator(), world.startOperator()]);
}

test('kill -9 of the only replica, and a start: no holder changes', async () => {
  const operator = await world.startOperator();
  const names = await declareHeld(5);
  const [holders, locks] = [await allHolders(names), await allLocks(names)];
  await operator.crash();
  await world.startOperator();
  // Whoever works again moves one lease; by then it has looked at all of them.
  await leases.setReady('held-0-a', false);
  await leases.ledBy('held-0', 'held-0-b');
  for (const name of names.slice(1)) await leases.ledBy(name, `${name}-a`);
  const rest = names.slice(1);
  expect(await allLocks(rest)).toEqual((locks as unknown[]).slice(1));
  expect(await allHolders(rest)).toEqual(Object.fromEntries(rest.map(name => [name, holders[name]])));
});

test('kill -9 of the leader beside a standby: no holder changes, and the standby takes over', async () => {
  const operators = await startTwo();
  const names = await declareHeld(5);
  const locks = await allLocks(names);
  await killLeader(operators);
  expect(await allLocks(names)).toEqual(locks);
  await leases.setReady('held-0-a', false);
  await leases.ledBy('held-0', 'held-0-b');
  expect(await allLocks(names.slice(1))).toEqual((locks as unknown[]).slice(1));
});

test('the leader is paused for more than two TTLs: the standby, leading nothing, keeps every lease alive', async () => {
  const env = { PROCONSUL_LEASE_TTL: '60s', PROCONSUL_LEASE_LOCK_DELAY: '5s' };
  const operators = await Promise.all([world.startOperator(env), world.startOperator(env)]);
  const names = await declareHeld(3);
  const locks = await allLocks(names);
  const [first] = await leases.holders('held-0');
  const leader = operators.find(isLeading) as Operator;
  const standby = operators.find(one => one !== leader) as Operator;
  leader.kill('SIGSTOP');
  const from = world.toConsul.requests.length;
  const renewals = (): number =>
    world.toConsul.requests
      .slice(from)
      .filter(one => isSessionRenewal(one) && one.path.endsWith(`/${first?.sessionID}`)).length;
  await eventually(() => renewals() > RENEWALS_IN_TWO_TTLS, {
    what: 'the standby has renewed for more than two TTLs',
    timeoutMs: 60_000,
  });
  expect(isLeading(standby)).toBe(false);
  expect(await allLocks(names)).toEqual(locks);
  leader.kill('SIGCONT');
  await leases.setReady('held-0-a', false);
  await leases.ledBy('held-0', 'held-0-b');
  expect(await allLocks(names.slice(1))).toEqual((locks as unknown[]).slice(1));
});

test('with no replica at all every lease becomes free, two TTLs later', async () => {
  const operator = await world.startOperator();
  await declareHeld(1);
  await operator.stop();
  const what = 'Consul frees the lease';
  await eventually(
    async () => expect((await leases.lock(leases.defaultKey('held-0')))?.session).toBeUndefined(),
    { what, timeoutMs: (2 * TTL_SECONDS + 15) * 1000 },
  );
  await world.startOperator();
  await leases.ledBy('held-0', 'held-0-a');
});

test('Consul away for a while: renewals go on by themselves, and no holder changes', async () => {
  await world.startOperator();
  const names = await declareHeld(3);
  const locks = await allLocks(names);
  const [first] = await leases.holders('held-0');
  const failed = world.toConsul.requests.length;
  const outage = world.toConsul.when(() => true, { kind: 'reset' });
  await eventually(() => world.toConsul.requests.slice(failed).filter(isSessionRenewal).length >= 10, {
    what: 'ten renewals in vain',
  });
  outage.remove();
  const since = world.toConsul.requests.length;
  await eventually(
    () =>
      world.toConsul.requests
        .slice(since)
        .some(one => isSessionRenewal(one) && one.path.endsWith(`/${first?.sessionID}`)),
    { what: 'the session is renewed again' },
  );
  expect(await allLocks(names)).toEqual(locks);
});
