/**
 * The rules of a ConsulService that one object alone can show, in CEL; `consulservice-problem.ts` holds the same rules in
 * code, and one more that 512 instances make too dear here. Those of a check stand in `service-check-cel.ts`. What the API
 * server lets a rule cost stands in `consulkv-cel.ts`.
 */
import { addressRules } from './address-rules.ts';
import { type CelRule, DNS_LABEL, immutable } from './common.ts';
import { unless } from './key-cel.ts';
import { AGENT_KINDS, NETWORK_KINDS } from './service-check-cel.ts';

export const MAX_INSTANCES = 512;
export const MAX_CHECKS = 16;
export const MAX_UPSTREAMS = 64;
export const MAX_TAGS = 64;
/** Consul takes 64: the operator adds up to four. */
export const MAX_META = 60;
/** As Consul has it (`metaValueMaxLength`), in bytes. */
export const MAX_META_VALUE_BYTES = 512;
export const MAX_ID_CHARS = 128;
export const MAX_NODE_CHARS = 128;
export const MAX_DRAIN_SECONDS = 3600;

export const REGISTRATIONS = ['Catalog', 'Agent'] as const;
export const DEFAULT_REGISTRATION = 'Catalog';

/** Consul's servers, which need no right to a service called so and are found by it. */
export const CONSUL_SERVICE = 'consul';
/** Lower case: to Consul `Orders-1` and `orders-1` are one instance, and who wrote last has named it. */
export const INSTANCE_ID = /^[a-z0-9_]([-a-z0-9_.:]*[a-z0-9_])?$/;
/** What Consul puts behind the id of an instance, for its proxy. */
export const SIDECAR_SUFFIX = '-sidecar-proxy';
/** In front of the ids of endpoints: nobody can have one of them before its Pod has come. */
export const ENDPOINT_PREFIX = 'k8s:';
/** Lower case, for the same reason. */
export const NODE_NAME = /^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/;
/** Of the virtual nodes of any install. */
export const OWN_NODES = 'proconsul-';
/** As Consul's `metaKeyFormat` and `metaKeyMaxLength`. */
export const META_KEY = /^[a-zA-Z0-9_-]{1,128}$/;
/** What the operator writes into meta. */
export const OWN_META = /^(external-source$|proconsul($|-))/;
/** As Envoy's configuration and Consul's ACL can carry it. */
export const UPSTREAM_NAME = /^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$/;

const label = 'lower-case letters, digits and -, neither first nor last a -';
export const messages = {
  name: `name, or without it metadata.name, must be a DNS label: ${label}, at most 63 characters`,
  consul: `name must not be ${CONSUL_SERVICE}, which stands for Consul's own servers`,
  noInstances: 'at least one of instances and kubernetes must be set and not empty',
  registration: 'registration cannot be changed: make a new resource instead',
  agentChecks: `checks of kind ${AGENT_KINDS.join(' and ')} need registration: Agent, since only an agent can run them`,
  agentNode: 'node is for registration: Catalog: with Agent every instance stands on the node of the agent',
  checkPort: 'a check without a port needs a port of every instance',
  connectPort: 'connect needs a port of every instance',
  sidecarPort: 'a sidecar needs a port with registration: Catalog, since only an agent chooses one by itself',
  metaTotal: `meta of the service and of one instance must have at most ${MAX_META} names together`,
  id: 'id must be lower-case letters, digits, -, _, . and :, beginning and ending with a letter, a digit or _: Consul does not tell upper from lower case',
  sidecarId: `id must not end in ${SIDECAR_SUFFIX}, which Consul gives to sidecars`,
  endpointId: `id must not begin with ${ENDPOINT_PREFIX}, which is for the endpoints of kubernetes`,
  node: 'node must be lower-case letters, digits, -, _ and ., beginning and ending with a letter or digit: Consul does not tell upper from lower case',
  ownNode: `node must not begin with ${OWN_NODES}, which is for the nodes of operators: without node one of them is used`,
  nodeAddress: 'nodeAddress needs node',
  metaKeys: 'names in meta must be letters, digits, - and _, 1 to 128 characters',
  metaReserved: 'names in meta must not begin with consul-, which is for Consul itself',
  metaOwn: 'names in meta must not be external-source or begin with proconsul, which the operator writes',
  metaValues: `values in meta must be at most ${MAX_META_VALUE_BYTES} bytes`,
  service: `service must be the name of a Service: ${label}`,
  portName: `port must be the name of a port of the Service: ${label}`,
  nativeOrSidecar:
    'native and sidecar exclude each other: a native service speaks for itself, a sidecar speaks for the service',
  destinationName:
    'destinationName must be the name of a service: letters, digits, -, _ and ., beginning and ending with a letter, a digit or _',
  upstreamDatacenter: `datacenter must be a DNS label: ${label}`,
  upstreamTwice: 'an upstream must stand only once: no two may have the same destinationName and datacenter',
  bindTwice: 'no two upstreams may have the same localBindPort',
} as const;

/** Rules on the whole resource: those on `spec` cannot see metadata. */
const effectiveName = '(has(self.spec.name) ? self.spec.name : self.metadata.name)';
export const RESOURCE_RULES: readonly CelRule[] = [
  {
    rule: `size(${effectiveName}) <= 63 && ${effectiveName}.matches('${DNS_LABEL.source}')`,
    message: messages.name,
    fieldPath: '.spec.name',
  },
  {
    rule: `${effectiveName} != '${CONSUL_SERVICE}'`,
    message: messages.consul,
    fieldPath: '.spec.name',
  },
];

const registrationOf = (spec: string) =>
  `(has(${spec}.registration) ? ${spec}.registration : '${DEFAULT_REGISTRATION}')`;
const isAgent = `${registrationOf('self')} == 'Agent'`;
const everyInstance = (condition: string) => unless('instances', `self.instances.all(one, ${condition})`);

const portGiven = (kind: string) => `(!has(check.${kind}) || has(check.${kind}.port))`;
const isConnect =
  'has(self.connect) && (has(self.connect.sidecar) || (has(self.connect.native) && self.connect.native))';

const metaRules: readonly CelRule[] = (
  [
    [`name.matches('${META_KEY.source}')`, messages.metaKeys],
    ["!name.startsWith('consul-')", messages.metaReserved],
    [`!name.matches('${OWN_META.source}')`, messages.metaOwn],
    [`bytes(self.meta[name]).size() <= ${MAX_META_VALUE_BYTES}`, messages.metaValues],
  ] as const
).map(([condition, message]) => ({
  rule: unless('meta', `self.meta.all(name, ${condition})`),
  message,
  fieldPath: '.meta',
}));

/** Rules on `spec`. */
export const SERVICE_RULES: readonly CelRule[] = [
  immutable('name'),
  {
    rule: '(has(self.instances) && size(self.instances) > 0) || has(self.kubernetes)',
    message: messages.noInstances,
    fieldPath: '.instances',
  },
  {
    rule: `${registrationOf('self')} == ${registrationOf('oldSelf')}`,
    message: messages.registration,
    fieldPath: '.registration',
  },
  {
    rule: `${isAgent} || !has(self.checks) || self.checks.all(check, ${AGENT_KINDS.map(kind => `!has(check.${kind})`).join(' && ')})`,
    message: messages.agentChecks,
    fieldPath: '.checks',
  },
  {
    rule: `!(${isAgent}) || ${everyInstance('!has(one.node)')}`,
    message: messages.agentNode,
    fieldPath: '.instances',
  },
  {
    rule: `!has(self.checks) || self.checks.all(check, ${NETWORK_KINDS.map(portGiven).join(' && ')}) || ${everyInstance('has(one.port)')}`,
    message: messages.checkPort,
    fieldPath: '.instances',
  },
  {
    rule: `!(${isConnect}) || ${everyInstance('has(one.port)')}`,
    message: messages.connectPort,
    fieldPath: '.instances',
  },
  {
    rule: `${isAgent} || !has(self.connect) || !has(self.connect.sidecar) || has(self.connect.sidecar.port)`,
    message: messages.sidecarPort,
    fieldPath: '.connect',
  },
  ...metaRules,
  {
    rule: `!has(self.meta) || ${everyInstance(`!has(one.meta) || size(self.meta) + one.meta.filter(name, !(name in self.meta)).size() <= ${MAX_META}`)}`,
    message: messages.metaTotal,
    fieldPath: '.instances',
  },
];

/** Rules on each of `instances`. */
export const INSTANCE_RULES: readonly CelRule[] = [
  { rule: `self.id.matches('${INSTANCE_ID.source}')`, message: messages.id, fieldPath: '.id' },
  {
    rule: `!self.id.endsWith('${SIDECAR_SUFFIX}')`,
    message: messages.sidecarId,
    fieldPath: '.id',
  },
  {
    rule: `!self.id.startsWith('${ENDPOINT_PREFIX}')`,
    message: messages.endpointId,
    fieldPath: '.id',
  },
  ...addressRules('address'),
  {
    rule: unless('node', `self.node.matches('${NODE_NAME.source}')`),
    message: messages.node,
    fieldPath: '.node',
  },
  {
    rule: unless('node', `!self.node.startsWith('${OWN_NODES}')`),
    message: messages.ownNode,
    fieldPath: '.node',
  },
  {
    rule: '!has(self.nodeAddress) || has(self.node)',
    message: messages.nodeAddress,
    fieldPath: '.nodeAddress',
  },
  ...addressRules('nodeAddress'),
  ...metaRules,
];

/** Rules on `spec.kubernetes`. */
export const KUBERNETES_RULES: readonly CelRule[] = [
  { rule: `self.service.matches('${DNS_LABEL.source}')`, message: messages.service, fieldPath: '.service' },
  {
    rule: unless('port', `self.port.matches('${DNS_LABEL.source}')`),
    message: messages.portName,
    fieldPath: '.port',
  },
];

/** Rules on `spec.connect`. */
export const CONNECT_RULES: readonly CelRule[] = [
  {
    rule: '!has(self.native) || !self.native || !has(self.sidecar)',
    message: messages.nativeOrSidecar,
    fieldPath: '.native',
  },
];

/** The empty text where there is none: no datacenter is called so. */
const datacenterOf = (upstream: string) => `(has(${upstream}.datacenter) ? ${upstream}.datacenter : '')`;
const standsOnce = (isSame: string) =>
  unless('upstreams', `self.upstreams.all(one, self.upstreams.exists_one(other, ${isSame}))`);

/** Rules on `spec.connect.sidecar`. */
export const SIDECAR_RULES: readonly CelRule[] = [
  {
    rule: standsOnce(
      `other.destinationName == one.destinationName && ${datacenterOf('other')} == ${datacenterOf('one')}`,
    ),
    message: messages.upstreamTwice,
    fieldPath: '.upstreams',
  },
  {
    rule: standsOnce('other.localBindPort == one.localBindPort'),
    message: messages.bindTwice,
    fieldPath: '.upstreams',
  },
];

/** Rules on each of `spec.connect.sidecar.upstreams`. */
export const UPSTREAM_RULES: readonly CelRule[] = [
  {
    rule: `self.destinationName.matches('${UPSTREAM_NAME.source}')`,
    message: messages.destinationName,
    fieldPath: '.destinationName',
  },
  {
    rule: unless('datacenter', `self.datacenter.matches('${DNS_LABEL.source}')`),
    message: messages.upstreamDatacenter,
    fieldPath: '.datacenter',
  },
];
