import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { LEADER_LABEL, Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;

beforeAll(async () => {
  world = await World.create('lease-application');
  leases = new Leases(world);
  await world.startOperator();
});

afterAll(async () => world.close());

const GO_LOCK = 0x2ddccbc058a50c18n;

async function declared(name: string, spec: object = {}): Promise<string> {
  const key = world.key(`leases/${name}`);
  await leases.readyPods(name, [`${name}-a`, `${name}-b`]);
  const service = { name: `${name}-leader`, ports: [{ port: 80 }] };
  await leases.declare(name, { key, heldBy: 'Application', service, ...spec });
  return key;
}

async function takeLock(key: string, name: string, value = '', flags = 0n): Promise<string> {
  const session = await world.consul.createSession({ Name: name, TTL: '60s', LockDelay: '0s' });
  expect(await world.consul.kvPut(key, value, { acquire: session, flags })).toBe(true);
  return session;
}

const pointsAt = (name: string, ...pods: readonly string[]) =>
  eventually(async () => expect(await leases.endpoints(`${name}-leader`)).toEqual(pods), {
    what: `the Service of ${name} points at ${pods.join(', ')}`,
  });

test.each([
  ['no flags', 'by-hand', 0n],
  ["Go's flag", 'by-go', GO_LOCK],
])('a lock taken with %s is shown by the name of its session, and routed to', async (_what, name, flags) => {
  const key = await declared(name);
  await leases.stands(name, { ready: 'False', reason: 'Progressing', reconciling: true });
  const session = await takeLock(key, `${name}-b`, '', flags);
  const before = await leases.lock(key);
  const [holder] = await leases.ledBy(name, `${name}-b`);
  expect(holder).toEqual({ name: `${name}-b`, sessionID: session });
  await pointsAt(name, `${name}-b`);
  expect(await leases.lock(key)).toEqual(before);
  await world.consul.destroySession(session);
  await leases.heldBy(name);
  await eventually(async () => expect(await leases.labelled(name)).toEqual([]), { what: 'no label' });
  await pointsAt(name);
  const next = await takeLock(key, `${name}-a`, '', flags);
  await leases.ledBy(name, `${name}-a`);
  expect((await leases.get(name))['status'].transitions).toBe(1);
  await world.consul.destroySession(next);
});

test('what the value says goes before the name of the session', async () => {
  const key = await declared('valued');
  const value = {
    holder: 'valued-a',
    uid: 'process-1',
    fencingToken: '77',
    acquiredTime: '2026-01-01T00:00:00Z',
  };
  const session = await takeLock(key, 'whatever', JSON.stringify(value));
  const [holder] = await leases.ledBy('valued', 'valued-a');
  expect(holder).toEqual({
    name: 'valued-a',
    uid: 'process-1',
    sessionID: session,
    fencingToken: '77',
    acquiredTime: '2026-01-01T00:00:00Z',
  });
  await pointsAt('valued', 'valued-a');
});

test('a holder that is no candidate is shown and routed nowhere', async () => {
  const key = await declared('outside');
  const session = await takeLock(key, 'outside-a');
  await leases.ledBy('outside', 'outside-a');
  await pointsAt('outside', 'outside-a');
  await world.consul.destroySession(session);
  await takeLock(key, 'somebody outside');
  await leases.heldBy('outside', 'somebody outside');
  await eventually(async () => expect(await leases.labelled('outside')).toEqual([]), { what: 'no label' });
  await pointsAt('outside');
});

test('deleting leaves the lock, and takes label and Service away', async () => {
  const key = await declared('left');
  const session = await takeLock(key, 'left-a');
  await leases.ledBy('left', 'left-a');
  await pointsAt('left', 'left-a');
  await leases.remove('left');
  expect((await leases.lock(key))?.session).toBe(session);
  expect(await leases.labelled('left')).toEqual([]);
  await pointsAt('left');
});

test('from the operator to the applications and back: locks go, and the history stays', async () => {
  const key = await declared('switched', { heldBy: 'Operator' });
  await leases.ledBy('switched', 'switched-a');
  await leases.change('switched', { heldBy: 'Application' });
  await leases.heldBy('switched');
  expect(await leases.lock(key)).toBeUndefined();
  const record = (await world.records())[`ConsulLeaderLease/${world.namespace}/switched`];
  expect(record).toMatchObject({ names: {}, lease: { label: LEADER_LABEL, transitions: 0 } });
  const value = {
    holder: 'switched-b',
    uid: 'process-1',
    fencingToken: '4000000000',
    acquiredTime: '2026-01-01T00:00:00Z',
  };
  const session = await takeLock(key, 'switched-b', JSON.stringify(value));
  await leases.ledBy('switched', 'switched-b');
  await leases.change('switched', { heldBy: 'Operator' });
  await leases.stands('switched', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  await world.consul.destroySession(session);
  await world.consul.kvDelete(key);
  const [holder] = await leases.ledBy('switched', 'switched-a');
  expect(Number(holder?.fencingToken)).toBeGreaterThan(4_000_000_000);
  expect((await leases.get('switched'))['status'].transitions).toBe(1);
});

test('refused after it was led: label and endpoints still follow, and go with the resource', async () => {
  const key = await declared('barred');
  const session = await takeLock(key, 'barred-a');
  await leases.ledBy('barred', 'barred-a');
  await pointsAt('barred', 'barred-a');
  await world.kube.create(world.object('v1', 'Service', 'foreign', { spec: { ports: [{ port: 1 }] } }));
  await leases.change('barred', { service: { name: 'foreign', ports: [{ port: 80 }] } });
  const lease = await leases.stands('barred', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  expect(lease.metadata.finalizers).toEqual(['proconsul.dev/finalizer']);
  expect(await leases.labelled('barred')).toEqual(['barred-a']);
  await world.consul.destroySession(session);
  const next = await takeLock(key, 'barred-b');
  await eventually(async () => expect(await leases.labelled('barred')).toEqual(['barred-b']), {
    what: 'the label follows',
  });
  await leases.remove('barred');
  expect(await leases.labelled('barred')).toEqual([]);
  expect((await leases.lock(key))?.session).toBe(next);
  expect(await world.kube.get(world.object('v1', 'Service', 'foreign'))).toBeDefined();
});
