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

/** What a lease knows of its namespace, and does there. */
export interface LeaseCluster {
  /**
   * Resolves once Pods and what was made for leases have been listed there; it begins to watch them when it must.
   * @throws RetryableError while they may not be listed.
   */
  listed(namespace: string, signal: AbortSignal): Promise<void>;
  pods(namespace: string): readonly Pod[];
  pod(namespace: string, name: string): Pod | undefined;
  /** Whether a lease other than this one gives the Pod the same label. */
  isLedElsewhere(owner: Pick<LeaseOwner, 'namespace' | 'name'>, pod: PodRef, label: string): boolean;
  /** What carries the mark of such objects and belongs to this lease. */
  routes(owner: LeaseOwner): ObservedRouting;
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
