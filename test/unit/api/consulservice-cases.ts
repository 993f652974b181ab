import type { SpecCase } from './consulkv-cases.ts';

/** A spec as a user writes it; wrong ones too, hence no type. */
type Written = Readonly<Record<string, unknown>>;

const VM: Written = { id: 'orders-vm-1', address: '192.0.2.10', port: 8080 };

/** The least there can be, and what is said besides. */
export const service = (fields: Written = {}): Written => ({ instances: [VM], ...fields });
export const at = (...instances: readonly Written[]): Written => service({ instances });
const vm = (fields: Written): Written => at({ ...VM, ...fields });
const of = (kubernetes: Written): Written => ({ kubernetes });
export const checked = (...checks: readonly Written[]): Written => service({ checks });
const check = (fields: Written): Written => checked({ name: 'up', tcp: {}, ...fields });
const http = (http: Written): Written => checked({ name: 'up', http });
const agent = (fields: Written): Written => service({ registration: 'Agent', ...fields });
const beat = (fields: Written): Written =>
  agent({ checks: [{ name: 'beat', ttl: { ttl: '30s' }, ...fields }] });
const sidecar = (fields: Written): Written => service({ connect: { sidecar: { port: 20_000, ...fields } } });
const upstream = (fields: Written): Written =>
  sidecar({ upstreams: [{ destinationName: 'payments', localBindPort: 9091, ...fields }] });
const many = <Item>(count: number, item: (n: number) => Item): readonly Item[] =>
  Array.from({ length: count }, (_, n) => item(n));
const names = (count: number, start = 'n'): Written =>
  Object.fromEntries(many(count, n => [`${start}${n}`, 'x']));

const label = 'lower-case letters, digits and -, neither first nor last a -';
const INSTANCE = 'spec.instances[0]';
const CHECK = 'spec.checks[0]';
const HTTP = `${CHECK}.http`;
const SIDECAR = 'spec.connect.sidecar';
const UPSTREAM = `${SIDECAR}.upstreams[0]`;

const identity: readonly SpecCase[] = [
  ...['Orders', 'or_ders', 'orders.v1', '-orders', 'orders-', 'or ders', '*', 'café', 'a\nb'].map(broken => ({
    says: `DNS cannot resolve ${JSON.stringify(broken)}`,
    message: `name, or without it metadata.name, must be a DNS label: ${label}, at most 63 characters`,
    field: 'spec.name',
    kept: service({ name: '0-orders-2' }),
    broken: service({ name: broken }),
  })),
  {
    says: "Consul's own servers are nobody else's",
    message: "name must not be consul, which stands for Consul's own servers",
    field: 'spec.name',
    kept: service({ name: 'consul-ui' }),
    broken: service({ name: 'consul' }),
  },
  {
    says: 'a datacenter is a DNS label',
    message: `datacenter must be a DNS label: ${label}`,
    field: 'spec.datacenter',
    kept: service({ datacenter: 'dc1' }),
    broken: service({ datacenter: 'dc1.example' }),
  },
  ...[{}, { instances: [] }].map((broken, place) => ({
    says: `a service has instances (${place + 1})`,
    message: 'at least one of instances and kubernetes must be set and not empty',
    field: 'spec.instances',
    kept: { instances: [], ...of({ service: 'orders' }) },
    broken,
  })),
];

const addressForm =
  'must be an IP address or a DNS name whose last part begins with a letter, without a port, a scheme or brackets';
const BAD_ADDRESSES = [
  '192.0.2.256',
  '192.0.2',
  '010.0.0.1',
  '1',
  '0x7f000001',
  'a.0x7f',
  '[::1]',
  '::ffff:192.0.2.10',
  '::ffff:c000:20a',
  'fe80::1%eth0',
  '192.0.2.10:80',
  'http://orders',
  'or_ders',
  'orders.',
  '.orders',
  'a..b',
  '-a',
  'a b',
  'é.example',
  `${'l'.repeat(64)}.example`,
];
const GOOD_ADDRESSES = ['192.0.2.10', '2001:db8::1', '127.0.0.1', 'vm1', 'db-1.Example.com', '1.0.example'];

const placed = (address: string): readonly [string, Written][] => [
  ['address', vm({ address })],
  ['nodeAddress', vm({ node: 'vm-1', nodeAddress: address })],
];
const addresses: readonly SpecCase[] = [
  ...BAD_ADDRESSES.flatMap((text, n) =>
    placed(text).map(([field, broken]) => ({
      says: `nobody is reached at the ${field} ${text}`,
      message: `${field} ${addressForm}`,
      field: `${INSTANCE}.${field}`,
      kept: placed(GOOD_ADDRESSES[n % GOOD_ADDRESSES.length] ?? '')[field === 'address' ? 0 : 1]?.[1] ?? {},
      broken,
    })),
  ),
  ...['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '0::0'].flatMap(text =>
    placed(text).map(([field, broken]) => ({
      says: `the ${field} ${text} is everywhere and nowhere`,
      message: `${field} must not be 0.0.0.0 or ::, at which nobody can be called: give the address of the host`,
      field: `${INSTANCE}.${field}`,
      kept: vm({ node: 'vm-1', address: '0.0.0.1', nodeAddress: '::1' }),
      broken,
    })),
  ),
];

const instances: readonly SpecCase[] = [
  ...['Orders-1', 'a/b', 'a b', '-a', 'a.', '.', '..', 'a:', 'a%2f', 'café', 'a\u202eb', 'a\n'].map(
    broken => ({
      says: `${JSON.stringify(broken)} is no id`,
      message:
        'id must be lower-case letters, digits, -, _, . and :, beginning and ending with a letter, a digit or _: Consul does not tell upper from lower case',
      field: `${INSTANCE}.id`,
      kept: vm({ id: '_vm-1.example:orders:8080_' }),
      broken: vm({ id: broken }),
    }),
  ),
  {
    says: 'an id is not that of a sidecar',
    message: 'id must not end in -sidecar-proxy, which Consul gives to sidecars',
    field: `${INSTANCE}.id`,
    kept: vm({ id: 'orders-sidecar-proxy-1' }),
    broken: vm({ id: 'orders-sidecar-proxy' }),
  },
  {
    says: 'an id is not that of an endpoint',
    message: 'id must not begin with k8s:, which is for the endpoints of kubernetes',
    field: `${INSTANCE}.id`,
    kept: vm({ id: 'k8s-1' }),
    broken: vm({ id: 'k8s:bank:orders:web-1' }),
  },
  ...['VM-1', 'vm/1', 'vm 1', '-vm', 'vm.', '_vm'].map(broken => ({
    says: `${JSON.stringify(broken)} is no node`,
    message:
      'node must be lower-case letters, digits, -, _ and ., beginning and ending with a letter or digit: Consul does not tell upper from lower case',
    field: `${INSTANCE}.node`,
    kept: vm({ node: 'ip-192-0-2-10.eu_1.internal' }),
    broken: vm({ node: broken }),
  })),
  {
    says: 'the nodes of operators are their own',
    message:
      'node must not begin with proconsul-, which is for the nodes of operators: without node one of them is used',
    field: `${INSTANCE}.node`,
    kept: vm({ node: 'proconsul1' }),
    broken: vm({ node: 'proconsul-other-services-0' }),
  },
  {
    says: 'an address of a node needs a node',
    message: 'nodeAddress needs node',
    field: `${INSTANCE}.nodeAddress`,
    kept: vm({ node: 'vm-1', nodeAddress: '192.0.2.1' }),
    broken: vm({ nodeAddress: '192.0.2.1' }),
  },
  {
    says: 'an agent has one node',
    message: 'node is for registration: Catalog: with Agent every instance stands on the node of the agent',
    field: 'spec.instances',
    kept: vm({ node: 'vm-1' }),
    broken: agent({ instances: [{ ...VM, node: 'vm-1' }] }),
  },
  {
    says: 'a Service has a name',
    message: `service must be the name of a Service: ${label}`,
    field: 'spec.kubernetes.service',
    kept: of({ service: '0-orders' }),
    broken: of({ service: 'shop/orders' }),
  },
  {
    says: 'a port of a Service has a name',
    message: `port must be the name of a port of the Service: ${label}`,
    field: 'spec.kubernetes.port',
    kept: of({ service: 'orders', port: 'http-2' }),
    broken: of({ service: 'orders', port: 'Http' }),
  },
];

const places: readonly [string, (meta: Written) => Written][] = [
  ['spec.meta', meta => service({ meta })],
  [`${INSTANCE}.meta`, meta => vm({ meta })],
];
const meta: readonly SpecCase[] = places.flatMap(([field, having]) => [
  ...['', 'a.b', 'a b', 'a/b', 'é', 'n'.repeat(129)].map(name => ({
    says: `${field} has no ${name.length > 99 ? 'name of 129 characters' : JSON.stringify(name)}`,
    message: 'names in meta must be letters, digits, - and _, 1 to 128 characters',
    field,
    kept: having({ ['n'.repeat(128)]: 'x', constructor: '', Team_1: 'é/{"a": 1}\n' }),
    broken: having({ ok: 'x', [name]: 'x' }),
  })),
  {
    says: `${field} has no name of Consul's own`,
    message: 'names in meta must not begin with consul-, which is for Consul itself',
    field,
    kept: having({ consul: 'x', 'my-consul-': 'x', 'Consul-x': 'x' }),
    broken: having({ 'consul-network-segment': 'x' }),
  },
  ...['external-source', 'proconsul', 'proconsul-owner'].map(name => ({
    says: `${field} has no ${name}`,
    message: 'names in meta must not be external-source or begin with proconsul, which the operator writes',
    field,
    kept: having({ 'external-sources': 'x', proconsuls: 'x', 'topology-zone': 'eu-1' }),
    broken: having({ [name]: 'x' }),
  })),
  {
    says: `values of ${field} are counted in bytes`,
    message: 'values in meta must be at most 512 bytes',
    field,
    kept: having({ a: 'é'.repeat(256) }),
    broken: having({ a: `${'é'.repeat(256)}x` }),
  },
]);

const metaTotal: SpecCase = {
  says: 'an instance has 60 names at most, those of the service among them; one in both counts once',
  message: 'meta of the service and of one instance must have at most 60 names together',
  field: 'spec.instances',
  kept: service({ meta: names(40), instances: [{ ...VM, meta: { ...names(20, 'm'), n0: 'y' } }] }),
  broken: service({
    meta: names(40),
    instances: [VM, { ...VM, id: 'b', meta: { ...names(21, 'm'), n0: 'y' } }],
  }),
};

const PORTLESS: Written = { id: 'job', address: '192.0.2.11' };
const ports: readonly SpecCase[] = [
  ...['http', 'tcp', 'grpc'].map(kind => ({
    says: `a ${kind} check asks some port`,
    message: 'a check without a port needs a port of every instance',
    field: 'spec.instances',
    kept: service({ instances: [VM, PORTLESS], checks: [{ name: 'up', [kind]: { port: 1 } }] }),
    broken: service({ instances: [VM, PORTLESS], checks: [{ name: 'up', [kind]: {} }] }),
  })),
  ...[{ native: true }, { sidecar: { port: 20_000 } }].map(connect => ({
    says: `${Object.keys(connect).join()} needs a port to lead to`,
    message: 'connect needs a port of every instance',
    field: 'spec.instances',
    kept: service({ instances: [PORTLESS], connect: { native: false } }),
    broken: service({ instances: [VM, PORTLESS], connect }),
  })),
];

const duration = 'must be a duration such as 15s, 1m30s or 1.5h, with the units h, m, s and ms';
const times: readonly SpecCase[] = [
  ...['interval', 'timeout', 'deregisterCriticalServiceAfter'].flatMap(field =>
    ['10', '-1m', '1d', '1 m', 'm', '1.m', '1m\n', '1us'].map(text => ({
      says: `${JSON.stringify(text)} is no ${field}`,
      message: `${field} ${duration}`,
      field: `${CHECK}.${field}`,
      kept: check({ [field]: '1.5m1s500ms' }),
      broken: check({ [field]: text }),
    })),
  ),
  ...[
    { field: 'interval', least: '1s', most: '24h', out: ['999ms', '0s', '24h1ms'] },
    { field: 'timeout', least: '10ms', most: '10m', out: ['9ms', '0s', '10m1s'] },
    { field: 'deregisterCriticalServiceAfter', least: '1m', most: '720h', out: ['59s', '0m', '721h'] },
  ].flatMap(({ field, least, most, out }) =>
    out.map((text, n) => ({
      says: `a ${field} of ${text} is out of bounds`,
      message: `${field} must be from ${least} to ${most}`,
      field: `${CHECK}.${field}`,
      kept: check({ [field]: n === 0 ? least : most }),
      broken: check({ [field]: text }),
    })),
  ),
  {
    says: 'a ttl is a duration',
    message: `ttl ${duration}`,
    field: `${CHECK}.ttl.ttl`,
    kept: beat({ ttl: { ttl: '1s' } }),
    broken: beat({ ttl: { ttl: '30' } }),
  },
  ...['999ms', '25h'].map(ttl => ({
    says: `a ttl of ${ttl} is out of bounds`,
    message: 'ttl must be from 1s to 24h',
    field: `${CHECK}.ttl.ttl`,
    kept: beat({ ttl: { ttl: '24h' } }),
    broken: beat({ ttl: { ttl } }),
  })),
];

const checks: readonly SpecCase[] = [
  ...['Http', 'a b', 'a:b', 'a/b', '-a', 'a-', '_a'].map(name => ({
    says: `${JSON.stringify(name)} is no name of a check`,
    message:
      'name must be lower-case letters, digits, -, _ and ., beginning and ending with a letter or digit',
    field: `${CHECK}.name`,
    kept: check({ name: '0-http_v1.x' }),
    broken: check({ name }),
  })),
  {
    says: 'the checks of the operator are its own',
    message: 'name must not begin with proconsul-, which is for the checks of the operator',
    field: `${CHECK}.name`,
    kept: check({ name: 'proconsul' }),
    broken: check({ name: 'proconsul-readiness' }),
  },
  ...[
    { name: 'up', interval: '5s' },
    { name: 'up', tcp: {}, http: {} },
    { name: 'up', tcp: {}, grpc: {} },
    { name: 'up', http: {}, grpc: {} },
  ].map(broken => ({
    says: `a check is of one kind, not ${Object.keys(broken).slice(1).join(' and ')}`,
    message: 'exactly one of http, tcp, grpc, ttl, script must be set',
    field: `${CHECK}.http`,
    kept: checked({ name: 'up', grpc: {} }),
    broken: checked(broken),
  })),
  ...[
    { ttl: { ttl: '30s' }, script: { args: ['/bin/true'] } },
    { ttl: { ttl: '30s' }, http: {} },
    { script: { args: ['/bin/true'] }, tcp: {} },
  ].map(broken => ({
    says: `also on an agent, not ${Object.keys(broken).join(' and ')}`,
    message: 'exactly one of http, tcp, grpc, ttl, script must be set',
    field: `${CHECK}.http`,
    kept: agent({ checks: [{ name: 'disk', script: { args: ['/bin/true'] }, interval: '1m' }] }),
    broken: agent({ checks: [{ name: 'up', ...broken }] }),
  })),
  ...[{ interval: '10s' }, { timeout: '1s' }, { successBeforePassing: 2 }, { failuresBeforeCritical: 2 }].map(
    broken => ({
      says: `nobody runs a ttl check: no ${Object.keys(broken).join()}`,
      message:
        'nobody runs a check of kind ttl, it waits to hear from the application: remove interval, timeout, successBeforePassing, failuresBeforeCritical',
      field: `${CHECK}.ttl`,
      kept: beat({ deregisterCriticalServiceAfter: '1h' }),
      broken: beat(broken),
    }),
  ),
  ...[{ ttl: { ttl: '30s' } }, { script: { args: ['/bin/true'] } }].map(kind => ({
    says: `nobody but an agent knows ${Object.keys(kind).join()}`,
    message: 'checks of kind ttl and script need registration: Agent, since only an agent can run them',
    field: 'spec.checks',
    kept: agent({ checks: [{ name: 'x', ...kind }] }),
    broken: service({
      registration: 'Catalog',
      checks: [
        { name: 'up', tcp: {} },
        { name: 'x', ...kind },
      ],
    }),
  })),
];

const framing = [
  'Connection',
  'content-length',
  'Expect',
  'keep-alive',
  'Proxy-Connection',
  'TE',
  'trailer',
  'Transfer-Encoding',
  'upgrade',
];
const requests: readonly SpecCase[] = [
  ...['health', '*', '/a b', '/é', '/a\n', 'http://a/'].map(path => ({
    says: `${JSON.stringify(path)} is no path`,
    message:
      'path must begin with / and have neither spaces nor characters beyond ASCII: write them as %20 and so on',
    field: `${HTTP}.path`,
    kept: http({ path: '/health?deep=1&x=%20{a}' }),
    broken: http({ path }),
  })),
  ...[{}, { scheme: 'http' }].map(fields => ({
    says: `${JSON.stringify(fields)} has no TLS`,
    message: 'tls needs scheme: https',
    field: `${HTTP}.tls`,
    kept: http({ scheme: 'https', tls: {} }),
    broken: http({ ...fields, tls: { skipVerify: true } }),
  })),
  ...['', 'a b', 'a:', ':authority', '_a', 'é', 'a\r\nb', 'h'.repeat(129)].map(name => ({
    says: `${JSON.stringify(name.slice(0, 12))} is no header`,
    message:
      'names in headers must be letters, digits, -, _ and ., beginning with a letter or digit, at most 128',
    field: `${HTTP}.headers`,
    kept: http({ headers: { ['h'.repeat(128)]: ['x'], 'X-Check_1.a': ['', 'a b'] } }),
    broken: http({ headers: { ok: ['x'], [name]: ['x'] } }),
  })),
  ...framing.map(name => ({
    says: `a check does not frame its message by ${name}`,
    message: `headers must not have ${framing.map(one => one.toLowerCase()).join(', ')}: they belong to the connection`,
    field: `${HTTP}.headers`,
    kept: http({ headers: { Host: ['orders'], Accept: ['*/*'] } }),
    broken: http({ headers: { [name]: ['x'] } }),
  })),
  {
    says: 'a header stands once',
    message: 'a name must stand once in headers, in whatever case: give it several values',
    field: `${HTTP}.headers`,
    kept: http({ headers: { Accept: ['a', 'b'] } }),
    broken: http({ headers: { Accept: ['a'], accept: ['b'] } }),
  },
  {
    says: 'a request is for one host',
    message: 'Host must have one value',
    field: `${HTTP}.headers`,
    kept: http({ headers: { host: ['a'] } }),
    broken: http({ headers: { hOst: ['a', 'b'] } }),
  },
];

const PAYMENTS: Written = { destinationName: 'payments', localBindPort: 9091 };
const mesh: readonly SpecCase[] = [
  {
    says: 'a service speaks for itself or has a sidecar',
    message:
      'native and sidecar exclude each other: a native service speaks for itself, a sidecar speaks for the service',
    field: 'spec.connect.native',
    kept: service({ connect: { native: false, sidecar: { port: 20_000 } } }),
    broken: service({ connect: { native: true, sidecar: { port: 20_000 } } }),
  },
  {
    says: 'nobody but an agent chooses the port of a sidecar',
    message: 'a sidecar needs a port with registration: Catalog, since only an agent chooses one by itself',
    field: 'spec.connect',
    kept: agent({ connect: { sidecar: {} } }),
    broken: service({ connect: { sidecar: {} } }),
  },
  {
    says: 'an upstream stands once; it may stand again for another datacenter',
    message: 'an upstream must stand only once: no two may have the same destinationName and datacenter',
    field: `${SIDECAR}.upstreams`,
    kept: sidecar({
      upstreams: [PAYMENTS, { ...PAYMENTS, localBindPort: 9092, datacenter: 'dc2' }],
    }),
    broken: sidecar({ upstreams: [PAYMENTS, { ...PAYMENTS, localBindPort: 9092 }] }),
  },
  {
    says: 'an upstream of another datacenter stands once, too',
    message: 'an upstream must stand only once: no two may have the same destinationName and datacenter',
    field: `${SIDECAR}.upstreams`,
    kept: sidecar({ upstreams: [{ ...PAYMENTS, datacenter: 'dc2' }] }),
    broken: sidecar({
      upstreams: [
        { ...PAYMENTS, datacenter: 'dc2' },
        { ...PAYMENTS, localBindPort: 9092, datacenter: 'dc2' },
      ],
    }),
  },
  {
    says: 'every upstream has a port of its own',
    message: 'no two upstreams may have the same localBindPort',
    field: `${SIDECAR}.upstreams`,
    kept: sidecar({ upstreams: [PAYMENTS, { destinationName: 'stock', localBindPort: 9092 }] }),
    broken: sidecar({ upstreams: [PAYMENTS, { ...PAYMENTS, destinationName: 'stock' }] }),
  },
  ...['*', 'pay*', 'a/b', 'a b', '-a', '.', 'café'].map(destinationName => ({
    says: `${JSON.stringify(destinationName)} is no upstream`,
    message:
      'destinationName must be the name of a service: letters, digits, -, _ and ., beginning and ending with a letter, a digit or _',
    field: `${UPSTREAM}.destinationName`,
    kept: upstream({ destinationName: '_Pay-2.shop' }),
    broken: upstream({ destinationName }),
  })),
  {
    says: 'a datacenter of an upstream is a DNS label',
    message: `datacenter must be a DNS label: ${label}`,
    field: `${UPSTREAM}.datacenter`,
    kept: upstream({ datacenter: '2-dc' }),
    broken: upstream({ datacenter: 'dc2.example' }),
  },
];

/** One case at least for every rule of the CRD that one object alone can show. */
export const SERVICE_CASES: readonly SpecCase[] = [
  ...identity,
  ...addresses,
  ...instances,
  ...meta,
  metaTotal,
  ...ports,
  ...times,
  ...checks,
  ...requests,
  ...mesh,
];

const weighed = (weights: Written): Written => service({ weights });
const scripted = (args: readonly unknown[]): Written =>
  agent({ checks: [{ name: 'disk', script: { args } }] });

/** Specs that break a bound or a type of the schema: the API server words the refusal. */
export const SERVICE_SCHEMA_CASES: readonly {
  readonly says: string;
  readonly field: string;
  readonly broken: Written;
}[] = [
  { says: 'an empty name', field: 'spec.name', broken: service({ name: '' }) },
  { says: 'a name of 64 letters', field: 'spec.name', broken: service({ name: 'n'.repeat(64) }) },
  {
    says: '513 instances',
    field: 'spec.instances',
    broken: at(...many(513, n => ({ ...VM, id: `${n}` }))),
  },
  { says: 'an instance without an id', field: `${INSTANCE}.id`, broken: at({ address: '192.0.2.1' }) },
  { says: 'an empty id', field: `${INSTANCE}.id`, broken: vm({ id: '' }) },
  { says: 'an id of 129 letters', field: `${INSTANCE}.id`, broken: vm({ id: 'i'.repeat(129) }) },
  { says: 'an id that stands twice', field: 'spec.instances', broken: at(VM, { ...VM, port: 8081 }) },
  { says: 'an instance without an address', field: `${INSTANCE}.address`, broken: at({ id: 'a' }) },
  { says: 'an empty address', field: `${INSTANCE}.address`, broken: vm({ address: '' }) },
  {
    says: 'an address of 254 letters',
    field: `${INSTANCE}.address`,
    broken: vm({
      address: many(127, () => 'a')
        .join('.')
        .concat('.'),
    }),
  },
  { says: 'an empty node', field: `${INSTANCE}.node`, broken: vm({ node: '' }) },
  { says: 'a node of 129 letters', field: `${INSTANCE}.node`, broken: vm({ node: 'n'.repeat(129) }) },
  ...[0, 65_536, -1, 80.5, '80'].flatMap(port => [
    { says: `the port ${port}`, field: `${INSTANCE}.port`, broken: vm({ port }) },
    { says: `the port ${port} of a check`, field: `${CHECK}.tcp.port`, broken: check({ tcp: { port } }) },
    { says: `the port ${port} of an http check`, field: `${HTTP}.port`, broken: http({ port }) },
    {
      says: `the port ${port} of a grpc check`,
      field: `${CHECK}.grpc.port`,
      broken: checked({ name: 'up', grpc: { port } }),
    },
    { says: `the port ${port} of a sidecar`, field: `${SIDECAR}.port`, broken: sidecar({ port }) },
    {
      says: `the port ${port} of an upstream`,
      field: `${UPSTREAM}.localBindPort`,
      broken: upstream({ localBindPort: port }),
    },
  ]),
  ...(
    [
      ['spec.tags', tags => service({ tags })],
      [`${INSTANCE}.tags`, tags => vm({ tags })],
    ] as readonly [string, (tags: unknown) => Written][]
  ).flatMap(([field, having]) => [
    { says: `65 ${field}`, field, broken: having(many(65, n => `t${n}`)) },
    { says: `${field} that stand twice`, field, broken: having(['a', 'b', 'a']) },
    { says: `an empty one of ${field}`, field, broken: having(['']) },
    { says: `256 letters in ${field}`, field, broken: having(['t'.repeat(256)]) },
    { says: `a control character in ${field}`, field, broken: having(['a\u0007b']) },
    { says: `a line end in ${field}`, field, broken: having(['a\n']) },
    { says: `text turned round in ${field}`, field, broken: having(['a\u202eb']) },
  ]),
  ...places.flatMap(([field, having]) => [
    { says: `61 names in ${field}`, field, broken: having(names(61)) },
    { says: `513 characters in ${field}`, field, broken: having({ a: 'x'.repeat(513) }) },
    { says: `a number in ${field}`, field, broken: having({ a: 1 }) },
  ]),
  ...[0, 65_536].map(passing => ({
    says: `a weight of ${passing}`,
    field: 'spec.weights.passing',
    broken: weighed({ passing }),
  })),
  ...[-1, 65_536].map(warning => ({
    says: `a weight of ${warning} in a warning`,
    field: 'spec.weights.warning',
    broken: weighed({ warning }),
  })),
  { says: 'no Service', field: 'spec.kubernetes.service', broken: of({ port: 'http' }) },
  {
    says: 'a Service of 64 letters',
    field: 'spec.kubernetes.service',
    broken: of({ service: 's'.repeat(64) }),
  },
  {
    says: 'a number as port of a Service',
    field: 'spec.kubernetes.port',
    broken: of({ service: 'orders', port: 80 }),
  },
  {
    says: '17 checks',
    field: 'spec.checks',
    broken: checked(...many(17, n => ({ name: `c${n}`, tcp: {} }))),
  },
  {
    says: 'a name of a check that stands twice',
    field: 'spec.checks',
    broken: checked({ name: 'up', tcp: {} }, { name: 'up', http: {} }),
  },
  { says: 'a check without a name', field: `${CHECK}.name`, broken: checked({ tcp: {} }) },
  { says: 'a check of 64 letters', field: `${CHECK}.name`, broken: check({ name: 'c'.repeat(64) }) },
  ...['successBeforePassing', 'failuresBeforeCritical'].flatMap(field =>
    [0, 101, 1.5].map(times => ({
      says: `${times} as ${field}`,
      field: `${CHECK}.${field}`,
      broken: check({ [field]: times }),
    })),
  ),
  { says: 'an empty interval', field: `${CHECK}.interval`, broken: check({ interval: '' }) },
  { says: 'a number as interval', field: `${CHECK}.interval`, broken: check({ interval: 10 }) },
  { says: 'another scheme', field: `${HTTP}.scheme`, broken: http({ scheme: 'ftp' }) },
  ...['get', 'CONNECT', 'TRACE', 'G T'].map(method => ({
    says: `the method ${method}`,
    field: `${HTTP}.method`,
    broken: http({ method }),
  })),
  { says: 'an empty path', field: `${HTTP}.path`, broken: http({ path: '' }) },
  {
    says: 'a path of 1025 letters',
    field: `${HTTP}.path`,
    broken: http({ path: `/${'p'.repeat(1024)}` }),
  },
  { says: 'a body of 4097 letters', field: `${HTTP}.body`, broken: http({ body: 'b'.repeat(4097) }) },
  {
    says: '17 headers',
    field: `${HTTP}.headers`,
    broken: http({ headers: Object.fromEntries(many(17, n => [`h${n}`, ['x']])) }),
  },
  { says: 'a header without values', field: `${HTTP}.headers.a`, broken: http({ headers: { a: [] } }) },
  { says: 'a header that is no list', field: `${HTTP}.headers.a`, broken: http({ headers: { a: 'x' } }) },
  {
    says: 'a header with 9 values',
    field: `${HTTP}.headers.a`,
    broken: http({ headers: { a: many(9, () => 'x') } }),
  },
  ...['a\r\nb', ' a', 'é', 'a\u0000', 'v'.repeat(2049)].map(value => ({
    says: `${JSON.stringify(value.slice(0, 9))} in a header`,
    field: `${HTTP}.headers.a`,
    broken: http({ headers: { a: [value] } }),
  })),
  ...['', 'a b', 'a/b', '-a', 's'.repeat(254)].map(serverName => ({
    says: `the server name ${JSON.stringify(serverName.slice(0, 9))}`,
    field: `${HTTP}.tls.serverName`,
    broken: http({ scheme: 'https', tls: { serverName } }),
  })),
  ...['', 'a b', 'a/b', '.a', 's'.repeat(256)].map(name => ({
    says: `the gRPC service ${JSON.stringify(name.slice(0, 9))}`,
    field: `${CHECK}.grpc.service`,
    broken: checked({ name: 'up', grpc: { service: name } }),
  })),
  {
    says: 'a ttl check without a ttl',
    field: `${CHECK}.ttl.ttl`,
    broken: agent({ checks: [{ name: 'beat', ttl: {} }] }),
  },
  {
    says: 'a script without args',
    field: `${CHECK}.script.args`,
    broken: agent({ checks: [{ name: 'disk', script: {} }] }),
  },
  { says: 'a script of no args', field: `${CHECK}.script.args`, broken: scripted([]) },
  { says: 'a script of 33 args', field: `${CHECK}.script.args`, broken: scripted(many(33, () => 'a')) },
  { says: 'an empty arg', field: `${CHECK}.script.args[0]`, broken: scripted(['']) },
  { says: 'an arg that ends early', field: `${CHECK}.script.args[0]`, broken: scripted(['a\u0000b']) },
  {
    says: 'an arg of 1025 letters',
    field: `${CHECK}.script.args[0]`,
    broken: scripted(['a'.repeat(1025)]),
  },
  { says: 'another registration', field: 'spec.registration', broken: service({ registration: 'Both' }) },
  {
    says: '65 upstreams',
    field: `${SIDECAR}.upstreams`,
    broken: sidecar({ upstreams: many(65, n => ({ destinationName: `u${n}`, localBindPort: n + 1 })) }),
  },
  {
    says: 'an upstream without a name',
    field: `${UPSTREAM}.destinationName`,
    broken: sidecar({ upstreams: [{ localBindPort: 9091 }] }),
  },
  {
    says: 'an upstream without a port',
    field: `${UPSTREAM}.localBindPort`,
    broken: sidecar({ upstreams: [{ destinationName: 'payments' }] }),
  },
  {
    says: 'an upstream of 129 letters',
    field: `${UPSTREAM}.destinationName`,
    broken: upstream({ destinationName: 'u'.repeat(129) }),
  },
  ...[-1, 3601, 0.5].map(drainSeconds => ({
    says: `${drainSeconds} seconds to drain`,
    field: 'spec.drainSeconds',
    broken: service({ drainSeconds }),
  })),
];

/** What the API server cannot afford to ask of 512 instances: only the code refuses it. */
export const TWO_ADDRESSES: Written = at(
  { ...VM, node: 'vm-1', nodeAddress: '192.0.2.1' },
  { ...VM, id: 'b', node: 'vm-2', nodeAddress: '192.0.2.2' },
  { ...VM, id: 'c', node: 'vm-1' },
  { ...VM, id: 'd', node: 'vm-1', nodeAddress: '192.0.2.3' },
);

const text = (chars: number, start = ''): string => start.padEnd(chars, 'x');
const host = (n: number): string => `${text(59, `h${n}`)}.${many(3, () => 'y'.repeat(63)).join('.')}.z`;
const metaAtLimits = (count: number, start = 'm'): Written =>
  Object.fromEntries(many(count, n => [text(128, `${start}${n}`), 'é'.repeat(256)]));
const checkAtLimits = (n: number): Written => ({
  name: text(63, `c${n}`),
  http: {
    path: `/${text(1023)}`,
    port: 65_535,
    scheme: 'https',
    method: 'OPTIONS',
    headers: Object.fromEntries(many(16, h => [text(128, `h${h}`), many(8, () => text(400))])),
    body: text(4096),
    tls: { serverName: text(253), skipVerify: true },
  },
  interval: '24h',
  timeout: '599s999ms',
  successBeforePassing: 100,
  failuresBeforeCritical: 100,
  deregisterCriticalServiceAfter: '719h59m59s999ms',
});
const common: Written = {
  name: text(63),
  datacenter: text(63),
  tags: many(64, n => text(255, `t${n}`)),
  meta: metaAtLimits(30, 's'),
  weights: { passing: 65_535, warning: 0 },
  enableTagOverride: true,
  kubernetes: { service: text(63), port: text(63) },
  drainSeconds: 3600,
  deletionPolicy: 'Retain',
  adoptionPolicy: 'Always',
  driftPolicy: 'Report',
  suspend: true,
};
const instanceAtLimits = (n: number): Written => ({
  id: text(128, `i${n}`),
  address: host(n),
  port: 65_535,
  node: text(128, `n${n}`),
  nodeAddress: host(n),
});

/** Every bound at once would not fit into etcd: so several, each with all that fits. */
export const LARGEST_SERVICES: readonly { readonly says: string; readonly spec: Written }[] = [
  {
    says: 'as many instances with names as long as allowed, and as many checks of an agentless kind',
    spec: {
      ...common,
      instances: many(512, instanceAtLimits),
      checks: many(16, n => ({ name: text(63, `c${n}`), tcp: { port: 1 }, interval: '1s' })),
    },
  },
  {
    says: 'as many instances with as many names in meta',
    spec: {
      ...common,
      meta: names(30, 's'),
      instances: many(512, n => ({ ...instanceAtLimits(n), meta: names(30), address: '2001:db8::1' })),
    },
  },
  {
    says: 'meta as long as allowed',
    spec: { ...common, instances: many(40, n => ({ ...instanceAtLimits(n), meta: metaAtLimits(30) })) },
  },
  {
    says: 'as many tags as long as allowed',
    spec: {
      ...common,
      instances: many(64, n => ({ ...instanceAtLimits(n), tags: many(64, t => text(255, `${t}`)) })),
    },
  },
  {
    says: 'as many checks, each as long as allowed, and as many upstreams',
    spec: {
      ...common,
      instances: many(64, instanceAtLimits),
      checks: many(16, checkAtLimits),
      connect: {
        sidecar: {
          port: 65_535,
          upstreams: many(64, n => ({
            destinationName: `${n}`.padStart(128, 'x'),
            localBindPort: 65_535 - n,
            datacenter: text(63),
          })),
        },
      },
    },
  },
];
