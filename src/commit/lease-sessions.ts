import type { ConsulWrites } from '../consul/client.ts';
import { isConsulError } from '../consul/errors.ts';
import type { SessionId } from '../consul/types.ts';
import { describeResource, type ResourceRef } from '../core/resource.ts';
import { dryRun, guarded, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';

export interface LeaseSessionsOptions {
  readonly consul: Pick<ConsulWrites, 'sessions' | 'catalog'>;
  readonly installId: string;
  readonly dryRun: boolean;
  /** The tenure this process holds now, if it leads. */
  readonly tenure: () => Tenure | undefined;
}

export interface NewLeaseSession {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly lockDelaySeconds: number;
}

/** The node of the catalog that the sessions of an install's leases belong to: none of the others' are on it. */
export function leasesNode(installId: string): string {
  return `proconsul-${installId}-leases`;
}

/**
 * Makes and ends the sessions of ConsulLeaderLeases. No transaction can carry that, so it is done only while leading,
 * which is looked at right before each is sent. One that a former leader makes all the same holds nothing, and is
 * found by its name; one that it ends costs a lease its holder, never a second one.
 */
export class LeaseSessions {
  readonly #options: LeaseSessionsOptions;

  constructor(options: LeaseSessionsOptions) {
    this.#options = options;
  }

  /**
   * @throws TerminalError `DryRun`.
   * @throws AbortedError when this process does not lead (any more).
   * @throws RetryableError when Consul did not answer or not well; with `outcomeUnknown` there may be one of the name.
   */
  async create(owner: ResourceRef, session: NewLeaseSession): Promise<SessionId> {
    const { consul, installId } = this.#options;
    const tenure = this.#heldTenure(owner, 'make a session');
    const node = leasesNode(installId);
    const create = () => consul.sessions.create({ ...session, node }, guarded(tenure));
    try {
      return await create();
    } catch (error) {
      if (!isConsulError(error) || error.code !== 'CONSUL_NODE_MISSING') throw error;
    }
    const meta = { 'managed-by': 'proconsul' };
    await consul.catalog.registerNode({ node, address: '127.0.0.1', meta }, guarded(tenure));
    return await create();
  }

  /** What it locks goes into its lock-delay; succeeds too when there is no such session any more. */
  async destroy(owner: ResourceRef, session: SessionId): Promise<void> {
    const tenure = this.#heldTenure(owner, 'end a session');
    await this.#options.consul.sessions.destroy(session, guarded(tenure));
  }

  #heldTenure(owner: ResourceRef, what: string): Tenure {
    if (this.#options.dryRun) throw dryRun(`${what} for ${describeResource(owner)}`);
    return heldTenure(this.#options.tenure);
  }
}
