import type { Clock } from '../core/clock.ts';
import { ConflictError } from '../core/errors.ts';
import {
  collectionPath,
  type KubeClient,
  type KubeObject,
  kubeStatus,
  objectPath,
  type ResourceType,
} from '../kube/index.ts';

export const LEASES: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

/** https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ */
export interface LeaseObject extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseTransitions?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
  };
}

export interface InstallLeaseOptions {
  readonly client: KubeClient;
  /** The operator's own. */
  readonly namespace: string;
  readonly installId: string;
  /** This process, unlike any other there is or was. */
  readonly identity: string;
  readonly clock: Clock;
}

interface WriteOptions {
  readonly signal: AbortSignal;
  /** At the last moment before it is sent: whether this process still leads. */
  readonly beforeSend?: () => void;
}

/** Somebody else wrote it in between; whoever reads so much anew each time has another trouble. */
const ROUNDS = 5;

/**
 * The install's Lease in Kubernetes. It elects nobody: the lock in Consul does. It counts the tenures
 * (`leaseTransitions` is the epoch), which so outlive Consul, and it names who led last, who alone tells of an outage
 * of Consul while nobody can lead (rule F2).
 */
export class InstallLease {
  readonly #options: InstallLeaseOptions;

  constructor(options: InstallLeaseOptions) {
    this.#options = options;
  }

  get name(): string {
    return `proconsul-${this.#options.installId}`;
  }

  /** Undefined: there is none. */
  async read(signal: AbortSignal): Promise<LeaseObject | undefined> {
    const { client } = this.#options;
    try {
      return await client.request<LeaseObject>({ method: 'GET', path: this.#path, signal });
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  /** As it is, or a new one that names nobody. */
  async ensure(signal: AbortSignal): Promise<LeaseObject> {
    return (await this.read(signal)) ?? this.#create({}, { signal });
  }

  /**
   * Opens a tenure: takes the Lease over and returns its epoch, which is higher than every one before.
   *
   * @param atLeast the highest epoch known from elsewhere, for a Lease that was deleted.
   * @throws ConflictError when others keep writing it.
   */
  async raise(atLeast: number, options: WriteOptions): Promise<number> {
    for (let round = 0; round < ROUNDS; round++) {
      const present = await this.read(options.signal);
      const epoch = Math.max(epochOf(present), atLeast) + 1;
      if (await this.#take(present, epoch, options)) return epoch;
    }
    throw new ConflictError(`Lease ${this.name} keeps changing`, {
      code: 'LEASE_CONTENDED',
      reason: 'Progressing',
    });
  }

  /**
   * Takes the Lease from who held it when it was read.
   *
   * @returns false when it is not the one that was read any more: of several that try, one succeeds.
   */
  async takeOver(present: LeaseObject | undefined, signal: AbortSignal): Promise<boolean> {
    return this.#take(present, epochOf(present) + 1, { signal });
  }

  /** Says that the holder is still there. False: it is not the one that was read any more. */
  async renew(present: LeaseObject, signal: AbortSignal): Promise<boolean> {
    return this.#write(present, { renewTime: this.#now() }, { signal });
  }

  get #path(): string {
    return objectPath(LEASES, { namespace: this.#options.namespace, name: this.name });
  }

  #take(present: LeaseObject | undefined, epoch: number, options: WriteOptions): Promise<boolean> {
    const now = this.#now();
    const holder = { holderIdentity: this.#options.identity, acquireTime: now, renewTime: now };
    return this.#write(present, { ...holder, leaseTransitions: epoch }, options);
  }

  /** `metav1.MicroTime`. */
  #now(): string {
    return new Date(this.#options.clock.now()).toISOString().replace('Z', '000Z');
  }

  /** False: somebody was faster. */
  async #write(
    present: LeaseObject | undefined,
    spec: NonNullable<LeaseObject['spec']>,
    options: WriteOptions,
  ): Promise<boolean> {
    try {
      if (present === undefined) await this.#create(spec, options);
      else await this.#patch(present, spec, options);
      return true;
    } catch (error) {
      // A 404: deleted since it was read.
      if (error instanceof ConflictError || kubeStatus(error) === 404) return false;
      throw error;
    }
  }

  async #create(spec: NonNullable<LeaseObject['spec']>, options: WriteOptions): Promise<LeaseObject> {
    const { client, namespace } = this.#options;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: this.name, namespace },
      spec,
    };
    return client.request({ method: 'POST', path: collectionPath(LEASES, namespace), body, ...options });
  }

  async #patch(
    { metadata: { resourceVersion } }: LeaseObject,
    spec: NonNullable<LeaseObject['spec']>,
    options: WriteOptions,
  ): Promise<void> {
    await this.#options.client.request({
      method: 'PATCH',
      path: this.#path,
      contentType: 'application/merge-patch+json',
      body: { metadata: { resourceVersion }, spec },
      ...options,
    });
  }
}

function epochOf(lease: LeaseObject | undefined): number {
  return lease?.spec?.leaseTransitions ?? 0;
}
