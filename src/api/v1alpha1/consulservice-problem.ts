import { addressProblem } from './address-rules.ts';
import { DNS_LABEL } from './common.ts';
import type { ConsulServiceSpec, ServiceInstance, ServiceSidecar } from './consulservice.ts';
import {
  CONSUL_SERVICE,
  ENDPOINT_PREFIX,
  INSTANCE_ID,
  MAX_META,
  MAX_META_VALUE_BYTES,
  messages,
  META_KEY,
  NODE_NAME,
  OWN_META,
  OWN_NODES,
  SIDECAR_SUFFIX,
  UPSTREAM_NAME,
} from './consulservice-cel.ts';
import { first } from './problems.ts';
import { quoted } from './resource.ts';
import { AGENT_KINDS, NETWORK_KINDS } from './service-check-cel.ts';
import { checksProblem } from './service-check-problem.ts';

type Meta = ReadonlyMap<string, string>;

/**
 * The rules of `consulservice-cel.ts` once more, in code: a spec may have been stored before the API server knew a rule.
 * Says what is wrong with the first field that breaks one, in a sentence that starts with its path. A test runs both
 * against the same specs. Only here: no node has two addresses.
 */
export function serviceProblem(spec: ConsulServiceSpec, objectName: string): string | undefined {
  const { datacenter, instances = [], checks = [], meta = new Map<string, string>() } = spec;
  if (datacenter !== undefined && !DNS_LABEL.test(datacenter)) return 'spec.datacenter is not a DNS label';
  return (
    nameProblem(spec.name ?? objectName) ??
    tagsProblem('spec.tags', spec.tags) ??
    metaProblem('spec.meta', meta) ??
    sourcesProblem(spec) ??
    instancesProblem(instances, meta) ??
    checksProblem(checks) ??
    connectProblem(spec) ??
    modeProblem(spec) ??
    portsProblem(spec)
  );
}

function nameProblem(name: string): string | undefined {
  if (name.length > 63 || !DNS_LABEL.test(name)) return `spec.name: ${messages.name}`;
  return name === CONSUL_SERVICE ? `spec.name: ${messages.consul}` : undefined;
}

function tagsProblem(path: string, tags: readonly string[] = []): string | undefined {
  return new Set(tags).size < tags.length ? `${path}: a tag stands twice` : undefined;
}

function sourcesProblem({ instances = [], kubernetes }: ConsulServiceSpec): string | undefined {
  if (kubernetes === undefined) {
    return instances.length === 0 ? `spec.instances: ${messages.noInstances}` : undefined;
  }
  const { service, port } = kubernetes;
  if (!DNS_LABEL.test(service)) return `spec.kubernetes.service: ${messages.service}`;
  return port === undefined || DNS_LABEL.test(port)
    ? undefined
    : `spec.kubernetes.port: ${messages.portName}`;
}

function instancesProblem(instances: readonly ServiceInstance[], serviceMeta: Meta): string | undefined {
  const ids = new Set(instances.map(({ id }) => id));
  if (ids.size < instances.length) return 'spec.instances: two instances have the same id';
  const problem = first(instances, (instance, index) =>
    instanceProblem(`spec.instances[${index}]`, instance, serviceMeta),
  );
  return problem ?? nodesProblem(instances);
}

function instanceProblem(path: string, instance: ServiceInstance, serviceMeta: Meta): string | undefined {
  const { id, address, node, nodeAddress, tags, meta = new Map<string, string>() } = instance;
  if (!INSTANCE_ID.test(id)) return `${path}.id: ${messages.id}`;
  if (id.endsWith(SIDECAR_SUFFIX)) return `${path}.id: ${messages.sidecarId}`;
  if (id.startsWith(ENDPOINT_PREFIX)) return `${path}.id: ${messages.endpointId}`;
  if (node !== undefined && !NODE_NAME.test(node)) return `${path}.node: ${messages.node}`;
  if (node?.startsWith(OWN_NODES) === true) return `${path}.node: ${messages.ownNode}`;
  if (nodeAddress !== undefined && node === undefined) {
    return `${path}.nodeAddress: ${messages.nodeAddress}`;
  }
  return (
    addressProblem(`${path}.address`, address) ??
    addressProblem(`${path}.nodeAddress`, nodeAddress) ??
    tagsProblem(`${path}.tags`, tags) ??
    metaProblem(`${path}.meta`, meta) ??
    metaTotalProblem(serviceMeta, meta)
  );
}

function metaProblem(path: string, meta: Meta): string | undefined {
  if (meta.size > MAX_META) return `${path} has more than ${MAX_META} names`;
  return first(meta, ([name, value]) => {
    const at = `${path}[${quoted(name)}]`;
    if (!META_KEY.test(name)) return `${at}: ${messages.metaKeys}`;
    if (name.startsWith('consul-')) return `${at}: ${messages.metaReserved}`;
    if (OWN_META.test(name)) return `${at}: ${messages.metaOwn}`;
    return Buffer.byteLength(value) > MAX_META_VALUE_BYTES ? `${at}: ${messages.metaValues}` : undefined;
  });
}

function metaTotalProblem(serviceMeta: Meta, meta: Meta): string | undefined {
  const total = new Set([...serviceMeta.keys(), ...meta.keys()]).size;
  return total > MAX_META ? `spec.instances: ${messages.metaTotal}` : undefined;
}

/** Which one a node would have were a matter of chance. */
function nodesProblem(instances: readonly ServiceInstance[]): string | undefined {
  const addresses = new Map<string, string>();
  return first(instances, ({ node, nodeAddress }, index) => {
    if (node === undefined || nodeAddress === undefined) return undefined;
    const other = addresses.get(node) ?? nodeAddress;
    addresses.set(node, other);
    return other === nodeAddress
      ? undefined
      : `spec.instances[${index}].nodeAddress: ${node} has another one before`;
  });
}

function connectProblem({ connect }: ConsulServiceSpec): string | undefined {
  if (connect?.sidecar === undefined) return undefined;
  if (connect.native === true) return `spec.connect.native: ${messages.nativeOrSidecar}`;
  return upstreamsProblem('spec.connect.sidecar.upstreams', connect.sidecar.upstreams ?? []);
}

function upstreamsProblem(
  path: string,
  upstreams: NonNullable<ServiceSidecar['upstreams']>,
): string | undefined {
  const destinations = new Set(
    upstreams.map(({ destinationName, datacenter = '' }) => `${datacenter}/${destinationName}`),
  );
  if (destinations.size < upstreams.length) return `${path}: ${messages.upstreamTwice}`;
  const ports = new Set(upstreams.map(({ localBindPort }) => localBindPort));
  if (ports.size < upstreams.length) return `${path}: ${messages.bindTwice}`;
  return first(upstreams, ({ destinationName, datacenter }, index) => {
    if (!UPSTREAM_NAME.test(destinationName)) {
      return `${path}[${index}].destinationName: ${messages.destinationName}`;
    }
    return datacenter === undefined || DNS_LABEL.test(datacenter)
      ? undefined
      : `${path}[${index}].datacenter: ${messages.upstreamDatacenter}`;
  });
}

/** What only one of the two registrations can do. */
function modeProblem({
  registration,
  instances = [],
  checks = [],
  connect,
}: ConsulServiceSpec): string | undefined {
  if (registration === 'Agent') {
    const isPlaced = instances.some(({ node }) => node !== undefined);
    return isPlaced ? `spec.instances: ${messages.agentNode}` : undefined;
  }
  const needsAgent = checks.some(check => AGENT_KINDS.some(kind => check[kind] !== undefined));
  if (needsAgent) return `spec.checks: ${messages.agentChecks}`;
  const lacksPort = connect?.sidecar !== undefined && connect.sidecar.port === undefined;
  return lacksPort ? `spec.connect: ${messages.sidecarPort}` : undefined;
}

function portsProblem({ instances = [], checks = [], connect }: ConsulServiceSpec): string | undefined {
  if (instances.every(({ port }) => port !== undefined)) return undefined;
  const asksInstance = checks.some(check =>
    NETWORK_KINDS.some(kind => check[kind] !== undefined && check[kind].port === undefined),
  );
  if (asksInstance) return `spec.instances: ${messages.checkPort}`;
  const isConnect = connect?.sidecar !== undefined || connect?.native === true;
  return isConnect ? `spec.instances: ${messages.connectPort}` : undefined;
}
