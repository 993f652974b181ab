import { API_VERSION } from '../../api/v1alpha1/common.ts';
import type { ConsulLeaderLeaseSpec } from '../../api/v1alpha1/consulleaderlease.ts';
import { isObject } from '../../api/v1alpha1/resource.ts';
import type { KubeObject, OwnerReference, ResourceType } from '../../kube/types.ts';
import { type EndpointSliceBody, sliceBodies } from './endpoints.ts';
import type { Pod } from './pods.ts';

export const SERVICES: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'services',
  kind: 'Service',
  namespaced: true,
};
export const ENDPOINT_SLICES: ResourceType = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};

type ServiceWish = NonNullable<ConsulLeaderLeaseSpec['service']>;

/** Names the lease that objects are made for. */
export interface LeaseOwner {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface RoutingWish {
  readonly owner: LeaseOwner;
  /** Undefined: none is wanted (any more), or the lease is being deleted. */
  readonly service: ServiceWish | undefined;
  /** The Pods that lead, as far as they exist, in the order of their slots. */
  readonly leaders: readonly Pod[];
}

/** All that this lease owns, and what else has a name that it wants. */
export interface ObservedRouting {
  readonly services: readonly KubeObject[];
  readonly slices: readonly KubeObject[];
}

export type RouteStep =
  | { readonly kind: 'create'; readonly type: ResourceType; readonly body: RouteBody }
  /** A JSON merge patch, conditional on the uid and resourceVersion in it. */
  | {
      readonly kind: 'patch';
      readonly type: ResourceType;
      readonly name: string;
      readonly patch: Readonly<Record<string, unknown>>;
    }
  /** With uid and resourceVersion as preconditions. */
  | { readonly kind: 'delete'; readonly type: ResourceType; readonly object: KubeObject };

export type RouteBody = Readonly<Record<string, unknown>> & {
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
};

export interface RoutingPlan {
  readonly steps: readonly RouteStep[];
  /** What keeps a leader from being reached, in words for the user. */
  readonly problems: readonly string[];
  /** Why nothing may be made: something else has the name. What was made before is still kept right. */
  readonly refusal: RoutingRefusal | undefined;
}

export interface RoutingRefusal {
  readonly kind: 'refuse';
  readonly reason: 'AlreadyExists';
  readonly message: string;
}

/**
 * What is to be done so that the Service exists and its EndpointSlices name the leaders, and nothing of an earlier Service
 * is left. Only what this lease owns is changed, and of it only what it sets: the rest (type, cluster IP, annotations)
 * is the user's and the API server's.
 */
export function planRouting(wish: RoutingWish, observed: ObservedRouting): RoutingPlan {
  const { owner, service } = wish;
  const { bodies, problems } =
    service === undefined ? NO_SLICES : sliceBodies(service, wish.leaders, owner.namespace);
  const wanted: readonly Wanted[] = [
    ...(service === undefined ? [] : [serviceWanted(service, owner)]),
    ...bodies.map(body => sliceWanted(body, owner)),
  ];
  const present = [
    ...observed.services.map(object => ({ type: SERVICES, object })),
    ...observed.slices.map(object => ({ type: ENDPOINT_SLICES, object })),
  ];
  const taken = present.find(one => isNamed(one, wanted) && !isOwnedBy(one.object, owner));
  const owned = present.filter(({ object }) => isOwnedBy(object, owner));
  const steps = [
    ...wanted.flatMap(one => planObject(one, owned)),
    ...owned.filter(one => !isNamed(one, wanted)).flatMap(one => planUnwanted(one, service)),
  ];
  return { steps, problems, refusal: taken && refuse(taken) };
}

/** While the spec cannot be read: who leads no more is named no more, and all else stays as it was made. */
export function planUnrouting(
  owner: Pick<LeaseOwner, 'namespace' | 'name'>,
  leaders: readonly Pick<Pod, 'uid'>[],
  { slices }: ObservedRouting,
): RouteStep[] {
  const leads = ({ targetRef }: Fields): boolean =>
    isObject(targetRef) && leaders.some(({ uid }) => uid === targetRef['uid']);
  return slices
    .filter(slice => isOwnedBy(slice, owner) && slice.metadata.deletionTimestamp === undefined)
    .flatMap((slice): RouteStep[] => {
      const named = listOf((slice as unknown as Fields)['endpoints']);
      const endpoints = named.filter(leads);
      if (endpoints.length === named.length) return [];
      const { name, uid, resourceVersion } = slice.metadata;
      return [
        {
          kind: 'patch',
          type: ENDPOINT_SLICES,
          name,
          patch: { metadata: { uid, resourceVersion }, endpoints },
        },
      ];
    });
}

/** Whether the object was made for this lease, or for an earlier one of its name. */
export function isOwnedBy(
  { metadata }: KubeObject,
  { namespace, name }: Pick<LeaseOwner, 'namespace' | 'name'>,
): boolean {
  const references = metadata.ownerReferences ?? [];
  return metadata.namespace === namespace && references.some(one => isOfLease(one) && one.name === name);
}

const NO_SLICES = { bodies: [], problems: [] } as const;
const LEASE_KIND = 'ConsulLeaderLease';

interface Present {
  readonly type: ResourceType;
  readonly object: KubeObject;
}

/** An object as it should be: to be made so, or to be patched so where `says` differs. */
interface Wanted {
  readonly type: ResourceType;
  readonly body: RouteBody;
  /** What the lease sets, as text: two that say the same need no patch. */
  readonly says: (object: Readonly<Record<string, unknown>>) => string;
  readonly patch: (object: KubeObject) => Readonly<Record<string, unknown>>;
  readonly owner: LeaseOwner;
}

function serviceWanted({ name, ports }: ServiceWish, owner: LeaseOwner): Wanted {
  const wantedPorts = ports.map(({ name, port, targetPort = port, protocol = 'TCP' }) => {
    return { ...(name === undefined ? {} : { name }), port, targetPort, protocol };
  });
  const metadata = metadataOf(name, owner, { 'app.kubernetes.io/managed-by': 'proconsul' });
  const spec = { ports: wantedPorts, ipFamilyPolicy: 'PreferDualStack' };
  return {
    type: SERVICES,
    body: { apiVersion: 'v1', kind: 'Service', metadata, spec },
    says: ({ spec }) => {
      const { ports, selector } = isObject(spec) ? spec : {};
      const isSelecting = isObject(selector) && Object.keys(selector).length > 0;
      return JSON.stringify([isSelecting, listOf(ports).map(portLine)]);
    },
    // With a selector Kubernetes would make EndpointSlices of its own.
    patch: present => ({ spec: { selector: null, ports: withNodePorts(wantedPorts, present) } }),
    owner,
  };
}

function sliceWanted({ name, service, ...fields }: EndpointSliceBody, owner: LeaseOwner): Wanted {
  const { addressType, endpoints, ports } = fields;
  const labels = {
    'kubernetes.io/service-name': service,
    'endpointslice.kubernetes.io/managed-by': 'proconsul.dev',
  };
  const metadata = metadataOf(name, owner, labels);
  return {
    type: ENDPOINT_SLICES,
    body: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata,
      addressType,
      endpoints,
      ports,
    },
    says: ({ endpoints, ports }) =>
      JSON.stringify([listOf(endpoints).map(endpointLine), listOf(ports).map(portLine)]),
    patch: () => ({ endpoints, ports }),
    owner,
  };
}

function planObject(wanted: Wanted, owned: readonly Present[]): RouteStep[] {
  const { type, body } = wanted;
  const name = body.metadata.name;
  const present = owned.find(one => one.type === type && one.object.metadata.name === name)?.object;
  if (present === undefined) return [{ kind: 'create', type, body }];
  // Gone before long; then it is made anew.
  if (present.metadata.deletionTimestamp !== undefined) return [];
  const isLabelled = Object.entries(body.metadata.labels).every(
    ([key, value]) => present.metadata.labels?.[key] === value,
  );
  const fields = present as unknown as Readonly<Record<string, unknown>>;
  if (isLabelled && isOwnedAsWanted(present, wanted.owner) && wanted.says(fields) === wanted.says(body))
    return [];
  const { uid, resourceVersion } = present.metadata;
  const { labels } = body.metadata;
  const metadata = { uid, resourceVersion, labels, ownerReferences: referencesWith(present, wanted.owner) };
  return [{ kind: 'patch', type, name, patch: { metadata, ...wanted.patch(present) } }];
}

/** A slice of the present Service that has no leader to name stays, empty: the next leader is soon there. */
function planUnwanted({ type, object }: Present, service: ServiceWish | undefined): RouteStep[] {
  const { name, uid, resourceVersion, labels, deletionTimestamp } = object.metadata;
  if (deletionTimestamp !== undefined) return [];
  const isOfService =
    service !== undefined &&
    type === ENDPOINT_SLICES &&
    labels?.['kubernetes.io/service-name'] === service.name;
  if (!isOfService) return [{ kind: 'delete', type, object }];
  const { endpoints } = object as unknown as Readonly<Record<string, unknown>>;
  if (listOf(endpoints).length === 0) return [];
  return [{ kind: 'patch', type, name, patch: { metadata: { uid, resourceVersion }, endpoints: [] } }];
}

function refuse({ type, object }: Present): RoutingRefusal {
  const message = `${type.kind} ${object.metadata.name} exists and was not made for this lease. Remove it, or name another Service`;
  return { kind: 'refuse', reason: 'AlreadyExists', message };
}

function isNamed({ type, object }: Present, wanted: readonly Wanted[]): boolean {
  return wanted.some(one => one.type === type && one.body.metadata.name === object.metadata.name);
}

function metadataOf(name: string, owner: LeaseOwner, labels: Readonly<Record<string, string>>) {
  return { name, namespace: owner.namespace, labels, ownerReferences: [referenceTo(owner)] };
}

function referenceTo({ name, uid }: LeaseOwner): OwnerReference {
  return { apiVersion: API_VERSION, kind: LEASE_KIND, name, uid, controller: true };
}

function isOfLease({ kind, apiVersion }: OwnerReference): boolean {
  return kind === LEASE_KIND && apiVersion.startsWith('proconsul.dev/');
}

function isOwnedAsWanted({ metadata }: KubeObject, { uid }: LeaseOwner): boolean {
  return (metadata.ownerReferences ?? []).some(one => isOfLease(one) && one.uid === uid);
}

/** Those of others stay; one to an earlier lease of this name goes, or the object would go with it. */
function referencesWith({ metadata }: KubeObject, owner: LeaseOwner): readonly OwnerReference[] {
  const others = (metadata.ownerReferences ?? []).filter(one => !(isOfLease(one) && one.name === owner.name));
  return [...others, referenceTo(owner)];
}

type Fields = Readonly<Record<string, unknown>>;

/** A merge patch replaces the whole list, and with it node ports that somebody may have told their firewall of. */
function withNodePorts(ports: readonly Fields[], { spec }: KubeObject): Fields[] {
  const present = listOf(isObject(spec) ? spec['ports'] : undefined);
  return ports.map(wanted => {
    const same = present.find(
      ({ port, protocol }) => port === wanted['port'] && protocol === wanted['protocol'],
    );
    return same?.['nodePort'] === undefined ? wanted : { ...wanted, nodePort: same['nodePort'] };
  });
}

function portLine({ name = '', port, targetPort = '', protocol }: Fields): readonly unknown[] {
  return [name, port, targetPort, protocol];
}

function endpointLine({ addresses, conditions, nodeName = '', targetRef }: Fields): readonly unknown[] {
  const { ready, serving, terminating } = isObject(conditions) ? conditions : {};
  const { kind, name, uid } = isObject(targetRef) ? targetRef : {};
  return [addresses, ready, serving, terminating, nodeName, kind, name, uid];
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}
