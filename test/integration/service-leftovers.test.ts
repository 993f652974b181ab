import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MADE_BY } from '../../src/commit/catalog-nodes.ts';
import { ConsulServices } from '../support/consulservice.ts';
import { eventually } from '../support/eventually.ts';
import { World } from '../support/world.ts';

/** What a resource of the same name, or a crash, has left behind. */

const AGENT = { PROCONSUL_AGENT_MODE: 'true' };

let world: World;
let services: ConsulServices;

beforeEach(async () => {
  world = await World.create('svc-left');
  services = new ConsulServices(world);
});

afterEach(() => world.close());

describe.each([
  ['Catalog', 'Agent'],
  ['Agent', 'Catalog'],
] as const)(
  'a resource of registration %s that went without its operator, and a namesake of %s',
  (left, made) => {
    const instance = (id: string) => [{ id: services.node(id), address: '192.0.2.1', port: 8080 }];

    /** The names in the record of the one resource that there is. */
    const owned = async (): Promise<readonly string[]> =>
      Object.entries(await world.records())
        .filter(([key]) => key.endsWith('/one'))
        .flatMap(([, { names }]) => Object.keys(names));

    async function leave(deletionPolicy: string): Promise<string> {
      const service = services.service('web');
      await world.startOperator(AGENT);
      const spec = { name: service, registration: left, deletionPolicy, instances: instance('old') };
      await services.declareReady('one', spec);
      await services.becomes(service, [services.node('old')]);
      await world.stopOperators();
      await world.kube.patch(services.object('one'), { metadata: { finalizers: null } });
      await services.remove('one');
      return service;
    }

    test.each([
      ['Delete', []],
      ['Retain', ['old']],
    ])('under %s: it leaves as it was to, and the namesake gets what it declares', async (policy, kept) => {
      const service = await leave(policy);
      await services.declare('one', { name: service, registration: made, instances: instance('new') });
      await world.startOperator(AGENT);
      await services.ready('one');
      await services.becomes(
        service,
        [...kept, 'new'].map(id => services.node(id)),
      );
      const kind = made === 'Agent' ? 'agent' : 'service';
      expect(await owned()).toEqual([expect.stringMatching(`^/${kind}/.*/${services.node('new')}$`)]);
      if (left === 'Agent' && kept.length > 0)
        await world.consul.call('PUT', `/v1/agent/service/deregister/${services.node('old')}`);
    });
  },
);

test('an empty node of ours goes when a tenure begins; one of another install or with a service stays', async () => {
  const [empty, full, foreign] = ['empty', 'full', 'foreign'].map(name => services.node(name));
  const byUs = { [MADE_BY]: world.installId };
  await services.registerByHand({ node: empty as string, nodeMeta: byUs });
  await services.registerByHand({ node: foreign as string, nodeMeta: { [MADE_BY]: 'somebody-else' } });
  const service = { ID: full, Service: services.service('web'), Port: 80 };
  await services.registerByHand({ node: full as string, nodeMeta: byUs, service });
  const left = async () => (await services.nodes(world.namespace)).map(({ Node }) => Node).sort();
  expect(await left()).toEqual([empty, foreign, full].sort());
  await world.startOperator();
  await eventually(async () => expect(await left()).toEqual([foreign, full].sort()), {
    what: 'the empty node is gone',
  });
  for (const node of [foreign, full]) await world.consul.put('/v1/catalog/deregister', { Node: node });
});
