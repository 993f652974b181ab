import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ConsulApi } from '../support/consul-api.ts';
import { type ConsulAgent, startConsulAgent } from '../support/consul-agent.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import { HealthServer } from '../support/health-server.ts';
import { Pods } from '../support/pods.ts';
import { Listener } from '../support/probe-targets.ts';
import { conditionsOf } from '../support/resources.ts';
import { World } from '../support/world.ts';

/** Services that an agent has, and whose checks it runs: a real one, whose memory can be taken away. */

const AGENT = { PROCONSUL_AGENT_MODE: 'true' };
const SCRIPTS = { ...AGENT, PROCONSUL_ALLOW_SCRIPT_CHECKS: 'true' };
const EVERYTHING = { ...SCRIPTS, PROCONSUL_PROBE_ALLOW_CIDRS: '127.0.0.0/8' };

interface AgentCheck {
  readonly CheckID: string;
  readonly Name: string;
  readonly Status: string;
  readonly Type: string;
  readonly ServiceID: string;
}

let consul: ConsulAgent;
let folder: string;
let count = 0;
/** Of the test: its resource, and the first part of all else that it names. */
let name: string;

beforeAll(async () => {
  consul = await startConsulAgent();
  folder = await mkdtemp(join(tmpdir(), 'proconsul-agent-'));
});

afterAll(async () => {
  await consul.close();
  await rm(folder, { recursive: true });
});

beforeEach(() => {
  name = `agent${++count}`;
});

/** What an agent has, told by itself. */
class AgentView {
  readonly #api: ConsulApi;

  constructor(address: string) {
    this.#api = new ConsulApi({ address });
  }

  /** Those of the test, by id. */
  async services(): Promise<
    Readonly<Record<string, { readonly Tags: readonly string[]; readonly Port: number }>>
  > {
    const all = (await this.#api.get('/v1/agent/services')) as Record<string, never>;
    return Object.fromEntries(Object.entries(all).filter(([id]) => id.startsWith(`${name}-`)));
  }

  async checks(id: string): Promise<readonly AgentCheck[]> {
    const all = (await this.#api.get('/v1/agent/checks')) as Record<string, AgentCheck>;
    return Object.values(all).filter(({ ServiceID }) => ServiceID === id);
  }

  /** By name. */
  async says(id: string): Promise<Readonly<Record<string, string>>> {
    return Object.fromEntries((await this.checks(id)).map(({ Name, Status }) => [Name, Status]));
  }

  async nodeName(): Promise<string> {
    return ((await this.#api.get('/v1/agent/self')) as { Config: { NodeName: string } }).Config.NodeName;
  }

  async register(service: object): Promise<void> {
    await this.#api.call('PUT', '/v1/agent/service/register', JSON.stringify(service));
  }

  async deregister(id: string): Promise<void> {
    await this.#api.call('PUT', `/v1/agent/service/deregister/${id}`);
  }

  async deregisterCheck(id: string): Promise<void> {
    await this.#api.call('PUT', `/v1/agent/check/deregister/${id}`);
  }

  /** The application says that it is well. */
  async pass(id: string, check: string): Promise<void> {
    await this.#api.call('PUT', `/v1/agent/check/pass/service:${id}:${check}`);
  }
}

interface Home {
  readonly world: World;
  readonly services: ConsulServices;
  readonly agent: AgentView;
}

async function home(topic: string): Promise<Home> {
  const world = await World.create(topic, { consulAddress: consul.agent.address });
  return { world, services: new ConsulServices(world), agent: new AgentView(consul.agent.address) };
}

const idOf = (last: number | string): string => `${name}-${last}`;
const at = (last: number, more: object = {}) => ({
  id: idOf(last),
  address: '192.0.2.1',
  port: 8080,
  ...more,
});
const beat = { name: 'beat', ttl: { ttl: '1h' } };
const ttlSpec = (more: object = {}) => ({
  registration: 'Agent',
  instances: [at(1)],
  checks: [beat],
  ...more,
});
/** Passing while the file is there, else critical: 1 would be a warning. */
const testing = (file: string) => ({
  name: 'file',
  script: { args: ['/bin/sh', '-c', `test -e '${file}' || exit 2`] },
  interval: '1s',
});

/** What the operator had the agent do since. */
function startWatching({ world }: Home) {
  const begun = world.toConsul.requests.length;
  return () =>
    world.toConsul.requests
      .slice(begun)
      .filter(({ method, path }) => method === 'PUT' && path.startsWith('/v1/agent/'))
      .map(({ path }) => path.replace('/v1/agent/service/', ''));
}

const saysSoon = ({ agent }: Home, id: string, checks: Readonly<Record<string, string>>) =>
  eventually(async () => expect(await agent.says(id)).toEqual(checks), {
    what: `the checks of ${id} are ${JSON.stringify(checks)}`,
  });

const messageOf = async ({ services }: Home) => conditionsOf(await services.get(name))['Ready']?.message;

const owned = async ({ world }: Home): Promise<readonly string[]> =>
  Object.entries(await world.records())
    .filter(([key]) => key.endsWith(`/${name}`))
    .flatMap(([, { names }]) => Object.keys(names));

describe('with an agent that may do everything', () => {
  let all: Home;
  let service: string;

  beforeAll(async () => {
    all = await home('svc-agent');
    await all.world.startOperator(EVERYTHING);
  });

  beforeEach(() => {
    service = all.services.service(name);
  });

  afterAll(async () => {
    await all.world.close();
    await all.services.clear();
  });

  const declare = (spec: object) => all.services.declareReady(name, { name: service, ...spec });

  test('a script, a TTL and a sidecar: the agent has them, runs them, and Consul shows what they say', async () => {
    const file = join(folder, name);
    const sidecar = { upstreams: [{ destinationName: 'payments', localBindPort: 9091 }] };
    const made = await declare(ttlSpec({ checks: [beat, testing(file)], connect: { sidecar } }));
    expect(made['status'].effective).toMatchObject({ name: service, registration: 'Agent' });
    await saysSoon(all, idOf(1), { beat: 'critical', file: 'critical' });
    expect((await all.agent.checks(idOf(1))).map(({ Type }) => Type).toSorted()).toEqual(['script', 'ttl']);
    expect(await owned(all)).toEqual([`/agent/${await all.agent.nodeName()}/${idOf(1)}`]);
    const proxy = (await all.agent.services())[`${idOf(1)}-sidecar-proxy`];
    expect(proxy?.Port).toBeGreaterThan(0);
    expect(proxy).toMatchObject({
      Kind: 'connect-proxy',
      Proxy: {
        DestinationServiceID: idOf(1),
        Upstreams: [{ DestinationName: 'payments', LocalBindPort: 9091 }],
      },
    });

    await all.agent.pass(idOf(1), 'beat');
    await writeFile(file, '');
    await saysSoon(all, idOf(1), { beat: 'passing', file: 'passing' });
    await all.services.becomesPassing(service, [idOf(1)]);
    const counts = (expected: object) =>
      eventually(
        async () => expect((await all.services.get(name))['status'].instances).toMatchObject(expected),
        {
          what: `the status counts ${JSON.stringify(expected)}`,
        },
      );
    await counts({ registered: 1, passing: 1, summary: '1/1' });
    await rm(file);
    await all.services.becomesPassing(service, []);
    await counts({ registered: 1, passing: 0, critical: 1, summary: '0/1' });

    await all.services.remove(name);
    expect(await all.agent.services()).toEqual({});
    await all.services.becomes(service, []);
    expect(await owned(all)).toEqual([]);
  });

  test('an HTTP, a TCP and a gRPC server go bad and good again, as the agent finds', async () => {
    let code = 200;
    await using web = await Listener.http((_, response) => response.writeHead(code).end());
    const grpc = await HealthServer.start();
    grpc.services.set('orders', 'SERVING');
    let tcp = await Listener.tcp(() => {});
    const { port } = tcp;
    const interval = '1s';
    await declare({
      registration: 'Agent',
      instances: [at(1, { address: '127.0.0.1', port: web.port })],
      checks: [
        { name: 'web', http: { headers: { 'X-Asked': ['yes'] } }, interval },
        { name: 'tcp', tcp: { port }, interval },
        { name: 'grpc', grpc: { port: grpc.port, service: 'orders' }, interval },
      ],
    });
    const every = (status: string) => saysSoon(all, idOf(1), { web: status, tcp: status, grpc: status });
    await every('passing');
    await all.services.becomesPassing(service, [idOf(1)]);
    code = 500;
    grpc.services.set('orders', 'NOT_SERVING');
    await tcp[Symbol.asyncDispose]();
    await every('critical');
    code = 200;
    grpc.services.set('orders', 'SERVING');
    tcp = await Listener.tcp(() => {}, '127.0.0.1', port);
    await every('passing');
    await all.services.remove(name);
    await tcp[Symbol.asyncDispose]();
    grpc.close();
  });

  test('what has not changed is not registered again, so that no check begins anew; nor by another process', async () => {
    await declare(ttlSpec({ instances: [at(1), at(2)], meta: { team: 'shop' }, tags: ['v1'] }));
    for (const last of [1, 2]) await all.agent.pass(idOf(last), 'beat');
    const written = startWatching(all);
    for (let looks = 0; looks < 3; looks++) await all.services.lookAgain(name);
    await all.world.stopOperators();
    await all.world.startOperator(EVERYTHING);
    await all.services.lookAgain(name);
    expect(written()).toEqual([]);
    for (const last of [1, 2]) expect(await all.agent.says(idOf(last))).toEqual({ beat: 'passing' });
    await all.services.changeReady(name, { instances: [at(1), at(2, { port: 9090 })] });
    expect(written()).toEqual(['register']);
    // A changed one keeps what its application said.
    expect(await all.agent.says(idOf(2))).toEqual({ beat: 'passing' });
    await all.services.remove(name);
  });

  test('a changed spec reaches the agent: checks and sidecars that are not declared any more go', async () => {
    const connect = { sidecar: { port: 20_100 } };
    await declare(ttlSpec({ checks: [beat, { ...beat, name: 'more' }], connect }));
    expect((await all.agent.services())[`${idOf(1)}-sidecar-proxy`]?.Port).toBe(20_100);
    await all.services.changeReady(name, { checks: [beat], connect: null, tags: ['v2'] });
    await saysSoon(all, idOf(1), { beat: 'critical' });
    const stands = await all.agent.services();
    expect(Object.keys(stands)).toEqual([idOf(1)]);
    expect(stands[idOf(1)]?.Tags).toEqual(['v2']);
    await all.services.changeReady(name, { instances: [at(2)] });
    expect(Object.keys(await all.agent.services())).toEqual([idOf(2)]);
    await all.services.remove(name);
  });

  const edits: Readonly<Record<string, () => Promise<void>>> = {
    deregistered: () => all.agent.deregister(idOf(1)),
    'registered with other tags': () =>
      all.agent.register({ ID: idOf(1), Name: service, Port: 8080, Tags: ['other'] }),
    'registered with another address': () =>
      all.agent.register({ ID: idOf(1), Name: service, Port: 8080, Address: '198.51.100.1', Tags: ['v1'] }),
    'stripped of a check': () => all.agent.deregisterCheck(`service:${idOf(1)}:beat`),
    'stripped of its sidecar': () => all.agent.deregister(`${idOf(1)}-sidecar-proxy`),
  };

  test.each(Object.keys(edits))('%s by somebody else: put back as declared', async what => {
    await declare(ttlSpec({ instances: [at(1), at(2)], tags: ['v1'], connect: { sidecar: {} } }));
    const shown = async () => ({
      services: await all.agent.services(),
      checks: (await all.agent.checks(idOf(1))).map(({ CheckID, Type }) => [CheckID, Type]),
    });
    // The port that the agent chooses may be another one.
    const unlike = ['Port', 'ModifyIndex', 'CreateIndex', 'ContentHash'];
    const comparable = async () =>
      JSON.stringify(await shown(), (key, value: unknown) => (unlike.includes(key) ? undefined : value));
    const before = await comparable();
    await edits[what]?.();
    expect(await comparable()).not.toBe(before);
    await eventually(async () => expect(await comparable()).toBe(before), { what: 'all is as before' });
    await all.services.event(name, 'DriftCorrected');
    await all.services.ready(name);
    await all.services.remove(name);
    expect(await all.agent.services()).toEqual({});
  });

  test('an agent that restarted with an empty data folder gets its services back', async () => {
    const file = join(folder, name);
    await writeFile(file, '');
    const sidecar = { port: 20_101, upstreams: [{ destinationName: 'payments', localBindPort: 9091 }] };
    await declare(
      ttlSpec({ instances: [at(1), at(2)], checks: [beat, testing(file)], connect: { sidecar } }),
    );
    for (const last of [1, 2]) await all.agent.pass(idOf(last), 'beat');
    await all.services.becomesPassing(service, [idOf(1), idOf(2)]);
    const before = Object.keys(await all.agent.services()).toSorted();
    expect(before).toHaveLength(4);

    await consul.restartEmpty();

    await eventually(async () => expect(Object.keys(await all.agent.services()).toSorted()).toEqual(before), {
      what: 'the agent has its services again',
      timeoutMs: 60_000,
    });
    for (const last of [1, 2]) {
      await saysSoon(all, idOf(last), { beat: 'critical', file: 'passing' });
      await all.agent.pass(idOf(last), 'beat');
    }
    await all.services.becomesPassing(service, [idOf(1), idOf(2)], 60_000);
    await all.services.ready(name);
    await all.services.remove(name);
    expect(await all.agent.services()).toEqual({});
  }, 240_000);

  test('an instance that goes is in maintenance for drainSeconds', async () => {
    await declare(ttlSpec({ instances: [at(1), at(2)], drainSeconds: 3, checks: [] }));
    await all.services.becomesPassing(service, [idOf(1), idOf(2)]);
    await all.services.changeReady(name, { instances: [at(1)] });
    const [maintenance] = await all.agent.checks(idOf(2));
    expect(maintenance).toMatchObject({ CheckID: `_service_maintenance:${idOf(2)}`, Status: 'critical' });
    await all.services.becomesPassing(service, [idOf(1)]);
    await eventually(async () => expect(Object.keys(await all.agent.services())).toEqual([idOf(1)]), {
      what: 'it is taken out',
    });
    await deleteResource();
    await all.services.becomesPassing(service, []);
    await all.services.gone(name);
    expect(await all.agent.services()).toEqual({});
  });

  const deleteResource = () => all.world.kube.delete(all.services.object(name));

  test('an endpoint of Kubernetes that is not ready is in maintenance until it is', async () => {
    const pods = new Pods(all.world);
    await pods.service(name, name, { selector: undefined });
    const slice = (ready: boolean) =>
      all.world.kube.apply(
        pods.slice(name, name, { endpoints: [pods.endpoint('pod', '10.9.0.1', { ready })] }),
      );
    const id = all.services.idOf(name, 'pod');
    await slice(true);
    await declare({ registration: 'Agent', kubernetes: { service: name } });
    await all.services.becomesPassing(service, [id]);
    await slice(false);
    await all.services.becomesPassing(service, []);
    expect(await all.services.ids(service)).toEqual([id]);
    await slice(true);
    await all.services.becomesPassing(service, [id]);
    await all.services.remove(name);
    await all.services.becomes(service, []);
  });

  test('what the agent has already is a matter of adoptionPolicy, and what another resource has is a Conflict', async () => {
    const theirs = { ID: idOf(1), Name: service, Port: 1 };
    await all.agent.register(theirs);
    const written = startWatching(all);
    const spec = ttlSpec({ name: service });
    await all.services.declare(name, spec);
    await all.services.stalled(name, 'AlreadyExists');
    expect((await all.agent.services())[idOf(1)]?.Port).toBe(1);
    expect(written()).toEqual([]);
    await all.services.changeReady(name, { adoptionPolicy: 'Always' });
    expect((await all.agent.services())[idOf(1)]?.Port).toBe(8080);

    await all.services.declare(`${name}-other`, { ...spec, adoptionPolicy: 'Always' });
    await all.services.stalled(`${name}-other`, 'Conflict');
    await all.services.remove(name);
    await all.services.ready(`${name}-other`);
    await all.services.remove(`${name}-other`);
    expect(await all.agent.services()).toEqual({});
  });

  test('Retain leaves them with the agent, and nobody owns them', async () => {
    await declare(ttlSpec({ deletionPolicy: 'Retain' }));
    await all.services.remove(name);
    expect(Object.keys(await all.agent.services())).toEqual([idOf(1)]);
    await eventually(async () => expect(await owned(all)).toEqual([]), { what: 'nobody owns it' });
    await all.agent.deregister(idOf(1));
  });
});

describe('switches', () => {
  let own: Home;

  beforeAll(async () => {
    own = await home('svc-switch');
  });

  beforeEach(async () => {
    await own.world.stopOperators();
  });

  afterAll(async () => {
    await own.world.close();
    await own.services.clear();
  });

  test.each([
    ['nothing is registered without PROCONSUL_AGENT_MODE', {}, ttlSpec, 'PROCONSUL_AGENT_MODE', AGENT],
    [
      'no script without PROCONSUL_ALLOW_SCRIPT_CHECKS',
      AGENT,
      () => ttlSpec({ checks: [beat, testing('/')] }),
      'PROCONSUL_ALLOW_SCRIPT_CHECKS',
      SCRIPTS,
    ],
    [
      'nothing is asked at loopback without PROCONSUL_PROBE_ALLOW_CIDRS',
      SCRIPTS,
      () => ttlSpec({ instances: [at(1, { address: '127.0.0.1' })], checks: [{ name: 'up', tcp: {} }] }),
      '127.0.0.1',
      EVERYTHING,
    ],
    [
      'nor at a metadata address',
      SCRIPTS,
      () =>
        ttlSpec({ instances: [at(1, { address: '169.254.169.254' })], checks: [{ name: 'up', http: {} }] }),
      '169.254.169.254',
      { ...SCRIPTS, PROCONSUL_PROBE_ALLOW_CIDRS: '169.254.0.0/16' },
    ],
  ])('%s', async (_, forbidding, spec, says, allowing) => {
    const service = own.services.service(name);
    await own.world.startOperator(forbidding);
    const written = startWatching(own);
    await own.services.declare(name, { name: service, ...spec() });
    await own.services.stalled(name, 'NotAllowed');
    expect(await messageOf(own)).toContain(says);
    expect(written()).toEqual([]);
    expect(await owned(own)).toEqual([]);

    await own.world.stopOperators();
    await own.world.startOperator(allowing);
    await own.services.ready(name);
    expect(Object.keys(await own.agent.services())).toEqual([idOf(1)]);

    // What was allowed once stays until somebody deletes it, and that is allowed always.
    await own.world.stopOperators();
    await own.world.startOperator(forbidding);
    await own.services.stalled(name, 'NotAllowed');
    expect(Object.keys(await own.agent.services())).toEqual([idOf(1)]);
    await own.services.remove(name);
    expect(await own.agent.services()).toEqual({});
  });

  test('what is in the catalog needs none of them', async () => {
    await own.world.startOperator();
    const service = own.services.service(name);
    await own.services.declareReady(name, { name: service, instances: [at(1)] });
    await own.services.remove(name);
  });
});

describe('another agent', () => {
  let own: Home;

  beforeAll(async () => {
    own = await home('svc-moved');
  });

  afterAll(async () => {
    await own.world.close();
    await own.services.clear();
  });

  test('gets nothing: the resource waits and says which agent has it, and goes on when it is back', async () => {
    const service = own.services.service(name);
    await own.world.startOperator(EVERYTHING);
    await own.services.declareReady(name, { name: service, ...ttlSpec() });
    await own.agent.pass(idOf(1), 'beat');
    const before = await own.agent.services();
    await own.world.stopOperators();

    const other = new AgentView(consul.server.address);
    await own.world.startOperator({ ...EVERYTHING, CONSUL_HTTP_ADDR: consul.server.address });
    await own.services.waiting(name, 'DependencyNotReady');
    expect(await messageOf(own)).toContain(await own.agent.nodeName());
    await own.services.change(name, { tags: ['new'] });
    await own.services.waiting(name, 'DependencyNotReady');
    expect(await other.services()).toEqual({});
    expect(await own.agent.services()).toEqual(before);
    await own.services.declareReady(`${name}-new`, {
      name: service,
      ...ttlSpec({ instances: [at(2)] }),
    });
    expect(Object.keys(await other.services())).toEqual([idOf(2)]);
    await own.services.remove(`${name}-new`);
    await own.world.stopOperators();

    const written = startWatching(own);
    await own.world.startOperator(EVERYTHING);
    await own.services.ready(name);
    expect(written()).toEqual(['register']);
    const { [idOf(1)]: stands } = await own.agent.services();
    expect(stands?.Tags).toEqual(['new']);
    await own.services.remove(name);
    expect(await own.agent.services()).toEqual({});
  });
});
