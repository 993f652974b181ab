import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import type { Matcher } from '../support/fault-rules.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { LEADER_LABEL, Leases } from '../support/leases.ts';
import { World } from '../support/world.ts';

let world: World;
let leases: Leases;

beforeAll(async () => {
  world = await World.create('lease-service');
  leases = new Leases(world);
  await world.startOperator();
});

afterAll(async () => world.close());

const serviceOf = (name: string) => ({
  service: { name: `${name}-leader`, ports: [{ name: 'web', port: 80, targetPort: 'http' }] },
});
const service = (name: string): KubeObject => world.object('v1', 'Service', `${name}-leader`);
const slice = (name: string): KubeObject =>
  world.object('discovery.k8s.io/v1', 'EndpointSlice', `${name}-leader-ipv4`);
const pointsAt = (name: string, ...pods: readonly string[]) =>
  eventually(async () => expect(await leases.endpoints(`${name}-leader`)).toEqual(pods), {
    what: `the Service of ${name} points at ${pods.join(', ')}`,
  });

test('label and endpoints follow the leader; taken out of the spec, the Service goes', async () => {
  await leases.readyPods('follow', ['follow-a', 'follow-b']);
  await leases.declare('follow', serviceOf('follow'));
  await leases.ledBy('follow', 'follow-a');
  await pointsAt('follow', 'follow-a');
  const made = await world.kube.get(slice('follow'));
  expect(made?.['endpoints']).toMatchObject([
    { addresses: [(await leases.getPod('follow-a'))['status'].podIP], conditions: { ready: true } },
  ]);
  expect(made?.['ports']).toEqual([{ name: 'web', port: 8080, protocol: 'TCP' }]);
  await leases.setReady('follow-a', false);
  await leases.ledBy('follow', 'follow-b');
  await pointsAt('follow', 'follow-b');
  await leases.change('follow', { service: null });
  await eventually(async () => expect(await world.kube.get(service('follow'))).toBeUndefined(), {
    what: 'the Service is gone',
  });
  await eventually(async () => expect(await world.kube.get(slice('follow'))).toBeUndefined(), {
    what: 'its slice is gone',
  });
});

test.each<[what: string, name: string, edit: () => Promise<unknown>, isRight: () => Promise<void>]>([
  [
    'the label taken off the leader',
    'unlabelled',
    () => world.kube.patch(leases.pod('unlabelled-a'), { metadata: { labels: { [LEADER_LABEL]: null } } }),
    async () => expect(await leases.labelled('unlabelled')).toEqual(['unlabelled-a']),
  ],
  [
    'the label put on another candidate',
    'usurped',
    () => world.kube.patch(leases.pod('usurped-b'), { metadata: { labels: { [LEADER_LABEL]: 'true' } } }),
    async () => expect(await leases.labelled('usurped')).toEqual(['usurped-a']),
  ],
  [
    'endpoints emptied',
    'emptied',
    () => world.kube.patch(slice('emptied'), { endpoints: [] }),
    async () => expect(await leases.endpoints('emptied-leader')).toEqual(['emptied-a']),
  ],
  [
    'a slice deleted',
    'sliceless',
    () => world.kube.delete(slice('sliceless')),
    async () => expect(await leases.endpoints('sliceless-leader')).toEqual(['sliceless-a']),
  ],
  [
    'the mark taken off a slice',
    'unmarked',
    () =>
      world.kube.patch(slice('unmarked'), {
        metadata: { labels: { 'endpointslice.kubernetes.io/managed-by': null } },
        endpoints: [],
      }),
    async () => {
      expect(await leases.endpoints('unmarked-leader')).toEqual(['unmarked-a']);
      const found = await world.kube.get(slice('unmarked'));
      expect(found?.metadata.labels).toHaveProperty(
        ['endpointslice.kubernetes.io/managed-by'],
        'proconsul.dev',
      );
    },
  ],
  [
    'the Service given a selector',
    'selecting',
    () => world.kube.patch(service('selecting'), { spec: { selector: { app: 'selecting' } } }),
    async () => expect((await world.kube.get(service('selecting')))?.['spec'].selector).toBeUndefined(),
  ],
  [
    'the Service deleted',
    'serviceless',
    () => world.kube.delete(service('serviceless')),
    async () => {
      expect(await world.kube.get(service('serviceless'))).toBeDefined();
      expect(await leases.endpoints('serviceless-leader')).toEqual(['serviceless-a']);
    },
  ],
])('%s by an outsider is put back', async (what, name, edit, isRight) => {
  await leases.readyPods(name, [`${name}-a`, `${name}-b`]);
  await leases.declare(name, serviceOf(name));
  await leases.ledBy(name, `${name}-a`);
  await pointsAt(name, `${name}-a`);
  await edit();
  await eventually(isRight, { what: `${what} is put back` });
  await leases.heldBy(name, `${name}-a`);
});

test('a Pod that takes the place of the leader, by the same name, gets no label that was on its way', async () => {
  await leases.readyPods('replaced', ['replaced-a']);
  const isLabel: Matcher = ({ method, path }) => method === 'PATCH' && path.endsWith('/pods/replaced-a');
  await leases.setReady('replaced-a', true);
  const rule = world.toKube.when(
    request => isLabel(request) && request.body.includes(LEADER_LABEL),
    { kind: 'hold' },
    { times: 1 },
  );
  await leases.declare('replaced');
  await eventually(() => rule.hits.length > 0, { what: 'the label is on its way' });
  await leases.deletePod('replaced-a');
  await leases.createPod('replaced', 'replaced-a');
  rule.release();
  await eventually(() => rule.hits[0]?.upstreamStatus !== undefined, { what: 'it has arrived' });
  expect(rule.hits[0]?.upstreamStatus).toBe(409);
  await leases.heldBy('replaced');
  expect(await leases.labelled('replaced')).toEqual([]);
});

test('a Service of that name that is not ours: AlreadyExists, untouched, and nothing is locked', async () => {
  const theirs = { ...service('taken'), spec: { ports: [{ port: 1234 }], selector: { app: 'theirs' } } };
  const before = await world.kube.create(theirs);
  await leases.readyPods('taken', ['taken-a']);
  await leases.declare('taken', serviceOf('taken'));
  const lease = await leases.stands('taken', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  expect(lease['status'].conditions[0].message).toContain('Service taken-leader exists');
  expect(await world.kube.get(service('taken'))).toEqual(before);
  expect(await leases.lock(leases.defaultKey('taken'))).toBeUndefined();
  expect(lease.metadata.finalizers).toBeUndefined();
});

test('a Service that is not ours, in a lease that is held: who dies loses it, nobody follows before the Service goes', async () => {
  await leases.readyPods('edited', ['edited-a', 'edited-b']);
  await leases.declare('edited', serviceOf('edited'));
  await leases.ledBy('edited', 'edited-a');
  await pointsAt('edited', 'edited-a');
  const foreign = world.object('v1', 'Service', 'edited-foreign', { spec: { ports: [{ port: 1234 }] } });
  await world.kube.create(foreign);
  await leases.change('edited', { service: { ...serviceOf('edited').service, name: 'edited-foreign' } });
  await leases.stands('edited', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  expect((await leases.holders('edited')).map(({ name }) => name)).toEqual(['edited-a']);
  await leases.setReady('edited-a', false);
  await eventually(async () => expect(await leases.holders('edited')).toEqual([]), { what: 'nobody leads' });
  expect((await leases.lock(leases.defaultKey('edited')))?.session).toBeUndefined();
  await eventually(async () => expect(await leases.labelled('edited')).toEqual([]), { what: 'no label' });
  await pointsAt('edited');
  await leases.stands('edited', { ready: 'False', reason: 'AlreadyExists', stalled: true });
  await world.kube.delete(foreign);
  await leases.ledBy('edited', 'edited-b');
});

test('two leases with one label on one Pod: it stays for as long as one of them leads there', async () => {
  const shared = { candidates: { selector: { matchLabels: { team: 'both' } } } };
  await leases.createPod('one', 'both-a', { team: 'both' });
  await leases.setReady('both-a', true);
  await leases.declare('one', shared);
  await leases.declare('two', shared);
  await leases.heldBy('one', 'both-a');
  await leases.heldBy('two', 'both-a');
  await leases.remove('two');
  expect(await leases.labelled('one')).toEqual(['both-a']);
  // It was never taken off in between, either.
  const patches = world.toKube.requests.filter(
    ({ method, path }) => method === 'PATCH' && path.endsWith('/pods/both-a'),
  );
  expect(patches.filter(({ body }) => body.includes('null'))).toEqual([]);
  await leases.remove('one');
  expect(await leases.labelled('one')).toEqual([]);
});

const isLeaseStatus: Matcher = ({ method, path }) =>
  method === 'PATCH' && path.includes('/consulleaderleases/') && path.endsWith('/status');

describe('two leases with one label', () => {
  const shared = { candidates: { selector: { matchLabels: { team: 'duo' } } } };
  const becomesLabelled = (...pods: readonly string[]) =>
    eventually(async () => expect(await leases.labelled('duo')).toEqual(pods), {
      what: `${pods.join(', ') || 'nobody'} carries the label`,
    });

  beforeAll(async () => {
    for (const name of ['duo-a', 'duo-b']) {
      await leases.createPod('duo', name, { team: 'duo' });
      await leases.setReady(name, true, new Date(name === 'duo-a' ? 0 : 1000));
    }
  });

  test('a Pod that both led loses it when both lose it at the same time, again and again', async () => {
    await Promise.all(['duo-1', 'duo-2'].map(name => leases.declare(name, shared)));
    for (const [from, to] of [
      ['duo-a', 'duo-b'],
      ['duo-b', 'duo-a'],
      ['duo-a', 'duo-b'],
    ] as const) {
      await leases.setReady(to, true);
      for (const name of ['duo-1', 'duo-2']) await leases.heldBy(name, from);
      await becomesLabelled(from);
      await leases.setReady(from, false);
      for (const name of ['duo-1', 'duo-2']) await leases.heldBy(name, to);
      await becomesLabelled(to);
    }
    // Each knows by Consul that the other one lost it, before any status says so.
    const statuses = world.toKube.when(isLeaseStatus, { kind: 'hold' });
    await leases.setReady('duo-b', false);
    await becomesLabelled();
    statuses.release();
    for (const name of ['duo-1', 'duo-2']) await leases.heldBy(name);
    for (const name of ['duo-1', 'duo-2']) await leases.remove(name);
  });

  test('that lead different Pods: both Pods keep it, and each loses it with its own lease', async () => {
    await leases.setReady('duo-a', true);
    await leases.declare('duo-3', shared);
    await leases.heldBy('duo-3', 'duo-a');
    await leases.setReady('duo-b', true);
    const other = { matchExpressions: [{ key: 'other', operator: 'Exists' }] };
    await world.kube.patch(leases.pod('duo-b'), { metadata: { labels: { other: '' } } });
    await leases.declare('duo-4', { candidates: { selector: other } });
    await leases.heldBy('duo-4', 'duo-b');
    await becomesLabelled('duo-a', 'duo-b');
    const removals = (): number =>
      world.toKube.requests.filter(
        ({ method, path, body }) =>
          method === 'PATCH' && path.endsWith('/pods/duo-b') && body.includes('null'),
      ).length;
    const before = removals();
    // Wakes the lease that does not lead there, and may not mind.
    await world.kube.patch(leases.pod('duo-b'), { metadata: { labels: { note: 'x' } } });
    await world.kube.patch(leases.pod('duo-a'), { metadata: { labels: { [LEADER_LABEL]: null } } });
    await becomesLabelled('duo-a', 'duo-b');
    expect(removals()).toBe(before);
    await leases.remove('duo-4');
    await becomesLabelled('duo-a');
    await leases.remove('duo-3');
    await becomesLabelled();
  });
});
