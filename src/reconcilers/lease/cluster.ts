import type { KubeObject, ResourceType } from '../../kube/types.ts';
import type { LEADS } from './labels.ts';
import type { Pod, PodRef } from './pods.ts';
import type { LeaseOwner, ObservedRouting, RouteStep } from './routing.ts';

/** What became of a write: `outdated`: a precondition did not hold, and what is there now is known. */
export type WriteOutcome = 'done' | 'outdated';

/** What labels of one Pod should become; null: it goes. */
export interface PodLabels {
  readonly pod: PodRef;
  readonly labels: Readonly<Record<string, typeof LEADS | null>>;
}

type LeaseName = Pick<LeaseOwner, 'namespace' | 'name'>;

/** What a turn cannot do without. */
export interface ClusterNeeds {
  /** Services and EndpointSlices, too. */
  readonly routes: boolean;
  /** What may not be listed was never written either, and is done without. */
  readonly isOptional: boolean;
}

/** What a lease knows of its namespace, and does there. */
export interface LeaseCluster {
  /**
   * Resolves once what is needed has been listed there; it begins to watch when it must.
   * @throws RetryableError while the API server does not answer, and with `SourceForbidden` while it refuses.
   */
  listed(namespace: string, needs: ClusterNeeds, signal: AbortSignal): Promise<void>;
  pods(namespace: string): readonly Pod[];
  pod(namespace: string, name: string): Pod | undefined;
  /** Whether the status of a lease other than this one, and but for those that were `seen`, gives the Pod the same label. */
  isLedElsewhere(owner: LeaseName, pod: PodRef, label: string, seen: (other: LeaseName) => boolean): boolean;
  /** What carries the mark of such objects and belongs to this lease. */
  routes(owner: LeaseName): ObservedRouting;
  /** What has this name, marked or not, as the API server has it now. */
  lookUp(
    type: ResourceType,
    name: { readonly namespace: string; readonly name: string },
    signal: AbortSignal,
  ): Promise<KubeObject | undefined>;
  /** @throws AbortedError when this process may not write. */
  label(namespace: string, change: PodLabels): Promise<WriteOutcome>;
  /** @throws AbortedError when this process may not write. */
  route(namespace: string, step: RouteStep): Promise<WriteOutcome>;
}
