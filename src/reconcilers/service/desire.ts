import type { ConsulService, ServiceSidecar } from '../../api/v1alpha1/consulservice.ts';
import { SIDECAR_SUFFIX } from '../../api/v1alpha1/consulservice-cel.ts';
import { serviceSettingsOf } from '../../api/v1alpha1/service-settings.ts';
import { MADE_BY, virtualNodeOf } from '../../commit/catalog-nodes.ts';
import { canonicalText, type NodeRegistration, type ServiceRegistration } from '../../consul/registration.ts';
import type { NodeName } from '../../consul/service-ids.ts';
import { instanceName } from '../../core/instance-names.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import { checksOf, sidecarCheck } from './checks.ts';
import { declaredInstances, sidecarId } from './declared.ts';
import type { KubernetesSource, Unresolved } from './endpoints.ts';
import { instanceFingerprint } from './fingerprints.ts';
import { marked } from './marks.ts';
import type { DeclaredInstance, ServiceWish, WishedInstance } from './types.ts';

export interface Desiring {
  readonly resource: Pick<ConsulService, 'metadata' | 'spec'>;
  readonly installId: string;
  /** What there is of `spec.kubernetes`; undefined where the spec has none. */
  readonly endpoints: KubernetesSource | undefined;
  readonly fingerprinter: Pick<Fingerprinter, 'of'>;
}

export type ServiceDesire = { readonly kind: 'desired'; readonly wish: ServiceWish } | Unresolved;

/** A row of the catalog before it has a name and a fingerprint. */
type Unnamed = Pick<WishedInstance, 'node' | 'service' | 'checks'>;

/** What is to stand in the catalog for a resource of `registration: Catalog`, as its Service is now. */
export function desireService({ resource, installId, endpoints, fingerprinter }: Desiring): ServiceDesire {
  const declared = declaredInstances(resource, endpoints);
  if (declared.kind !== 'declared') return declared;
  const { missing } = declared;
  return {
    kind: 'desired',
    wish: wishOf(declared.instances, missing, { resource, installId, fingerprinter }),
  };
}

/** Those instances, with what the resource says of all of them. */
export function wishOf(
  declared: readonly DeclaredInstance[],
  missing: ServiceWish['missing'],
  { resource, installId, fingerprinter }: Omit<Desiring, 'endpoints'>,
): ServiceWish {
  const nodeOf = nodesFor(declared, installId);
  const rows = declared.flatMap(instance =>
    rowsOf(instance, { resource, installId, node: nodeOf(instance) }),
  );
  const instances = new Map(rows.map(row => named(row, fingerprinter)).map(one => [one.name, one]));
  return { instances, missing };
}

/** An instance as it is registered, in the catalog or with an agent. */
export function serviceOf(
  { id, address, port, tags, meta }: DeclaredInstance,
  { resource, installId }: Pick<Desiring, 'resource' | 'installId'>,
): ServiceRegistration {
  const { name, weights, enableTagOverride } = serviceSettingsOf(resource);
  const isNative = resource.spec.connect?.native === true;
  return {
    id,
    name,
    address,
    port,
    tags,
    meta: marked(meta, installId, resource.metadata),
    weights,
    enableTagOverride,
    connect: isNative ? { kind: 'native' } : undefined,
  };
}

function rowsOf(
  instance: DeclaredInstance,
  {
    resource,
    installId,
    node,
  }: Pick<Desiring, 'resource' | 'installId'> & { readonly node: NodeRegistration },
): Unnamed[] {
  const { checks = [], connect } = resource.spec;
  const service = serviceOf(instance, { resource, installId });
  const row = { node, service, checks: checksOf(instance, service, checks) };
  return connect?.sidecar === undefined ? [row] : [row, sidecarRow(row, connect.sidecar)];
}

/** Where a proxy beside its instance finds it. */
const BESIDE = '127.0.0.1';

/** As an agent would expand it (`sidecarServiceFromNodeService` in Consul's `agent/sidecar_service.go`). */
function sidecarRow({ node, service }: Unnamed, { port = 0, upstreams = [] }: ServiceSidecar): Unnamed {
  const sidecar: ServiceRegistration = {
    ...service,
    id: sidecarId(service.id),
    name: `${service.name}${SIDECAR_SUFFIX}`,
    port,
    connect: {
      kind: 'proxy',
      destinationName: service.name,
      destinationId: service.id,
      localAddress: BESIDE,
      localPort: service.port,
      upstreams: upstreams.map(({ datacenter = '', ...upstream }) => ({ ...upstream, datacenter })),
    },
  };
  return { node, service: sidecar, checks: [sidecarCheck(sidecar, service.id)] };
}

/** Nobody calls at the address of a node that is none: every instance on it has its own. */
const NOWHERE = '127.0.0.1';

/** Which node an instance stands on. One node has one address, whichever of its instances says so. */
function nodesFor(
  instances: readonly DeclaredInstance[],
  installId: string,
): (instance: DeclaredInstance) => NodeRegistration {
  const meta = new Map([[MADE_BY, installId]]);
  const addresses = new Map<NodeName, string>();
  for (const { node, nodeAddress } of instances) {
    if (node !== undefined && nodeAddress !== undefined) addresses.set(node, nodeAddress);
  }
  for (const { node, address } of instances) {
    if (node !== undefined && !addresses.has(node)) addresses.set(node, address);
  }
  return ({ id, node }) =>
    node === undefined
      ? { node: virtualNodeOf(installId, id), address: NOWHERE, meta }
      : { node, address: addresses.get(node) ?? NOWHERE, meta };
}

function named(row: Unnamed, fingerprinter: Pick<Fingerprinter, 'of'>): WishedInstance {
  const { node, service, checks } = row;
  const name = instanceName({ kind: 'catalog', node: node.node, id: service.id });
  const registered = checks.map(({ check }) => check);
  const content = canonicalText({ ...service, tags: [] }, registered);
  const fingerprint = instanceFingerprint(fingerprinter, { name, content, tags: service.tags });
  return { name, ...row, fingerprint };
}
