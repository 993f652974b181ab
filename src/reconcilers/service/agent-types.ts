import type { AgentCheck, AgentSidecar } from '../../consul/agent-services.ts';
import type { ServiceRegistration } from '../../consul/registration.ts';
import type { AgentView } from '../../mirror/agent-mirror.ts';
import type { ClaimsView } from '../../ownership/ledger.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { OwnerRecord } from '../../ownership/record.ts';
import type { AgentRefusal } from './agent-refused.ts';
import type { Declarer, ServiceWish } from './types.ts';

/** What a resource of `registration: Agent` wants the agent to have, by names as records list them. */
export interface AgentWish {
  readonly instances: ReadonlyMap<string, WishedAgentInstance>;
  readonly missing: ServiceWish['missing'];
}

export interface WishedAgentInstance {
  readonly name: string;
  readonly service: ServiceRegistration;
  readonly checks: readonly AgentCheck[];
  readonly sidecar: AgentSidecar | undefined;
  /** Of an endpoint; a fixed instance is always ready. */
  readonly isReady: boolean;
  /** As `agentFingerprint` makes it: an agent that has lost what it knew is to get everything again. */
  readonly fingerprint: string;
}

export interface AgentFacts {
  readonly record: OwnerRecord | undefined;
  readonly agent: AgentView;
  readonly rival: (name: string) => Owner | undefined;
  readonly claims: ClaimsView;
  /** What the agent said a moment ago to what is declared of an instance; undefined: it did not refuse it. */
  readonly refused: (name: string, fingerprint: string) => AgentRefusal | undefined;
  /** Wall clock, milliseconds: drains outlive a process. */
  readonly nowMs: number;
}

/** Who plans the end of a resource, of which there may be nothing left but its record. */
export type AgentLeaver = Pick<Declarer, 'installId' | 'ref'> & Partial<Pick<Declarer, 'drainMs'>>;
