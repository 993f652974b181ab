import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { turnsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { Leases } from '../support/leases.ts';
import type { Operator } from '../support/operator.ts';
import { isKubernetesWrite, isReadOnlyTransaction, isTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;
let operator: Operator;

beforeAll(async () => {
  world = await World.create('lease-life');
  leases = new Leases(world);
  operator = await world.startOperator();
});

afterAll(async () => world.close());

const service = { name: 'svc', ports: [{ port: 80 }] };

test('deleting leaves nothing: no lock, session, record, label, Service or slice', async () => {
  await leases.readyPods('deleted', ['deleted-a', 'deleted-b', 'deleted-c']);
  await leases.declare('deleted', { holders: 2, service });
  await leases.ledBy('deleted', 'deleted-a', 'deleted-b');
  await eventually(async () => expect(await leases.endpoints('svc')).toHaveLength(2), {
    what: 'two endpoints',
  });
  expect((await leases.get('deleted')).metadata.finalizers).toEqual(['proconsul.dev/finalizer']);
  await leases.remove('deleted');
  expect([...(await world.consul.kvList(leases.defaultKey('deleted'))).keys()]).toEqual([]);
  expect(await leases.sessions()).toEqual([]);
  expect(await world.records()).toEqual({});
  expect(await leases.labelled('deleted')).toEqual([]);
  expect(await leases.endpoints('svc')).toEqual([]);
  expect(await world.kube.get(world.object('v1', 'Service', 'svc'))).toBeUndefined();
  expect((await leases.events('deleted')).map(({ reason }) => reason)).toContain('Created');
});

test('one whose finalizer was taken off: what is in Consul goes all the same, and so does the label', async () => {
  await leases.readyPods('stripped', ['stripped-a']);
  await leases.declare('stripped', { leaderLabel: 'example.com/leads' });
  await leases.heldBy('stripped', 'stripped-a');
  const labelled = () => leases.labelled('stripped', 'example.com/leads');
  await eventually(async () => expect(await labelled()).toEqual(['stripped-a']), { what: 'the label' });
  await world.kube.delete(leases.object('stripped'));
  await world.kube.patch(leases.object('stripped'), { metadata: { finalizers: null } }).catch(() => {});
  await leases.gone('stripped');
  await eventually(
    async () => {
      expect(await world.records()).toEqual({});
      expect(await leases.lock(leases.defaultKey('stripped'))).toBeUndefined();
      expect(await leases.sessions()).toEqual([]);
    },
    { what: 'nothing of it is left in Consul' },
  );
  expect(await labelled()).toEqual([]);
});

test('at rest nothing is written to either side, and no turns are taken', async () => {
  await leases.readyPods('rests', ['rests-a', 'rests-b']);
  await leases.declare('rests', { service: { name: 'rests', ports: [{ port: 80 }] } });
  await leases.ledBy('rests', 'rests-a');
  await eventually(async () => expect(await leases.endpoints('rests')).toEqual(['rests-a']), {
    what: 'the endpoint',
  });
  // What the last writes still ask for has been looked at once another resource is through.
  await settled('rests-next');
  const [turns, kube, consul] = [
    await turnsOf(operator),
    world.toKube.requests.length,
    world.toConsul.requests.length,
  ];
  const renewals = (): number =>
    world.toConsul.requests.slice(consul).filter(({ path }) => path.startsWith('/v1/session/renew/')).length;
  await eventually(() => renewals() >= 2, { what: 'two renewals', timeoutMs: 20_000 });
  expect(await turnsOf(operator)).toBe(turns);
  expect(world.toKube.requests.slice(kube).filter(isKubernetesWrite)).toEqual([]);
  const written = world.toConsul.requests
    .slice(consul)
    .filter(one => one.method === 'PUT' && !one.path.startsWith('/v1/session/renew/'))
    .filter(one => !(isTransaction(one) && isReadOnlyTransaction(one)));
  expect(written).toEqual([]);
});

async function settled(name: string): Promise<void> {
  await leases.readyPods(name, [`${name}-a`]);
  await leases.declare(name);
  await leases.ledBy(name, `${name}-a`);
  let before = -1;
  await eventually(
    async () => {
      const last = before;
      before = await turnsOf(operator);
      return before === last;
    },
    { what: 'no more turns', pollMs: 1_500 },
  );
}

describe('suspended', () => {
  test('nothing is granted or moved, renewals go on; resumed, it catches up', async () => {
    await leases.readyPods('paused', ['paused-a', 'paused-b']);
    await leases.declare('paused');
    const [before] = await leases.ledBy('paused', 'paused-a');
    await leases.change('paused', { suspend: true });
    await leases.stands('paused', { ready: 'True', reason: 'Suspended' });
    await leases.setReady('paused-a', false);
    const lease = await leases.stands('paused', { ready: 'False', reason: 'Suspended' });
    expect(lease['status'].conditions[0].message).toBe('suspended: would take the lease from paused-a');
    expect((await leases.lock(leases.defaultKey('paused')))?.session).toBe(before?.sessionID);
    const from = world.toConsul.requests.length;
    await eventually(
      () =>
        world.toConsul.requests
          .slice(from)
          .some(({ path }) => path === `/v1/session/renew/${before?.sessionID}`),
      { what: 'the session is renewed' },
    );
    await leases.change('paused', { suspend: false });
    await leases.ledBy('paused', 'paused-b');
  });

  test('a label that is changed meanwhile: the former one goes as soon as it is resumed', async () => {
    await leases.readyPods('renamed', ['renamed-a']);
    await leases.declare('renamed', { leaderLabel: 'example.com/old' });
    await leases.heldBy('renamed', 'renamed-a');
    const labelled = (label: string) => leases.labelled('renamed', `example.com/${label}`);
    await eventually(async () => expect(await labelled('old')).toEqual(['renamed-a']), { what: 'the label' });
    await leases.change('renamed', { suspend: true, leaderLabel: 'example.com/new' });
    await leases.stands('renamed', { ready: 'True', reason: 'Suspended' });
    expect(await labelled('old')).toEqual(['renamed-a']);
    await leases.change('renamed', { suspend: false });
    await eventually(
      async () => expect([await labelled('old'), await labelled('new')]).toEqual([[], ['renamed-a']]),
      { what: 'the other label' },
    );
  });

  test('without candidates it is Suspended, too', async () => {
    await leases.declare('idle', { suspend: true });
    await leases.stands('idle', { ready: 'False', reason: 'Suspended' });
  });

  test('deleting works', async () => {
    await leases.readyPods('ends', ['ends-a']);
    await leases.declare('ends');
    await leases.ledBy('ends', 'ends-a');
    await leases.change('ends', { suspend: true });
    await leases.stands('ends', { ready: 'True', reason: 'Suspended' });
    await leases.remove('ends');
    expect(await leases.lock(leases.defaultKey('ends'))).toBeUndefined();
  });
});

test('a change of TTL and lock-delay applies from the next grant on', async () => {
  await leases.readyPods('timed', ['timed-a', 'timed-b']);
  await leases.declare('timed');
  const [before] = await leases.ledBy('timed', 'timed-a');
  await leases.change('timed', { session: { ttl: '1m30s', lockDelay: '2s' } });
  await eventually(async () => expect((await leases.get('timed'))['status'].effective.ttl).toBe('1m30s'), {
    what: 'the status tells the new TTL',
  });
  expect((await leases.holders('timed'))[0]?.sessionID).toBe(before?.sessionID);
  await leases.setReady('timed-a', false);
  const [after] = await leases.ledBy('timed', 'timed-b');
  const [info] = (await world.consul.get(`/v1/session/info/${after?.sessionID}`)) as {
    TTL: string;
    LockDelay: number;
    Behavior: string;
  }[];
  expect(info).toMatchObject({ TTL: '90s', LockDelay: 2_000_000_000, Behavior: 'release' });
});

test('another datacenter is refused', async () => {
  await leases.readyPods('elsewhere', ['elsewhere-a']);
  await leases.declare('elsewhere', { datacenter: 'dc9' });
  await leases.stands('elsewhere', { ready: 'False', reason: 'UnsupportedByConsul', stalled: true });
  expect(await leases.lock(leases.defaultKey('elsewhere'))).toBeUndefined();
});
