import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import type { KubeObject } from './kube-api.ts';
import type { World } from './world.ts';

/** In which all zones are. */
export const REGION = 'region-1';

/** The port that every Pod has, by its name. */
export const POD_PORT = { name: 'http', containerPort: 8080, protocol: 'TCP' } as const;

/**
 * Pods of one world that nobody runs, and what stands in Kubernetes for them. What a kubelet would write is written here;
 * the EndpointSlices are made by the real controller, which takes Pods on nodes alone.
 */
export class Pods {
  readonly #world: World;
  readonly #nodes = new Map<string, Promise<KubeObject>>();
  #addresses = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** A Service that selects the Pods of an app. Without an address of its own: there are few. */
  async service(name: string, app = name, spec: object = {}): Promise<KubeObject> {
    const ports = [{ name: 'http', port: 80, targetPort: 'http' }];
    return this.#world.kube.apply(
      this.#world.object('v1', 'Service', name, {
        spec: { clusterIP: 'None', selector: { app }, ports, ...spec },
      }),
    );
  }

  async deleteService(name: string): Promise<void> {
    await this.#world.kube.delete(this.#world.object('v1', 'Service', name));
  }

  /** Makes the node of a zone, or takes that which there is; it goes with the Pods. */
  async node(zone: string): Promise<string> {
    const name = `${this.#world.namespace}-${zone}`;
    const labels = { 'topology.kubernetes.io/zone': zone, 'topology.kubernetes.io/region': REGION };
    const node = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
    const made = this.#nodes.get(name) ?? this.#world.kube.create(node);
    this.#nodes.set(name, made);
    await made;
    return name;
  }

  async create(app: string, name: string, zone = 'zone-a'): Promise<void> {
    const nodeName = await this.node(zone);
    const containers = [{ name: 'main', image: 'none', ports: [POD_PORT] }];
    await this.#world.kube.create({
      ...this.#pod(name, { spec: { nodeName, containers, automountServiceAccountToken: false } }),
      metadata: { name, namespace: this.#world.namespace, labels: { app } },
    });
  }

  /** As a kubelet would. `addresses`: where it answers, the first of which is the main one. */
  async setReady(name: string, isReady: boolean, addresses?: readonly string[]): Promise<void> {
    const status = isReady ? 'True' : 'False';
    const given = addresses && {
      podIP: addresses[0],
      podIPs: addresses.map(ip => ({ ip })),
    };
    const conditions = [
      { type: 'Ready', status, lastTransitionTime: `${new Date().toISOString().slice(0, 19)}Z` },
    ];
    await this.#world.kube.patch(
      this.#pod(name),
      { status: { phase: 'Running', conditions, ...given } },
      'status',
    );
  }

  /** A Pod that is Ready; resolves with its address. */
  async start(app: string, name: string, zone?: string): Promise<string> {
    await this.create(app, name, zone);
    const address = this.address();
    await this.setReady(name, true, [address]);
    return address;
  }

  /** An address that no other Pod of the world has. */
  address(): string {
    this.#addresses += 1;
    return `10.7.${(this.#addresses >> 8) & 255}.${this.#addresses & 255}`;
  }

  /** Asks it to end: it is terminating from now on, and stays. */
  async terminate(name: string): Promise<void> {
    await this.#world.kube.delete(this.#pod(name));
  }

  /** Its kubelet says that it has ended, or its machine is gone. */
  async kill(name: string): Promise<void> {
    const path = `${await this.#world.kube.pathOf(this.#pod(name))}?gracePeriodSeconds=0`;
    await this.#world.kube.call('DELETE', path);
  }

  /** Resolves once the EndpointSlices of a Service name exactly these Pods. */
  async becomeEndpoints(service: string, names: readonly string[]): Promise<void> {
    const what = `endpoints of ${service}`;
    const isSo = async (): Promise<void> => expect(await this.#endpoints(service)).toEqual([...names].sort());
    await eventually(isSo, { what });
  }

  /** An EndpointSlice that no controller minds, of a Service without a selector. */
  slice(service: string, name: string, body: object): KubeObject {
    const slice = this.#world.object('discovery.k8s.io/v1', 'EndpointSlice', name, {
      addressType: 'IPv4',
      ports: [{ name: 'http', port: POD_PORT.containerPort, protocol: 'TCP' }],
      ...body,
    });
    const labels = {
      'kubernetes.io/service-name': service,
      'endpointslice.kubernetes.io/managed-by': 'test',
    };
    return { ...slice, metadata: { ...slice.metadata, labels } };
  }

  /** One endpoint of a slice. */
  endpoint(name: string, address: string, conditions: object = { ready: true }): object {
    const targetRef = { kind: 'Pod', name, namespace: this.#world.namespace };
    return { addresses: [address], conditions, targetRef };
  }

  /** Ends what no kubelet ends, and the nodes: the namespace could not go otherwise. */
  async close(): Promise<void> {
    const { kube, namespace } = this.#world;
    const pods = await kube.list({ apiVersion: 'v1', kind: 'Pod' }, namespace);
    await Promise.all(pods.map(({ metadata }) => this.kill(metadata.name)));
    const nodes = await Promise.all(this.#nodes.values());
    await Promise.all(nodes.map(node => kube.delete(node)));
  }

  async #endpoints(service: string): Promise<string[]> {
    const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
    const slices = await this.#world.kube.list(kind, this.#world.namespace);
    const theirs = slices.filter(
      ({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service,
    );
    const names = theirs.flatMap(slice =>
      (slice['endpoints'] ?? []).map((one: KubeObject) => one['targetRef'].name as string),
    );
    return [...new Set<string>(names)].sort();
  }

  #pod(name: string, body: object = {}): KubeObject {
    return this.#world.object('v1', 'Pod', name, body);
  }
}
