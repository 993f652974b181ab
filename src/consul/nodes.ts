import { z } from 'zod';
import { parseDurationMs } from '../core/duration.ts';
import {
  type CheckDefinition,
  type CheckRegistration,
  type ServiceConnect,
  type ServiceRegistration,
} from './registration.ts';
import { answerOf, type ConsulReply, parseBody } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import type { CheckId, ServiceId } from './service-ids.ts';
import type { Answer, ModifyIndex, ReadOptions } from './types.ts';

/** A node as it stands. Its name may be one that we would not write: it is no `NodeName`. */
export interface NodeRow {
  readonly node: string;
  readonly address: string;
  readonly meta: ReadonlyMap<string, string>;
  /** Of its agent; empty where there is none. */
  readonly id: string;
  /** Writing services and checks on the node does not move it. */
  readonly modifyIndex: ModifyIndex;
}

export interface ServiceRow {
  /** What was declared of it, in the form of a declaration; `id` as it stands, in whatever case. */
  readonly service: ServiceRegistration;
  /** What Consul does with it: empty, `connect-proxy`, a gateway. */
  readonly kind: string;
  /** Writing its checks does not move it. */
  readonly modifyIndex: ModifyIndex;
}

export interface CheckRow {
  readonly id: string;
  /** Empty for a check of the node. */
  readonly serviceId: string;
  readonly check: CheckRegistration;
  /** Not validated by Consul: others may have written anything. */
  readonly status: string;
  readonly output: string;
  readonly modifyIndex: ModifyIndex;
}

export interface NodeServices {
  /** Undefined: there is none, or the token may not see it (`filteredByAcl`). */
  readonly node: NodeRow | undefined;
  readonly services: readonly ServiceRow[];
}

export interface NodeSeen {
  readonly node: NodeRow | undefined;
  readonly checks: readonly CheckRow[];
}

/**
 * One node with what stands on it. The index of `services` grows with what happens to the node and its services, and with
 * nothing else while the node is there; that of `checks` with what happens to any check, but a query that blocks on it
 * is woken by those of the node alone while it has any.
 *
 * https://developer.hashicorp.com/consul/api-docs/catalog#list-services-for-node
 */
export interface NodeReads {
  services(node: string, options: NodeReadOptions): Promise<Answer<NodeServices>>;
  checks(node: string, options: NodeReadOptions): Promise<Answer<readonly CheckRow[]>>;
  /** Whether there is such a node, with the index of `services`, without the services. */
  exists(node: string, options: NodeReadOptions): Promise<Answer<boolean>>;
  /** The index of `checks` without the checks. */
  checksIndex(node: string, options: NodeReadOptions): Promise<number>;
  /** Names of the nodes that carry this meta. Those that the token may not see are missing: `filteredByAcl`. */
  withMeta(key: string, value: string, options: ReadOptions): Promise<Answer<readonly string[]>>;
  /** Grows with whatever happens to any service of the datacenter, or to any check. */
  catalogIndexes(options: NodeReadOptions): Promise<{ readonly services: number; readonly checks: number }>;
}

export interface NodeReadOptions extends ReadOptions {
  /** No other than the one of this id. */
  readonly serviceId?: ServiceId;
}

export function createNodes(send: SendRequest): NodeReads {
  const get = <T>(
    { template, path }: { readonly template: string; readonly path: string },
    filter: string | undefined,
    { parse, options }: { readonly parse: (reply: ConsulReply) => T; readonly options: ReadOptions },
  ): Promise<T> => {
    const query = filter === undefined ? {} : { filter };
    return sendGet(send, { template, path, query, parse }, options);
  };
  const indexAlone = { parse: (reply: ConsulReply) => answerOf(undefined, reply).index };
  return {
    services: async (node, { serviceId, ...options }) =>
      await get(servicesOf(node), one('ID', serviceId), { parse: parseServices, options }),
    checks: async (node, { serviceId, ...options }) =>
      await get(checksOf(node), one('ServiceID', serviceId), { parse: parseChecks, options }),
    exists: async (node, options) =>
      await get(servicesOf(node), 'ID == "-"', { parse: parseExistence, options }),
    checksIndex: async (node, options) => await get(checksOf(node), NO_CHECK, { ...indexAlone, options }),
    withMeta: async (key, value, options) => {
      const path = '/v1/catalog/nodes';
      const query = { 'node-meta': `${key}:${value}` };
      return await sendGet(send, { template: path, path, query, parse: parseNames }, options);
    },
    catalogIndexes: async options => {
      const [services, checks] = await Promise.all([
        get(whole('/v1/catalog/services'), NO_SERVICE, { ...indexAlone, options }),
        get(whole('/v1/health/state/any'), NO_CHECK, { ...indexAlone, options }),
      ]);
      return { services, checks };
    },
  };
}

/** No check and no service is called so: the answer has its index and nothing else. */
const NO_CHECK = 'CheckID == "-"';
const NO_SERVICE = 'ServiceName == "-"';

/** An id has no quote, so it is written into the expression as it is. */
function one(field: string, id: ServiceId | undefined): string | undefined {
  return id === undefined ? undefined : `${field} == ${JSON.stringify(id)}`;
}

function servicesOf(node: string) {
  return { template: '/v1/catalog/node-services/{node}', path: `/v1/catalog/node-services/${segment(node)}` };
}

function checksOf(node: string) {
  return { template: '/v1/health/node/{node}', path: `/v1/health/node/${segment(node)}` };
}

function whole(path: string) {
  return { template: path, path };
}

function segment(node: string): string {
  if (node === '') throw new TypeError('a node without a name');
  return encodeURIComponent(node);
}

const TEXT = z
  .string()
  .nullish()
  .transform(text => text ?? '');
const FLAG = z
  .boolean()
  .nullish()
  .transform(flag => flag ?? false);
const COUNT = z
  .int()
  .nullish()
  .transform(count => count ?? 0);
/** Names are users': a record would lose `__proto__`. */
const MAP = z
  .unknown()
  .transform(raw => new Map(typeof raw === 'object' && raw !== null ? Object.entries(raw) : []))
  .pipe(z.map(z.string(), z.string()));
const INDEX = z
  .int()
  .positive()
  .transform(index => index as ModifyIndex);

const NODE = z.object({ Node: z.string().min(1), Address: TEXT, ID: TEXT, Meta: MAP, ModifyIndex: INDEX });

const UPSTREAM = z.object({ DestinationName: TEXT, LocalBindPort: COUNT, Datacenter: TEXT });

const PROXY = z.object({
  DestinationServiceName: TEXT,
  DestinationServiceID: TEXT,
  LocalServiceAddress: TEXT,
  LocalServicePort: COUNT,
  Upstreams: z.array(UPSTREAM).nullish(),
});

/** `NodeService` in `agent/structs/structs.go`. What the server adds (`TaggedAddresses`) is left out. */
export const SERVICE = z.object({
  Kind: TEXT,
  ID: z.string().min(1),
  Service: z.string(),
  Tags: z.array(z.string()).nullish(),
  Address: TEXT,
  Meta: MAP,
  Port: COUNT,
  Weights: z.object({ Passing: z.int(), Warning: z.int() }).nullish(),
  EnableTagOverride: FLAG,
  Proxy: PROXY.nullish(),
  Connect: z.object({ Native: FLAG }).nullish(),
});

const SERVICE_ROW = SERVICE.extend({ ModifyIndex: INDEX });

const DURATION = TEXT.transform(text => parseDurationMs(text) ?? 0);

const CHECK = z.object({
  CheckID: z.string().min(1),
  Name: TEXT,
  Status: z.string(),
  Notes: TEXT,
  Output: TEXT,
  ServiceID: TEXT,
  ServiceName: TEXT,
  Type: TEXT,
  Definition: z
    .object({
      HTTP: TEXT,
      Method: TEXT,
      TCP: TEXT,
      GRPC: TEXT,
      GRPCUseTLS: FLAG,
      TLSServerName: TEXT,
      TLSSkipVerify: FLAG,
      Interval: DURATION,
      Timeout: DURATION,
      DeregisterCriticalServiceAfter: DURATION,
    })
    .nullish(),
  ModifyIndex: INDEX,
});

const NODE_SERVICES = z.object({ Node: NODE.nullable(), Services: z.array(SERVICE_ROW).nullable() });

const NAMES = z.array(z.object({ Node: z.string().min(1) }));

function parseNames(reply: ConsulReply): Answer<readonly string[]> {
  return answerOf(
    parseBody(NAMES, reply).map(({ Node }) => Node),
    reply,
  );
}

function parseServices(reply: ConsulReply): Answer<NodeServices> {
  const { Node: node, Services: services } = parseBody(NODE_SERVICES, reply);
  const value = {
    node: node === null ? undefined : toNode(node),
    services: (services ?? []).map(toServiceRow),
  };
  return answerOf(value, reply);
}

function parseExistence(reply: ConsulReply): Answer<boolean> {
  return answerOf(parseBody(NODE_SERVICES, reply).Node !== null, reply);
}

function parseChecks(reply: ConsulReply): Answer<readonly CheckRow[]> {
  return answerOf(parseBody(z.array(CHECK), reply).map(toCheckRow), reply);
}

function toNode(node: z.infer<typeof NODE>): NodeRow {
  return {
    node: node.Node,
    address: node.Address,
    meta: node.Meta,
    id: node.ID,
    modifyIndex: node.ModifyIndex,
  };
}

function toServiceRow(row: z.infer<typeof SERVICE_ROW>): ServiceRow {
  return { service: toService(row), kind: row.Kind, modifyIndex: row.ModifyIndex };
}

/** As it would have been declared: without a weight it has 1, without tags none. */
export function toService(stored: z.infer<typeof SERVICE>): ServiceRegistration {
  const { Weights: weights } = stored;
  return {
    id: stored.ID as ServiceId,
    name: stored.Service,
    address: stored.Address,
    port: stored.Port,
    tags: stored.Tags ?? [],
    meta: stored.Meta,
    weights: { passing: weights?.Passing ?? 1, warning: weights?.Warning ?? 1 },
    enableTagOverride: stored.EnableTagOverride,
    connect: toConnect(stored),
  };
}

function toConnect({ Kind, Proxy, Connect }: z.infer<typeof SERVICE>): ServiceConnect | undefined {
  if (Connect?.Native === true) return { kind: 'native' };
  if (Kind !== 'connect-proxy' || !Proxy) return undefined;
  return {
    kind: 'proxy',
    destinationName: Proxy.DestinationServiceName,
    destinationId: Proxy.DestinationServiceID,
    localAddress: Proxy.LocalServiceAddress,
    localPort: Proxy.LocalServicePort,
    upstreams: (Proxy.Upstreams ?? []).map(({ DestinationName, LocalBindPort, Datacenter }) => ({
      destinationName: DestinationName,
      localBindPort: LocalBindPort,
      datacenter: Datacenter,
    })),
  };
}

function toCheckRow(row: z.infer<typeof CHECK>): CheckRow {
  const check = {
    id: row.CheckID as CheckId,
    serviceId: row.ServiceID as ServiceId,
    serviceName: row.ServiceName,
    name: row.Name,
    notes: row.Notes,
    type: row.Type,
    definition: toDefinition(row.Definition),
  };
  return {
    id: row.CheckID,
    serviceId: row.ServiceID,
    check,
    status: row.Status,
    output: row.Output,
    modifyIndex: row.ModifyIndex,
  };
}

function toDefinition(stored: z.infer<typeof CHECK>['Definition']): CheckDefinition {
  return {
    http: stored?.HTTP ?? '',
    method: stored?.Method ?? '',
    tcp: stored?.TCP ?? '',
    grpc: stored?.GRPC ?? '',
    grpcUseTls: stored?.GRPCUseTLS ?? false,
    tlsServerName: stored?.TLSServerName ?? '',
    tlsSkipVerify: stored?.TLSSkipVerify ?? false,
    intervalMs: stored?.Interval ?? 0,
    timeoutMs: stored?.Timeout ?? 0,
    deregisterAfterMs: stored?.DeregisterCriticalServiceAfter ?? 0,
  };
}
