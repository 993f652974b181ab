import type { LabelSelector } from '../../api/v1alpha1/consulleaderlease.ts';
import type { Pod } from './pods.ts';
import { matchesSelector } from './selector.ts';

/** Why a Pod may not lead, in words that follow its name; undefined when it may. */
export function disqualification(pod: Pod, selector: LabelSelector): string | undefined {
  if (pod.isDeleting) return 'is being deleted';
  if (pod.isTerminal) return 'has ended';
  if (!matchesSelector(selector, pod.labels)) return 'does not match the selector';
  return pod.isReady ? undefined : 'is not Ready';
}

/**
 * The Pods that may lead, in the order in which they come to it: who has been Ready longest is first, then the oldest,
 * then by name. The order does not depend on that of `pods`.
 */
export function candidatesAmong(pods: Iterable<Pod>, selector: LabelSelector): Pod[] {
  return [...pods].filter(pod => disqualification(pod, selector) === undefined).sort(byRank);
}

function byRank(one: Pod, other: Pod): number {
  return (
    compare(one.readySinceMs, other.readySinceMs) ||
    compare(one.createdMs, other.createdMs) ||
    compare(one.name, other.name) ||
    compare(one.uid, other.uid)
  );
}

/** By code units, and of numbers so that infinities are equal. */
function compare<T extends number | string>(one: T, other: T): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
