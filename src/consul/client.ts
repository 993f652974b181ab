import { trace, type Tracer } from '@opentelemetry/api';
import type { Clock } from '../core/clock.ts';
import { Semaphore } from '../core/semaphore.ts';
import { SCOPE } from '../telemetry/names.ts';
import { AddressRing, parseAddress } from './address.ts';
import { type AgentReads, createAgent } from './agent.ts';
import { type AgentServiceReads, type AgentServiceWrites, createAgentServices } from './agent-services.ts';
import {
  type CatalogReads,
  type CatalogWrites,
  createCatalog,
  createServiceWrites,
  type ServiceWrites,
} from './catalog.ts';
import { type ConfigEntryReads, type ConfigEntryWrites, createConfigEntries } from './config-entry.ts';
import { consulError } from './errors.ts';
import { type ConsulHealth, HealthMonitor } from './health.ts';
import type { RequestSample } from './instrumentation.ts';
import { createKv, type KvReads, type KvWrites } from './kv.ts';
import { type Channel, createSender } from './sender.ts';
import { createSessions, type SessionReads, type SessionWrites } from './session.ts';
import { createNodes, type NodeReads } from './nodes.ts';
import type { TlsFiles } from './tls.ts';
import { fixedToken, isUsableToken, TokenFile, type TokenSource } from './token.ts';
import { Connections } from './transport.ts';
import { createTxnWrites, type TxnWrites } from './txn.ts';
import { createTxnReads, type TxnReads } from './txn-read.ts';

/** All that can be asked of Consul without changing it. */
export interface ConsulReads {
  readonly kv: KvReads;
  readonly txn: TxnReads;
  readonly sessions: SessionReads;
  readonly configEntries: ConfigEntryReads;
  readonly catalog: CatalogReads;
  readonly nodes: NodeReads;
  readonly agent: AgentReads;
  readonly agentServices: AgentServiceReads;
}

/** All that changes Consul. Handed to the write choke point and to the election, and to nobody else. */
export interface ConsulWrites {
  readonly kv: KvWrites;
  readonly txn: TxnWrites;
  readonly sessions: SessionWrites;
  readonly configEntries: ConfigEntryWrites;
  readonly catalog: CatalogWrites;
  readonly services: ServiceWrites;
  readonly agentServices: AgentServiceWrites;
}

export type ConsulClient = ConsulReads &
  ConsulWrites & {
    readonly health: ConsulHealth;
    /** Aborts every call under way and closes the connections. */
    close(): Promise<void>;
  };

export interface ConsulClientOptions {
  /** One Consul, by one or more of its addresses: `host:port` or URLs. The next is used when one fails. */
  readonly addresses: readonly string[];
  readonly clock: Clock;
  /** The ACL token itself, or the file it is in, which is followed. Neither: anonymous. */
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly tls?: TlsFiles | undefined;
  /** Sent with every request; default: that of the server asked. */
  readonly datacenter?: string | undefined;
  /** Of ordinary requests. Default: 8. */
  readonly maxConnections?: number;
  /** Of blocking queries, each of which holds one. Default: 8. */
  readonly maxBlockingConnections?: number;
  /** Of one answer. Default: 64 MiB. */
  readonly maxReplyBytes?: number;
  /** Called once for each attempt of a request. */
  readonly onRequest?: (sample: RequestSample) => void;
  /** Default: the global one. */
  readonly tracer?: Tracer;
}

const DEFAULT_CONNECTIONS = 8;
const DEFAULT_MAX_REPLY_BYTES = 64 * 1024 * 1024;

/**
 * A client that opens no connection before its first call.
 * @throws TerminalError `CONSUL_SETTINGS` when the options cannot be right.
 */
export function createConsulClient(options: ConsulClientOptions): ConsulClient {
  const { clock, datacenter, tls } = options;
  const health = new HealthMonitor(clock);
  const closing = new AbortController();
  const channel = (limit = DEFAULT_CONNECTIONS): Channel => ({
    places: new Semaphore(limit),
    connections: new Connections(limit, tls ?? {}),
  });
  const ordinary = channel(options.maxConnections);
  const blocking = channel(options.maxBlockingConnections);
  const tracer = options.tracer ?? trace.getTracer(SCOPE);
  const send = createSender({
    addresses: new AddressRing(options.addresses.map(text => parseAddress(text, tls !== undefined))),
    ordinary,
    blocking,
    tokens: tokenSource(options),
    health,
    instruments: { tracer, clock, onRequest: options.onRequest },
    clock,
    datacenter,
    maxReplyBytes: options.maxReplyBytes ?? DEFAULT_MAX_REPLY_BYTES,
    closing: closing.signal,
  });
  return {
    kv: createKv(send),
    txn: { ...createTxnReads(send), ...createTxnWrites(send) },
    sessions: createSessions(send),
    configEntries: createConfigEntries(send),
    catalog: createCatalog(send, datacenter),
    services: createServiceWrites(send, datacenter),
    nodes: createNodes(send),
    agent: createAgent(send),
    agentServices: createAgentServices(send),
    health,
    close: async () => {
      closing.abort();
      await Promise.all([ordinary.connections.close(), blocking.connections.close()]);
    },
  };
}

function tokenSource({ token, tokenFile, clock }: ConsulClientOptions): TokenSource {
  if (token !== undefined && tokenFile !== undefined) {
    throw consulError(
      'CONSUL_SETTINGS',
      'CONSUL_HTTP_TOKEN and CONSUL_HTTP_TOKEN_FILE are both set: keep one',
    );
  }
  if (token !== undefined && !isUsableToken(token)) {
    throw consulError('CONSUL_SETTINGS', 'CONSUL_HTTP_TOKEN is not one visible line of ASCII');
  }
  return tokenFile === undefined ? fixedToken(token) : new TokenFile(tokenFile, clock);
}
