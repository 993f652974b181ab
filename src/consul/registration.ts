import type { CheckId, NodeName, ServiceId } from './service-ids.ts';

export type CheckStatus = 'passing' | 'warning' | 'critical';

/** An instance as Consul stores it, every default filled in. Equal ones are `sameRegistration`. */
export interface ServiceRegistration {
  readonly id: ServiceId;
  readonly name: string;
  readonly address: string;
  /** 0: none. */
  readonly port: number;
  /** Their order counts: Consul compares them in order. */
  readonly tags: readonly string[];
  readonly meta: ReadonlyMap<string, string>;
  readonly weights: ServiceWeights;
  readonly enableTagOverride: boolean;
  /** How it takes part in the mesh; undefined: not at all. No transaction carries it. */
  readonly connect: ServiceConnect | undefined;
}

export interface ServiceWeights {
  readonly passing: number;
  readonly warning: number;
}

export type ServiceConnect =
  | { readonly kind: 'native' }
  | {
      /** A sidecar for another instance, registered as a service of its own. */
      readonly kind: 'proxy';
      readonly destinationName: string;
      readonly destinationId: string;
      readonly localAddress: string;
      readonly localPort: number;
      readonly upstreams: readonly ServiceUpstream[];
    };

export interface ServiceUpstream {
  readonly destinationName: string;
  readonly localBindPort: number;
  /** Empty: the proxy's own. */
  readonly datacenter: string;
}

/** What a check is, whatever its result. */
export interface CheckRegistration {
  readonly id: CheckId;
  readonly serviceId: ServiceId;
  /** Consul judges by it whether the token may write the check, and reads nothing else for that. */
  readonly serviceName: string;
  readonly name: string;
  readonly notes: string;
  /** `http`, `tcp`, …: shown beside it. */
  readonly type: string;
  readonly definition: CheckDefinition;
}

/** How it is run, for whoever looks into Consul: nobody there runs checks of the catalog. Durations in milliseconds, 0: none. */
export interface CheckDefinition {
  readonly http: string;
  readonly method: string;
  readonly tcp: string;
  readonly grpc: string;
  readonly grpcUseTls: boolean;
  readonly tlsServerName: string;
  readonly tlsSkipVerify: boolean;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly deregisterAfterMs: number;
}

export const NO_DEFINITION: CheckDefinition = {
  http: '',
  method: '',
  tcp: '',
  grpc: '',
  grpcUseTls: false,
  tlsServerName: '',
  tlsSkipVerify: false,
  intervalMs: 0,
  timeoutMs: 0,
  deregisterAfterMs: 0,
};

/** A result of a check. */
export interface CheckResult {
  readonly status: CheckStatus;
  readonly output: string;
}

/** A node without an agent. */
export interface NodeRegistration {
  readonly node: NodeName;
  readonly address: string;
  readonly meta: ReadonlyMap<string, string>;
}

/** What a transaction would carry without loss; of the rest it drops the fields and says nothing. */
export function fitsTransaction({ connect }: ServiceRegistration): boolean {
  return connect === undefined;
}

/** Goes into `WriteOperation`s and the bodies of `/v1/catalog/register`, which name the fields alike. */
export function wireService(service: ServiceRegistration): Readonly<Record<string, unknown>> {
  const { id, name, address, port, tags, meta, weights, enableTagOverride, connect } = service;
  return {
    ID: id,
    Service: name,
    Address: address,
    Port: port,
    Tags: tags,
    Meta: Object.fromEntries(meta),
    Weights: { Passing: weights.passing, Warning: weights.warning },
    EnableTagOverride: enableTagOverride,
    ...wireConnect(connect),
  };
}

function wireConnect(connect: ServiceConnect | undefined): object {
  if (connect === undefined) return {};
  if (connect.kind === 'native') return { Connect: { Native: true } };
  return {
    Kind: 'connect-proxy',
    Proxy: {
      DestinationServiceName: connect.destinationName,
      DestinationServiceID: connect.destinationId,
      LocalServiceAddress: connect.localAddress,
      LocalServicePort: connect.localPort,
      Upstreams: connect.upstreams.map(({ destinationName, localBindPort, datacenter }) => ({
        DestinationName: destinationName,
        LocalBindPort: localBindPort,
        ...(datacenter !== '' && { Datacenter: datacenter }),
      })),
    },
  };
}

export function wireCheck(
  node: NodeName,
  check: CheckRegistration,
  { status, output }: CheckResult,
): Readonly<Record<string, unknown>> {
  const { id, serviceId, serviceName, name, notes, type, definition } = check;
  return {
    Node: node,
    CheckID: id,
    Name: name,
    ServiceID: serviceId,
    ServiceName: serviceName,
    Status: status,
    Output: output,
    Notes: notes,
    Type: type,
    Definition: wireDefinition(definition),
  };
}

function wireDefinition(definition: CheckDefinition): object {
  const { intervalMs, timeoutMs, deregisterAfterMs } = definition;
  return {
    HTTP: definition.http,
    Method: definition.method,
    TCP: definition.tcp,
    GRPC: definition.grpc,
    GRPCUseTLS: definition.grpcUseTls,
    TLSServerName: definition.tlsServerName,
    TLSSkipVerify: definition.tlsSkipVerify,
    IntervalDuration: `${intervalMs}ms`,
    TimeoutDuration: `${timeoutMs}ms`,
    DeregisterCriticalServiceAfterDuration: `${deregisterAfterMs}ms`,
  };
}

/** One text for what is equal to Consul, and another for what is not: for comparing, and for fingerprints. */
export function canonicalText(
  service: ServiceRegistration,
  checks: readonly CheckRegistration[] = [],
): string {
  const byId = [...checks].sort((one, other) => (one.id < other.id ? -1 : 1));
  return JSON.stringify([canonicalService(service), byId.map(canonicalCheck)]);
}

export function sameService(one: ServiceRegistration, other: ServiceRegistration): boolean {
  return JSON.stringify(canonicalService(one)) === JSON.stringify(canonicalService(other));
}

export function sameCheck(one: CheckRegistration, other: CheckRegistration): boolean {
  return JSON.stringify(canonicalCheck(one)) === JSON.stringify(canonicalCheck(other));
}

function canonicalService({ meta, weights, connect, ...service }: ServiceRegistration): readonly unknown[] {
  return [
    service.id,
    service.name,
    service.address,
    service.port,
    service.tags,
    [...meta].sort(([one], [other]) => (one < other ? -1 : 1)),
    weights.passing,
    weights.warning,
    service.enableTagOverride,
    connect === undefined ? null : canonicalConnect(connect),
  ];
}

function canonicalConnect(connect: ServiceConnect): readonly unknown[] {
  if (connect.kind === 'native') return ['native'];
  const { destinationName, destinationId, localAddress, localPort, upstreams } = connect;
  const places = upstreams.map(upstream => [
    upstream.destinationName,
    upstream.localBindPort,
    upstream.datacenter,
  ]);
  return ['proxy', destinationName, destinationId, localAddress, localPort, places];
}

function canonicalCheck({ definition, ...check }: CheckRegistration): readonly unknown[] {
  return [
    check.id,
    check.serviceId,
    check.serviceName,
    check.name,
    check.notes,
    check.type,
    definition.http,
    definition.method,
    definition.tcp,
    definition.grpc,
    definition.grpcUseTls,
    definition.tlsServerName,
    definition.tlsSkipVerify,
    definition.intervalMs,
    definition.timeoutMs,
    definition.deregisterAfterMs,
  ];
}
