import { randomUUID } from 'node:crypto';
import { type Consul, type ConsulServer } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from './consul-api.ts';

/** A Consul server, and an agent beside it that serves no data of its own: what it is told is lost with its folder. */
export interface ConsulAgent {
  readonly server: Consul;
  /** Runs scripts. */
  readonly agent: ConsulServer;
  /** Ends it and starts it with an empty folder, as the same node. */
  restartEmpty(): Promise<void>;
  close(): Promise<void>;
}

export async function startConsulAgent(): Promise<ConsulAgent> {
  const server = await startConsulSandbox({ config: { enable_script_checks: true } });
  try {
    const client = await startConsulSandbox({ durable: true, config: await joining(server) });
    const [agent] = client.servers as readonly [ConsulServer];
    return {
      server,
      agent,
      restartEmpty: async () => {
        await agent.stop();
        await agent.start({ wipe: true });
      },
      close: async () => {
        await client.close();
        await server.close();
      },
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** Configuration of an agent that joins the server. */
async function joining({ address }: Consul): Promise<Readonly<Record<string, unknown>>> {
  const members = (await new ConsulApi({ address }).get('/v1/agent/members')) as readonly {
    readonly Port: number;
  }[];
  return {
    server: false,
    bootstrap_expect: 0,
    retry_join: members.map(({ Port }) => `127.0.0.1:${Port}`),
    // Of another id it would be another node, and of a name that is taken.
    node_id: randomUUID(),
    enable_script_checks: true,
  };
}
