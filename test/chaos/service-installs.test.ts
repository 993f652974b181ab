import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { catalogWrites } from '../support/catalog-writes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import type { Fault, Matcher, RecordedRequest } from '../support/fault-rules.ts';
import type { Operator } from '../support/operator.ts';
import { Pods } from '../support/pods.ts';
import { conditionsOf } from '../support/resources.ts';
import { isSessionRenewal } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Promises P4 and P9, row 28: two installs that have the same service, and an API server that lists slowly. */

interface Install {
  readonly world: World;
  readonly services: ConsulServices;
}

const IDS = Array.from({ length: 10 }, (_, n) => `instance-${n}`);

async function install(topic: string): Promise<Install> {
  const world = await World.create(topic);
  return { world, services: new ConsulServices(world) };
}

async function close({ world, services }: Install): Promise<void> {
  await world.close();
  await services.clear();
}

describe('two installs with the same service', () => {
  let one: Install;
  let other: Install;
  /** Of the first world, for both. */
  let service: string;
  let node: string;

  beforeEach(async () => {
    one = await install('svc-one');
    other = await install('svc-other');
    service = one.services.service('shared');
    node = one.services.node('vm');
    await Promise.all([one, other].map(({ world }) => world.startOperator()));
    // The ids are the same: each install has nodes of its own.
    await Promise.all([one, other].map(each => declare(each, 8080)));
  });

  afterEach(async () => {
    await Promise.all([one, other].map(close));
  });

  const declare = ({ services }: Install, port: number) =>
    services.declareReady('shared', {
      name: service,
      instances: IDS.map(id => ({ id, address: '192.0.2.1', port })),
      drainSeconds: 0,
    });

  /** With every index: equal as long as nothing of it is written. */
  async function exactOf({ world, services }: Install): Promise<unknown> {
    const nodes = await Promise.all(services.virtualNodes.map(each => services.nodeNamed(each)));
    const checks = await Promise.all(services.virtualNodes.map(each => services.checksOn(each)));
    return { nodes, checks, records: await world.consul.kvList(`proconsul/${world.installId}/owners/`) };
  }

  /** By port: the instances of both. */
  async function ports(): Promise<Readonly<Record<string, number>>> {
    const shown = (await one.world.consul.get(
      `/v1/health/service/${service}?passing&consistent`,
    )) as readonly { readonly Service: { readonly Port: number } }[];
    const tally: Record<string, number> = {};
    for (const { Service } of shown) tally[Service.Port] = (tally[Service.Port] ?? 0) + 1;
    return tally;
  }

  const life: Readonly<Record<string, () => Promise<unknown>>> = {
    changes: () => declare(one, 9090),
    'is edited from outside and puts it back': async () => {
      const [{ Node } = { Node: '' }] = await one.services.nodes(
        `proconsul-${one.world.installId}-services-`,
      );
      await one.world.consul.put('/v1/catalog/deregister', { Node });
      await eventually(async () => expect(await ports()).toEqual({ 9090: 10, 8080: 10 }), {
        what: 'all stand again',
      });
      await one.services.ready('shared');
    },
    'is restarted': async () => {
      await one.world.stopOperators();
      await one.world.startOperator();
      await one.services.lookAgain('shared');
    },
    'is killed and started': async () => {
      await one.world.stopOperators();
      const operator = await one.world.startOperator();
      await operator.crash();
      await one.world.startOperator();
      await one.services.lookAgain('shared');
    },
    'deletes its resource and makes it anew': async () => {
      await one.services.remove('shared');
      expect(await ports()).toEqual({ 8080: 10 });
      await declare(one, 9090);
    },
    'is uninstalled': async () => {
      await one.world.stopOperators();
      const { code } = await (await one.world.spawnOperator({}, ['release'])).waitForExit();
      expect(code).toBe(0);
    },
  };

  test('neither touches the instances of the other, whatever the other goes through', async () => {
    expect(await ports()).toEqual({ 8080: 20 });
    const before = await exactOf(other);
    for (const [step, happens] of Object.entries(life)) {
      await happens();
      expect(await exactOf(other), step).toEqual(before);
      expect(await ports(), step).toEqual({ 9090: 10, 8080: 10 });
    }
    await other.services.lookAgain('shared');
    expect(await exactOf(other)).toEqual(before);
  });

  test('a node of users that both use goes with the last instance of either', async () => {
    const on = ({ services }: Install, id: string) =>
      services.declareReady(id, { name: service, instances: [{ id, address: '192.0.2.1', node }] });
    const idsOn = async () => (await one.services.nodeNamed(node))?.Services.map(({ ID }) => ID).toSorted();
    await on(one, 'vm-a');
    await on(other, 'vm-b');
    expect(await idsOn()).toEqual(['vm-a', 'vm-b']);
    await one.services.remove('vm-a'); // that of the install which made the node
    expect(await idsOn()).toEqual(['vm-b']);
    await on(one, 'vm-a');
    await other.services.remove('vm-b');
    expect(await idsOn()).toEqual(['vm-a']);
    await one.services.remove('vm-a');
    await eventually(async () => expect(await idsOn()).toBeUndefined(), { what: 'the node is gone' });
  });

  test.each(['IfEqual', 'Always'])(
    'one id on one node under %s: the first keeps it, and the other names its install and writes nothing',
    async adoptionPolicy => {
      const spec = { name: service, instances: [{ id: 'vm-a', address: '192.0.2.1', node }], adoptionPolicy };
      await one.services.declareReady('wanted', spec);
      const before = await one.services.nodeNamed(node);
      const from = other.world.toConsul.requests.length;
      await other.services.declare('wanted', spec);
      await other.services.stalled('wanted', 'Conflict');
      expect(conditionsOf(await other.services.get('wanted'))['Ready']?.message).toContain(
        `install ${one.world.installId}`,
      );
      expect(catalogWrites(other.world.toConsul.requests.slice(from))).toEqual([]);
      await other.services.remove('wanted');
      expect(await one.services.nodeNamed(node)).toEqual(before);
    },
  );

  test('both want the same ten ids on one node at once: each gets one owner, and the loser says whose it is', async () => {
    const adoptionPolicy = 'Always';
    await Promise.all(
      [one, other].flatMap(({ services }, n) =>
        IDS.map(id =>
          services.declare(`race-${id}`, {
            name: service,
            instances: [{ id, address: `192.0.2.${n + 1}`, node }],
            adoptionPolicy,
          }),
        ),
      ),
    );
    for (const id of IDS) {
      const winner = await eventually(() => winnerOf(`race-${id}`), { what: `${id} has one owner` });
      const shown = (await one.services.nodeNamed(node))?.Services.find(({ ID }) => ID === id);
      expect(shown?.Address).toBe(`192.0.2.${winner === one ? 1 : 2}`);
      expect(shown?.Meta['proconsul-owner']).toContain(winner.world.installId);
    }
  });

  async function winnerOf(resource: string): Promise<Install> {
    const readies = await Promise.all(
      [one, other].map(async ({ services }) => conditionsOf(await services.get(resource))['Ready']),
    );
    const [first, second] = readies;
    const winner = first?.status === 'True' ? one : other;
    const [won, lost] = winner === one ? [first, second] : [second, first];
    expect([won?.reason, lost?.reason]).toEqual(['Applied', 'Conflict']);
    expect(lost?.message).toContain(`install ${winner.world.installId}`);
    return winner;
  }
});

describe('an API server that lists slowly', () => {
  let home: Install;
  let pods: Pods;
  let service: string;
  const names = Array.from({ length: 20 }, (_, n) => `pod-${n}`);

  beforeEach(async () => {
    home = await install('svc-slow');
    pods = new Pods(home.world);
    service = home.services.service('slow');
    await pods.service('slow', 'slow', { selector: undefined });
    // Two slices: half of a list would look as if half of the Pods were gone.
    for (const [n, part] of [names.slice(0, 10), names.slice(10)].entries()) {
      const endpoints = part.map(name => pods.endpoint(name, pods.address()));
      await home.world.kube.apply(pods.slice('slow', `slow-${n}`, { endpoints }));
    }
    await home.world.startOperator();
    await home.services.declareReady('slow', {
      name: service,
      kubernetes: { service: 'slow' },
      drainSeconds: 0,
    });
    await home.world.stopOperators();
  });

  afterEach(async () => {
    await pods.close();
    await close(home);
  });

  /** However it is asked for: by pages, or as the beginning of a watch. */
  const isListOf =
    (plural: string) =>
    ({ method, path, query }: RecordedRequest): boolean =>
      method === 'GET' &&
      path.endsWith(`/${plural}`) &&
      (query.get('watch') === null || query.get('sendInitialEvents') === 'true');

  test.each([
    ['endpointslices', isSessionRenewal],
    ['services', isSessionRenewal],
    // Without its resources it does not even try to lead.
    ['consulservices', () => true],
  ])(
    'of %s: nothing is removed before the list is complete, and nothing afterwards',
    async (plural, isSignOfLife) => {
      const { world, services } = home;
      const before = await services.instances(service);
      expect(Object.keys(before)).toHaveLength(20);
      const from = world.toConsul.requests.length;
      const held = world.toKube.when(isListOf(plural), { kind: 'hold' });
      const operator = await world.spawnOperator();
      await eventually(() => held.hits.length > 0, { what: `${plural} are asked for` });
      await world.kube.patch(services.object('slow'), {
        metadata: { annotations: { 'proconsul.dev/reconcile-at': plural } },
      });
      const isAtWork = () => world.toConsul.requests.slice(from).some(isSignOfLife);
      await eventually(isAtWork, { what: 'all else is there, and time has passed' });
      await eventually(() => waitsForLists(operator), { what: 'it is not ready, and says why' });
      expect(await services.instances(service)).toEqual(before);
      expect(catalogWrites(world.toConsul.requests.slice(from))).toEqual([]);

      held.release();
      await operator.ready();
      await services.lookAgain('slow');
      await services.ready('slow');
      expect(await services.instances(service)).toEqual(before);
      expect(catalogWrites(world.toConsul.requests.slice(from))).toEqual([]);
    },
  );

  test('that answers with half a list and breaks off: the same', async () => {
    const { world, services } = home;
    const before = await services.instances(service);
    const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
    const [half] = await world.kube.list(kind, world.namespace);
    const isSlices = isListOf('endpointslices');
    const isStream = (request: RecordedRequest) => isSlices(request) && request.query.has('watch');
    const isPage = (request: RecordedRequest) => isSlices(request) && !request.query.has('watch');
    const breaks = (matches: Matcher, fault: Fault) => world.toKube.when(matches, fault, { times: 2 });
    const event = `${JSON.stringify({ type: 'ADDED', object: half })}\n`;
    const streams = breaks(isStream, { kind: 'reply', status: 200, body: event });
    const metadata = { resourceVersion: half?.metadata.resourceVersion, continue: 'the-other-half' };
    const page = JSON.stringify({ ...kind, kind: 'EndpointSliceList', metadata, items: [half] });
    breaks(isPage, { kind: 'reply', status: 200, body: page });
    breaks(request => isPage(request) && request.query.has('continue'), { kind: 'reset' });
    const from = world.toConsul.requests.length;
    await world.startOperator();
    await services.lookAgain('slow');
    await services.ready('slow');
    expect(streams.hits.length).toBeGreaterThan(0);
    expect(await services.instances(service)).toEqual(before);
    expect(catalogWrites(world.toConsul.requests.slice(from))).toEqual([]);
  });
});

async function waitsForLists(operator: Operator): Promise<void> {
  const { status, body } = await operator.probe('/readyz?verbose');
  expect([status, body.toString()]).toEqual([503, expect.stringContaining('has not been read yet')]);
}
