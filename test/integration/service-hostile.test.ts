import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { catalogWrites } from '../support/catalog-writes.ts';
import { ConsulServices, type ShownInstance } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import { Pods } from '../support/pods.ts';
import { Listener } from '../support/probe-targets.ts';
import { conditionsOf } from '../support/resources.ts';
import { World } from '../support/world.ts';

/** Input that no single resource shows to be bad, and what others do in the catalog to what stands there. */

const LOOPBACK = { PROCONSUL_PROBE_ALLOW_CIDRS: '127.0.0.0/8' };

let world: World;
let services: ConsulServices;
let pods: Pods;
let target: Listener;
/** Of the test: its resource, and the first part of all else that it names. */
let name: string;
let service: string;
let count = 0;

beforeAll(async () => {
  world = await World.create('svc-hostile');
  services = new ConsulServices(world);
  pods = new Pods(world);
  target = await Listener.http((_, response) => response.end('ok'));
  await world.startOperator(LOOPBACK);
});

beforeEach(() => {
  name = `bad${++count}`;
  service = services.service(name);
});

afterAll(async () => {
  await pods.close();
  await world.close();
  await services.clear();
  await target[Symbol.asyncDispose]();
});

const messageOf = async (resource: string) => conditionsOf(await services.get(resource))['Ready']?.message;
const idOf = (last: number | string): string => `${name}-${last}`;
const at = (
  last: number,
  more: object = {},
): { readonly id: string } & Readonly<Record<string, unknown>> => ({
  id: idOf(last),
  address: `192.0.2.${last}`,
  port: 8080,
  ...more,
});
const spec = (instances: readonly object[], more: object = {}) => ({ name: service, instances, ...more });
const many = <Item>(length: number, item: (n: number) => Item): Item[] =>
  Array.from({ length }, (_, n) => item(n));

/** What was changed in the catalog since. */
function startWatching() {
  const begun = world.toConsul.requests.length;
  return () => catalogWrites(world.toConsul.requests.slice(begun));
}

/** All of an instance that its declaration says: neither indexes nor what its checks found. */
function declaredIn({ Node, Service, Checks }: ShownInstance): unknown {
  const checks = Checks.filter(({ ServiceID }) => ServiceID !== '');
  return {
    node: Node.Node,
    service: without(Service, ['CreateIndex', 'ModifyIndex']),
    checks: checks.map(check => without(check, ['CreateIndex', 'ModifyIndex', 'Status', 'Output'])),
  };
}

function without(object: object, fields: readonly string[]): object {
  return Object.fromEntries(Object.entries(object).filter(([field]) => !fields.includes(field)));
}

describe('ids', () => {
  test.each([
    ['of one letter', 'a'],
    ['that begins and ends with _', `_x_`],
    ['with every sign that is allowed', '0.a:b_c-d..e--f::g'],
    ['of 128 characters', 'x'.repeat(128)],
  ])('%s is registered, checked, and taken out', async (_, id) => {
    const checks = [{ name: 'c'.repeat(63), tcp: {}, interval: '1s' }];
    const connect = { sidecar: { port: 20_000 } };
    await services.declareReady(
      name,
      spec([{ id, address: '127.0.0.1', port: target.port }], { checks, connect }),
    );
    await services.becomesPassing(service, [id]);
    await services.becomesPassing(`${service}-sidecar-proxy`, [`${id}-sidecar-proxy`]);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
    expect(await services.ids(`${service}-sidecar-proxy`)).toEqual([]);
  });

  test.each(['IfEqual', 'Always'])(
    'that stands there in capitals is one instance to Consul, and under %s it is left alone',
    async adoptionPolicy => {
      const node = services.node(idOf('vm'));
      const ID = idOf(1).toUpperCase();
      await services.registerByHand({
        node,
        service: { ID, Service: service, Address: '192.0.2.1', Port: 8080 },
      });
      const before = await services.instances(service);
      const watching = startWatching();
      await services.declare(name, spec([at(1, { node }), at(2)], { adoptionPolicy }));
      await services.stalled(name, 'AlreadyExists');
      expect(await services.instances(service)).toEqual(before);
      expect(watching()).toEqual([]);
      await services.remove(name);
      expect(await services.instances(service)).toEqual(before);

      await services.declare(name, spec([at(1, { node }), at(2)], { adoptionPolicy }));
      await services.stalled(name, 'AlreadyExists');
      await services.removeByHand(service, ID);
      await services.ready(name);
      expect(await services.ids(service)).toEqual([idOf(1), idOf(2)]);
    },
  );

  test('that an overwriting stranger puts in capitals over ours: ours comes back', async () => {
    await services.declareReady(name, spec([at(1)]));
    const { Node } = await services.instance(service, idOf(1));
    await services.registerByHand({
      node: Node.Node,
      service: { ID: idOf(1).toUpperCase(), Service: service, Address: '192.0.2.9', Port: 9 },
    });
    await eventually(
      async () => {
        const { Service } = await services.instance(service, idOf(1));
        expect(Service).toMatchObject({ Address: '192.0.2.1', Port: 8080 });
      },
      { what: 'it stands as declared' },
    );
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });
});

describe('a resource as large as admission lets it be', () => {
  const full = (letter: string, length: number) =>
    Object.fromEntries(many(length, n => [`${letter}${n}`.padEnd(128, letter), '"'.repeat(512)]));
  const tags = (letter: string) => many(64, n => `${letter}${n}`.padEnd(255, '"'));

  test('in one instance: 60 names of meta and those of the operator, 128 tags and 16 checks', async () => {
    const path = `/${'p'.repeat(1000)}`;
    const checks = many(16, n => ({ name: `c${n}`.padEnd(63, 'c'), http: { path }, interval: '1s' }));
    const instance = { id: idOf(1), address: '127.0.0.1', port: target.port };
    const whole = { ...instance, tags: tags('b'), meta: full('b', 30) };
    await services.declareReady(name, spec([whole], { tags: tags('a'), meta: full('a', 30), checks }));
    await services.becomesPassing(service, [idOf(1)]);
    const { Service } = await services.instance(service, idOf(1));
    expect(Object.keys(Service.Meta)).toHaveLength(62);
    expect(Service.Tags).toHaveLength(128);
    const watching = startWatching();
    await services.lookAgain(name);
    expect(watching()).toEqual([]);
  });

  test('in meta of an endpoint: with the zone of its Pod there are 63 names, and all of them stand', async () => {
    await pods.service(name, name, { selector: undefined });
    const endpoint = { ...pods.endpoint('pod', '10.8.0.1'), zone: 'zone-a' };
    await world.kube.apply(pods.slice(name, name, { endpoints: [endpoint] }));
    const meta = full('a', 60);
    await services.declareReady(name, { name: service, kubernetes: { service: name }, meta });
    const { Service } = await services.instance(service, services.idOf(name, 'pod'));
    expect(Object.keys(Service.Meta)).toHaveLength(63);
    expect(Service.Meta).toMatchObject({ ...meta, 'topology-zone': 'zone-a' });
  });

  test('in instances: they take many transactions, and a neighbour is served meanwhile', async () => {
    const ids = many(200, idOf);
    const instances = ids.map(id => ({ id, address: '192.0.2.1', tags: [id] }));
    const declared = services.declareReady(
      name,
      spec(instances, { tags: tags('a').slice(1), meta: full('a', 10) }),
    );
    await services.declareReady(`${name}-beside`, {
      name: services.service(`${name}-beside`),
      instances: [{ id: `${name}-beside`, address: '192.0.2.2' }],
    });
    await declared;
    expect(await services.ids(service)).toEqual(ids.toSorted());
    const watching = startWatching();
    await services.change(name, { instances: instances.slice(1) });
    await services.ready(name);
    expect(watching().filter(({ what }) => !what.endsWith('check'))).toEqual([
      { what: 'remove', id: idOf(0) },
    ]);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });
});

describe('EndpointSlices', () => {
  /** Makes it one that nobody has declared yet. */
  const declare = async (kubernetes: object = {}) => {
    await services.declare(name, {
      name: service,
      drainSeconds: 0,
      kubernetes: { service: name, ...kubernetes },
    });
  };
  const write = (slice: string, body: object) => world.kube.apply(pods.slice(name, `${name}-${slice}`, body));
  const podIds = (...names: readonly string[]) => names.map(pod => services.idOf(name, pod));

  beforeEach(async () => {
    await pods.service(name, name, { selector: undefined });
  });

  test('whose endpoints say nothing of their health, their target or their port', async () => {
    const endpoints = [
      { addresses: ['10.8.1.1'] },
      pods.endpoint('nothing-said', '10.8.1.2', {}),
      pods.endpoint('not-ready', '10.8.1.3', { ready: false }),
      pods.endpoint('many', '10.8.1.4'),
      pods.endpoint('many', '10.8.1.5'),
    ];
    await write('odd', { endpoints });
    await write('empty', { endpoints: [] });
    await write('portless', { endpoints: [pods.endpoint('portless', '10.8.1.6')], ports: [] });
    await write('names', {
      addressType: 'FQDN',
      endpoints: [{ addresses: ['pod.example.com'], conditions: { ready: true } }],
    });
    await declare();
    await services.ready(name);
    const ready = [...podIds('10.8.1.1', 'nothing-said', 'many', 'pod.example.com')];
    await services.becomesPassing(service, ready);
    expect(await services.ids(service)).toEqual([...ready, ...podIds('not-ready')].toSorted());
  });

  test('of a name longer than an id may be: two that differ at the end are two', async () => {
    const long = 'p'.repeat(240);
    const endpoints = ['a', 'b'].map((end, n) => pods.endpoint(`${long}${end}`, `10.8.2.${n + 1}`));
    await write('long', { endpoints });
    await declare();
    await services.ready(name);
    const ids = await services.ids(service);
    expect(ids).toHaveLength(2);
    for (const id of ids) expect(id).toMatch(/^.{95}-[0-9a-f]{32}$/);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });

  test('of several ports: the resource has to name one, and one that is not there is waited for', async () => {
    const ports = ['one', 'two'].map((port, n) => ({ name: port, port: 80 + n }));
    await pods.service(name, name, { selector: undefined, ports });
    await write('ports', {
      endpoints: [pods.endpoint('pod', '10.8.3.1')],
      ports: [
        { name: 'one', port: 8001, protocol: 'TCP' },
        { name: 'two', port: 8002, protocol: 'TCP' },
      ],
    });
    await declare();
    await services.stalled(name, 'InvalidSpec');
    expect(await messageOf(name)).toMatch(/one.*two/);
    await services.changeReady(name, { kubernetes: { port: 'two' } });
    const [id = ''] = podIds('pod');
    expect((await services.instance(service, id)).Service.Port).toBe(8002);
    const watching = startWatching();
    await services.change(name, { kubernetes: { port: 'three' } });
    await services.waiting(name, 'SourceNotFound');
    expect(await messageOf(name)).toContain('three');
    expect(watching()).toEqual([]);
  });

  test('that say one Pod is ready and terminating: who terminates does not come back', async () => {
    const terminating = pods.endpoint('pod', '10.8.4.1', { ready: false, serving: true, terminating: true });
    await write('old', { endpoints: [pods.endpoint('pod', '10.8.4.1'), pods.endpoint('stays', '10.8.4.2')] });
    await declare();
    await services.ready(name);
    await services.becomesPassing(service, podIds('pod', 'stays'));
    await write('new', { endpoints: [terminating] });
    await services.becomes(service, podIds('stays'));
  });

  test('of another namespace or another Service concern nobody here', async () => {
    await write('own', { endpoints: [pods.endpoint('own', '10.8.5.1')] });
    const [elsewhere, unlabelled] = ['elsewhere', 'unlabelled'].map(slice =>
      pods.slice(`${name}-other`, `${name}-${slice}`, { endpoints: [pods.endpoint(slice, '10.8.5.2')] }),
    );
    await world.kube.apply(elsewhere as object as never);
    await world.kube.apply({
      ...(unlabelled as NonNullable<typeof unlabelled>),
      metadata: { name: `${name}-unlabelled`, namespace: world.namespace },
    });
    await declare();
    await services.ready(name);
    expect(await services.ids(service)).toEqual(podIds('own'));
  });
});

describe('a spec that no schema shows to be wrong', () => {
  test('gives one node two addresses: refused, and nothing is written', async () => {
    const node = services.node(idOf('vm'));
    const two = [1, 2].map(last => at(last, { node, nodeAddress: `192.0.2.${last}` }));
    const watching = startWatching();
    await services.declare(name, spec(two));
    await services.stalled(name, 'InvalidSpec');
    expect(await messageOf(name)).toContain('spec.instances[1].nodeAddress');
    expect(watching()).toEqual([]);
    await services.changeReady(name, { instances: [two[0], at(2, { node })] });
    expect((await services.nodeNamed(node))?.Node.Address).toBe('192.0.2.1');
  });

  test('that becomes wrong while it stands leaves in Consul what stands', async () => {
    const node = services.node(idOf('vm'));
    await services.declareReady(name, spec([at(1, { node, nodeAddress: '192.0.2.1' })]));
    const before = await services.instances(service);
    await services.change(name, {
      instances: [1, 2].map(last => at(last, { node, nodeAddress: `192.0.2.${last}` })),
    });
    await services.stalled(name, 'InvalidSpec');
    expect(await services.instances(service)).toEqual(before);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });
});

describe('fifty bad resources and a good one', () => {
  test('made together: the good one is served, each of the others says why, and they cost nothing more', async () => {
    const agent = (await world.consul.get('/v1/agent/self')) as { Config: { NodeName: string } };
    const taken = services.node(idOf('taken'));
    await services.registerByHand({
      node: taken,
      service: { ID: idOf('taken'), Service: service, Port: 1 },
    });
    await services.declareReady(`${name}-holder`, spec([{ id: idOf('held'), address: '192.0.2.1' }]));
    const one = { id: idOf('x'), address: '192.0.2.2', port: 1 };
    const reasons = ['Conflict', 'AlreadyExists', 'InvalidSpec', 'SourceNotFound', 'UnsupportedByConsul'];
    const kinds = [
      { instances: [{ ...one, id: idOf('held') }] },
      { instances: [{ ...one, id: idOf('taken'), node: taken }] },
      { instances: [{ ...one, node: agent.Config.NodeName }] },
      { kubernetes: { service: 'nowhere' } },
      { instances: [one], datacenter: 'dc9' },
    ];
    const bad = many(50, n => `${name}-bad-${n}`);
    const watching = startWatching();
    await Promise.all([
      ...bad.map((resource, n) => services.declare(resource, { name: service, ...kinds[n % kinds.length] })),
      services.declare(`${name}-good`, spec([at(1)])),
    ]);
    await services.ready(`${name}-good`);
    for (const [n, resource] of bad.entries()) {
      const reason = reasons[n % reasons.length] ?? '';
      await (reason === 'SourceNotFound'
        ? services.waiting(resource, reason)
        : services.stalled(resource, reason));
    }
    const put = watching().filter(({ what }) => what === 'put');
    expect(put).toEqual([{ what: 'put', id: idOf(1) }]);

    const after = world.toConsul.requests.length;
    await services.changeReady(`${name}-good`, { instances: [at(1, { port: 9090 })] });
    expect(catalogWrites(world.toConsul.requests.slice(after))).toEqual([{ what: 'put', id: idOf(1) }]);
    await Promise.all(bad.map(resource => services.remove(resource)));
    expect(await services.ids(service)).toEqual([idOf(1), idOf('held'), idOf('taken')]);
  });
});

test('a resource made again at once under the same name is another one, and ends as declared', async () => {
  for (const round of ['1', '2', '3']) {
    await services.declare(name, spec([{ id: idOf(round), address: '192.0.2.1' }], { drainSeconds: 1 }));
    if (round !== '2') await services.ready(name);
    await world.kube.delete(services.object(name));
    await services.gone(name);
  }
  await services.declareReady(name, spec([at(9)]));
  expect(await services.ids(service)).toEqual([idOf(9)]);
});

test('a spec that changes faster than anybody can follow ends as it was last', async () => {
  for (let n = 1; n <= 20; n++) await services.declare(name, spec([at(n), at(n + 1)], { tags: [`t${n}`] }));
  await services.ready(name);
  expect(await services.ids(service)).toEqual([idOf(20), idOf(21)]);
  for (const { Service } of Object.values(await services.instances(service)))
    expect(Service.Tags).toEqual(['t20']);
});

describe('by others', () => {
  const checks = [{ name: 'up', http: {}, interval: '1s' }];
  const connect = { sidecar: { port: 20_000, upstreams: [{ destinationName: 'api', localBindPort: 9091 }] } };
  const live = (last: number, more: object = {}) =>
    at(last, { address: '127.0.0.1', port: target.port, ...more });
  /** Of an instance on a node of the operator; `on` and `to` make edits of that instance. */
  const on = (edit: object) => () => services.editByHand(service, idOf(1), edit);
  const deregister = async (fields: object) => {
    const { Node } = await services.instance(service, idOf(1));
    await world.consul.put('/v1/catalog/deregister', { Node: Node.Node, ...fields });
  };
  const checkId = () => `service:${idOf(1)}:up`;

  const edits: Readonly<Record<string, () => Promise<unknown>>> = {
    'its address': on({ Address: '198.51.100.1' }),
    'its port': on({ Port: 1 }),
    'its tags': on({ Tags: ['other'] }),
    'one more tag': on({ Tags: ['v1', 'more'] }),
    'its meta': on({ Meta: { rack: 'other' } }),
    'the mark of its owner': on({ Meta: { rack: 'r1', 'external-source': 'kubernetes' } }),
    'its weights': on({ Weights: { Passing: 7, Warning: 3 } }),
    'whether others may change its tags': on({ EnableTagOverride: true }),
    'its service': () => services.editByHand(service, idOf(1), { Service: services.service('another') }),
    'its kind': on({ Kind: 'connect-proxy', Proxy: { DestinationServiceName: 'other' } }),
    'that it is native': on({ Connect: { Native: true } }),
    'that it is there': () => services.removeByHand(service, idOf(1)),
    'a check of it, taken out': () => deregister({ CheckID: checkId() }),
    'the name of a check': () =>
      services.checkByHand(service, idOf(1), { CheckID: checkId(), Name: 'other', Status: 'passing' }),
    'the node, with all that stands there': () => deregister({}),
  };

  test.each(Object.keys(edits))('%s is changed: it is put back, and the other instances stay', async what => {
    const all = many(8, n => live(n + 1, { tags: ['v1'], meta: { rack: 'r1' } }));
    const ids = all.map(({ id }) => id);
    await services.declareReady(name, spec(all, { checks }));
    await services.becomesPassing(service, ids);
    const shown = async () =>
      (await Promise.all(ids.map(id => services.instance(service, id)))).map(declaredIn);
    const before = await shown();

    await edits[what]?.();

    await eventually(async () => expect(await shown()).toEqual(before), { what: 'everything is as before' });
    await services.becomesPassing(service, ids);
    await services.event(name, 'DriftCorrected');
    await services.ready(name);
    expect(Object.keys(await services.instances(services.service('another')))).toEqual([]);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });

  test.each(['passing', 'critical', 'warning', 'nonsense'])(
    'the status of a check is set to %s: it says the truth again, and that is no drift',
    async status => {
      await using dead = await Listener.http((_, response) => response.writeHead(500).end());
      const [good, bad] = [live(1), live(2, { port: dead.port })];
      await services.declareReady(name, spec([good, bad], { checks }));
      const truth = async () => {
        for (const [{ id }, said] of [
          [good, 'passing'],
          [bad, 'critical'],
        ] as const) {
          expect(await services.checks(service, id)).toEqual({ up: said });
        }
      };
      const isAsked = async () => {
        const { Checks } = await services.instance(service, bad.id);
        expect(Checks.find(({ ServiceID }) => ServiceID === bad.id)?.Output).toContain('500');
      };
      // Before its first run a check is critical, too.
      for (const holds of [truth, isAsked]) await eventually(holds, { what: 'both were asked' });
      for (const { id } of [good, bad]) {
        const { Node } = await services.instance(service, id);
        const shown = (await services.checksOn(Node.Node)).find(({ ServiceID }) => ServiceID === id);
        await services.registerByHand({ node: Node.Node, check: { ...shown, Status: status } });
      }
      await eventually(truth, { what: 'both say the truth again' });
      expect((await services.events(name)).map(({ reason }) => reason)).not.toContain('DriftCorrected');
      await services.remove(name);
    },
  );

  test('the readiness of a Pod is set to passing: it says again what Kubernetes does', async () => {
    await pods.service(name, name, { selector: undefined });
    const endpoints = [pods.endpoint('pod', '10.8.6.1', { ready: false })];
    await world.kube.apply(pods.slice(name, name, { endpoints }));
    await services.declareReady(name, { name: service, kubernetes: { service: name } });
    const id = services.idOf(name, 'pod');
    const { Node, Checks } = await services.instance(service, id);
    const readiness = Checks.find(({ ServiceID }) => ServiceID === id);
    await services.registerByHand({ node: Node.Node, check: { ...readiness, Status: 'passing' } });
    expect(await services.passing(service)).toEqual([id]);
    await services.becomesPassing(service, []);
  });

  test.each<[string, (proxy: string) => Promise<unknown>]>([
    ['taken out', proxy => services.removeByHand(`${service}-sidecar-proxy`, proxy)],
    ['moved', proxy => services.editByHand(`${service}-sidecar-proxy`, proxy, { Port: 1 })],
    [
      'given other upstreams',
      proxy =>
        services.editByHand(`${service}-sidecar-proxy`, proxy, {
          Proxy: { DestinationServiceName: service, DestinationServiceID: idOf(1), Upstreams: [] },
        }),
    ],
    ['left alone: its instance is taken out', () => services.removeByHand(service, idOf(1))],
    ['taken out with its whole node', () => deregister({})],
  ])('a sidecar is %s: both stand again as declared', async (_, edit) => {
    const both = async () =>
      [await services.instance(service, idOf(1)), await services.sidecar(service, idOf(1))].map(
        shown => shown && declaredIn(shown),
      );
    await services.declareReady(name, spec([live(1)], { connect, checks }));
    const before = await both();
    expect(before).not.toContain(undefined);
    await edit(`${idOf(1)}-sidecar-proxy`);
    await eventually(async () => expect(await both()).toEqual(before), { what: 'both are as before' });
    await services.becomesPassing(`${service}-sidecar-proxy`, [`${idOf(1)}-sidecar-proxy`]);
    await services.ready(name);
    await services.remove(name);
    expect(await services.sidecar(service, idOf(1))).toBeUndefined();
  });

  test('what they register on our nodes is left alone, whatever becomes of ours', async () => {
    await services.declareReady(name, spec([at(1)]));
    const { Node } = await services.instance(service, idOf(1));
    const theirs = { ID: idOf('theirs'), Service: service, Address: '198.51.100.1', Port: 1 };
    await services.registerByHand({ node: Node.Node, service: theirs });
    const nodeCheck = { CheckID: idOf('theirs'), Name: 'of the node', Status: 'passing' };
    await services.registerByHand({ node: Node.Node, check: nodeCheck });
    const stranger = async () => {
      const found = (await services.instances(service))[idOf('theirs')];
      return { service: found?.Service, checks: found?.Checks };
    };
    const before = await stranger();
    expect(before.service?.ID).toBe(idOf('theirs'));

    await services.changeReady(name, { instances: [at(1, { port: 1 }), at(2)] });
    await services.removeByHand(service, idOf(1));
    await services.becomes(service, [idOf(1), idOf(2), idOf('theirs')]);
    await services.remove(name);
    expect(await stranger()).toEqual(before);
    expect(await services.ids(service)).toEqual([idOf('theirs')]);
  });

  test('what they declare of a node that we made is theirs to say', async () => {
    const node = services.node(idOf('vm'));
    await services.declareReady(name, spec([at(1, { node })]));
    const made = await services.nodeNamed(node);
    const Meta = { ...made?.Node.Meta, rack: 'r1' };
    await world.consul.put('/v1/catalog/register', { Node: node, Address: '198.51.100.7', NodeMeta: Meta });
    await services.changeReady(name, { instances: [at(1, { node, port: 9090 })] });
    expect((await services.nodeNamed(node))?.Node).toMatchObject({ Address: '198.51.100.7', Meta });
  });
});
