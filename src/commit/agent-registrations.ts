import type { AgentRegistration } from '../consul/agent-services.ts';
import type { ConsulWrites } from '../consul/client.ts';
import { parseServiceId, type ServiceId } from '../consul/service-ids.ts';
import { TerminalError } from '../core/errors.ts';
import { describeResource, type ResourceRef } from '../core/resource.ts';
import { dryRun, guarded, heldTenure } from './held-tenure.ts';
import type { Tenure } from './tenure.ts';

export interface AgentRegistrationsOptions {
  readonly consul: Pick<ConsulWrites, 'agentServices'>;
  readonly dryRun: boolean;
  /** Whether services may be registered with the agent at all, and with checks that run programs on its host. */
  readonly allowed: { readonly agent: boolean; readonly scripts: boolean };
  readonly tenure: () => Tenure | undefined;
}

/**
 * Registers with the agent that the operator talks to. No transaction can carry that, so it is done only while leading, which is
 * looked at right before each is sent. What a former leader sends late is seen when the agent is asked next, and put right.
 */
export class AgentRegistrations {
  readonly #options: AgentRegistrationsOptions;

  constructor(options: AgentRegistrationsOptions) {
    this.#options = options;
  }

  /**
   * @throws TerminalError `DryRun`, `NotAllowed`, `InvalidSpec`.
   * @throws AbortedError when this process does not lead (any more).
   * @throws RetryableError when the agent did not answer or not well; see `outcomeUnknown`.
   */
  async register(owner: ResourceRef, registration: AgentRegistration): Promise<void> {
    const { service, checks } = registration;
    const { agent, scripts } = this.#options.allowed;
    if (!agent) throw notAllowed(owner, 'registration: Agent', 'PROCONSUL_AGENT_MODE');
    if (!scripts && checks.some(({ kind }) => kind.kind === 'script'))
      throw notAllowed(owner, 'script checks', 'PROCONSUL_ALLOW_SCRIPT_CHECKS');
    const tenure = this.#tenureFor(owner, `register ${parseServiceId(service.id)} with the agent`);
    await this.#options.consul.agentServices.register(registration, guarded(tenure));
  }

  /** Allowed whatever is: what was registered before the switch was turned off must go. Throws as `register`. */
  async deregister(owner: ResourceRef, id: ServiceId): Promise<void> {
    const tenure = this.#tenureFor(owner, `deregister ${parseServiceId(id)} with the agent`);
    await this.#options.consul.agentServices.deregister(id, guarded(tenure));
  }

  /**
   * Begins maintenance mode, or ends it (`reason` undefined). Allowed whatever is: what was registered may have to be drained.
   * Throws as `register`.
   */
  async maintain(owner: ResourceRef, id: ServiceId, reason: string | undefined): Promise<void> {
    const verb = reason === undefined ? 'end' : 'begin';
    const tenure = this.#tenureFor(owner, `${verb} maintenance of ${parseServiceId(id)} with the agent`);
    await this.#options.consul.agentServices.maintain(id, reason, guarded(tenure));
  }

  #tenureFor(owner: ResourceRef, what: string): Tenure {
    if (this.#options.dryRun) throw dryRun(`${what} for ${describeResource(owner)}`);
    return heldTenure(this.#options.tenure);
  }
}

function notAllowed(owner: ResourceRef, what: string, setting: string): TerminalError {
  const message = `${describeResource(owner)}: ${what} needs ${setting}=true, which this operator was not given`;
  return new TerminalError(message, { code: 'AGENT_NOT_ALLOWED', reason: 'NotAllowed' });
}
