import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { MADE_BY } from '../../src/commit/catalog-nodes.ts';
import { http } from '../../tools/sandbox/http.ts';
import { catalogWrites, settledTallyOf } from '../support/catalog-writes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import type { KubeObject } from '../support/kube-api.ts';
import { conditionsOf } from '../support/resources.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Instances with fixed addresses, in the catalog, through the whole life of their resource. */

const DRAIN_SECONDS = 3;

let world: World;
let services: ConsulServices;
/** Of the test: its service, and the first part of all else that it names. */
let name: string;
let service: string;

beforeAll(async () => {
  world = await World.create('svc-life');
  services = new ConsulServices(world);
  await world.startOperator();
});

let count = 0;

beforeEach(() => {
  name = `svc${++count}`;
  service = services.service(name);
});

afterAll(async () => {
  await world.close();
  await services.clear();
});

const at = (last: number, more: object = {}): { readonly id: string } & Record<string, unknown> => ({
  id: `${name}-${last}`,
  address: `192.0.2.${last}`,
  port: 8080,
  ...more,
});
const spec = (instances: readonly object[], more: object = {}): Record<string, unknown> => ({
  name: service,
  instances,
  ...more,
});

/** What is sent to Consul from now on. */
function startWatching() {
  const begun = world.toConsul.requests.length;
  return {
    tally: () => settledTallyOf(world.toConsul.requests.slice(begun)),
    ids: (what: string) =>
      catalogWrites(world.toConsul.requests.slice(begun))
        .filter(write => write.what === what)
        .map(({ id }) => id),
    writes: () => world.toConsul.requests.slice(begun).filter(isConsulWrite),
  };
}

async function messageOf(resource: string): Promise<string | undefined> {
  return conditionsOf(await services.get(resource))['Ready']?.message;
}

/** Resolves once the status counts exactly these. */
async function counts(resource: string, expected: object): Promise<KubeObject> {
  return eventually(
    async () => {
      const found = await services.get(resource);
      expect(found['status'].instances).toMatchObject(expected);
      return found;
    },
    { what: `the status of ${resource} counts ${JSON.stringify(expected)}` },
  );
}

/** An instance as somebody registers it by hand. */
const byHand = (last: number, more: object = {}): { readonly ID: string } & Record<string, unknown> => ({
  ID: `${name}-${last}`,
  Service: service,
  Address: `192.0.2.${last}`,
  Port: 8080,
  ...more,
});

describe('instances', () => {
  test('come, change and go with the resource, each by one write, and nothing of it is left', async () => {
    const one = at(1, { tags: ['primary'], meta: { rack: 'r1', team: 'own' } });
    const shared = { tags: ['v2'], meta: { team: 'shop' }, weights: { passing: 10, warning: 2 } };
    const come = startWatching();
    const made = await services.declareReady(name, spec([one, at(2)], shared));
    expect(made['status']).toMatchObject({
      instances: { registered: 2, passing: 2, warning: 0, critical: 0, removed: 0, summary: '2/2' },
      effective: {
        name: service,
        registration: 'Catalog',
        deletionPolicy: 'Delete',
        adoptionPolicy: 'IfEqual',
        driftPolicy: 'Correct',
        datacenter: 'dc1',
        drift: 'Watched',
      },
    });
    expect(await come.tally()).toMatchObject({ put: 2 });
    const { Service, Node } = await services.instance(service, one.id);
    expect(services.virtualNodes).toContain(Node.Node);
    expect(Service).toMatchObject({
      Service: service,
      Address: '192.0.2.1',
      Port: 8080,
      Tags: ['v2', 'primary'],
      Weights: { Passing: 10, Warning: 2 },
      EnableTagOverride: false,
    });
    expect(Service.Meta).toEqual({
      rack: 'r1',
      team: 'own',
      'external-source': 'kubernetes',
      'proconsul-owner': `${world.installId}/${world.namespace}/${name}`,
    });
    expect(await services.passing(service)).toEqual([one.id, at(2).id]);

    const change = startWatching();
    await services.changeReady(name, { instances: [{ ...one, port: 9090 }, at(3)] });
    expect(await services.ids(service)).toEqual([one.id, at(3).id]);
    expect((await services.instance(service, one.id)).Service.Port).toBe(9090);
    expect(change.ids('put').toSorted()).toEqual([one.id, at(3).id]);
    expect(change.ids('remove')).toEqual([at(2).id]);

    const rest = startWatching();
    await services.lookAgain(name);
    expect(rest.writes()).toEqual([]);

    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
    expect(Object.keys(await world.records()).filter(key => key.endsWith(`/${name}`))).toEqual([]);
    const told = (await services.events(name)).map(({ reason }) => reason);
    expect(told).toEqual(expect.arrayContaining(['Created', 'Updated']));
  });

  test('of several resources are instances of one service, and each resource takes out its own', async () => {
    await services.declareReady(`${name}-a`, spec([at(1)]));
    await services.declareReady(`${name}-b`, spec([at(2)]));
    expect(await services.passing(service)).toEqual([at(1).id, at(2).id]);
    await services.remove(`${name}-a`);
    expect(await services.passing(service)).toEqual([at(2).id]);
  });

  test('that another tool has in the same service are left alone', async () => {
    const node = services.node(`${name}-theirs`);
    await services.registerByHand({ node, service: byHand(7) });
    const before = await services.instance(service, byHand(7).ID);
    await services.declareReady(name, spec([at(1)]));
    await services.changeReady(name, { instances: [at(2)] });
    await services.remove(name);
    expect(await services.ids(service)).toEqual([byHand(7).ID]);
    expect(await services.instance(service, byHand(7).ID)).toEqual(before);
  });

  test('are critical for drainSeconds before they are removed, when they leave the spec and when it goes', async () => {
    await services.declareReady(name, spec([at(1), at(2)], { drainSeconds: DRAIN_SECONDS }));
    const began = Date.now();
    await services.changeReady(name, { instances: [at(1)] });
    await services.becomesPassing(service, [at(1).id]);
    expect(await services.checks(service, at(2).id)).toEqual({ 'proconsul-draining': 'critical' });
    await services.becomes(service, [at(1).id]);
    expect(Date.now() - began).toBeGreaterThanOrEqual(DRAIN_SECONDS * 1000);

    const deleted = Date.now();
    await world.kube.delete(services.object(name));
    await services.becomesPassing(service, []);
    expect(await services.ids(service)).toEqual([at(1).id]);
    await services.gone(name);
    expect(Date.now() - deleted).toBeGreaterThanOrEqual(DRAIN_SECONDS * 1000);
    expect(await services.ids(service)).toEqual([]);
  });

  test('that are declared again while they are drained go on as they stand', async () => {
    await services.declareReady(name, spec([at(1), at(2)], { drainSeconds: 600 }));
    await services.changeReady(name, { instances: [at(1)] });
    await services.becomesPassing(service, [at(1).id]);
    const watching = startWatching();
    await services.changeReady(name, { instances: [at(1), at(2)] });
    expect(await services.passing(service)).toEqual([at(1).id, at(2).id]);
    expect(await watching.tally()).toEqual({ 'remove check': 1 });
    await services.changeReady(name, { drainSeconds: 0 });
  });

  test('that are drained when the operator is restarted go when their time is up', async () => {
    await services.declareReady(name, spec([at(1), at(2)], { drainSeconds: DRAIN_SECONDS }));
    const began = Date.now();
    await services.changeReady(name, { instances: [at(1)] });
    await services.becomesPassing(service, [at(1).id]);
    await world.stopOperators();
    await world.startOperator();
    await services.becomes(service, [at(1).id]);
    expect(Date.now() - began).toBeGreaterThanOrEqual(DRAIN_SECONDS * 1000);
  });
});

describe('an instance that is there already', () => {
  const node = () => services.node(`${name}-vm`);
  const declared = () => at(1, { node: node() });
  const register = (more: object = {}) => services.registerByHand({ node: node(), service: byHand(1, more) });

  test('and is as declared is taken over', async () => {
    await register({ Meta: { rack: 'r1' }, Tags: ['a'] });
    await services.declareReady(name, spec([at(1, { node: node(), tags: ['a'], meta: { rack: 'r1' } })]));
    await services.event(name, 'Adopted');
    const { Service } = await services.instance(service, at(1).id);
    expect(Service).toMatchObject({ Port: 8080, Tags: ['a'], Meta: { rack: 'r1' } });
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });

  test.each([
    ['and differs is left alone', 'IfEqual', { Port: 1 }],
    ['and differs in its tags is left alone', 'IfEqual', { Tags: ['other'] }],
    ['is left alone under Never, equal or not', 'Never', {}],
  ])('%s', async (_, adoptionPolicy, edit) => {
    await register(edit);
    const before = await services.instance(service, at(1).id);
    const watching = startWatching();
    await services.declare(name, spec([declared(), at(2)], { adoptionPolicy }));
    await services.stalled(name, 'AlreadyExists');
    expect(await messageOf(name)).toContain(`${at(1).id} on ${node()}`);
    expect(await services.instance(service, at(1).id)).toEqual(before);
    expect(await watching.tally()).toEqual({});
    await services.remove(name);
    expect(await services.instance(service, at(1).id)).toEqual(before);
  });

  test('is taken over and overwritten under Always', async () => {
    await register({ Port: 1, Tags: ['other'] });
    await services.declareReady(name, spec([declared()], { adoptionPolicy: 'Always' }));
    expect((await services.instance(service, at(1).id)).Service).toMatchObject({ Port: 8080, Tags: [] });
    await services.event(name, 'Adopted');
  });

  test('is taken over when whoever has it takes it out', async () => {
    await register({ Port: 1 });
    await services.declare(name, spec([declared()]));
    await services.stalled(name, 'AlreadyExists');
    await services.removeByHand(service, at(1).id);
    await services.ready(name);
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(8080);
  });
});

describe('an outside edit', () => {
  test('is put back by one write, and so is an instance that somebody took out', async () => {
    await services.declareReady(name, spec([at(1), at(2)]));
    const edited = startWatching();
    await services.editByHand(service, at(1).id, { Port: 1, Tags: ['edited'] });
    await eventually(async () => (await services.instance(service, at(1).id)).Service.Port === 8080, {
      what: 'the port is put back',
    });
    await services.event(name, 'DriftCorrected');
    expect((await services.instance(service, at(1).id)).Service.Tags).toEqual([]);
    expect(edited.ids('put')).toEqual([at(1).id]);

    const removed = startWatching();
    await services.removeByHand(service, at(2).id);
    await services.becomesPassing(service, [at(1).id, at(2).id]);
    await services.ready(name);
    expect(removed.ids('put')).toEqual([at(2).id]);
  });

  test('is shown and left under Report', async () => {
    await services.declareReady(name, spec([at(1), at(2)], { driftPolicy: 'Report' }));
    await services.editByHand(service, at(1).id, { Port: 1 });
    const drifted = await services.drifted(name);
    expect(conditionsOf(drifted)['Drifted']?.message).toContain(at(1).id);
    await services.removeByHand(service, at(2).id);
    await services.lookAgain(name);
    expect(conditionsOf(await services.drifted(name))['Drifted']?.message).toContain(at(2).id);
    expect(await services.ids(service)).toEqual([at(1).id]);
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(1);
    await services.event(name, 'DriftDetected');
    await services.changeReady(name, { driftPolicy: 'Correct' });
    expect(await services.ids(service)).toEqual([at(1).id, at(2).id]);
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(8080);
  });

  test('is not looked for under Ignore, and a changed spec is written over it', async () => {
    await services.declareReady(name, spec([at(1)], { driftPolicy: 'Ignore' }));
    const watching = startWatching();
    await services.editByHand(service, at(1).id, { Port: 1 });
    await services.lookAgain(name);
    await services.ready(name);
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(1);
    expect(await watching.tally()).toEqual({});
    await services.changeReady(name, { instances: [at(1, { port: 9090 })] });
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(9090);
  });

  test('of tags is none with enableTagOverride, and stays until the tags of the spec change', async () => {
    await services.declareReady(name, spec([at(1)], { tags: ['v1'], enableTagOverride: true }));
    const tagsOf = async () => (await services.instance(service, at(1).id)).Service.Tags;
    const watching = startWatching();
    await services.editByHand(service, at(1).id, { Tags: ['outside'] });
    await services.lookAgain(name);
    expect(await tagsOf()).toEqual(['outside']);
    expect(await watching.tally()).toEqual({});

    await services.changeReady(name, { instances: [at(1, { port: 9090 })] });
    expect((await services.instance(service, at(1).id)).Service.Port).toBe(9090);
    expect(await tagsOf()).toEqual(['outside']);

    await services.changeReady(name, { tags: ['v2'] });
    expect(await tagsOf()).toEqual(['v2']);
    expect((await services.events(name)).map(({ reason }) => reason)).not.toContain('DriftCorrected');
  });

  test('that adds a check is none: it stays, and counts for the health', async () => {
    await services.declareReady(name, spec([at(1)]));
    const watching = startWatching();
    await services.checkByHand(service, at(1).id, { CheckID: `${name}-theirs`, Status: 'critical' });
    await services.lookAgain(name);
    await counts(name, { registered: 1, passing: 0, critical: 1, summary: '0/1' });
    await services.ready(name);
    await services.checkByHand(service, at(1).id, { CheckID: `${name}-theirs`, Status: 'warning' });
    await services.lookAgain(name);
    await counts(name, { registered: 1, passing: 0, warning: 1, summary: '0/1' });
    expect(await watching.tally()).toEqual({});
    await services.changeReady(name, { tags: ['new'] });
    expect(await services.checks(service, at(1).id)).toEqual({ [`${name}-theirs`]: 'warning' });
  });
});

describe('policies', () => {
  test('Retain leaves the instances as they are, without an owner and its mark, and they can be declared anew', async () => {
    await services.declareReady(name, spec([at(1), at(2)], { deletionPolicy: 'Retain', drainSeconds: 600 }));
    await services.changeReady(name, { drainSeconds: 0, instances: [at(1)] });
    expect(await services.ids(service)).toEqual([at(1).id]); // what leaves the spec goes all the same
    const before = await services.instance(service, at(1).id);
    await services.remove(name);
    const recorded = async () => Object.keys(await world.records()).filter(key => key.endsWith(`/${name}`));
    await eventually(async () => expect(await recorded()).toEqual([]), { what: 'nobody owns them' });
    const { Service, ...around } = await services.instance(service, at(1).id);
    const { 'proconsul-owner': mark, ...meta } = before.Service.Meta;
    expect(mark).toBe(`${world.installId}/${world.namespace}/${name}`);
    const { ModifyIndex } = Service;
    expect({ ...around, Service }).toEqual({
      ...before,
      Service: { ...before.Service, Meta: meta, ModifyIndex },
    });

    await services.declareReady(name, spec([at(1)]));
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });

  test('a suspended resource writes nothing new and says what it would; deleting still works', async () => {
    await services.declareReady(name, spec([at(1)]));
    const watching = startWatching();
    await services.change(name, { suspend: true, instances: [at(2)] });
    await services.suspended(name, false);
    const message = await messageOf(name);
    expect(message).toMatch(/^suspended: would /);
    for (const id of [at(1).id, at(2).id]) expect(message).toContain(id);
    await services.lookAgain(name);
    expect(await watching.tally()).toEqual({});
    await services.change(name, { instances: [at(1)] });
    await services.suspended(name, true);
    await services.changeReady(name, { suspend: false, instances: [at(2)] });
    expect(await services.ids(service)).toEqual([at(2).id]);
    await services.change(name, { suspend: true });
    await services.suspended(name, true);
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });
});

describe('an id that is claimed twice', () => {
  test.each(['without a node', 'on a node'])(
    '%s: the first keeps it, the other writes nothing at all and goes on when it lets go',
    async where => {
      const more = where === 'on a node' ? { node: services.node(`${name}-vm`) } : {};
      await services.declareReady(`${name}-first`, spec([at(1, more)]));
      const watching = startWatching();
      await services.declare(`${name}-second`, spec([at(1, { ...more, port: 1 }), at(2)]));
      await services.stalled(`${name}-second`, 'Conflict');
      expect(await messageOf(`${name}-second`)).toContain(`ConsulService ${world.namespace}/${name}-first`);
      expect(watching.writes()).toEqual([]);
      await services.event(`${name}-second`, 'Conflict');
      await services.remove(`${name}-first`);
      await services.ready(`${name}-second`);
      expect(await services.ids(service)).toEqual([at(1).id, at(2).id]);
      expect((await services.instance(service, at(1).id)).Service.Port).toBe(1);
    },
  );

  test('on two nodes is two instances', async () => {
    const nodes = ['a', 'b'].map(vm => services.node(`${name}-${vm}`));
    const [a, b] = nodes as [string, string];
    await services.declareReady(`${name}-first`, spec([at(1, { node: a })]));
    await services.declareReady(`${name}-second`, spec([at(1, { node: b })]));
    for (const node of nodes) {
      expect((await services.nodeNamed(node))?.Services.map(({ ID }) => ID)).toEqual([at(1).id]);
    }
  });
});

describe('a node', () => {
  const node = () => services.node(`${name}-vm`);
  const isGone = () =>
    eventually(async () => expect(await services.nodeNamed(node())).toBeUndefined(), {
      what: `${node()} is gone`,
    });

  test('that is not there is made, and goes with its last instance', async () => {
    const placed = { node: node(), nodeAddress: '198.51.100.7' };
    const made = await services.declareReady(name, spec([at(1, placed), at(2, placed)]));
    expect(made['status'].effective.drift).toBe('Swept');
    expect((await services.nodeNamed(node()))?.Node).toMatchObject({
      Address: '198.51.100.7',
      Meta: { [MADE_BY]: world.installId },
    });
    await services.changeReady(name, { instances: [at(1, placed)] });
    expect((await services.nodeNamed(node()))?.Services).toHaveLength(1);
    await services.remove(name);
    await isGone();
  });

  test('whose address nobody declares has that of the instance', async () => {
    await services.declareReady(name, spec([at(1, { node: node() })]));
    expect((await services.nodeNamed(node()))?.Node.Address).toBe('192.0.2.1');
  });

  test('that was there stays as it is, without an instance, too', async () => {
    await services.registerByHand({
      node: node(),
      nodeAddress: '198.51.100.1',
      nodeMeta: { owner: 'somebody' },
    });
    const before = await services.nodeNamed(node());
    await services.declareReady(name, spec([at(1, { node: node(), nodeAddress: '198.51.100.2' })]));
    expect((await services.nodeNamed(node()))?.Node).toEqual(before?.Node);
    await services.remove(name);
    await services.lookAgain(await other());
    expect(await services.nodeNamed(node())).toEqual(before);
  });

  test('that is made and on which others registered something stays with it', async () => {
    await services.declareReady(name, spec([at(1, { node: node() })]));
    await services.registerByHand({ node: node(), service: byHand(7) });
    await services.remove(name);
    await services.lookAgain(await other());
    expect((await services.nodeNamed(node()))?.Services.map(({ ID }) => ID)).toEqual([byHand(7).ID]);
  });

  test('of an agent is refused by name, and nothing is written', async () => {
    const self = (await world.consul.get('/v1/agent/self')) as { Config: { NodeName: string } };
    const watching = startWatching();
    await services.declare(name, spec([at(1, { node: self.Config.NodeName }), at(2)]));
    await services.stalled(name, 'InvalidSpec');
    expect(await messageOf(name)).toContain(self.Config.NodeName);
    expect(watching.writes()).toEqual([]);
    await services.remove(name);
  });

  test('of consul-esm gets the instance without checks, and Ready says so', async () => {
    await services.registerByHand({ node: node(), nodeMeta: { 'external-node': 'true' } });
    const checks = [{ name: 'up', http: {} }];
    await services.declareReady(name, spec([at(1, { node: node() })], { checks }));
    expect(await services.checks(service, at(1).id)).toEqual({});
    expect(await messageOf(name)).toMatch(/external-node|consul-esm/);
    expect(await messageOf(name)).toContain(node());
    await services.remove(name);
  });

  test('that an instance leaves for another one goes, after the instance stands on the other', async () => {
    const next = services.node(`${name}-next`);
    await services.declareReady(name, spec([at(1, { node: node() })]));
    const watching = startWatching();
    await services.changeReady(name, { instances: [at(1, { node: next })] });
    expect((await services.nodeNamed(next))?.Services.map(({ ID }) => ID)).toEqual([at(1).id]);
    await isGone();
    expect(watching.ids('put')).toEqual([at(1).id]);
    expect(watching.ids('remove')).toEqual([at(1).id]);
  });

  test('of the operator goes with the last instance of all, and that of its sessions stays', async () => {
    const all = await world.kube.list(services.object(''), world.namespace);
    await Promise.all(all.map(({ metadata }) => services.remove(metadata.name)));
    await services.declareReady(name, spec([at(1), at(2), at(3)]));
    expect((await services.nodes(services.virtualNodes[0]?.slice(0, -1) ?? '')).length).toBeGreaterThan(0);
    const sessions = async () =>
      (await services.nodes(`proconsul-${world.installId}`)).map(({ Node }) => Node);
    await services.remove(name);
    await eventually(
      async () => {
        for (const virtual of services.virtualNodes) expect(await sessions()).not.toContain(virtual);
      },
      { what: 'both virtual nodes are gone' },
    );
    expect((await sessions()).length).toBeGreaterThan(0);
    // And they are made again.
    await services.declareReady(name, spec([at(1), at(2), at(3)]));
    expect(await services.passing(service)).toHaveLength(3);
  });
});

describe('the mesh', () => {
  const sidecar = (upstreams: readonly object[] = []) => ({
    connect: { sidecar: { port: 20_000, upstreams } },
  });
  const payments = { destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' };
  const stock = { destinationName: 'stock', localBindPort: 9092 };

  test('a sidecar stands beside each instance with its upstreams, changes and goes with it', async () => {
    const made = await services.declareReady(name, spec([at(1), at(2)], sidecar([payments])));
    expect(made['status'].instances).toMatchObject({ registered: 2, passing: 2, summary: '2/2' });
    const beside = await services.sidecar(service, at(1).id);
    expect(beside?.Service).toMatchObject({
      Kind: 'connect-proxy',
      Service: `${service}-sidecar-proxy`,
      Address: '192.0.2.1',
      Port: 20_000,
      Proxy: {
        DestinationServiceName: service,
        DestinationServiceID: at(1).id,
        LocalServicePort: 8080,
        Upstreams: [{ DestinationName: 'payments', LocalBindPort: 9091, Datacenter: 'dc2' }],
      },
    });
    expect(await services.checks(`${service}-sidecar-proxy`, `${at(1).id}-sidecar-proxy`)).toEqual({
      'proconsul-instance': 'passing',
    });

    const rest = startWatching();
    await services.lookAgain(name);
    expect(rest.writes()).toEqual([]);

    await services.changeReady(name, sidecar([payments, stock]));
    const changed = await services.sidecar(service, at(2).id);
    expect(changed?.Service.Proxy?.['Upstreams']).toMatchObject([
      { DestinationName: 'payments' },
      { DestinationName: 'stock', LocalBindPort: 9092 },
    ]);

    await services.changeReady(name, { instances: [at(1)] });
    expect(await services.sidecar(service, at(2).id)).toBeUndefined();
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
    expect(await services.ids(`${service}-sidecar-proxy`)).toEqual([]);
  });

  test('a sidecar that was edited or taken out is put back', async () => {
    await services.declareReady(name, spec([at(1)], sidecar([payments])));
    const id = `${at(1).id}-sidecar-proxy`;
    const proxies = `${service}-sidecar-proxy`;
    const Proxy = { DestinationServiceName: service, DestinationServiceID: at(1).id, Upstreams: [] };
    await services.editByHand(proxies, id, { Proxy });
    await services.event(name, 'DriftCorrected');
    await eventually(
      async () => expect((await services.instance(proxies, id)).Service.Proxy?.['Upstreams']).toHaveLength(1),
      { what: 'the upstream is put back' },
    );
    await services.removeByHand(proxies, id);
    await services.becomesPassing(proxies, [id]);
    await services.ready(name);
  });

  test('a sidecar is as healthy as its instance', async () => {
    await services.declareReady(name, spec([at(1)], sidecar()));
    const id = `${at(1).id}-sidecar-proxy`;
    const proxies = `${service}-sidecar-proxy`;
    const follows = (status: string) =>
      eventually(
        async () => expect(await services.checks(proxies, id)).toEqual({ 'proconsul-instance': status }),
        { what: `the sidecar is ${status}` },
      );
    await services.checkByHand(service, at(1).id, { CheckID: `${name}-theirs`, Status: 'critical' });
    await follows('critical');
    await services.checkByHand(service, at(1).id, { CheckID: `${name}-theirs`, Status: 'passing' });
    await follows('passing');
  });

  test('a sidecar is taken away when the spec has none any more, and its instance stays', async () => {
    await services.declareReady(name, spec([at(1)], sidecar()));
    await services.changeReady(name, { connect: null });
    expect(await services.passing(service)).toEqual([at(1).id]);
    expect(await services.ids(`${service}-sidecar-proxy`)).toEqual([]);
  });

  test('a native service takes connections of the mesh itself', async () => {
    await services.declareReady(name, spec([at(1)], { connect: { native: true } }));
    expect((await services.instance(service, at(1).id)).Service.Connect).toMatchObject({ Native: true });
    const rest = startWatching();
    await services.lookAgain(name);
    expect(rest.writes()).toEqual([]);
    await services.changeReady(name, { connect: null });
    expect((await services.instance(service, at(1).id)).Service.Connect ?? {}).not.toMatchObject({
      Native: true,
    });
    await services.remove(name);
    expect(await services.ids(service)).toEqual([]);
  });
});

test('another datacenter is not supported, and nothing is written', async () => {
  const watching = startWatching();
  await services.declare(name, spec([at(1)], { datacenter: 'dc9' }));
  await services.stalled(name, 'UnsupportedByConsul');
  expect(watching.writes()).toEqual([]);
});

test('an instance as large as the schema takes stands in Consul', async () => {
  const meta = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`m${n}`, 'x'.repeat(512)]));
  const tags = Array.from({ length: 64 }, (_, n) => `${n}-`.padEnd(255, 'x'));
  const made = await services.declareReady(name, spec([at(1, { meta, tags })], { tags }));
  expect(made['status'].instances).toMatchObject({ registered: 1 });
});

test('the columns of kubectl say how it stands', async () => {
  await services.declareReady(name, spec([at(1), at(2)], { driftPolicy: 'Report' }));
  await services.checkByHand(service, at(1).id, { CheckID: `${name}-theirs`, Status: 'critical' });
  await services.editByHand(service, at(2).id, { Port: 1 });
  await services.lookAgain(name);
  await services.drifted(name);
  await counts(name, { summary: '1/2' });
  expect(await columns(name)).toMatchObject({
    Ready: 'True',
    Reason: 'Applied',
    Service: service,
    Instances: '1/2',
    Drift: 'True',
  });
});

/** What `kubectl get` shows of a resource, by column. */
async function columns(resource: string): Promise<Readonly<Record<string, unknown>>> {
  const { apiServerUrl, caFile, adminToken } = inject('sandbox');
  const reply = await http(apiServerUrl, await world.kube.pathOf(services.object(resource)), {
    headers: {
      authorization: `Bearer ${adminToken}`,
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    },
    ca: readFileSync(caFile),
  });
  const { columnDefinitions, rows } = JSON.parse(reply.body.toString()) as {
    readonly columnDefinitions: readonly { readonly name: string }[];
    readonly rows: readonly { readonly cells: readonly unknown[] }[];
  };
  return Object.fromEntries(columnDefinitions.map((column, at) => [column.name, rows[0]?.cells[at]]));
}

/** A resource of nobody's concern, to be looked at: what happens not by then, does not happen. */
async function other(): Promise<string> {
  const resource = `${name}-other`;
  await services.declareReady(resource, {
    name: services.service(`${name}-other`),
    instances: [{ id: `${name}-other`, address: '192.0.2.99' }],
  });
  return resource;
}
