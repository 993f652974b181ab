import type { ConsulReads, ConsulWrites } from '../consul/client.ts';
import type { ServiceRow } from '../consul/nodes.ts';
import { type ServiceRegistration, sameService } from '../consul/registration.ts';
import { type NodeName, parseNodeName, parseServiceId } from '../consul/service-ids.ts';
import { type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { ConflictError, TerminalError } from '../core/errors.ts';
import { describeResource, type ResourceRef } from '../core/resource.ts';
import { hasAgent, nodeProblem } from './catalog-nodes.ts';
import { dryRun, guarded, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';

export interface ServiceRegistrationsOptions {
  readonly consul: Pick<ConsulReads, 'nodes'> & Pick<ConsulWrites, 'services'>;
  readonly installId: string;
  readonly dryRun: boolean;
  /** The tenure this process holds now, if it leads. */
  readonly tenure: () => Tenure | undefined;
}

export interface ServiceWrite {
  readonly node: NodeName;
  readonly service: ServiceRegistration;
  /** ModifyIndex of what stands there, as the caller believes; `NOT_THERE`: nothing. */
  readonly before: ModifyIndex;
}

export interface ServiceWritten {
  /** False: something else stood there than was believed, and nothing was written. */
  readonly applied: boolean;
  /** Whether it stood as sent when it was read back; false when nothing was written. */
  readonly asSent: boolean;
  /** What stands there. */
  readonly row: ServiceRow | undefined;
}

/**
 * Registers the services that no transaction carries. `/v1/catalog/register` compares nothing, so what the caller
 * believes is looked at right before, and what stands there right after; that the tenure is held, as each is sent. What
 * others write in between, or a former leader late, is seen by the read-back or by the mirror, and put right.
 */
export class ServiceRegistrations {
  readonly #options: ServiceRegistrationsOptions;

  constructor(options: ServiceRegistrationsOptions) {
    this.#options = options;
  }

  /**
   * @throws TerminalError `DryRun`; `InvalidSpec` for a node that must not be written, or what Consul refuses.
   * @throws ConflictError `CONSUL_NODE_MISSING` while the node is not there.
   * @throws AbortedError when this process does not lead (any more).
   * @throws RetryableError when Consul did not answer or not well; see `outcomeUnknown`.
   */
  async register(owner: ResourceRef, { node, service, before }: ServiceWrite): Promise<ServiceWritten> {
    parseNodeName(node);
    parseServiceId(service.id);
    this.#assertNode(owner, node, nodeProblem(this.#options.installId, node));
    const guard = guarded(this.#tenureFor(owner, `register ${service.id} on ${node}`));
    const { nodes, services } = this.#options.consul;
    const reading = { ...guard, consistency: 'consistent', serviceId: service.id } as const;
    const [{ value: stood }, { value: checks }] = await Promise.all([
      nodes.services(node, reading),
      nodes.checks(node, { ...guard, consistency: 'consistent' }),
    ]);
    if (stood.node === undefined) throw nodeMissing(node);
    if (hasAgent({ node: stood.node, checks })) this.#assertNode(owner, node, 'has a Consul agent');
    const [found] = stood.services;
    if ((found?.modifyIndex ?? NOT_THERE) !== before) return { applied: false, asSent: false, row: found };
    await services.register(stood.node, service, guard);
    const [row] = (await nodes.services(node, reading)).value.services;
    return { applied: true, asSent: row !== undefined && sameService(row.service, service), row };
  }

  #assertNode(owner: ResourceRef, node: NodeName, problem: string | undefined): void {
    if (problem === undefined) return;
    const message = `${describeResource(owner)}: the node ${JSON.stringify(node)} ${problem}`;
    throw new TerminalError(message, { code: 'NODE_NOT_OURS', reason: 'InvalidSpec' });
  }

  #tenureFor(owner: ResourceRef, what: string): Tenure {
    if (this.#options.dryRun) throw dryRun(`${what} for ${describeResource(owner)}`);
    return heldTenure(this.#options.tenure);
  }
}

function nodeMissing(node: string): ConflictError {
  return new ConflictError(`the node ${JSON.stringify(node)} is not in the catalog, or may not be seen`, {
    code: 'CONSUL_NODE_MISSING',
    reason: 'Progressing',
  });
}
