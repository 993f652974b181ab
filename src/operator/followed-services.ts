import { isDeepStrictEqual } from 'node:util';
import { parseConsulService } from '../api/v1alpha1/consulservice.ts';
import { isObject } from '../api/v1alpha1/resource.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { KubeObject, Store, StoreHandlers } from '../kube/index.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import { CONSUL_SERVICES } from './kinds.ts';
import { refOf } from './triggers.ts';

/** https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ownership */
export const SERVICE_LABEL = 'kubernetes.io/service-name';

/** The index of ConsulServices by the Service that they follow, and of EndpointSlices by the one they belong to. */
export const BY_SERVICE = 'service';

export function serviceId({
  namespace,
  name,
}: {
  readonly namespace?: string | undefined;
  readonly name: string;
}): string {
  return `${namespace ?? ''}/${name}`;
}

/** The Service that a ConsulService follows, if it follows one. */
export function followedBy(resource: KubeObject): readonly string[] {
  const parsed = parseConsulService(resource);
  if (!parsed.ok || parsed.value.spec.kubernetes === undefined) return [];
  const { namespace } = parsed.value.metadata;
  return [serviceId({ namespace, name: parsed.value.spec.kubernetes.service })];
}

/** The Service that an EndpointSlice belongs to. */
export function serviceOfSlice({ metadata: { namespace, labels } }: KubeObject): readonly string[] {
  const name = labels?.[SERVICE_LABEL];
  return name === undefined ? [] : [serviceId({ namespace, name })];
}

export interface Followers {
  /** ConsulServices, in the index `BY_SERVICE` by `followedBy`. */
  readonly resources: Store;
  readonly look: (refs: readonly ResourceRef[], priority: Priority) => void;
}

/** Has those looked at that follow the Service which an object is about, before or now, when more than its version changes. */
export function wakeFollowers(
  { resources, look }: Followers,
  servicesOf: (object: KubeObject) => readonly string[],
): Omit<StoreHandlers<KubeObject>, 'onError'> {
  const wake = (objects: readonly KubeObject[], priority: Priority): void => {
    const services = new Set(objects.flatMap(servicesOf));
    const followers = [...services].flatMap(service => resources.byIndex(BY_SERVICE, service));
    if (followers.length > 0)
      look(
        followers.map(resource => refOf(CONSUL_SERVICES, resource)),
        priority,
      );
  };
  return {
    onUpsert: (object, previous, { initial }) => {
      if (previous !== undefined && isDeepStrictEqual(contentOf(object), contentOf(previous))) return;
      const objects = previous === undefined ? [object] : [previous, object];
      wake(objects, initial ? PRIORITY.resync : PRIORITY.specChange);
    },
    onDelete: object => wake([object], PRIORITY.specChange),
  };
}

/** The index of EndpointSlices by the Nodes that their endpoints are on. */
export const BY_NODE = 'node';

export function nodesOfSlice(slice: KubeObject): readonly string[] {
  const names = listIn(slice, 'endpoints').map(endpoint => fieldOf(endpoint, 'nodeName'));
  return [...new Set(names.filter(name => typeof name === 'string'))];
}

/** Has those looked at that follow the Services of these slices. */
export function wakeThoseOf({ resources, look }: Followers, slices: readonly KubeObject[]): void {
  const services = new Set(slices.flatMap(serviceOfSlice));
  const followers = [...services].flatMap(service => resources.byIndex(BY_SERVICE, service));
  if (followers.length === 0) return;
  look(
    followers.map(resource => refOf(CONSUL_SERVICES, resource)),
    PRIORITY.resync,
  );
}

function contentOf({ metadata: { uid, labels }, ...content }: KubeObject): object {
  return { uid, labels, ...content };
}

/** Of a Service the names of its ports: slices have the rest. */
export function trimService(service: KubeObject): KubeObject {
  const ports = listIn(service.spec, 'ports').map(port => ({ name: fieldOf(port, 'name') }));
  return { metadata: identityOf(service), spec: { ports } };
}

/** Of an EndpointSlice to which Service it belongs, and who is there at which ports. */
export function trimSlice(slice: KubeObject): KubeObject {
  const service = slice.metadata.labels?.[SERVICE_LABEL];
  const labels = service === undefined ? {} : { labels: { [SERVICE_LABEL]: service } };
  const trimmed = {
    metadata: { ...identityOf(slice), ...labels },
    addressType: fieldOf(slice, 'addressType'),
    ports: listIn(slice, 'ports').map(port => ({ name: fieldOf(port, 'name'), port: fieldOf(port, 'port') })),
    endpoints: listIn(slice, 'endpoints').map(trimEndpoint),
  };
  return trimmed;
}

function trimEndpoint(endpoint: unknown): object {
  const conditions = fieldOf(endpoint, 'conditions');
  const target = fieldOf(endpoint, 'targetRef');
  return {
    addresses: fieldOf(endpoint, 'addresses'),
    conditions: { ready: fieldOf(conditions, 'ready'), terminating: fieldOf(conditions, 'terminating') },
    targetRef: { name: fieldOf(target, 'name'), uid: fieldOf(target, 'uid') },
    zone: fieldOf(endpoint, 'zone'),
    nodeName: fieldOf(endpoint, 'nodeName'),
  };
}

function identityOf({ metadata }: KubeObject): KubeObject['metadata'] {
  const { name, namespace, uid, resourceVersion } = metadata;
  return { name, uid, resourceVersion, ...(namespace === undefined ? {} : { namespace }) };
}

function fieldOf(of: unknown, name: string): unknown {
  return isObject(of) ? of[name] : undefined;
}

function listIn(of: unknown, name: string): readonly unknown[] {
  const list = fieldOf(of, name);
  return Array.isArray(list) ? list : [];
}
