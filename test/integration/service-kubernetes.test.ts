import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type CatalogWrite, settledTallyOf } from '../support/catalog-writes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import { POD_PORT, Pods } from '../support/pods.ts';
import { conditionsOf } from '../support/resources.ts';
import { Stopwatch } from '../support/stopwatch.ts';
import { World } from '../support/world.ts';

/** Endpoints of Kubernetes, which the real controller makes of Pods, as Consul hands them out. */

/** What Consul follows within; about a second is expected. */
const BOUND_MS = 10_000;
/** How long an instance of a Pod is critical before it is removed, without `drainSeconds`. */
const DRAIN_MS = 5_000;

let world: World;
let services: ConsulServices;
let pods: Pods;
/** The Service of the test, its ConsulService, and the label of its Pods. */
let app: string;

beforeAll(async () => {
  world = await World.create('svc-kube');
  services = new ConsulServices(world);
  pods = new Pods(world);
  await world.startOperator();
});

let count = 0;

beforeEach(() => {
  app = `app${++count}`;
});

afterAll(async () => {
  await pods.close();
  await world.close();
  await services.clear();
});

const named = (first: number, end: number): string[] =>
  Array.from({ length: end - first }, (_, at) => `${app}-${first + at}`);
const idsOf = (names: readonly string[]): string[] => names.map(name => services.idOf(app, name));
const idOf = (name: string): string => services.idOf(app, name);
const spec = (more: object = {}): Record<string, unknown> => ({
  name: services.service(app),
  kubernetes: { service: app, ...more },
});
const startAll = (names: readonly string[]) => Promise.all(names.map(name => pods.start(app, name)));
const killAll = (names: readonly string[]) => Promise.all(names.map(name => pods.kill(name)));

/** Resolves once Consul hands out these Pods and no others. Prints how long that took. */
async function follows(what: string, names: readonly string[]): Promise<void> {
  const watch = new Stopwatch();
  await services.becomesPassing(services.service(app), idsOf(names), BOUND_MS);
  watch.tell(`${what}: Consul follows`, BOUND_MS);
}

/** Resolves once no other instances stand there, drained ones included. */
async function isDrained(names: readonly string[]): Promise<void> {
  await services.becomes(services.service(app), idsOf(names), DRAIN_MS + BOUND_MS);
}

/** What is changed in the catalog for the Pods of the test from now on. */
function startCounting(): () => Promise<Readonly<Record<string, number>>> {
  const begun = world.toConsul.requests.length;
  const isOfTest = ({ id }: CatalogWrite): boolean => id.includes(idOf(''));
  return () => settledTallyOf(world.toConsul.requests.slice(begun), isOfTest);
}

/** A converged ConsulService with so many Pods. */
async function running(pieces: number, more: object = {}): Promise<readonly string[]> {
  const names = named(0, pieces);
  await pods.service(app);
  await startAll(names);
  await pods.becomeEndpoints(app, names);
  await services.declareReady(app, { ...spec(), ...more });
  await services.becomesPassing(services.service(app), idsOf(names));
  return names;
}

async function messageOf(name: string): Promise<string | undefined> {
  return conditionsOf(await services.get(name))['Ready']?.message;
}

test('twenty Pods come, seventeen go, and the last three: each is written once', async () => {
  await pods.service(app);
  const empty = await services.declareReady(app, spec());
  expect(empty['status'].instances).toMatchObject({ registered: 0, passing: 0, summary: '0/0' });

  const up = startCounting();
  await startAll(named(0, 20));
  await follows('0 to 20 Pods', named(0, 20));
  expect(await up()).toEqual({ put: 20, 'put check': 20 });
  await eventually(
    async () => {
      const { status } = await services.ready(app);
      expect(status.instances).toMatchObject({ registered: 20, passing: 20, critical: 0, summary: '20/20' });
    },
    { what: 'the status counts them' },
  );

  const down = startCounting();
  await killAll(named(3, 20));
  await follows('20 to 3 Pods', named(0, 3));
  expect(await down()).toEqual({ 'put check': 17 });
  await isDrained(named(0, 3));
  expect(await down()).toEqual({ 'put check': 17, remove: 17 });

  const out = startCounting();
  await killAll(named(0, 3));
  await follows('3 to 0 Pods', []);
  await isDrained([]);
  expect(await out()).toEqual({ 'put check': 3, remove: 3 });
  await services.ready(app);
});

test('an instance says where its Pod is, and whose it is', async () => {
  await running(0);
  const address = await pods.start(app, `${app}-0`, 'zone-b');
  await follows('a Pod', [`${app}-0`]);
  const { Service, Node } = await services.instance(services.service(app), idOf(`${app}-0`));
  expect(services.virtualNodes).toContain(Node.Node);
  expect(Service).toMatchObject({
    Address: address,
    Port: POD_PORT.containerPort,
    Meta: {
      'external-source': 'kubernetes',
      'proconsul-owner': `${world.installId}/${world.namespace}/${app}`,
      'topology-zone': 'zone-b',
    },
  });
});

test('readiness that flips is one write each way, and the instance stays', async () => {
  const [first, second, third] = (await running(3)) as [string, string, string];
  const before = await services.instance(services.service(app), idOf(second));

  const tally = startCounting();
  await pods.setReady(second, false);
  await follows('a Pod that is not ready', [first, third]);
  expect(await services.checks(services.service(app), idOf(second))).toEqual({
    'proconsul-readiness': 'critical',
  });
  expect(await tally()).toEqual({ 'put check': 1 });
  await eventually(
    async () => {
      const { status } = await services.ready(app);
      expect(status.instances).toMatchObject({ registered: 3, passing: 2, critical: 1, summary: '2/3' });
    },
    { what: 'the status counts it' },
  );

  await pods.setReady(second, true);
  await follows('a Pod that is ready again', [first, second, third]);
  expect(await tally()).toEqual({ 'put check': 2 });
  const after = await services.instance(services.service(app), idOf(second));
  expect(after.Service).toEqual(before.Service);
});

test('a Pod that terminates is critical at once, and removed when it has been so for the drain time', async () => {
  const [first, second] = (await running(2)) as [string, string];
  const tally = startCounting();
  const began = Date.now();
  await pods.terminate(second);
  await follows('a Pod that terminates', [first]);
  const { Checks } = await services.instance(services.service(app), idOf(second));
  const draining = Checks.find(({ CheckID }) => CheckID.endsWith(':proconsul-draining'));
  expect(draining).toMatchObject({
    Status: 'critical',
    Output: expect.stringMatching(/^draining since \d{4}-\d\d-\d\dT/),
  });
  await pods.kill(second); // its kubelet has ended it meanwhile
  await isDrained([first]);
  expect(Date.now() - began).toBeGreaterThanOrEqual(DRAIN_MS);
  expect(await tally()).toEqual({ 'put check': 1, remove: 1 });
});

test('with drainSeconds 0 a Pod that terminates is removed at once', async () => {
  const [first, second] = (await running(2, { drainSeconds: 0 })) as [string, string];
  const tally = startCounting();
  await pods.terminate(second);
  await follows('a Pod that terminates', [first]);
  await services.becomes(services.service(app), idsOf([first]), BOUND_MS);
  expect(await tally()).toEqual({ remove: 1 });
});

test('a Pod that comes back by its name while it is drained goes on at its new address', async () => {
  const [first] = (await running(1, { drainSeconds: 600 })) as [string];
  await pods.kill(first);
  await follows('a Pod that is gone', []);
  const tally = startCounting();
  const address = await pods.start(app, first);
  await follows('the Pod that comes back', [first]);
  const { Service } = await services.instance(services.service(app), idOf(first));
  expect(Service.Address).toBe(address);
  expect(await services.checks(services.service(app), idOf(first))).toEqual({
    'proconsul-readiness': 'passing',
  });
  expect(await tally()).toEqual({ put: 1, 'remove check': 1 });
});

test('another Service of the same Pods: nothing is written', async () => {
  const names = await running(3);
  await pods.service(`${app}-new`, app);
  await pods.becomeEndpoints(`${app}-new`, names);
  const tally = startCounting();
  await services.changeReady(app, { kubernetes: { service: `${app}-new` } });
  await follows('a Service renamed', names);
  await services.lookAgain(app);
  expect(await tally()).toEqual({});

  await pods.deleteService(app);
  await pods.start(app, `${app}-3`);
  await follows('a Pod of the renamed Service', [...names, `${app}-3`]);
  expect(await tally()).toEqual({ put: 1, 'put check': 1 });
});

test('another Service of other Pods: they come, and the old ones are drained', async () => {
  const names = await running(2);
  const others = named(5, 8);
  await pods.service(`${app}-new`, `${app}-new`);
  await Promise.all(others.map(name => pods.start(`${app}-new`, name)));
  await pods.becomeEndpoints(`${app}-new`, others);
  const tally = startCounting();
  await services.changeReady(app, { kubernetes: { service: `${app}-new` } });
  await follows('a Service renamed', others);
  await isDrained(others);
  expect(await tally()).toEqual({
    put: others.length,
    'put check': others.length + names.length,
    remove: names.length,
  });
});

test('a Service that is deleted: its instances are drained, and the resource waits for it', async () => {
  const names = await running(3);
  const tally = startCounting();
  await pods.deleteService(app);
  await follows('a Service deleted', []);
  await isDrained([]);
  expect(await tally()).toEqual({ 'put check': 3, remove: 3 });
  await services.waiting(app, 'SourceNotFound');
  expect(await messageOf(app)).toContain(app);

  await pods.service(app);
  await follows('the Service made again', names);
  await services.ready(app);
  expect(await tally()).toEqual({ 'put check': 6, remove: 3, put: 3 });
});

test('a Service that does not exist is waited for, and followed when it appears', async () => {
  const tally = startCounting();
  await services.declare(app, spec());
  await services.waiting(app, 'SourceNotFound');
  expect(await messageOf(app)).toContain(app);
  expect(await tally()).toEqual({});
  await startAll(named(0, 2));
  await pods.service(app);
  await follows('a Service that appears', named(0, 2));
  await services.ready(app);
  expect(await tally()).toEqual({ put: 2, 'put check': 2 });
});

test('a fixed instance stands although the Service beside it does not exist', async () => {
  const fixed = { id: `${app}-fixed`, address: '192.0.2.7', port: 80 };
  await services.declare(app, { ...spec(), instances: [fixed] });
  await services.waiting(app, 'SourceNotFound');
  await services.becomesPassing(services.service(app), [fixed.id], BOUND_MS);
  await pods.service(app);
  await pods.start(app, `${app}-0`);
  await services.becomesPassing(services.service(app), [fixed.id, idOf(`${app}-0`)], BOUND_MS);
  await services.ready(app);
});

test('a port that no slice has: it is waited for, and what stands stays, but for Pods that leave', async () => {
  const names = await running(2);
  const tally = startCounting();
  await services.change(app, { kubernetes: { service: app, port: 'admin' } });
  await services.waiting(app, 'SourceNotFound');
  expect(await messageOf(app)).toContain('admin');
  await pods.kill(names[1] as string);
  await pods.becomeEndpoints(app, names.slice(0, 1));
  await services.becomesPassing(services.service(app), idsOf(names.slice(0, 1)), BOUND_MS);
  await services.lookAgain(app);
  expect(await tally()).toEqual({ 'put check': 1 });
  expect(await services.ids(services.service(app))).toEqual(idsOf(names));

  const ports = [
    { name: 'http', port: 80, targetPort: 'http' },
    { name: 'admin', port: 81, targetPort: 9090 },
  ];
  await pods.service(app, app, { ports });
  await follows('a port that appears', names.slice(0, 1));
  const portOf = async () =>
    (await services.instance(services.service(app), idOf(names[0] as string))).Service.Port;
  await eventually(async () => expect(await portOf()).toBe(9090), { what: 'the other port' });
  await services.ready(app);
});

test('a Pod with two address families is one instance, at its IPv4 address', async () => {
  await pods.service(app, app, { ipFamilyPolicy: 'RequireDualStack' });
  await services.declareReady(app, spec());
  const [both, six] = named(0, 2) as [string, string];
  await pods.create(app, both);
  await pods.create(app, six);
  const address = pods.address();
  await pods.setReady(both, true, [address, 'fd00:7::1']);
  await pods.setReady(six, true, ['fd00:7::2']);
  await follows('two families', [both, six]);
  const addressOf = async (name: string) =>
    (await services.instance(services.service(app), idOf(name))).Service.Address;
  // Its slices come one after the other.
  await eventually(async () => expect(await addressOf(both)).toBe(address), {
    what: 'the IPv4 address',
    timeoutMs: BOUND_MS,
  });
  expect(await addressOf(six)).toBe('fd00:7::2');
  expect(await services.ids(services.service(app))).toHaveLength(2);
});

test('an endpoint in several slices is one instance, which stays when one of them goes', async () => {
  await pods.service(app, app, { selector: null });
  const [one, other] = named(0, 2) as [string, string];
  const first = pods.slice(app, `${app}-a`, { endpoints: [pods.endpoint(one, '10.8.0.1')] });
  const second = pods.slice(app, `${app}-b`, {
    endpoints: [pods.endpoint(one, '10.8.0.1'), pods.endpoint(other, '10.8.0.2')],
  });
  const six = pods.slice(app, `${app}-c`, {
    addressType: 'IPv6',
    endpoints: [pods.endpoint(one, 'fd00:8::1')],
  });
  await world.kube.apply(first);
  await services.declareReady(app, spec());
  await follows('the first slice', [one]);
  const tally = startCounting();
  await world.kube.apply(six);
  await world.kube.apply(second);
  await follows('more slices', [one, other]);
  expect(await tally()).toEqual({ put: 1, 'put check': 1 });
  await world.kube.delete(first);
  await world.kube.delete(six);
  await services.lookAgain(app);
  expect(await tally()).toEqual({ put: 1, 'put check': 1 });
  expect(await services.passing(services.service(app))).toEqual(idsOf([one, other]));
});

test('the resource is deleted: its Pods are drained, and nothing of it is left', async () => {
  await running(3);
  const tally = startCounting();
  const began = Date.now();
  await world.kube.delete(services.object(app));
  await follows('a resource deleted', []);
  const held = await services.stands(app, { ready: 'False', reason: 'Progressing', reconciling: true });
  expect(conditionsOf(held)['Ready']?.message).toContain('draining 3 instances');
  expect(held['status'].instances).toMatchObject({ registered: 3, passing: 0, critical: 3 });
  await services.gone(app);
  expect(Date.now() - began).toBeGreaterThanOrEqual(DRAIN_MS);
  expect(await services.ids(services.service(app))).toEqual([]);
  expect(await tally()).toEqual({ 'put check': 3, remove: 3 });
  expect(Object.keys(await world.records()).filter(key => key.endsWith(`/${app}`))).toEqual([]);
});
