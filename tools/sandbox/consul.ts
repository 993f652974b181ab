import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTlsFiles, type TlsFiles } from './consul-tls.ts';
import { http } from './http.ts';
import { ServerProcess } from './server-process.ts';
import type { Workspace } from './workspace.ts';

export interface ConsulOptions {
  /** More than one makes a raft cluster of that many. Default 1. */
  readonly servers?: number;
  /**
   * Keep data over a restart. Off: `agent -dev`, in memory, leader within a fraction of a second, empty after
   * every start. On, and always with several servers: own data folders. Default off.
   */
  readonly durable?: boolean;
  /** Deny by default; `managementToken` may do everything. */
  readonly acl?: boolean;
  /** Serve https only, with certificates of an own authority; `verifyClients` makes it mutual. */
  readonly tls?: { readonly verifyClients?: boolean };
  /** Further agent configuration, merged over ours at the top level, on every server. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface ConsulServer {
  readonly name: string;
  /** `http://127.0.0.1:<port>`; `https://…` with TLS. */
  readonly address: string;
  readonly process: ServerProcess;
  stop(): Promise<void>;
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Same ports again. Resolves when the server answers with a leader, so in a cluster it needs a quorum. */
  start(options?: { readonly wipe?: boolean }): Promise<void>;
}

export interface Consul {
  readonly servers: readonly ConsulServer[];
  /** Of the first server. */
  readonly address: string;
  readonly managementToken: string | undefined;
  readonly tls: TlsFiles | undefined;
  /** Address of the server that leads, or undefined while there is no leader. */
  leader(): Promise<ConsulServer | undefined>;
}

interface Ports {
  readonly http: number;
  readonly server: number;
  readonly serf: number;
}

interface Shared {
  readonly options: ConsulOptions;
  readonly ports: readonly Ports[];
  readonly managementToken: string | undefined;
  readonly tls: TlsFiles | undefined;
}

export async function startConsul(
  workspace: Workspace,
  binary: string,
  options: ConsulOptions = {},
): Promise<Consul> {
  const ports: Ports[] = [];
  for (let index = 0; index < (options.servers ?? 1); index += 1) {
    ports.push({
      http: await workspace.ports.next(),
      server: await workspace.ports.next(),
      serf: await workspace.ports.next(),
    });
  }
  const tls = options.tls && (await createTlsFiles(binary, workspace.folder));
  const managementToken = options.acl ? randomUUID() : undefined;
  const shared: Shared = { options, ports, managementToken, tls };
  const servers = await Promise.all(ports.map((_, index) => createServer(workspace, binary, shared, index)));
  await Promise.all(servers.map(server => server.start()));
  return {
    servers,
    address: servers[0]?.address ?? '',
    managementToken,
    tls,
    leader: () => findLeader(servers, shared),
  };
}

async function createServer(
  workspace: Workspace,
  binary: string,
  shared: Shared,
  index: number,
): Promise<ConsulServer> {
  const port = shared.ports[index]?.http ?? 0;
  const name = `consul-${port}`;
  const dataFolder = join(workspace.folder, name);
  const configFile = join(workspace.folder, `${name}.json`);
  await writeFile(configFile, JSON.stringify(agentConfig(shared, index, { name, dataFolder })), {
    mode: 0o600,
  });
  const address = `${shared.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const process = new ServerProcess(workspace, {
    name,
    binary,
    args: ['agent', ...(isDurable(shared.options) ? [] : ['-dev']), `-config-file=${configFile}`],
    isReady: () => answersWithLeader(address, shared),
  });
  return {
    name,
    address,
    process,
    stop: () => process.stop(),
    kill: signal => process.kill(signal),
    start: async ({ wipe = false } = {}) => {
      if (wipe) await rm(dataFolder, { recursive: true, force: true });
      await process.start();
    },
  };
}

function isDurable(options: ConsulOptions): boolean {
  return options.durable === true || (options.servers ?? 1) > 1;
}

function agentConfig(
  shared: Shared,
  index: number,
  at: { name: string; dataFolder: string },
): Record<string, unknown> {
  const { options, ports } = shared;
  const own = ports[index];
  return {
    node_name: at.name,
    bind_addr: '127.0.0.1',
    client_addr: '127.0.0.1',
    advertise_addr: '127.0.0.1',
    // nothing may leave the machine
    disable_update_check: true,
    disable_anonymous_signature: true,
    log_level: 'warn',
    ports: {
      http: shared.tls ? -1 : own?.http,
      https: shared.tls ? own?.http : -1,
      server: own?.server,
      serf_lan: own?.serf,
      serf_wan: -1,
      dns: -1,
      grpc: -1,
      grpc_tls: -1,
    },
    // the default of 200 counts by address, and here everybody has the same
    limits: { http_max_conns_per_client: 1000 },
    ...(isDurable(options) ? durableConfig(ports, at.dataFolder) : {}),
    ...(shared.managementToken === undefined ? {} : aclConfig(shared.managementToken)),
    ...(shared.tls === undefined ? {} : tlsConfig(shared.tls, options.tls?.verifyClients ?? false)),
    ...options.config,
  };
}

function durableConfig(ports: readonly Ports[], dataFolder: string): Record<string, unknown> {
  return {
    server: true,
    bootstrap_expect: ports.length,
    data_dir: dataFolder,
    retry_join: ports.length > 1 ? ports.map(port => `127.0.0.1:${port.serf}`) : [],
    retry_interval: '250ms',
    performance: { raft_multiplier: 1 }, // elections in a second or two instead of five times that
    leave_on_terminate: false,
    connect: { enabled: true },
    raft_logstore: { backend: 'boltdb' }, // the default log preallocates 64 MB a server
  };
}

function aclConfig(managementToken: string): Record<string, unknown> {
  const tokens = { initial_management: managementToken, agent: managementToken };
  return { acl: { enabled: true, default_policy: 'deny', enable_token_persistence: false, tokens } };
}

function tlsConfig(tls: TlsFiles, verifyIncoming: boolean): Record<string, unknown> {
  const https = { ca_file: tls.caFile, cert_file: tls.serverCertFile, key_file: tls.serverKeyFile };
  return { tls: { https: { ...https, verify_incoming: verifyIncoming } } };
}

/** A leader is known and a linearizable read works: the two come apart around an election. */
async function answersWithLeader(address: string, shared: Shared): Promise<boolean> {
  const leader = await query(address, '/v1/status/leader', shared);
  if (leader.status !== 200 || leader.body.toString().trim() === '""') return false;
  const read = await query(address, '/v1/kv/proconsul-sandbox-ready?consistent', shared);
  return read.status === 404 || read.status === 200;
}

async function findLeader(
  servers: readonly ConsulServer[],
  shared: Shared,
): Promise<ConsulServer | undefined> {
  for (const server of servers) {
    const reply = await query(server.address, '/v1/status/leader', shared).catch(() => undefined);
    const raftAddress = reply?.status === 200 ? (JSON.parse(reply.body.toString()) as string) : '';
    const index = shared.ports.findIndex(port => raftAddress === `127.0.0.1:${port.server}`);
    if (index >= 0) return servers[index];
  }
  return undefined;
}

function query(address: string, path: string, { managementToken, tls }: Shared) {
  const headers: Record<string, string> = managementToken ? { 'x-consul-token': managementToken } : {};
  const identity = tls && { ca: tls.ca, cert: tls.clientCert, key: tls.clientKey };
  return http(address, path, { headers, timeoutMs: 5000, ...identity });
}
