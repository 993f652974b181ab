import { isDeepStrictEqual } from 'node:util';
import type { ResourceRef } from '../core/resource.ts';
import type { KubeObject, ResourceType, StoreHandlers } from '../kube/index.ts';
import type { ClusterNeeds, LeaseCluster, PodLabels, WriteOutcome } from '../reconcilers/lease/cluster.ts';
import { type Pod, readPod, trimPod } from '../reconcilers/lease/pods.ts';
import {
  ENDPOINT_SLICES,
  type LeaseOwner,
  type ObservedRouting,
  type RouteStep,
  SERVICES,
} from '../reconcilers/lease/routing.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import type { Base } from './base.ts';
import { guardedClient } from './guarded-client.ts';
import { CONSUL_LEADER_LEASES } from './kinds.ts';
import { LazyWatch } from './lazy-watch.ts';
import { BY_NAMESPACE, type LeaseIndex, namespaceOf } from './lease-index.ts';
import { ObjectWriter } from './object-writer.ts';
import { reportDefect } from './served-kind.ts';

const PODS: ResourceType = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };
/** What is made for leases carries these; see `planRouting`. */
const SERVICE_MARK = 'app.kubernetes.io/managed-by=proconsul';
const SLICE_MARK = 'endpointslice.kubernetes.io/managed-by=proconsul.dev';

export interface LeaseClusterOptions {
  readonly leases: LeaseIndex;
  readonly look: (refs: readonly ResourceRef[], priority: Priority) => void;
}

/**
 * Kubernetes as leases see it: all Pods, cut down to what matters, and the Services and EndpointSlices that carry the
 * operator's mark. Three watches in each scope, opened when there is a lease; what moves asks for a turn of the leases
 * that it concerns.
 */
export class KubeLeaseCluster implements LeaseCluster {
  readonly #base: Base;
  readonly #options: LeaseClusterOptions;
  readonly #pods: LazyWatch;
  readonly #services: LazyWatch;
  readonly #slices: LazyWatch;
  readonly #writer: ObjectWriter;
  readonly #read = new WeakMap<KubeObject, Pod>();

  constructor(base: Base, options: LeaseClusterOptions) {
    const { client, rightToWrite, signal } = base;
    const indexes = { [BY_NAMESPACE]: namespaceOf };
    this.#base = base;
    this.#options = options;
    const made = { indexes, handlers: this.#wakeOwners() };
    this.#pods = new LazyWatch(base, {
      type: PODS,
      transform: trimPod,
      indexes,
      handlers: this.#wakeChoosers(),
    });
    this.#services = new LazyWatch(base, { ...made, type: SERVICES, labelSelector: SERVICE_MARK });
    this.#slices = new LazyWatch(base, { ...made, type: ENDPOINT_SLICES, labelSelector: SLICE_MARK });
    this.#writer = new ObjectWriter({ client: guardedClient(client, rightToWrite), signal });
  }

  open(): void {
    for (const watch of this.#all) watch.open();
  }

  problem(): string | undefined {
    return this.#all.map(watch => watch.problem()).find(found => found !== undefined);
  }

  async listed(namespace: string, { routes, isOptional }: ClusterNeeds, signal: AbortSignal): Promise<void> {
    const needed = routes ? this.#all : [this.#pods];
    await Promise.all(needed.map(watch => watch.listed(namespace, { isOptional, signal })));
  }

  pods(namespace: string): readonly Pod[] {
    return this.#pods.store.byIndex(BY_NAMESPACE, namespace).map(object => this.#podOf(object));
  }

  pod(namespace: string, name: string): Pod | undefined {
    const object = this.#pods.store.get(namespace, name);
    return object && this.#podOf(object);
  }

  isLedElsewhere(
    ...[owner, pod, label, seen]: Parameters<LeaseCluster['isLedElsewhere']>
  ): ReturnType<LeaseCluster['isLedElsewhere']> {
    return this.#options.leases.isLedElsewhere(owner, pod, label, seen);
  }

  routes({ namespace }: Pick<LeaseOwner, 'namespace'>): ObservedRouting {
    const all = ({ store }: LazyWatch) => store.byIndex(BY_NAMESPACE, namespace);
    return { services: all(this.#services), slices: all(this.#slices) };
  }

  lookUp(
    type: ResourceType,
    name: { readonly namespace: string; readonly name: string },
    signal: AbortSignal,
  ): Promise<KubeObject | undefined> {
    return this.#writer.read(type, name, signal);
  }

  label(namespace: string, { pod, labels }: PodLabels): Promise<WriteOutcome> {
    const { name, uid } = pod;
    const { resourceVersion } = this.#pods.store.get(namespace, name)?.metadata ?? {};
    const patch = { metadata: { uid, resourceVersion, labels } };
    return this.#finishing(() => this.#writer.patch(this.#pods, { namespace, name }, patch));
  }

  route(namespace: string, step: RouteStep): Promise<WriteOutcome> {
    const kind = step.type === SERVICES ? this.#services : this.#slices;
    return this.#finishing(() => {
      switch (step.kind) {
        case 'create':
          return this.#writer.create(kind, namespace, step.body);
        case 'patch':
          return this.#writer.patch(kind, { namespace, name: step.name }, step.patch);
        case 'delete':
          return this.#writer.delete(kind, step.object);
      }
    });
  }

  get #all(): readonly LazyWatch[] {
    return [this.#pods, this.#services, this.#slices];
  }

  /** Consul has been written by then: nobody who gathers writes needs to wait for this. */
  #finishing(write: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    return this.#base.finishing.during(write);
  }

  #podOf(object: KubeObject): Pod {
    const pod = this.#read.get(object) ?? readPod(object);
    this.#read.set(object, pod);
    return pod;
  }

  /** The leases that choose among such Pods, or did before. */
  #wakeChoosers(): StoreHandlers<KubeObject> {
    const wake = (object: KubeObject, pods: readonly Pod[], priority: Priority): void =>
      this.#options.look(this.#options.leases.concernedBy(object.metadata.namespace ?? '', pods), priority);
    return {
      onUpsert: (object, previous, { initial }) => {
        const pod = this.#podOf(object);
        const before = previous && this.#podOf(previous);
        if (isDeepStrictEqual(pod, before)) return;
        wake(
          object,
          before === undefined ? [pod] : [pod, before],
          initial ? PRIORITY.resync : PRIORITY.specChange,
        );
      },
      onDelete: object => wake(object, [this.#podOf(object)], PRIORITY.specChange),
      onError: reportDefect(this.#base),
    };
  }

  #wakeOwners(): StoreHandlers<KubeObject> {
    const wake = (objects: readonly (KubeObject | undefined)[], priority: Priority): void =>
      this.#options.look(objects.flatMap(ownersOf), priority);
    return {
      onUpsert: (object, previous, { initial }) =>
        wake([object, previous], initial ? PRIORITY.resync : PRIORITY.specChange),
      onDelete: object => wake([object], PRIORITY.specChange),
      onError: reportDefect(this.#base),
    };
  }
}

function ownersOf(object: KubeObject | undefined): ResourceRef[] {
  const { namespace = '', ownerReferences = [] } = object?.metadata ?? {};
  return ownerReferences
    .filter(({ kind }) => kind === CONSUL_LEADER_LEASES.kind)
    .map(({ kind, name }) => ({ kind, namespace, name }));
}
