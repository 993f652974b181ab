import { AgentRegistrations } from '../commit/agent-registrations.ts';
import { EmptyNodes } from '../commit/empty-nodes.ts';
import type { GroupCommit } from '../commit/group-commit.ts';
import { IntentionEntries } from '../commit/intention-entries.ts';
import { LeaseSessions } from '../commit/lease-sessions.ts';
import { ServiceRegistrations } from '../commit/service-registrations.ts';
import type { Tenure } from '../commit/tenure.ts';
import { WriteGate } from '../commit/write-gate.ts';
import type { Config } from '../config/config.ts';
import type { ConsulClient } from '../consul/client.ts';

export interface WriteSideOptions {
  readonly consul: ConsulClient;
  readonly config: Config;
  readonly installId: string;
  readonly commits: GroupCommit;
  /** The tenure this process holds now, if it leads. */
  readonly tenure: () => Tenure | undefined;
}

/** The ways from this process into Consul. There is one of each, and no other. */
export interface WriteSide {
  readonly gate: WriteGate;
  readonly leaseSessions: LeaseSessions;
  readonly intentionEntries: IntentionEntries;
  readonly serviceRegistrations: ServiceRegistrations;
  readonly agentRegistrations: AgentRegistrations;
  readonly emptyNodes: EmptyNodes;
}

export function createWriteSide({ config, ...options }: WriteSideOptions): WriteSide {
  const { dryRun, agentMode: allowed } = config;
  const parts = { ...options, dryRun };
  return {
    gate: new WriteGate(parts),
    leaseSessions: new LeaseSessions(parts),
    intentionEntries: new IntentionEntries(parts),
    serviceRegistrations: new ServiceRegistrations(parts),
    agentRegistrations: new AgentRegistrations({ ...parts, allowed }),
    emptyNodes: new EmptyNodes(parts),
  };
}
