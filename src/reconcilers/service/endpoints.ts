import { createHash } from 'node:crypto';
import { addressProblem } from '../../api/v1alpha1/address-rules.ts';
import type { ConsulServiceSpec } from '../../api/v1alpha1/consulservice.ts';
import { ENDPOINT_PREFIX, MAX_ID_CHARS, MAX_META_VALUE_BYTES } from '../../api/v1alpha1/consulservice-cel.ts';
import { isObject } from '../../api/v1alpha1/resource.ts';
import { parseServiceId, type ServiceId } from '../../consul/service-ids.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { KubeObject } from '../../kube/types.ts';
import type { ServiceWish } from './types.ts';

/** What the API server holds for `spec.kubernetes`. */
export interface KubernetesSource {
  /** Undefined: there is none. */
  readonly service: KubeObject | undefined;
  /** All EndpointSlices of that Service. */
  readonly slices: readonly KubeObject[];
  /** Of a Node, as far as the operator may know it; slices tell zones alone. */
  readonly regionOf?: (node: string) => string | undefined;
  /** Undefined: `regionOf` knows all there is to know. Else it may know less than it did, and an endpoint stays in this region. */
  readonly regionLastKnown?: ((id: ServiceId) => string | undefined) | undefined;
}

/** One endpoint, in however many slices it stands. */
export interface Endpoint {
  readonly id: ServiceId;
  readonly address: string;
  /** 0: the Service has none. */
  readonly port: number;
  readonly isReady: boolean;
  readonly zone: string | undefined;
  readonly region: string | undefined;
}

export type Endpoints =
  | {
      readonly kind: 'endpoints';
      /** In the order of their ids. */
      readonly endpoints: readonly Endpoint[];
      readonly missing: ServiceWish['missing'];
    }
  | Unresolved;

/** Nobody can tell what is to stand as things are: nothing is registered or removed, and what stands is tended. */
export type Unresolved = (
  | { readonly kind: 'wait'; readonly reason: 'SourceNotFound'; readonly message: string }
  | { readonly kind: 'refuse'; readonly reason: 'InvalidSpec' | 'TooLarge'; readonly message: string }
) & { readonly present: Presence };

/** The endpoints that there are, whatever their ports, and whether they are ready. */
export type Presence = ReadonlyMap<string, boolean>;

type Kubernetes = NonNullable<ConsulServiceSpec['kubernetes']>;
type Owner = Pick<ResourceRef, 'namespace' | 'name'>;

/**
 * The endpoints that a Service has and is not about to lose, each once, whatever slices and address families it stands in.
 *
 * A port that the Service has and its slices do not have yet is waited for: they follow within moments, and until then every
 * instance would look gone.
 */
export function endpointsOf(
  kubernetes: Kubernetes,
  { service, slices, regionOf = () => undefined, regionLastKnown }: KubernetesSource,
  owner: Owner,
): Endpoints {
  if (service === undefined) {
    const message = `Service ${kubernetes.service} does not exist`;
    return { kind: 'endpoints', endpoints: [], missing: { reason: 'SourceNotFound', message } };
  }
  const port = choosePort(kubernetes, service);
  const look = { portName: port.kind === 'port' ? port.name : undefined, owner, regionOf, regionLastKnown };
  const staying = withoutTerminating(slices.flatMap(slice => sightingsIn(slice, look)));
  const present = presenceOf(merge(staying.map(sighting => ({ ...sighting, port: 0 }))));
  if (port.kind !== 'port') return { ...port, present };
  const callable = staying.filter(hasPort);
  if (staying.length > 0 && callable.length === 0) {
    const which = port.name ? `the port ${port.name}` : 'its port';
    return { ...wait(`no endpoint of Service ${kubernetes.service} has ${which}`), present };
  }
  return { kind: 'endpoints', endpoints: merge(callable), missing: undefined };
}

export function presenceOf(endpoints: readonly Pick<Endpoint, 'id' | 'isReady'>[]): Presence {
  return new Map(endpoints.map(({ id, isReady }) => [id, isReady]));
}

/** What is in the way, whatever there is. */
type Obstacle =
  | { readonly kind: 'wait'; readonly reason: 'SourceNotFound'; readonly message: string }
  | { readonly kind: 'refuse'; readonly reason: 'InvalidSpec'; readonly message: string };

/** `name`: as slices name it, empty for one without a name; undefined: the Service has no port. */
function choosePort(
  { service: name, port: wanted }: Kubernetes,
  { spec }: KubeObject,
): { readonly kind: 'port'; readonly name: string | undefined } | Obstacle {
  const names = listIn(spec, 'ports').map(port => textIn(port, 'name'));
  if (wanted !== undefined) {
    if (names.includes(wanted)) return { kind: 'port', name: wanted };
    return wait(`Service ${name} has no port named ${wanted}`);
  }
  if (names.length <= 1) return { kind: 'port', name: names[0] };
  const message = `spec.kubernetes.port: Service ${name} has the ports ${names.join(', ')}: name one of them`;
  return { kind: 'refuse', reason: 'InvalidSpec', message };
}

/** An endpoint as one slice shows it. */
interface Sighting {
  readonly id: ServiceId;
  /** Unlike that of a Pod which had the same name before. */
  readonly uid: string;
  readonly family: number;
  readonly address: string;
  /** Undefined: this slice does not have the port. */
  readonly port: number | undefined;
  readonly isReady: boolean;
  readonly isTerminating: boolean;
  readonly zone: string | undefined;
  readonly region: string | undefined;
}

/** In the order in which they are preferred. */
const FAMILIES: readonly unknown[] = ['IPv4', 'IPv6', 'FQDN'];

/** What is looked for in slices. */
interface Look extends Required<Pick<KubernetesSource, 'regionOf' | 'regionLastKnown'>> {
  readonly portName: string | undefined;
  readonly owner: Owner;
}

/** An address that nobody could call, or of a family that is not known here, is none. */
function sightingsIn(slice: KubeObject, { portName, owner, regionOf, regionLastKnown }: Look): Sighting[] {
  const family = FAMILIES.indexOf(field(slice, 'addressType'));
  if (family === -1) return [];
  const port = portName === undefined ? 0 : portIn(slice, portName);
  return listIn(slice, 'endpoints').flatMap(endpoint => {
    const address = addressOf(endpoint);
    if (address === undefined) return [];
    const { conditions, targetRef } = endpoint;
    const target = textIn(targetRef, 'name') || address;
    const id = endpointId(owner, target);
    return {
      id,
      uid: textIn(targetRef, 'uid'),
      family,
      address,
      port,
      // https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions: unknown is to be read as true.
      isReady: field(conditions, 'ready') !== false,
      isTerminating: field(conditions, 'terminating') === true,
      zone: asMeta(textIn(endpoint, 'zone')),
      region: asMeta(regionOf(textIn(endpoint, 'nodeName')) ?? regionLastKnown?.(id)),
    };
  });
}

function portIn(slice: KubeObject, portName: string): number | undefined {
  const port = listIn(slice, 'ports').find(one => textIn(one, 'name') === portName)?.['port'];
  return typeof port === 'number' ? port : undefined;
}

/** Several addresses of one endpoint are the same to its clients, and the first is the one to take. */
function addressOf(endpoint: unknown): string | undefined {
  const addresses = field(endpoint, 'addresses');
  const [first]: readonly unknown[] = Array.isArray(addresses) ? addresses : [];
  if (typeof first !== 'string') return undefined;
  const address = first.replace(/[.]$/, '');
  return addressProblem('', address) === undefined ? address : undefined;
}

/** One that Consul would not take is none. */
function asMeta(place: string | undefined): string | undefined {
  return place === '' || Buffer.byteLength(place ?? '') > MAX_META_VALUE_BYTES ? undefined : place;
}

/** Nobody who terminates comes back: one slice that says so is ahead of the others. */
function withoutTerminating(sightings: readonly Sighting[]): Sighting[] {
  const nameOf = ({ id, uid }: Sighting) => `${id} ${uid}`;
  const terminating = new Set(sightings.filter(({ isTerminating }) => isTerminating).map(nameOf));
  return sightings.filter(sighting => !terminating.has(nameOf(sighting)));
}

type CallableSighting = Sighting & { readonly port: number };

function hasPort(sighting: Sighting): sighting is CallableSighting {
  return sighting.port !== undefined;
}

/** While slices are rearranged an endpoint may stand in two of them: which of two is older shows nowhere. */
function merge(sightings: readonly CallableSighting[]): Endpoint[] {
  const endpoints = new Map<ServiceId, Endpoint>();
  for (const { id, address, port, isReady, zone, region } of [...sightings].sort(byPreference)) {
    if (!endpoints.has(id)) endpoints.set(id, { id, address, port, isReady, zone, region });
  }
  return [...endpoints.values()].sort((one, other) => compare(one.id, other.id));
}

function byPreference(one: CallableSighting, other: CallableSighting): number {
  return (
    one.family - other.family ||
    Number(other.isReady) - Number(one.isReady) ||
    compare(one.address, other.address) ||
    one.port - other.port ||
    compare(one.zone ?? '', other.zone ?? '')
  );
}

const HASH_CHARS = 32;

/** Of an id with a hash, how much is left of it as it is: the namespace always. */
const UNHASHED_CHARS = MAX_ID_CHARS - HASH_CHARS - 1;

/**
 * `k8s:<namespace>:<resource>:<target>`, always the same for a Pod of one name, or for an address without one: an id that no fixed
 * instance has, nor an endpoint of another resource, since neither of the first two has a `:`. A longer one than an id may be ends in
 * a hash of all of it.
 */
function endpointId(owner: Owner, target: string): ServiceId {
  const id = `${prefixOf(owner)}${target.toLowerCase().replaceAll(/[^a-z0-9.:-]/g, '-')}`;
  if (id.length <= MAX_ID_CHARS) return parseServiceId(id);
  const hash = createHash('sha256').update(id).digest('hex').slice(0, HASH_CHARS);
  return parseServiceId(`${id.slice(0, UNHASHED_CHARS)}-${hash}`);
}

/** Whether the id is one that endpoints of the resource have. */
export function isEndpointId(owner: Owner, id: string): boolean {
  return id.startsWith(prefixOf(owner).slice(0, UNHASHED_CHARS));
}

function prefixOf({ namespace, name }: Owner): string {
  return `${ENDPOINT_PREFIX}${namespace}:${name}:`;
}

function wait(message: string): Obstacle {
  return { kind: 'wait', reason: 'SourceNotFound', message };
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

function field(of: unknown, name: string): unknown {
  return isObject(of) ? of[name] : undefined;
}

/** Empty for what is no text. */
function textIn(of: unknown, name: string): string {
  const text = field(of, name);
  return typeof text === 'string' ? text : '';
}

function listIn(of: unknown, name: string): readonly Readonly<Record<string, unknown>>[] {
  const list = field(of, name);
  return Array.isArray(list) ? list.filter(isObject) : [];
}
