import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
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
