import { expect } from 'vitest';
import { virtualNodes } from '../../src/commit/catalog-nodes.ts';
import { eventually } from './eventually.ts';
import { Resources } from './resources.ts';
import type { World } from './world.ts';

/** A node as the catalog shows it. */
export interface ShownNode {
  readonly Node: string;
  readonly Address: string;
  readonly Meta: Readonly<Record<string, string>> | null;
  readonly ModifyIndex: number;
}

/** A service of a node, an instance or its sidecar, as the catalog shows it. */
export interface ShownService {
  readonly ID: string;
  readonly Service: string;
  readonly Kind?: string;
  readonly Address: string;
  readonly Port: number;
  readonly Tags: readonly string[];
  readonly Meta: Readonly<Record<string, string>>;
  readonly Weights: { readonly Passing: number; readonly Warning: number };
  readonly EnableTagOverride: boolean;
  readonly Proxy?: Readonly<Record<string, unknown>>;
  readonly Connect?: Readonly<Record<string, unknown>>;
  readonly ModifyIndex: number;
}

export interface ShownCheck {
  readonly Node: string;
  readonly CheckID: string;
  readonly Name: string;
  readonly Status: string;
  readonly Notes: string;
  readonly Output: string;
  readonly ServiceID: string;
  readonly Type: string;
  readonly ModifyIndex: number;
}

/** An instance as those who look for healthy ones see it. */
export interface ShownInstance {
  readonly Node: ShownNode;
  readonly Service: ShownService;
  readonly Checks: readonly ShownCheck[];
}

/** A registration by hand. */
interface ByHand {
  readonly node: string;
  /** Of a node that is not there yet. */
  readonly nodeAddress?: string;
  readonly nodeMeta?: Readonly<Record<string, string>>;
  /** As `/v1/catalog/register` takes it. */
  readonly service?: object;
  readonly check?: object;
}

const SIDECAR = '-sidecar-proxy';

/** The ConsulServices of one world, and what stands for them in the catalog. Services and nodes are named for the world. */
export class ConsulServices extends Resources {
  readonly #world: World;

  constructor(world: World) {
    super(world, 'ConsulService');
    this.#world = world;
  }

  /** A service that no other world has. */
  service(name: string): string {
    return `${this.#world.namespace}-${name}`;
  }

  /** A node of users that no other world has. */
  node(name: string): string {
    return `${this.#world.namespace}-${name}`;
  }

  /** Those on which this install's instances stand that name none. */
  get virtualNodes(): readonly string[] {
    return virtualNodes(this.#world.installId);
  }

  /** The id of the instance that a Pod is. */
  idOf(resource: string, pod: string): string {
    return `k8s:${this.#world.namespace}:${resource}:${pod}`;
  }

  /** All instances of the service, wherever they stand, by id. */
  async instances(service: string): Promise<Readonly<Record<string, ShownInstance>>> {
    return Object.fromEntries((await this.#health(service)).map(one => [one.Service.ID, one]));
  }

  /** One of them. @throws Error when there is none of the id. */
  async instance(service: string, id: string): Promise<ShownInstance> {
    const found = (await this.instances(service))[id];
    if (found === undefined) throw new Error(`there is no ${id} of ${service}`);
    return found;
  }

  async ids(service: string): Promise<readonly string[]> {
    return Object.keys(await this.instances(service)).sort();
  }

  /** The ids of the instances that Consul hands out to clients. */
  async passing(service: string): Promise<readonly string[]> {
    return (await this.#health(service, 'passing')).map(({ Service }) => Service.ID).sort();
  }

  /** Resolves once clients get exactly these. */
  async becomesPassing(service: string, ids: readonly string[], timeoutMs = 30_000): Promise<void> {
    const what = `passing instances of ${service}: ${ids.length}`;
    const isSo = async (): Promise<void> => expect(await this.passing(service)).toEqual([...ids].sort());
    await eventually(isSo, { what, timeoutMs });
  }

  /** Resolves once exactly these are registered, whatever their health. */
  async becomes(service: string, ids: readonly string[], timeoutMs = 30_000): Promise<void> {
    const what = `instances of ${service}: ${ids.length}`;
    const isSo = async (): Promise<void> => expect(await this.ids(service)).toEqual([...ids].sort());
    await eventually(isSo, { what, timeoutMs });
  }

  /** Checks of an instance by what follows its id in theirs, with what they say. */
  async checks(service: string, id: string): Promise<Readonly<Record<string, string>>> {
    const { Checks } = await this.instance(service, id);
    const own = Checks.filter(({ ServiceID }) => ServiceID === id);
    return Object.fromEntries(
      own.map(({ CheckID, Status }) => [CheckID.replace(`service:${id}:`, ''), Status]),
    );
  }

  /** The sidecar of an instance; undefined: it has none. */
  async sidecar(service: string, id: string): Promise<ShownInstance | undefined> {
    return (await this.instances(`${service}${SIDECAR}`))[`${id}${SIDECAR}`];
  }

  /** A node with all that stands on it; undefined: there is none. */
  async nodeNamed(
    node: string,
  ): Promise<{ readonly Node: ShownNode; readonly Services: readonly ShownService[] } | undefined> {
    const path = `/v1/catalog/node-services/${node}?consistent`;
    const shown = (await this.#world.consul.get(path)) as {
      readonly Node: ShownNode;
      readonly Services: readonly ShownService[];
    } | null;
    return shown?.Node ? shown : undefined;
  }

  async checksOn(node: string): Promise<readonly ShownCheck[]> {
    return (await this.#world.consul.get(`/v1/health/node/${node}?consistent`)) as readonly ShownCheck[];
  }

  /** The nodes whose names begin so. */
  async nodes(prefix: string): Promise<readonly ShownNode[]> {
    const all = (await this.#world.consul.get('/v1/catalog/nodes?consistent')) as readonly ShownNode[];
    return all.filter(({ Node }) => Node.startsWith(prefix));
  }

  /** As somebody by hand: what is sent stands as sent, and all else stays. A node that is there stays as it is. */
  async registerByHand({ node, nodeAddress = '192.0.2.1', nodeMeta, service, check }: ByHand): Promise<void> {
    await this.#world.consul.put('/v1/catalog/register', {
      Node: node,
      Address: nodeAddress,
      SkipNodeUpdate: true,
      ...(nodeMeta && { NodeMeta: nodeMeta }),
      ...(service && { Service: service }),
      ...(check && { Check: { Node: node, ...check } }),
    });
  }

  /** As somebody by hand: changes fields of an instance that stands, and no other one. */
  async editByHand(service: string, id: string, edit: object): Promise<void> {
    const { Node, Service } = await this.instance(service, id);
    const { ModifyIndex: _, CreateIndex: __, ...body }: Record<string, unknown> = { ...Service };
    await this.registerByHand({ node: Node.Node, service: { ...body, ...edit } });
  }

  /** As somebody by hand: takes an instance out. */
  async removeByHand(service: string, id: string): Promise<void> {
    const { Node } = await this.instance(service, id);
    await this.#world.consul.put('/v1/catalog/deregister', { Node: Node.Node, ServiceID: id });
  }

  /** As somebody by hand: adds a check to an instance, or changes one. */
  async checkByHand(
    service: string,
    id: string,
    check: { readonly CheckID: string; readonly Status: string; readonly Name?: string },
  ): Promise<void> {
    const { Node } = await this.instance(service, id);
    await this.registerByHand({
      node: Node.Node,
      check: { Name: check.CheckID, ServiceID: id, ...check },
    });
  }

  /** Takes out of Consul the nodes that are named for the world, and those of its install, with all that stands there. */
  async clear(): Promise<void> {
    const theirs = await this.nodes(this.node(''));
    const own = await this.nodes(`proconsul-${this.#world.installId}-services-`);
    for (const { Node } of [...theirs, ...own]) {
      await this.#world.consul.put('/v1/catalog/deregister', { Node });
    }
  }

  async #health(service: string, filter?: 'passing'): Promise<readonly ShownInstance[]> {
    const query = filter === undefined ? 'consistent' : `${filter}&consistent`;
    return (await this.#world.consul.get(`/v1/health/service/${service}?${query}`)) as never;
  }
}
