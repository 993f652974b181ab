import type { ConsulLeaderLeaseStatus } from '../../api/v1alpha1/consulleaderlease.ts';
import { MAX_HOLDERS } from '../../core/lease-keys.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Told } from './plan.ts';
import type { PodRef } from './pods.ts';
import { highest, tokenIn } from './steps.ts';

type LeaseName = Pick<ResourceRef, 'namespace' | 'name'>;
type ToldStatus = Pick<ConsulLeaderLeaseStatus, 'holders' | 'highestFencingToken' | 'transitions'>;

/** A grant of this process. */
export interface Granted {
  readonly session: string;
  readonly token: bigint;
  readonly acquiredTime: string;
}

/** Who leads, and by which label that shows. */
export interface Leading {
  readonly label: string;
  readonly pods: readonly PodRef[];
}

interface Remembered {
  highest: bigint;
  /** Latest first, as many as could ever be shown. */
  granted: readonly Granted[];
  /** As last seen in Consul; undefined: not since this replica leads. */
  leading: Leading | undefined;
  /** By uid: Pods that led at some time, and may carry a label of this lease still. */
  readonly led: Map<string, PodRef>;
  /** By key: until when a grant is not tried again, on the monotonic clock. */
  readonly delayed: Map<string, number>;
}

/** What this process did for leases and saw of them, and nobody else may tell: Consul can be restored, a status can be lost. */
export class LeaseMemory {
  /** By namespace and name. */
  readonly #leases = new Map<string, Map<string, Remembered>>();

  /** What the status tells, and what this process has done since. */
  told(ref: LeaseName, { holders = [], highestFencingToken, transitions = 0 }: Partial<ToldStatus>): Told {
    const lease = this.#find(ref);
    const shown = holders.map(({ fencingToken }) => tokenIn(fencingToken));
    const acquired = new Map<string, string>();
    for (const { sessionID, acquiredTime } of holders) {
      if (sessionID !== undefined && acquiredTime !== undefined) acquired.set(sessionID, acquiredTime);
    }
    for (const { session, acquiredTime } of lease?.granted ?? []) acquired.set(session, acquiredTime);
    const tokens = [tokenIn(highestFencingToken), ...shown, lease?.highest ?? 0n];
    return { highest: highest(tokens), transitions, acquired };
  }

  granted(ref: LeaseName, grant: Granted): void {
    const lease = this.#of(ref);
    const others = lease.granted.filter(({ session }) => session !== grant.session);
    lease.granted = [grant, ...others].slice(0, MAX_HOLDERS);
    lease.highest = highest([lease.highest, grant.token]);
  }

  /** Who leads as Consul has it, seen just now. */
  sawLeading(ref: LeaseName, leading: Leading): void {
    this.#of(ref).leading = leading;
  }

  mayBeLabelled(ref: LeaseName, pods: readonly PodRef[]): void {
    const { led } = this.#of(ref);
    for (const { name, uid } of pods) led.set(uid, { name, uid });
  }

  /** Whether who leads has been seen, so that no status needs to be asked. */
  hasSeen(ref: LeaseName): boolean {
    return this.#find(ref)?.leading !== undefined;
  }

  /** Whether a lease other than this one was seen to give the Pod the same label. */
  isLedElsewhere({ namespace, name }: LeaseName, { uid }: PodRef, label: string): boolean {
    const isLeading = ({ leading }: Remembered): boolean =>
      leading?.label === label && leading.pods.some(pod => pod.uid === uid);
    const leases = this.#leases.get(namespace)?.entries() ?? [].values();
    return leases.some(([other, lease]) => other !== name && isLeading(lease));
  }

  /** Another replica has led meanwhile: who leads has to be seen anew. */
  forgetLeading(): void {
    for (const leases of this.#leases.values()) {
      for (const lease of leases.values()) lease.leading = undefined;
    }
  }

  /** Pods that led, by the status or as seen here, as far as they still exist. */
  formerHolders(
    ref: LeaseName,
    { holders = [] }: Partial<Pick<ConsulLeaderLeaseStatus, 'holders'>>,
    exists: (pod: PodRef) => boolean,
  ): PodRef[] {
    const led = this.#find(ref)?.led ?? new Map<string, PodRef>();
    for (const pod of led.values()) if (!exists(pod)) led.delete(pod.uid);
    const shown = holders.flatMap(({ name, uid }) => (uid === undefined ? [] : [{ name, uid }]));
    return [...new Map([...shown.filter(exists), ...led.values()].map(pod => [pod.uid, pod])).values()];
  }

  /** Consul keeps this lock closed for a while. */
  delay(ref: LeaseName, key: string, untilMs: number): void {
    this.#of(ref).delayed.set(key, untilMs);
  }

  /** The keys not to be granted yet, and when the last of them is to be tried again. */
  delays(ref: LeaseName, nowMs: number): { readonly keys: ReadonlySet<string>; readonly againMs: number } {
    const delayed = this.#find(ref)?.delayed ?? new Map<string, number>();
    let againMs = 0;
    for (const [key, untilMs] of delayed) {
      if (untilMs <= nowMs) delayed.delete(key);
      else againMs = Math.max(againMs, untilMs - nowMs);
    }
    return { keys: new Set(delayed.keys()), againMs };
  }

  forget({ namespace, name }: LeaseName): void {
    const leases = this.#leases.get(namespace);
    leases?.delete(name);
    if (leases?.size === 0) this.#leases.delete(namespace);
  }

  #find({ namespace, name }: LeaseName): Remembered | undefined {
    return this.#leases.get(namespace)?.get(name);
  }

  #of(ref: LeaseName): Remembered {
    const { namespace, name } = ref;
    const known = this.#find(ref) ?? {
      highest: 0n,
      granted: [],
      leading: undefined,
      led: new Map(),
      delayed: new Map(),
    };
    const leases = this.#leases.get(namespace) ?? new Map<string, Remembered>();
    this.#leases.set(namespace, leases.set(name, known));
    return known;
  }
}
