import type { ResourceRef } from '../../core/resource.ts';
import type { Report } from '../../runtime/kind.ts';
import { AgentApplier, type AgentApplierOptions } from './agent-apply.ts';
import { type AgentObservation, AgentObserver, type AgentObserverOptions } from './agent-observe.ts';
import { planAgentServiceEnd } from './agent-end.ts';
import { planAgentEndpoints, planAgentService } from './agent-plan.ts';
import { AgentRefused } from './agent-refused.ts';
import { agentReadyMessage, agentServiceStatus } from './agent-status.ts';
import type { LookOptions, ServiceSubject } from './observe.ts';
import { declarerOf, drainMsOf, type ServiceLook, type ServicePart } from './part.ts';
import type { ServicePlan } from './types.ts';

export interface AgentPartOptions
  extends Omit<AgentObserverOptions, 'refused'>,
    Omit<AgentApplierOptions, 'refused'> {
  /** That of the agent. */
  readonly datacenter: () => string;
}

/** `registration: Agent`: instances with the agent that the operator talks to, which runs their checks. */
export class AgentPart implements ServicePart {
  readonly #options: AgentPartOptions;
  readonly #observer: AgentObserver;
  readonly #applier: AgentApplier;

  constructor(options: AgentPartOptions) {
    this.#options = options;
    const refused = new AgentRefused(options.clock);
    this.#observer = new AgentObserver({ ...options, refused });
    this.#applier = new AgentApplier({ ...options, refused });
  }

  async look(subject: ServiceSubject, options: LookOptions): Promise<ServiceLook> {
    const observed = await this.#observer.observe(subject, options);
    return {
      record: observed.facts.record,
      plan: () => this.#plan(subject, observed),
      apply: change => this.#applier.apply(subject, change, observed),
      report: () => this.#report(subject, observed),
    };
  }

  forget(ref: ResourceRef): void {
    this.#options.agentMirror.track(ref, []);
  }

  #plan(subject: ServiceSubject, { desire, facts }: AgentObservation): ServicePlan {
    const { installId, gate } = this.#options;
    const { ref, resource, deleting } = subject;
    if (deleting) {
      const onDelete = subject.onDelete ?? facts.record?.head.onDelete ?? 'Retain';
      return planAgentServiceEnd(facts, onDelete, { installId, ref, drainMs: drainMsOf(resource) });
    }
    if (resource === undefined || desire === undefined) return { kind: 'noop', drifted: [] };
    if (desire.kind !== 'desired') {
      const present = 'present' in desire ? desire.present : undefined;
      return planAgentEndpoints(present, facts, { installId, ref }) ?? desire;
    }
    return planAgentService(
      desire.wish,
      facts,
      declarerOf(subject, resource, { installId, epoch: gate.epoch }),
    );
  }

  /** An agent is asked every few seconds. */
  #report({ ref }: ServiceSubject, { facts }: AgentObservation): Report {
    const { datacenter, installId } = this.#options;
    const status = agentServiceStatus(facts, { installId, ref });
    return {
      message: agentReadyMessage(status.instances, facts.agent.node),
      driftSeen: 'Swept',
      datacenter: datacenter(),
      status,
    };
  }
}
