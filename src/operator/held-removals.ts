import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import {
  collectionPath,
  type EventRecorder,
  type KubeClient,
  type KubeObject,
  kubeStatus,
  objectPath,
  referenceTo,
  type ResourceType,
} from '../kube/index.ts';
import type { Removals } from '../ownership/removals.ts';

const LEASES: ResourceType = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};
const CONFIRMATION = 'proconsul.dev/confirm-removal';
const LOOK_MS = 5_000;

export interface HeldRemovalsOptions {
  readonly client: KubeClient;
  readonly removals: Removals;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Where the Lease lives: the operator's own namespace. */
  readonly namespace: string;
  readonly installId: string;
  /** How many wait, each time that is looked at. */
  readonly onHeld: (count: number) => void;
  /** The held set was released. */
  readonly onConfirmed: () => void;
}

/**
 * Tells about removals that wait for a go-ahead and looks for it: an annotation with the token on the install's
 * Lease, which is made for the purpose if there is none. Nothing is asked of the API server while nothing waits.
 */
export class HeldRemovalsWatch {
  readonly #options: HeldRemovalsOptions;
  #told: string | undefined;

  constructor(options: HeldRemovalsOptions) {
    this.#options = options;
    this.#schedule();
  }

  get leaseName(): string {
    return `proconsul-${this.#options.installId}`;
  }

  /** For `/readyz`. */
  get notice(): { readonly notice: string } | undefined {
    const held = this.#options.removals.held();
    if (held === undefined) return undefined;
    const notice = `${held.count} of ${held.total} owner records have lost their resource; to remove what they own: ${this.#command(held.token)}`;
    return { notice };
  }

  #command(token: string): string {
    return `kubectl annotate lease -n ${this.#options.namespace} ${this.leaseName} --overwrite ${CONFIRMATION}=${token}`;
  }

  #schedule(): void {
    const { clock, signal, logger } = this.#options;
    if (signal.aborted) return;
    clock.after(LOOK_MS, () => {
      this.#look()
        .catch((error: unknown) =>
          logger.warn({ err: error }, 'cannot look for the go-ahead of held removals'),
        )
        .finally(() => this.#schedule());
    });
  }

  async #look(): Promise<void> {
    const { removals, events, logger, onHeld, onConfirmed } = this.#options;
    const held = removals.held();
    onHeld(held?.count ?? 0);
    if (held === undefined) {
      this.#told = undefined;
      return;
    }
    const lease = await this.#lease();
    if (this.#told !== held.token) {
      this.#told = held.token;
      const note = `${held.count} of ${held.total} resources are missing and were not seen being deleted. To remove what they own in Consul: ${this.#command(held.token)}`;
      logger.warn({ count: held.count, confirmation: held.token }, 'removals wait for a go-ahead');
      events.emit({
        regarding: referenceTo(LEASES, lease),
        type: 'Warning',
        reason: 'DeletionBlocked',
        action: 'Remove',
        note,
      });
    }
    const given = lease.metadata.annotations?.[CONFIRMATION];
    if (given !== undefined && removals.confirm(given)) {
      logger.info({ count: held.count, confirmation: held.token }, 'removals were confirmed');
      onConfirmed();
    }
  }

  async #lease(): Promise<KubeObject> {
    const { client, namespace, signal } = this.#options;
    const name = this.leaseName;
    try {
      return await client.request<KubeObject>({
        method: 'GET',
        path: objectPath(LEASES, { namespace, name }),
        signal,
      });
    } catch (error) {
      if (kubeStatus(error) !== 404) throw error;
    }
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: {},
    };
    return client.request<KubeObject>({
      method: 'POST',
      path: collectionPath(LEASES, namespace),
      body,
      signal,
    });
  }
}
