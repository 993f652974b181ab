import { expect } from 'vitest';
import { conditionsOf, type Condition, type Event, type Standing, standingOf } from './consulkv.ts';
import type { KvEntry } from './consul-api.ts';
import { eventually } from './eventually.ts';
import type { KubeObject } from './kube-api.ts';
import type { World } from './world.ts';

type Spec = Readonly<Record<string, unknown>>;

export interface Holder {
  readonly name: string;
  readonly uid?: string;
  readonly sessionID: string;
  readonly fencingToken?: string;
  readonly acquiredTime?: string;
}

export const LEADER_LABEL = 'proconsul.dev/leader';

/** The value at the key of a lock. */
export interface LockText {
  readonly holder: string;
  readonly uid: string;
  readonly fencingToken: string;
  readonly acquiredTime: string;
}

/** The leases of one world, and the Pods that they choose among. There is no kubelet: statuses are written here. */
export class Leases {
  readonly #world: World;
  #addresses = 0;

  constructor(world: World) {
    this.#world = world;
  }

  object(name: string, spec: Spec = {}): KubeObject {
    const candidates = { selector: { matchLabels: { app: name } } };
    return this.#world.object('proconsul.dev/v1alpha1', 'ConsulLeaderLease', name, {
      spec: { candidates, ...spec },
    });
  }

  /** A lease whose candidates carry the label `app: <name>`. */
  async declare(name: string, spec: Spec = {}): Promise<KubeObject> {
    return this.#world.kube.apply(this.object(name, spec));
  }

  async change(name: string, spec: Spec): Promise<KubeObject> {
    return this.#world.kube.patch(this.object(name), { spec });
  }

  async get(name: string): Promise<KubeObject> {
    const found = await this.#world.kube.get(this.object(name));
    if (found === undefined) throw new Error(`there is no ConsulLeaderLease ${name}`);
    return found;
  }

  async remove(name: string): Promise<void> {
    await this.#world.kube.delete(this.object(name));
    await this.gone(name);
  }

  async gone(name: string): Promise<void> {
    const what = `ConsulLeaderLease ${name} is gone`;
    await eventually(async () => (await this.#world.kube.get(this.object(name))) === undefined, { what });
  }

  pod(name: string, body: Spec = {}): KubeObject {
    return this.#world.object('v1', 'Pod', name, body);
  }

  /** A Pod that nobody runs, with the label `app`. It is not Ready. */
  async createPod(
    app: string,
    name: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<KubeObject> {
    const containers = [
      { name: 'main', image: 'none', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] },
    ];
    return this.#world.kube.create({
      ...this.pod(name, { spec: { containers, automountServiceAccountToken: false } }),
      metadata: { name, namespace: this.#world.namespace, labels: { app, ...labels } },
    });
  }

  /** What a kubelet would write. `at`: since when. */
  async setReady(name: string, isReady: boolean, at = new Date()): Promise<KubeObject> {
    const ip = `10.${(this.#addresses >> 16) & 255}.${(this.#addresses >> 8) & 255}.${++this.#addresses & 255}`;
    const present = (await this.getPod(name))['status']?.podIP as string | undefined;
    const status = isReady ? 'True' : 'False';
    const lastTransitionTime = `${at.toISOString().slice(0, 19)}Z`;
    return this.#world.kube.patch(
      this.pod(name),
      {
        status: {
          phase: 'Running',
          podIP: present ?? ip,
          podIPs: [{ ip: present ?? ip }],
          conditions: [{ type: 'Ready', status, lastTransitionTime }],
        },
      },
      'status',
    );
  }

  /** Ready Pods of a lease, in the order in which they come to it. */
  async readyPods(app: string, names: readonly string[]): Promise<void> {
    const start = Date.now() - 3_600_000;
    for (const [place, name] of names.entries()) {
      await this.createPod(app, name);
      await this.setReady(name, true, new Date(start + place * 1000));
    }
  }

  async getPod(name: string): Promise<KubeObject> {
    const found = await this.#world.kube.get(this.pod(name));
    if (found === undefined) throw new Error(`there is no Pod ${name}`);
    return found;
  }

  /** At once: no kubelet has to stop anything. */
  async deletePod(name: string): Promise<void> {
    const path = `${await this.#world.kube.pathOf(this.pod(name))}?gracePeriodSeconds=0`;
    await this.#world.kube.call('DELETE', path);
  }

  /** Names of the Pods of an app that carry the label. */
  async labelled(app: string, label = LEADER_LABEL): Promise<string[]> {
    const pods = await this.#world.kube.list({ apiVersion: 'v1', kind: 'Pod' }, this.#world.namespace);
    return pods
      .filter(({ metadata }) => metadata.labels?.['app'] === app && metadata.labels[label] === 'true')
      .map(({ metadata }) => metadata.name)
      .sort();
  }

  /** Names of the Pods that the EndpointSlices of a Service point at. */
  async endpoints(service: string): Promise<string[]> {
    const kind = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' };
    const slices = await this.#world.kube.list(kind, this.#world.namespace);
    return slices
      .filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === service)
      .flatMap(slice => (slice['endpoints'] ?? []).map((one: KubeObject) => one['targetRef'].name as string))
      .sort();
  }

  holdersOf(lease: KubeObject): readonly Holder[] {
    return lease['status']?.holders ?? [];
  }

  async holders(name: string): Promise<readonly Holder[]> {
    return this.holdersOf(await this.get(name));
  }

  /** Resolves once the status names exactly these holders, in order of the slots, and Ready says so. */
  async heldBy(name: string, ...pods: readonly string[]): Promise<readonly Holder[]> {
    return eventually(
      async () => {
        const lease = await this.get(name);
        const holders = this.holdersOf(lease);
        expect(holders.map(holder => holder.name)).toEqual(pods);
        expect(conditionsOf(lease)['Ready']?.status).toBe(pods.length > 0 ? 'True' : 'False');
        return holders;
      },
      { what: `${name} is held by ${pods.join(', ') || 'nobody'}` },
    );
  }

  /** Resolves once label and status agree on the holders. */
  async ledBy(name: string, ...pods: readonly string[]): Promise<readonly Holder[]> {
    const holders = await this.heldBy(name, ...pods);
    await eventually(async () => expect(await this.labelled(name)).toEqual([...pods].sort()), {
      what: `${pods.join(', ')} carry the label`,
    });
    return holders;
  }

  /** Resolves once its status speaks of the spec as it is now and says exactly this. */
  async stands(name: string, standing: Standing): Promise<KubeObject> {
    const wanted = { reconciling: false, stalled: false, drifted: false, ...standing };
    return eventually(
      async () => {
        const found = await this.get(name);
        expect(standingOf(found)).toEqual(wanted);
        return found;
      },
      { what: `${name} is ${JSON.stringify(wanted)}` },
    );
  }

  async ready(name: string): Promise<Condition | undefined> {
    return conditionsOf(await this.get(name))['Ready'];
  }

  /** Where a lease without a key has its lock. */
  defaultKey(name: string): string {
    return `proconsul/${this.#world.installId}/leases/${this.#world.namespace}/${name}`;
  }

  async lock(
    key: string,
  ): Promise<(KvEntry & { readonly value: Buffer; readonly lock: LockText }) | undefined> {
    const entry = await this.#world.consul.kvGet(key);
    return entry && { ...entry, lock: entry.text.startsWith('{') ? JSON.parse(entry.text) : undefined };
  }

  /** The sessions of this install's leases. */
  async sessions(): Promise<readonly { readonly ID: string; readonly Name: string }[]> {
    const node = `proconsul-${this.#world.installId}-leases`;
    return (await this.#world.consul.get(`/v1/session/node/${node}?consistent`)) as never;
  }

  /** The ids of those that were made for one lease, whether they hold it or not. */
  async sessionsOf(name: string): Promise<string[]> {
    const prefix = `lease/${this.#world.namespace}/${name}/`;
    return (await this.sessions()).filter(({ Name }) => Name.startsWith(prefix)).map(({ ID }) => ID);
  }

  async events(name: string): Promise<Event[]> {
    const { kube, namespace } = this.#world;
    const all = await kube.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' }, namespace);
    return all
      .filter(({ regarding }) => regarding?.kind === 'ConsulLeaderLease' && regarding.name === name)
      .map(({ type, reason, note, series }) => ({ type, reason, note, count: series?.count ?? 1 }));
  }
}
