import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulPolicy } from '../support/consul-policy.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import { Listener } from '../support/probe-targets.ts';
import { conditionsOf } from '../support/resources.ts';
import { World } from '../support/world.ts';

/** Row 26: rights on services and nodes that the token has, and has not. */

const DENIED = { ready: 'False', reason: 'ConsulDenied', reconciling: true } as const;

let own: Consul & { close(): Promise<void> };
let world: World;
let services: ConsulServices;

beforeAll(async () => {
  own = await startConsulSandbox({ acl: true });
});

afterAll(() => own.close());

beforeEach(async () => {
  const consulToken = own.managementToken as string;
  world = await World.create('svc-acl', { consulAddress: own.address, consulToken });
  services = new ConsulServices(world);
});

afterEach(async () => {
  await world.close();
  await services.clear();
});

/** What the page of the kind says, for services and nodes of this world alone. */
function rights(): string[] {
  return [
    'key_prefix "proconsul/" { policy = "write" }',
    'key_prefix "proconsul-private/" { policy = "write" }',
    'session_prefix "proconsul-" { policy = "write" }',
    'node_prefix "proconsul-" { policy = "write" }',
    `node_prefix "${services.node('')}" { policy = "write" }`,
    `service_prefix "${services.service('')}" { policy = "write" }`,
  ];
}

async function startWith(rules: readonly string[]): Promise<void> {
  const { secret } = await new ConsulPolicy(world).token(rules);
  await world.startOperator({ CONSUL_HTTP_TOKEN: secret, PROCONSUL_PROBE_ALLOW_CIDRS: '127.0.0.0/8' });
}

const at = (id: string, more: object = {}) => ({ id, address: '192.0.2.1', port: 8080, ...more });
const spec = (service: string, instances: readonly object[], more: object = {}) => ({
  name: services.service(service),
  instances,
  ...more,
});

async function deniedFor(name: string): Promise<string | undefined> {
  return conditionsOf(await services.stands(name, DENIED))['Ready']?.message;
}

test('the rights that are documented are enough: instances, checks, sidecars, nodes of users, and an end', async () => {
  let code = 200;
  await using target = await Listener.http((_, response) => response.writeHead(code).end());
  await startWith(rights());
  const checks = [{ name: 'up', http: { port: target.port }, interval: '1s' }];
  const node = services.node('vm');
  const instances = [at('own', { address: '127.0.0.1' }), at('theirs', { address: '127.0.0.1', node })];
  await services.declareReady('plain', spec('plain', instances, { checks }));
  await services.becomesPassing(services.service('plain'), ['own', 'theirs']);
  code = 500;
  await services.becomesPassing(services.service('plain'), []);
  code = 200;
  await services.editByHand(services.service('plain'), 'own', { Port: 1 });
  await services.event('plain', 'DriftCorrected');
  await services.becomesPassing(services.service('plain'), ['own', 'theirs']);

  const sidecar = { port: 20_000, upstreams: [{ destinationName: 'api', localBindPort: 9091 }] };
  await services.declareReady('mesh', spec('mesh', [at('mesh')], { connect: { sidecar } }));
  await services.becomesPassing(`${services.service('mesh')}-sidecar-proxy`, ['mesh-sidecar-proxy']);

  await services.changeReady('plain', { instances: [at('own')] });
  for (const name of ['plain', 'mesh']) await services.remove(name);
  const left = [...services.virtualNodes, node];
  await eventually(
    async () =>
      expect(await Promise.all(left.map(each => services.nodeNamed(each)))).toEqual(
        left.map(() => undefined),
      ),
    { what: 'the nodes went with their last instances' },
  );
});

test.each([
  ['plain', {}],
  ['in the mesh', { connect: { sidecar: { port: 20_000 } } }],
])(
  'a service that the token may not write is denied by name of the right, and the others converge: %s',
  async (_, more) => {
    const forbidden = services.service('forbidden');
    await startWith([...rights(), `service "${forbidden}" { policy = "read" }`]);
    await services.declare('denied', spec('forbidden', [at('denied')], more));
    for (const name of ['a', 'b', 'c']) await services.declareReady(name, spec(name, [at(name)], more));
    expect(await deniedFor('denied')).toMatch(/service:write/);
    expect(await services.ids(forbidden)).toEqual([]);

    // What is denied is not in the way of what comes later.
    await services.changeReady('a', { tags: ['new'] });
    await new ConsulPolicy(world).setRights(rights());
    await services.ready('denied');
    expect(await services.ids(forbidden)).toEqual(['denied']);
  },
);

test('a sidecar that the token may not write is denied by name of the right, though its service may be', async () => {
  const sidecar = `${services.service('half')}-sidecar-proxy`;
  await startWith([...rights(), `service "${sidecar}" { policy = "read" }`]);
  const connect = { sidecar: { port: 20_000 } };
  await services.declare('half', spec('half', [at('half')], { connect }));
  await services.declareReady('beside', spec('beside', [at('beside')]));
  expect(await deniedFor('half')).toMatch(/service:write/);
  await new ConsulPolicy(world).setRights(rights());
  await services.ready('half');
  expect(await services.ids(sidecar)).toEqual(['half-sidecar-proxy']);
});

test('a node that the token may not make is denied by name of the right, and the others converge', async () => {
  const [forbidden, allowed] = [services.node('forbidden'), services.node('allowed')];
  await startWith([...rights(), `node "${forbidden}" { policy = "read" }`]);
  await services.declare('denied', spec('shared', [at('denied', { node: forbidden })]));
  await services.declareReady('allowed', spec('shared', [at('allowed', { node: allowed })]));
  await services.declareReady('plain', spec('shared', [at('plain')]));
  expect(await deniedFor('denied')).toMatch(/node:write/);
  expect(await services.nodeNamed(forbidden)).toBeUndefined();

  await new ConsulPolicy(world).setRights(rights());
  await services.ready('denied');
  expect(await services.ids(services.service('shared'))).toEqual(['allowed', 'denied', 'plain']);
});

test('a right that is taken away: what stands stays, deletion waits for it, and neighbours go on', async () => {
  const forbidden = services.service('forbidden');
  await startWith(rights());
  await services.declareReady('denied', spec('forbidden', [at('denied')]));
  await services.declareReady('beside', spec('beside', [at('beside')]));
  await new ConsulPolicy(world).setRights([...rights(), `service "${forbidden}" { policy = "read" }`]);
  await services.change('denied', { tags: ['new'] });
  expect(await deniedFor('denied')).toMatch(/service:write/);
  await services.changeReady('beside', { tags: ['new'] });

  await world.kube.delete(services.object('denied'));
  const isBlocked = async () => {
    const { Ready } = conditionsOf(await services.get('denied'));
    expect(Ready?.reason).toMatch(/^(DeletionBlocked|ConsulDenied)$/);
    expect(Ready?.message).toMatch(/service:write/);
  };
  await eventually(isBlocked, { what: 'its status says what is in the way' });
  expect(await services.ids(forbidden)).toEqual(['denied']);
  await new ConsulPolicy(world).setRights(rights());
  await services.gone('denied');
  expect(await services.ids(forbidden)).toEqual([]);
});

test('what the token may not see is not taken for gone, nor for free', async () => {
  const hidden = services.service('hidden');
  await startWith(rights());
  await services.declareReady('hidden', spec('hidden', [at('hidden')]));
  await services.declareReady('beside', spec('beside', [at('beside')]));
  const before = await services.instances(hidden);
  await new ConsulPolicy(world).setRights([...rights(), `service "${hidden}" { policy = "deny" }`]);
  const beside = services.service('beside');
  await services.editByHand(beside, 'beside', { Port: 1 });
  await eventually(async () => expect((await services.instance(beside, 'beside')).Service.Port).toBe(8080), {
    what: 'the port of its neighbour is put back',
  });
  await services.lookAgain('hidden');
  expect(await services.instances(hidden)).toEqual(before);
  expect(Object.keys(await world.records()).filter(key => key.endsWith('/hidden'))).toHaveLength(1);
  await new ConsulPolicy(world).setRights(rights());
  await services.ready('hidden');
  expect(await services.instances(hidden)).toEqual(before);
});
