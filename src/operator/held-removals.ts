import type { Clock } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import { type EventRecorder, referenceTo } from '../kube/index.ts';
import type { Removals } from '../ownership/removals.ts';
import { type InstallLease, LEASES } from './install-lease.ts';

const CONFIRMATION = 'proconsul.dev/confirm-removal';
const LOOK_MS = 5_000;

export interface HeldRemovalsOptions {
  /** Where the go-ahead is given. */
  readonly lease: InstallLease;
  readonly removals: Removals;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Where the Lease lives: the operator's own namespace. */
  readonly namespace: string;
  /** Only a leader removes anything, so only a leader asks. */
  readonly isLeading: () => boolean;
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

  /** For `/readyz`. */
  get notice(): { readonly notice: string } | undefined {
    const held = this.#options.removals.held();
    if (held === undefined) return undefined;
    const notice = `${held.count} of ${held.total} owner records have lost their resource; to remove what they own: ${this.#command(held.token)}`;
    return { notice };
  }

  #command(token: string): string {
    return `kubectl annotate lease -n ${this.#options.namespace} ${this.#options.lease.name} --overwrite ${CONFIRMATION}=${token}`;
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
    const {
      removals,
      events,
      logger,
      lease: install,
      signal,
      isLeading,
      onHeld,
      onConfirmed,
    } = this.#options;
    if (!isLeading()) return;
    const held = removals.held();
    onHeld(held?.count ?? 0);
    if (held === undefined) {
      this.#told = undefined;
      return;
    }
    const lease = await install.ensure(signal);
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
}
