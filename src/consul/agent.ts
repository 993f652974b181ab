import { z } from 'zod';
import { parseBody } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import type { CallOptions } from './types.ts';

/** What the server or agent asked says of itself. */
export interface AgentSelf {
  readonly version: string;
  readonly datacenter: string;
  /** Where config entries are written; `datacenter` itself unless several are federated. */
  readonly primaryDatacenter: string;
  readonly nodeName: string;
  /** Kept in its data folder: an agent that comes back without what it knew has another one. */
  readonly nodeId: string;
  readonly server: boolean;
  /** Whether it runs scripts for checks that are registered over HTTP. */
  readonly runsScripts: boolean;
}

/** https://developer.hashicorp.com/consul/api-docs/agent */
export interface AgentReads {
  /** `1.22.6`; needs no right. */
  version(options: CallOptions): Promise<string>;
  /** @throws RetryableError `CONSUL_DENIED` without `agent:read`, which the operator does not need otherwise. */
  self(options: CallOptions): Promise<AgentSelf>;
  /** Raft address of the leader as this server believes, undefined without one. No check of health: it may be dead. */
  leader(options: CallOptions): Promise<string | undefined>;
  /** Raft addresses of the servers of the datacenter, `10.0.0.5:8300`; needs no right. */
  peers(options: CallOptions): Promise<readonly string[]>;
}

export function createAgent(send: SendRequest): AgentReads {
  const get = async <T>(path: string, schema: z.ZodType<T>, options: CallOptions): Promise<T> =>
    await sendGet(send, { template: path, path, parse: reply => parseBody(schema, reply) }, options);

  return {
    version: async options => (await get('/v1/agent/version', VERSION, options)).HumanVersion,
    self: async options => {
      const { Config, DebugConfig } = await get('/v1/agent/self', SELF, options);
      return {
        version: Config.Version,
        datacenter: Config.Datacenter,
        primaryDatacenter: Config.PrimaryDatacenter || Config.Datacenter,
        nodeName: Config.NodeName,
        nodeId: Config.NodeID ?? '',
        server: Config.Server,
        runsScripts: DebugConfig?.EnableRemoteScriptChecks ?? true,
      };
    },
    leader: async options => (await get('/v1/status/leader', z.string(), options)) || undefined,
    peers: async options => (await get('/v1/status/peers', z.array(z.string()).nullable(), options)) ?? [],
  };
}

const VERSION = z.object({ HumanVersion: z.string() });

const SELF = z.object({
  Config: z.object({
    Version: z.string(),
    Datacenter: z.string(),
    PrimaryDatacenter: z.string().optional(),
    NodeName: z.string(),
    NodeID: z.string().optional(),
    Server: z.boolean(),
  }),
  DebugConfig: z.object({ EnableRemoteScriptChecks: z.boolean().optional() }).optional(),
});
