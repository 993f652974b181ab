import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { conditionsOf, turnsOf } from '../support/consulkv.ts';
import { ConsulPolicy } from '../support/consul-policy.ts';
import { eventually } from '../support/eventually.ts';
import { Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { World } from '../support/world.ts';

/** What a lease does under a token that may not do, or not see, all of it. */

let own: Consul & { close(): Promise<void> };
let world: World;
let leases: Leases;

beforeAll(async () => {
  own = await startConsulSandbox({ acl: true });
});

afterAll(() => own.close());

beforeEach(async () => {
  const consulToken = own.managementToken as string;
  world = await World.create('lease-acl', { consulAddress: own.address, consulToken });
  leases = new Leases(world);
});

afterEach(() => world.close());

/** What `docs/spec/consulleaderlease.md` asks for, with the key of a lease. */
function rights(): string[] {
  return [
    'key_prefix "proconsul/" { policy = "write" }',
    'key_prefix "proconsul-private/" { policy = "write" }',
    'session_prefix "proconsul-" { policy = "write" }',
    'node_prefix "proconsul-" { policy = "write" }',
    `key_prefix "${world.namespace}/" { policy = "write" }`,
  ];
}

async function startWith(rules: readonly string[]): Promise<Operator> {
  const { secret } = await new ConsulPolicy(world).token(rules);
  return world.startOperator({ CONSUL_HTTP_TOKEN: secret });
}

/** By an application, on the node of the agent. */
async function takeLock(key: string, name: string, value = ''): Promise<string> {
  const session = await world.consul.createSession({ Name: name, TTL: '60s', LockDelay: '0s' });
  expect(await world.consul.kvPut(key, value, { acquire: session })).toBe(true);
  return session;
}

test('a key that may be read and not written: each try makes one session at most, and the lease says why', async () => {
  const readable = `key "${world.key('leases/readable')}" { policy = "read" }`;
  const operator = await startWith([...rights(), readable]);
  await leases.readyPods('readable', ['readable-a']);
  await leases.declare('readable', { key: world.key('leases/readable') });

  const created = (): number =>
    world.toConsul.requests.filter(
      ({ path, body }) => path === '/v1/session/create' && body.includes('lease/'),
    ).length;
  await eventually(async () => (await turnsOf(operator)) >= 4, { what: 'it is tried again and again' });
  const denied = await leases.stands('readable', {
    ready: 'False',
    reason: 'ConsulDenied',
    reconciling: true,
  });
  expect(conditionsOf(denied)['Ready']?.message).toMatch(/key:write/);
  // One for each turn that has ended, one for that which has not, and the first had to make the node for it.
  expect(created()).toBeLessThanOrEqual((await turnsOf(operator)) + 2);

  await new ConsulPolicy(world).setRights(rights());
  await leases.ledBy('readable', 'readable-a');
});

test("a stranger's lock, whose session may not be seen: in use, and taken when it is free", async () => {
  const key = world.key('leases/theirs');
  await startWith(rights());
  await leases.readyPods('theirs', ['theirs-a']);
  const session = await takeLock(key, 'somebody');
  await leases.declare('theirs', { key });
  const refused = await leases.stands('theirs', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  expect(conditionsOf(refused)['Ready']?.message).toContain(
    `session ${session} (which the ACL token may not see)`,
  );
  expect((await leases.lock(key))?.session).toBe(session);

  await world.consul.destroySession(session);
  await world.consul.kvDelete(key);
  await leases.ledBy('theirs', 'theirs-a');
});

test('a lock of an application, whose session may not be seen: its value is enough, else the rule is named', async () => {
  const [named, valued] = [world.key('leases/named'), world.key('leases/valued')];
  await startWith(rights());
  for (const name of ['named', 'valued']) await leases.readyPods(name, [`${name}-a`]);
  await takeLock(named, 'named-a');
  const value = { holder: 'valued-a', uid: 'u', fencingToken: '7', acquiredTime: '2026-01-01T00:00:00Z' };
  await takeLock(valued, 'whatever', JSON.stringify(value));
  await leases.declare('named', { key: named, heldBy: 'Application' });
  await leases.declare('valued', { key: valued, heldBy: 'Application' });

  await leases.ledBy('valued', 'valued-a');
  const denied = await leases.stands('named', { ready: 'False', reason: 'ConsulDenied', reconciling: true });
  expect(conditionsOf(denied)['Ready']?.message).toContain('session_prefix "" { policy = "read" }');
  await new ConsulPolicy(world).setRights([...rights(), 'session_prefix "" { policy = "read" }']);
  await eventually(async () => expect(await leases.labelled('named')).toEqual(['named-a']), {
    what: 'the holder is shown once it may be seen',
    timeoutMs: 30_000,
  });
  await leases.ledBy('named', 'named-a');
});
