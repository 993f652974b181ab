import type { KubernetesSource } from './endpoints.ts';

/** Kubernetes as services see it. */
export interface ServiceCluster {
  /**
   * A Service with all its EndpointSlices, as last heard of; what is not there does not exist.
   * @throws RetryableError while they have not been listed; `SourceForbidden` when a right is missing.
   */
  source(
    of: { readonly namespace: string; readonly service: string },
    signal: AbortSignal,
  ): Promise<KubernetesSource>;
  /** Whether the regions of Nodes are known, or there are none by configuration. Undefined: they are. */
  readonly areRegionsKnown?: boolean;
}
