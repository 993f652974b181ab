import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { LEADER_LABEL, Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;

beforeAll(async () => {
  world = await World.create('lease-handover');
  leases = new Leases(world);
  await world.startOperator();
});

afterAll(async () => world.close());

/** A lease and Ready Pods `<name>-a`, `<name>-b`, … in the order in which they come to it. */
async function declared(name: string, letters: string, spec: object = {}): Promise<string[]> {
  const pods = letters.split('').map(letter => `${name}-${letter}`);
  await leases.readyPods(name, pods);
  await leases.declare(name, spec as never);
  return pods;
}

describe('one holder', () => {
  test('who has been Ready longest holds the lock, in Consul, in the status and by its label', async () => {
    const [a = ''] = await declared('first', 'abc');
    const [holder] = await leases.ledBy('first', a);
    const entry = await leases.lock(leases.defaultKey('first'));
    expect(entry?.session).toBe(holder?.sessionID);
    expect(entry?.lock).toEqual({
      holder: a,
      uid: (await leases.getPod(a)).metadata.uid,
      fencingToken: holder?.fencingToken,
      acquiredTime: holder?.acquiredTime,
    });
    expect((await leases.get('first'))['status']).toMatchObject({
      transitions: 0,
      effective: { key: leases.defaultKey('first'), holders: 1, heldBy: 'Operator', ttl: '15s' },
    });
  });

  test('a better candidate that comes later does not take it away', async () => {
    const [b = ''] = await declared('stays', 'b');
    await leases.ledBy('stays', b);
    await leases.createPod('stays', 'stays-a');
    await leases.setReady('stays-a', true, new Date(0));
    await leases.declare('stays', { leaderLabel: 'example.com/leads' });
    await eventually(async () => expect(await leases.labelled('stays', 'example.com/leads')).toEqual([b]), {
      what: 'the new label is on the holder',
    });
    expect(await leases.labelled('stays')).toEqual([]);
    await leases.heldBy('stays', b);
  });

  test.each<[what: string, name: string, lose: (pod: string) => Promise<unknown>]>([
    ['turns un-Ready', 'unready', pod => leases.setReady(pod, false)],
    ['is deleted', 'deleted', pod => leases.deletePod(pod)],
    [
      'is relabelled',
      'relabelled',
      pod => world.kube.patch(leases.pod(pod), { metadata: { labels: { app: 'other' } } }),
    ],
    ['ends', 'ended', pod => world.kube.patch(leases.pod(pod), { status: { phase: 'Succeeded' } }, 'status')],
  ])('a Pod that %s loses the lease at once, and the next in order gets it', async (_what, name, lose) => {
    const [a = '', b = ''] = await declared(name, 'abc');
    const [before] = await leases.ledBy(name, a);
    await lose(a);
    const [after] = await leases.ledBy(name, b);
    expect(BigInt(after?.fencingToken ?? 0)).toBeGreaterThan(BigInt(before?.fencingToken ?? 0));
    expect((await leases.get(name))['status'].transitions).toBe(1);
    expect((await leases.lock(leases.defaultKey(name)))?.session).toBe(after?.sessionID);
    await eventually(async () => expect(await sessionNames(name)).toEqual([b]), {
      what: 'the session of the former holder is gone',
    });
    const former = await world.kube.get(leases.pod(a));
    expect(former?.metadata.labels?.[LEADER_LABEL]).toBeUndefined();
  });

  test('the lost lease is told by one Event with the name of the next', async () => {
    const [a = '', b = ''] = await declared('told', 'ab');
    await leases.ledBy('told', a);
    await leases.setReady(a, false);
    await leases.ledBy('told', b);
    await eventually(
      async () =>
        expect((await leases.events('told')).map(({ reason, note }) => ({ reason, note }))).toEqual([
          { reason: 'Created', note: `give the lease to ${a}` },
          { reason: 'LeaderChanged', note: `give the lease to ${b}` },
        ]),
      { what: 'the Events' },
    );
  });

  test('nobody is left: NoCandidates, and the first Pod that is Ready gets it', async () => {
    const [a = ''] = await declared('nobody', 'a');
    await leases.ledBy('nobody', a);
    await leases.setReady(a, false);
    const lease = await leases.stands('nobody', {
      ready: 'False',
      reason: 'NoCandidates',
      reconciling: true,
    });
    expect(lease['status'].holders).toEqual([]);
    await eventually(async () => expect(await leases.labelled('nobody')).toEqual([]), { what: 'no label' });
    expect((await leases.lock(leases.defaultKey('nobody')))?.session).toBeUndefined();
    await leases.setReady(a, true);
    await leases.ledBy('nobody', a);
  });

  test('a selector that matches nothing: NoCandidates, and nothing is written to Consul', async () => {
    await leases.declare('nothing');
    await leases.stands('nothing', { ready: 'False', reason: 'NoCandidates', reconciling: true });
    expect(await leases.lock(leases.defaultKey('nothing'))).toBeUndefined();
    expect(await world.records()).not.toHaveProperty(`ConsulLeaderLease/${world.namespace}/nothing`);
  });

  test('AfterLockDelay: the lease stays closed until the lock-delay has passed', async () => {
    const [a = '', b = ''] = await declared('delayed', 'ab', {
      handover: 'AfterLockDelay',
      session: { lockDelay: '2s' },
    });
    await leases.ledBy('delayed', a);
    await leases.setReady(a, false);
    const lease = await leases.stands('delayed', {
      ready: 'False',
      reason: 'Progressing',
      reconciling: true,
    });
    expect(lease['status'].conditions[0].message).toContain('lock-delay');
    expect(await leases.labelled('delayed')).toEqual([]);
    await leases.ledBy('delayed', b);
    await eventually(async () => expect(await sessionNames('delayed')).toEqual([b]), {
      what: 'no session of a refused try is left',
    });
  });
});

describe('several holders', () => {
  test('each holds a lock of its own, and one more never gets in', async () => {
    const [a = '', b = '', c = '', d = ''] = await declared('many', 'abcd', { holders: 3 });
    await leases.ledBy('many', a, b, c);
    const key = leases.defaultKey('many');
    const locks = await world.consul.kvList(`${key}/`);
    expect([...locks.keys()]).toEqual([`${key}/0`, `${key}/1`, `${key}/2`]);
    await leases.deletePod(b);
    await leases.ledBy('many', a, d, c);
    expect(new Set([...locks.values()].map(({ session }) => session)).size).toBe(3);
  });

  test('the number changes, down, up and to one', async () => {
    const pods = await declared('number', 'abc', { holders: 3 });
    const [a = '', b = '', c = ''] = pods;
    await leases.ledBy('number', a, b, c);
    await leases.change('number', { holders: 2 });
    await leases.ledBy('number', a, b);
    expect(await leases.lock(`${leases.defaultKey('number')}/2`)).toBeUndefined();
    await leases.change('number', { holders: 3 });
    await leases.ledBy('number', a, b, c);
    await leases.change('number', { holders: 1 });
    await leases.ledBy('number', a);
    await eventually(
      async () => {
        const keys = [...(await world.consul.kvList(leases.defaultKey('number'))).keys()];
        expect(keys).toEqual([leases.defaultKey('number')]);
      },
      { what: 'only the one key is left' },
    );
    await eventually(async () => expect(await sessionNames('number')).toEqual([a]), { what: 'one session' });
  });

  test('fewer candidates than slots: those there are, and Ready', async () => {
    const [a = ''] = await declared('few', 'a', { holders: 2 });
    await leases.ledBy('few', a);
    expect((await leases.ready('few'))?.message).toBe(`1 of 2 held by ${a}`);
  });
});

describe('500 candidates', () => {
  test('the first of them leads', async () => {
    const at = Date.now();
    const names = Array.from({ length: 500 }, (_, n) => `crowd-${String(n).padStart(3, '0')}`);
    const queue = names.values();
    const worker = async (): Promise<void> => {
      for (const name of queue) {
        await leases.createPod('crowd', name);
        await leases.setReady(name, true, new Date(at - 1000 * (1000 - Number(name.slice(-3)))));
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    await leases.declare('crowd');
    await leases.ledBy('crowd', 'crowd-000');
    await leases.deletePod('crowd-000');
    await leases.ledBy('crowd', 'crowd-001');
  });
});

/** The Pods that sessions of a lease were made for. */
async function sessionNames(name: string): Promise<string[]> {
  const sessions = await leases.sessions();
  return sessions.flatMap(({ Name }) => {
    const [, , lease, pod = ''] = Name.split('/');
    return lease === name ? [pod] : [];
  });
}
