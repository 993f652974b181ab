import {
  type ConsulLeaderLease,
  leaseSettingsOf,
  parseConsulLeaderLease,
} from '../api/v1alpha1/consulleaderlease.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { KubeObject, Store } from '../kube/index.ts';
import type { Pod, PodRef } from '../reconcilers/lease/pods.ts';
import { matchesSelector } from '../reconcilers/lease/selector.ts';
import { CONSUL_LEADER_LEASES } from './kinds.ts';
import { refOf } from './triggers.ts';

/** The index of objects by their namespace. */
export const BY_NAMESPACE = 'namespace';

export function namespaceOf({ metadata: { namespace = '' } }: KubeObject): readonly string[] {
  return [namespace];
}

interface LeaseName {
  readonly namespace: string;
  readonly name: string;
}

/** Which leases a Pod concerns. */
export class LeaseIndex {
  readonly #leases: Store;
  readonly #parsed = new WeakMap<KubeObject, { readonly lease: ConsulLeaderLease | undefined }>();

  /** @param leases filed by their namespace. */
  constructor(leases: Store) {
    this.#leases = leases;
  }

  /** Those that choose among Pods with one of these sets of labels. */
  concernedBy(namespace: string, pods: readonly Pick<Pod, 'labels'>[]): ResourceRef[] {
    return this.#leases.byIndex(BY_NAMESPACE, namespace).flatMap(object => {
      // A lease that cannot be read may still be held, by any Pod.
      const selector = this.#read(object)?.spec.candidates.selector ?? {};
      const isMatching = pods.some(({ labels }) => matchesSelector(selector, labels));
      return isMatching ? [refOf(CONSUL_LEADER_LEASES, object)] : [];
    });
  }

  /**
   * Whether a lease other than this one says in its status that the Pod leads, and calls its label the same. Of those
   * that were `seen` in Consul more is known than a status tells, which comes later.
   */
  isLedElsewhere(own: LeaseName, pod: PodRef, label: string, seen: (other: LeaseName) => boolean): boolean {
    const { namespace } = own;
    return this.#leases.byIndex(BY_NAMESPACE, namespace).some(object => {
      const { name, deletionTimestamp } = object.metadata;
      if (name === own.name || deletionTimestamp !== undefined || seen({ namespace, name })) return false;
      const lease = this.#read(object);
      if (lease === undefined) return false;
      const { leaderLabel, heldBy } = leaseSettingsOf(lease.spec);
      const isHolder = lease.status.holders?.some(holder =>
        heldBy === 'Application' ? holder.name === pod.name : holder.uid === pod.uid,
      );
      return leaderLabel === label && isHolder === true;
    });
  }

  /** Objects of a store never change, so each is parsed once. */
  #read(object: KubeObject): ConsulLeaderLease | undefined {
    const known = this.#parsed.get(object);
    if (known !== undefined) return known.lease;
    const parsed = parseConsulLeaderLease(object);
    const lease = parsed.ok ? (parsed.value as ConsulLeaderLease) : undefined;
    this.#parsed.set(object, { lease });
    return lease;
  }
}
