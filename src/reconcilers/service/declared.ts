import type { ConsulService, ConsulServiceSpec, ServiceInstance } from '../../api/v1alpha1/consulservice.ts';
import { messages, SIDECAR_SUFFIX } from '../../api/v1alpha1/consulservice-cel.ts';
import { NETWORK_KINDS } from '../../api/v1alpha1/service-check-cel.ts';
import { parseNodeName, parseServiceId, type ServiceId } from '../../consul/service-ids.ts';
import {
  type Endpoint,
  type Endpoints,
  endpointsOf,
  type KubernetesSource,
  type Presence,
  presenceOf,
  type Unresolved,
} from './endpoints.ts';
import type { DeclaredInstance, ServiceWish } from './types.ts';

export type Declared =
  | {
      readonly kind: 'declared';
      /** No two with the same id. */
      readonly instances: readonly DeclaredInstance[];
      readonly missing: ServiceWish['missing'];
    }
  | Unresolved;

/**
 * Every instance of a resource, fixed ones and endpoints alike, without the operator's marks and without sidecars.
 *
 * @param source Undefined where the spec has no `kubernetes`.
 * @throws TypeError when it has, and nothing was read: to take that for no endpoints would drain them all.
 */
export function declaredInstances(
  { metadata, spec }: Pick<ConsulService, 'metadata' | 'spec'>,
  source: KubernetesSource | undefined,
): Declared {
  const found = endpointsIn({ metadata, spec }, source);
  if (found.kind !== 'endpoints') return found;
  if (found.endpoints.length > MAX_ENDPOINTS) return tooMany(spec, presenceOf(found.endpoints));
  const fixed = fixedInstances(spec);
  const endpoints = found.endpoints.map(endpoint => endpointInstance(spec, endpoint));
  const problem = portProblem(spec, endpoints) ?? sidecarProblem(spec, [...fixed, ...endpoints]);
  const present = presenceOf(found.endpoints);
  if (problem !== undefined) return { kind: 'refuse', reason: 'InvalidSpec', message: problem, present };
  return { kind: 'declared', instances: [...fixed, ...endpoints], missing: found.missing };
}

export function fixedInstances(spec: ConsulServiceSpec): DeclaredInstance[] {
  return (spec.instances ?? []).map(instance => fixedInstance(spec, instance));
}

/** Anybody may write EndpointSlices, and all of an install's stand on the nodes that its resources share. */
export const MAX_ENDPOINTS = 5_000;

/** Not how many: that moves, and the status with it. */
function tooMany({ kubernetes }: ConsulServiceSpec, present: Presence): Unresolved {
  const message = `spec.kubernetes.service: Service ${kubernetes?.service} has more than ${MAX_ENDPOINTS} endpoints, the most that a resource takes`;
  return { kind: 'refuse', reason: 'TooLarge', message, present };
}

function endpointsIn(
  { metadata, spec }: Pick<ConsulService, 'metadata' | 'spec'>,
  source: KubernetesSource | undefined,
): Endpoints {
  if (spec.kubernetes === undefined) return { kind: 'endpoints', endpoints: [], missing: undefined };
  if (source === undefined) throw new TypeError('nothing was read of spec.kubernetes');
  return endpointsOf(spec.kubernetes, source, metadata);
}

/** Of the service that a sidecar is: as Consul's agents call theirs. */
export function sidecarId(instance: ServiceId): ServiceId {
  return parseServiceId(`${instance}${SIDECAR_SUFFIX}`);
}

function fixedInstance(spec: ConsulServiceSpec, instance: ServiceInstance): DeclaredInstance {
  const { id, address, port = 0, node, nodeAddress, tags = [], meta = [] } = instance;
  return {
    id: parseServiceId(id),
    address,
    port,
    tags: [...new Set([...(spec.tags ?? []), ...tags])],
    meta: new Map([...(spec.meta ?? []), ...meta]),
    node: node === undefined ? undefined : parseNodeName(node),
    nodeAddress,
    isReady: undefined,
  };
}

function endpointInstance(spec: ConsulServiceSpec, endpoint: Endpoint): DeclaredInstance {
  const { id, address, port, isReady, zone, region } = endpoint;
  const { tags = [], meta = [] } = spec;
  return {
    id,
    address,
    port,
    tags,
    meta: new Map([...meta, ...place(ZONE_META, zone), ...place(REGION_META, region)]),
    node: undefined,
    nodeAddress: undefined,
    isReady,
  };
}

const ZONE_META = 'topology-zone';
export const REGION_META = 'topology-region';

function place(what: string, where: string | undefined): [string, string][] {
  return where === undefined ? [] : [[what, where]];
}

/** The API asks fixed instances alone for a port: it cannot know whether a Service has one. */
function portProblem(
  { kubernetes, checks = [], connect }: ConsulServiceSpec,
  endpoints: readonly DeclaredInstance[],
): string | undefined {
  if (endpoints.every(({ port }) => port !== 0)) return undefined;
  const asksInstance = checks.some(check =>
    NETWORK_KINDS.some(kind => check[kind] !== undefined && check[kind].port === undefined),
  );
  const isConnect = connect?.native === true || connect?.sidecar !== undefined;
  if (!asksInstance && !isConnect) return undefined;
  const need = asksInstance ? messages.checkPort : messages.connectPort;
  return `spec.kubernetes.service: Service ${kubernetes?.service} has no port, and ${need}`;
}

/** A Pod may be called like the sidecar of another. */
function sidecarProblem(
  { connect }: ConsulServiceSpec,
  instances: readonly DeclaredInstance[],
): string | undefined {
  if (connect?.sidecar === undefined) return undefined;
  const ids = new Set(instances.map(({ id }) => id));
  const twice = instances.find(({ id }) => ids.has(sidecarId(id)));
  return (
    twice &&
    `spec.connect.sidecar: an instance has the id ${sidecarId(twice.id)}, which the sidecar of ${twice.id} needs`
  );
}
