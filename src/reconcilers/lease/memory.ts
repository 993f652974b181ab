import type { ConsulLeaderLeaseStatus } from '../../api/v1alpha1/consulleaderlease.ts';
import { MAX_HOLDERS } from '../../core/lease-keys.ts';
import { type ResourceKey, type ResourceRef, resourceKey } from '../../core/resource.ts';
import type { ToldHolder } from './plan.ts';
import type { PodRef } from './pods.ts';
import { tokenIn } from './steps.ts';

/** As many as could ever be shown, and the highest token. */
const REMEMBERED = MAX_HOLDERS + 1;

interface Remembered {
  granted: readonly ToldHolder[];
  readonly labelled: Map<string, PodRef>;
  /** By key: until when a grant is not tried again, on the monotonic clock. */
  readonly delayed: Map<string, number>;
}

/** What this process did for leases and nobody else may tell: Consul can be restored, and a status can be lost. */
export class LeaseMemory {
  readonly #leases = new Map<ResourceKey, Remembered>();

  /** Tokens and times of holders, as granted here and as the status tells. */
  told(ref: ResourceRef, { holders = [] }: Pick<ConsulLeaderLeaseStatus, 'holders'>): readonly ToldHolder[] {
    const shown = holders.flatMap(({ sessionID, fencingToken, acquiredTime }) =>
      sessionID === undefined ? [] : [{ session: sessionID, token: tokenIn(fencingToken), acquiredTime }],
    );
    return [...(this.#leases.get(resourceKey(ref))?.granted ?? []), ...shown];
  }

  granted(ref: ResourceRef, holder: ToldHolder): void {
    const lease = this.#of(ref);
    const all = [holder, ...lease.granted.filter(({ session }) => session !== holder.session)];
    lease.granted = all.sort((one, other) => (one.token < other.token ? 1 : -1)).slice(0, REMEMBERED);
  }

  /** Pods that led, by the status or by a label put on them here, and may carry a label of this lease still. */
  formerHolders(ref: ResourceRef, { holders = [] }: Pick<ConsulLeaderLeaseStatus, 'holders'>): PodRef[] {
    const shown = holders.flatMap(({ name, uid }) => (uid === undefined ? [] : [{ name, uid }]));
    const labelled = this.#leases.get(resourceKey(ref))?.labelled.values() ?? [];
    return [...new Map([...shown, ...labelled].map(pod => [pod.uid, pod])).values()];
  }

  labelled(ref: ResourceRef, pod: PodRef, isOn: boolean): void {
    const { labelled } = this.#of(ref);
    if (isOn) labelled.set(pod.uid, pod);
    else labelled.delete(pod.uid);
  }

  /** Consul keeps this lock closed for a while. */
  delay(ref: ResourceRef, key: string, untilMs: number): void {
    this.#of(ref).delayed.set(key, untilMs);
  }

  /** The keys not to be granted yet, and when the last of them is to be tried again. */
  delays(ref: ResourceRef, nowMs: number): { readonly keys: ReadonlySet<string>; readonly againMs: number } {
    const delayed = this.#leases.get(resourceKey(ref))?.delayed ?? new Map<string, number>();
    let againMs = 0;
    for (const [key, untilMs] of delayed) {
      if (untilMs <= nowMs) delayed.delete(key);
      else againMs = Math.max(againMs, untilMs - nowMs);
    }
    return { keys: new Set(delayed.keys()), againMs };
  }

  forget(ref: ResourceRef): void {
    this.#leases.delete(resourceKey(ref));
  }

  #of(ref: ResourceRef): Remembered {
    const key = resourceKey(ref);
    const known = this.#leases.get(key) ?? { granted: [], labelled: new Map(), delayed: new Map() };
    this.#leases.set(key, known);
    return known;
  }
}
