import { instanceName } from '../../../src/core/instance-names.ts';
import { ConsulServices, type ShownCheck, type ShownNode, type ShownService } from '../consulservice.ts';
import type { World } from '../world.ts';
import type { Subject } from './subject.ts';

const TEXT = 'text';

/** A node with what stands on it. */
interface Whole {
  readonly node: ShownNode;
  readonly services: readonly ShownService[];
  readonly checks: readonly ShownCheck[];
}

/**
 * A place is an instance, and its text stands in its meta: all of a folder are instances of one service, on one node that
 * users name, which they share with those of others.
 */
export function serviceSubject(world: World, home = world): Subject {
  const theirs = new ConsulServices(home);
  const all = async (): Promise<readonly Whole[]> => {
    const nodes = await theirs.nodes(theirs.node(''));
    return Promise.all(nodes.map(({ Node }) => whole(theirs, Node)));
  };
  const texts = async (): Promise<(readonly [string, string])[]> =>
    (await all()).flatMap(({ node, services }) =>
      services.map(({ ID, Meta }) => {
        const folder = node.Node.slice(theirs.node('').length);
        return [`${folder}/${ID}`, Meta[TEXT] ?? ''] as const;
      }),
    );
  return {
    resources: new ConsulServices(world),
    spec: (place, text) => {
      const { folder, id } = parsed(place);
      const node = theirs.node(folder);
      const instance = { id, node, nodeAddress: '192.0.2.1', meta: { [TEXT]: text }, ...ADDRESS };
      return { name: theirs.service(folder), instances: [instance] };
    },
    standing: async () => Object.fromEntries(await texts()),
    at: async place => {
      const { folder, id } = parsed(place);
      const { services, checks } = await whole(theirs, theirs.node(folder));
      const service = services.find(({ ID }) => ID === id);
      const own = checks.filter(({ ServiceID }) => ServiceID === id);
      return service && JSON.stringify([service, own]);
    },
    snapshot: async () => (await all()).map(withoutIndexes),
    exact: all,
    putByHand: async (place, text) => {
      const { folder, id } = parsed(place);
      const { address: Address, port: Port } = ADDRESS;
      const service = { ID: id, Service: theirs.service(folder), Address, Port, Meta: { [TEXT]: text } };
      await theirs.registerByHand({ node: theirs.node(folder), service });
    },
    claim: place => {
      const { folder, id } = parsed(place);
      return instanceName({ kind: 'catalog', node: theirs.node(folder), id });
    },
    rights: () => [
      `service_prefix "${theirs.service('')}" { policy = "write" }`,
      `node_prefix "${theirs.node('')}" { policy = "write" }`,
    ],
    rightOf: (folder, policy) => `service "${theirs.service(folder)}" { policy = "${policy}" }`,
    missingRight: /service:write/,
    clear: () => theirs.clear(),
  };
}

/**
 * The same in the mesh, on the nodes of the operator: requests of its own, a sidecar, a drain, and nodes that come and go. What
 * stands there are nodes: they go last.
 */
export function meshSubject(world: World): Subject {
  const theirs = new ConsulServices(world);
  const all = async (): Promise<readonly Whole[]> => {
    const nodes = await theirs.nodes(`proconsul-${world.installId}-services-`);
    return Promise.all(nodes.map(({ Node }) => whole(theirs, Node)));
  };
  const upstreams = [{ destinationName: 'payments', localBindPort: 9091 }];
  return {
    ...serviceSubject(world),
    spec: (place, text) => {
      const { folder, id } = parsed(place);
      const instances = [{ id, meta: { [TEXT]: text }, ...ADDRESS }];
      const connect = { sidecar: { port: 20_000, upstreams } };
      return { name: theirs.service(folder), instances, connect, drainSeconds: 1 };
    },
    standing: async () => Object.fromEntries((await all()).map(({ node }) => [node.Node, 'node'])),
    snapshot: async () => (await all()).map(withoutIndexes),
    exact: all,
  };
}

const ADDRESS = { address: '192.0.2.10', port: 8080 };

function parsed(place: string): { readonly folder: string; readonly id: string } {
  const [folder = '', id = ''] = place.split('/');
  return { folder, id };
}

async function whole(services: ConsulServices, name: string): Promise<Whole> {
  const [shown, checks] = await Promise.all([services.nodeNamed(name), services.checksOn(name)]);
  return { node: shown?.Node as ShownNode, services: shown?.Services ?? [], checks };
}

function withoutIndexes({ node, services, checks }: Whole): unknown {
  return {
    node: [node.Node, node.Address, node.Meta],
    services: services.map(unindexed),
    checks: checks.map(unindexed),
  };
}

function unindexed(row: object): object {
  // Virtual addresses are Consul's to hand out, to all of its mesh in turn.
  const {
    CreateIndex: _,
    ModifyIndex: __,
    TaggedAddresses: ___,
    ...fields
  }: Record<string, unknown> = { ...row };
  return fields;
}
