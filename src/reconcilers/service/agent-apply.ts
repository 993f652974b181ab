import type { AgentRegistrations } from '../../commit/agent-registrations.ts';
import type { WriteGate } from '../../commit/write-gate.ts';
import { sameService } from '../../consul/registration.ts';
import type { ServiceId } from '../../consul/service-ids.ts';
import type { Clock } from '../../core/clock.ts';
import { TerminalError } from '../../core/errors.ts';
import { parseInstanceName } from '../../core/instance-names.ts';
import type { Logger } from '../../core/logger.ts';
import type { AgentMirror, AgentView } from '../../mirror/agent-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { commitRecord } from '../../ownership/record-commit.ts';
import { recordDrafter } from '../../ownership/record-draft.ts';
import type { Receipt } from '../../runtime/kind.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { AgentObservation } from './agent-observe.ts';
import { AgentLatecomers } from './agent-latecomers.ts';
import type { AgentRefused } from './agent-refused.ts';
import { receiptFor } from './report.ts';
import type { AgentWrite, ServiceChange } from './types.ts';

export interface AgentApplierOptions {
  readonly installId: string;
  readonly gate: WriteGate;
  readonly ledger: Ledger;
  readonly agentRegistrations: AgentRegistrations;
  readonly agentMirror: AgentMirror;
  readonly refused: AgentRefused;
  readonly clock: Clock;
  readonly logger: Logger;
}

type CommitStep = Extract<ServiceChange, { step: 'commit' }>;
type AgentStep = Extract<ServiceChange, { step: 'agent' }>;

/** For whom a step is carried out. */
export interface AgentSubject {
  readonly ref: ResourceRef;
  readonly deleting: boolean;
}

/** Carries out one step of an agent plan: a transaction of the owner record, or requests to the agent. */
export class AgentApplier {
  readonly #options: AgentApplierOptions;
  readonly #latecomers: AgentLatecomers;

  constructor(options: AgentApplierOptions) {
    this.#options = options;
    this.#latecomers = new AgentLatecomers(options);
  }

  /**
   * `refused`: nothing was written. A registration that the agent refuses for good is noted, and the rest is sent.
   * @throws as `commitRecord` and `AgentRegistrations` otherwise.
   */
  async apply(
    subject: AgentSubject,
    change: ServiceChange,
    observed: Pick<AgentObservation, 'facts' | 'signal'>,
  ): Promise<Receipt> {
    switch (change.step) {
      case 'commit':
        return await this.#commit(subject, change, observed);
      case 'agent':
        return await this.#write(subject, change, observed);
      case 'register':
        throw new TypeError('a step of the catalog');
    }
  }

  async #commit(
    { ref, deleting }: AgentSubject,
    change: CommitStep,
    { facts: { record, claims, agent } }: Pick<AgentObservation, 'facts'>,
  ): Promise<Receipt> {
    const { installId } = this.#options;
    const claimsIndex = claims.complete ? claims.index : undefined;
    const edits = change.instances.map(one => ({ name: one.name, to: one.record?.to }));
    const { head, adopts } = change;
    const draft = recordDrafter(edits, { installId, ref, record, claimsIndex })({ edits, head, adopts });
    for (const { name, to } of edits) if (to !== undefined) this.#latecomers.claimed(name);
    const { kind } = await commitRecord(this.#options, { ref, ...draft });
    const released = kind === 'applied' ? edits.filter(({ to }) => to === undefined) : [];
    for (const { name } of released) if (isAbsent(name, agent)) this.#latecomers.released(ref, name);
    return kind === 'refused' ? { kind } : receiptFor(change, change.instances, { record, deleting });
  }

  /**
   * An agent compares nothing, so what the plan believed is looked at right before. What one instance is refused for must not
   * keep the others waiting.
   */
  async #write(
    { ref, deleting }: AgentSubject,
    change: AgentStep,
    { facts, signal }: Pick<AgentObservation, 'facts' | 'signal'>,
  ): Promise<Receipt> {
    const { agentMirror } = this.#options;
    const agent = await agentMirror.current({ fresh: true, signal, reader: ref });
    if (!change.writes.every(write => isAsBelieved(idOf(write), facts.agent, agent)))
      return { kind: 'refused' };
    const done: AgentWrite[] = [];
    try {
      for (const write of change.writes) if (await this.#isDone(ref, write)) done.push(write);
    } finally {
      agentMirror.doubt();
    }
    if (done.length === 0) return { kind: 'refused' };
    return receiptFor(change, done, { record: facts.record, deleting });
  }

  /** False: the agent refused it. */
  async #isDone(ref: ResourceRef, write: AgentWrite): Promise<boolean> {
    try {
      await this.#send(ref, write);
      return true;
    } catch (error) {
      if (!(error instanceof TerminalError) || write.verb !== 'register') throw error;
      this.#options.refused.note(write.name, write.fingerprint, error);
      return false;
    }
  }

  #send(ref: ResourceRef, write: AgentWrite): Promise<void> {
    const { agentRegistrations } = this.#options;
    switch (write.verb) {
      case 'register':
        return agentRegistrations.register(ref, write.registration);
      case 'deregister':
        return agentRegistrations.deregister(ref, write.id);
      case 'maintain':
        return agentRegistrations.maintain(ref, write.id, write.reason);
    }
  }
}

/** As far as that agent shows: what another one has is not known here. */
function isAbsent(name: string, agent: AgentView): boolean {
  const { node, id = '' } = parseInstanceName(name) ?? {};
  return node === agent.node && agent.service(id) === undefined;
}

function idOf(write: AgentWrite): ServiceId {
  return write.verb === 'register' ? write.registration.service.id : write.id;
}

function isAsBelieved(id: ServiceId, believed: AgentView, agent: AgentView): boolean {
  if (believed.node !== agent.node || believed.memory !== agent.memory) return false;
  const [before, now] = [believed.service(id), agent.service(id)];
  return before === undefined || now === undefined ? before === now : sameService(before, now);
}
