import type { Consul, ConsulServer } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from './consul-api.ts';
import { eventually } from './eventually.ts';

type OwnConsul = Consul & { readonly folder: string; close(): Promise<void> };

/** What Consul was at a moment, to be brought back. */
export type Snapshot = ArrayBuffer;

/** Three real Consul servers of a test's own, to be killed, set back and wiped. */
export class ConsulCluster {
  readonly #consul: OwnConsul;

  private constructor(consul: OwnConsul) {
    this.#consul = consul;
  }

  static async start(): Promise<ConsulCluster> {
    const cluster = new ConsulCluster(await startConsulSandbox({ servers: 3 }));
    await cluster.leader();
    return cluster;
  }

  get servers(): readonly ConsulServer[] {
    return this.#consul.servers;
  }

  get address(): string {
    return this.#consul.address;
  }

  /** Asks one of the servers that run. */
  get api(): ConsulApi {
    return new ConsulApi({ address: this.#anyServer().address });
  }

  async leader(): Promise<ConsulServer> {
    const found = await eventually(async () => (await this.#consul.leader()) ?? false, {
      what: 'Consul has a leader',
    });
    return found as ConsulServer;
  }

  /** Resolves when Consul is led, and not by this server. */
  async leadElsewhere(server: ConsulServer): Promise<void> {
    await eventually(
      async () => {
        if ((await this.leader()) !== server) return true;
        await this.api.call('POST', '/v1/operator/raft/transfer-leader');
        return false;
      },
      { what: `Consul is not led by ${server.name}`, pollMs: 250 },
    );
  }

  /** Resolves when Consul gives one: not right after a restore, nor after an election. */
  async takeSnapshot(): Promise<Snapshot> {
    return eventually(
      async () => {
        const reply = await fetch(`${this.#anyServer().address}/v1/snapshot`);
        if (reply.status !== 200) throw new Error(await reply.text());
        return reply.arrayBuffer();
      },
      { what: 'Consul gives a snapshot', pollMs: 250 },
    );
  }

  /** Resolves with the Raft index at which everything became what it had been. */
  async restore(snapshot: Snapshot): Promise<number> {
    const { address } = await this.leader();
    const reply = await fetch(`${address}/v1/snapshot`, { method: 'PUT', body: snapshot });
    if (reply.status !== 200) throw new Error(`the snapshot was not restored: ${await reply.text()}`);
    const self = (await new ConsulApi({ address }).get('/v1/agent/self')) as {
      Stats: { raft: { last_snapshot_index: string } };
    };
    return Number(self.Stats.raft.last_snapshot_index);
  }

  /** Kills all servers and starts them with nothing. */
  async wipe(): Promise<void> {
    await Promise.all(this.servers.map(server => server.kill()));
    await Promise.all(this.servers.map(server => server.start({ wipe: true })));
  }

  close(): Promise<void> {
    return this.#consul.close();
  }

  #anyServer(): ConsulServer {
    const running = this.servers.find(server => server.process.pid !== undefined);
    if (running === undefined) throw new Error('no Consul server runs');
    return running;
  }
}
