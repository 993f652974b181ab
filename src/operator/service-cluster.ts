import { untilAborted } from '../core/pause.ts';
import type { KubeObject } from '../kube/index.ts';
import { ENDPOINT_SLICES, SERVICES } from '../reconcilers/lease/routing.ts';
import type { ServiceCluster } from '../reconcilers/service/cluster.ts';
import type { KubernetesSource } from '../reconcilers/service/endpoints.ts';
import type { Base } from './base.ts';
import {
  BY_NODE,
  BY_SERVICE,
  followedBy,
  type Followers,
  nodesOfSlice,
  SERVICE_LABEL,
  serviceId,
  serviceOfSlice,
  trimService,
  trimSlice,
  wakeFollowers,
  wakeThoseOf,
} from './followed-services.ts';
import { LazyWatch } from './lazy-watch.ts';
import { NodeRegions } from './node-regions.ts';
import { reportDefect } from './served-kind.ts';

/**
 * The Services of Kubernetes with their EndpointSlices, cut down to what matters: two watches in each scope and one of
 * Nodes, opened when a ConsulService follows a Service. What moves asks for a turn of those that follow that very Service.
 */
export class KubeServiceCluster implements ServiceCluster {
  readonly #services: LazyWatch;
  readonly #slices: LazyWatch;
  readonly #regions: NodeRegions;

  constructor(base: Base, followers: Followers) {
    const onError = reportDefect(base);
    this.#services = new LazyWatch(base, {
      type: SERVICES,
      transform: trimService,
      indexes: {},
      handlers: { ...wakeFollowers(followers, ({ metadata }) => [serviceId(metadata)]), onError },
    });
    this.#slices = new LazyWatch(base, {
      type: ENDPOINT_SLICES,
      transform: trimSlice,
      labelSelector: SERVICE_LABEL,
      indexes: { [BY_SERVICE]: serviceOfSlice, [BY_NODE]: nodesOfSlice },
      handlers: { ...wakeFollowers(followers, serviceOfSlice), onError },
    });
    this.#regions = new NodeRegions(base, node =>
      wakeThoseOf(followers, this.#slices.store.byIndex(BY_NODE, node)),
    );
  }

  /** To be told of each ConsulService. */
  saw(resource: KubeObject): void {
    if (followedBy(resource).length === 0) return;
    for (const watch of this.#all) watch.open();
    this.#regions.open();
  }

  problem(): string | undefined {
    return this.#all.map(watch => watch.problem()).find(found => found !== undefined);
  }

  async source(
    { namespace, service: name }: { readonly namespace: string; readonly service: string },
    signal: AbortSignal,
  ): Promise<KubernetesSource> {
    await Promise.all(this.#all.map(watch => watch.listed(namespace, { isOptional: false, signal })));
    await Promise.race([this.#regions.settled, untilAborted(signal)]);
    return {
      service: this.#services.store.get(namespace, name),
      slices: this.#slices.store.byIndex(BY_SERVICE, serviceId({ namespace, name })),
      regionOf: node => this.#regions.of(node),
    };
  }

  get areRegionsKnown(): boolean {
    return this.#regions.areKnown;
  }

  get #all(): readonly LazyWatch[] {
    return [this.#services, this.#slices];
  }
}
