import type { SpecCase } from './consulkv-cases.ts';

/** A spec as a user writes it; wrong ones too, hence no type. */
type Written = Readonly<Record<string, unknown>>;

export const SELECTOR: Written = { matchLabels: { app: 'orders' } };

/** The least there can be, and what is said besides. */
export const lease = (fields: Written = {}): Written => ({ candidates: { selector: SELECTOR }, ...fields });
const selecting = (selector: Written, fields: Written = {}): Written => ({
  candidates: { selector },
  ...fields,
});
const required = (requirement: Written): Written => selecting({ matchExpressions: [requirement] });
const routed = (...ports: readonly Written[]): Written =>
  lease({ service: { name: 'orders-leader', ports } });
const timed = (session: Written): Written => lease({ session });

const printable =
  'must be printable: no control, bidi, invisible or unassigned characters, no space but the ordinary one';
const labelKey =
  'must be a label key: letters, digits, -, _ and ., at most 63, optionally behind a DNS name and /';
const labelValue =
  'must be label values: letters, digits, -, _ and ., beginning and ending with a letter or digit';
const duration = 'must be a duration such as 15s, 1m30s or 1.5h, with the units h, m, s and ms';

const keys: readonly SpecCase[] = [
  {
    says: 'a key is printable',
    message: `key ${printable}`,
    field: 'spec.key',
    kept: lease({ key: 'leases/é' }),
    broken: lease({ key: 'a\u202eb' }),
  },
  {
    says: 'a key has no %',
    message: 'key must not contain %',
    field: 'spec.key',
    kept: lease({ key: 'leases/orders' }),
    broken: lease({ key: 'a%2fb' }),
  },
  {
    says: 'keys of the operator are its own',
    message: 'key must not be under proconsul/ or proconsul-private/, which belong to the operator',
    field: 'spec.key',
    kept: lease({ key: 'proconsulate' }),
    broken: lease({ key: 'proconsul/my-install/leases/shop/orders' }),
  },
  {
    says: 'a key is of 512 bytes at most',
    message: 'key must be at most 512 bytes',
    field: 'spec.key',
    kept: lease({ key: 'é'.repeat(256) }),
    broken: lease({ key: `${'é'.repeat(256)}x` }),
  },
  {
    says: 'a key has whole segments only',
    message: 'key must not begin or end with / and must have no empty, . or .. segment',
    field: 'spec.key',
    kept: lease({ key: 'a/.../b' }),
    broken: lease({ key: 'leases/' }),
  },
  {
    says: 'a key has no space at an edge',
    message: 'key must not begin or end with a space',
    field: 'spec.key',
    kept: lease({ key: 'a b' }),
    broken: lease({ key: 'a ' }),
  },
  {
    says: 'with several holders the number of each fits behind the key',
    message: 'with more than one holder, key must be at most 509 bytes, so that /31 fits behind it',
    field: 'spec.key',
    kept: lease({ key: 'x'.repeat(509), holders: 2 }),
    broken: lease({ key: 'x'.repeat(510), holders: 2 }),
  },
  {
    says: 'a datacenter is a DNS label',
    message: 'datacenter must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    field: 'spec.datacenter',
    kept: lease({ datacenter: 'dc1' }),
    broken: lease({ datacenter: 'dc1.example' }),
  },
];

const labels: readonly SpecCase[] = [
  {
    says: 'a selector selects by something',
    message: 'selector must not be empty: every Pod of the namespace would be a candidate',
    field: 'spec.candidates.selector.matchLabels',
    kept: required({ key: 'app', operator: 'Exists' }),
    broken: selecting({ matchLabels: {}, matchExpressions: [] }),
  },
  {
    says: 'a selector has keys of labels',
    message: `names in matchLabels ${labelKey}`,
    field: 'spec.candidates.selector.matchLabels',
    kept: selecting({ matchLabels: { 'shop.example/app_1.x': 'orders' } }),
    broken: selecting({ matchLabels: { 'a/b/c': 'orders' } }),
  },
  {
    says: 'a selector has values of labels',
    message: `values in matchLabels ${labelValue}`,
    field: 'spec.candidates.selector.matchLabels',
    kept: selecting({ matchLabels: { app: '', tier: 'Front_1.x' } }),
    broken: selecting({ matchLabels: { app: 'orders ' } }),
  },
  {
    says: 'a requirement has the key of a label',
    message: `key ${labelKey}`,
    field: 'spec.candidates.selector.matchExpressions[0].key',
    kept: required({ key: `${'x'.repeat(253)}/${'y'.repeat(63)}`, operator: 'Exists' }),
    broken: required({ key: `${'x'.repeat(254)}/y`, operator: 'Exists' }),
  },
  {
    says: 'In and NotIn compare with something',
    message: 'In and NotIn need values',
    field: 'spec.candidates.selector.matchExpressions[0].values',
    kept: required({ key: 'app', operator: 'NotIn', values: ['a', ''] }),
    broken: required({ key: 'app', operator: 'In', values: [] }),
  },
  {
    says: 'Exists and DoesNotExist compare with nothing',
    message: 'Exists and DoesNotExist have no values',
    field: 'spec.candidates.selector.matchExpressions[0].values',
    kept: required({ key: 'app', operator: 'DoesNotExist', values: [] }),
    broken: required({ key: 'app', operator: 'Exists', values: ['a'] }),
  },
  {
    says: 'a requirement has values of labels',
    message: `values ${labelValue}`,
    field: 'spec.candidates.selector.matchExpressions[0].values',
    kept: required({ key: 'app', operator: 'In', values: ['x'.repeat(63)] }),
    broken: required({ key: 'app', operator: 'In', values: ['a', '-b'] }),
  },
  {
    says: 'a leader label is the key of a label',
    message: `leaderLabel ${labelKey}`,
    field: 'spec.leaderLabel',
    kept: lease({ leaderLabel: 'role' }),
    broken: lease({ leaderLabel: 'role=leader' }),
  },
  ...[
    selecting({ matchLabels: { role: 'true' } }, { leaderLabel: 'role' }),
    selecting({ matchLabels: { 'proconsul.dev/leader': 'true' } }),
    required({ key: 'proconsul.dev/leader', operator: 'DoesNotExist' }),
  ].map((broken, place) => ({
    says: `leading does not make or unmake a candidate (${place + 1})`,
    message:
      'leaderLabel must not stand in the selector: a Pod would stop or start being a candidate by leading',
    field: 'spec.leaderLabel',
    kept: selecting({ matchLabels: { 'proconsul.dev/leader': 'true' } }, { leaderLabel: 'role' }),
    broken,
  })),
];

const times: readonly SpecCase[] = [
  ...['ttl', 'lockDelay'].flatMap(field =>
    ['15', '-15s', '15 s', '1d', '.5m', '15sec', '1e1s', 's'].map(broken => ({
      says: `${field} is a duration, not ${broken}`,
      message: `${field} ${duration}`,
      field: `spec.session.${field}`,
      kept: timed({ [field]: '15s' }),
      broken: timed({ [field]: broken }),
    })),
  ),
  ...[
    ['10s', '9.999s'],
    ['24h', '24h1ms'],
    ['1m30s', '0s'],
    ['0.5h', '999ms'],
    ['15000ms', '1441m'],
  ].map(([kept, broken]) => ({
    says: `a ttl may be ${kept}, not ${broken}`,
    message: 'ttl must be from 10s to 24h',
    field: 'spec.session.ttl',
    kept: timed({ ttl: kept }),
    broken: timed({ ttl: broken }),
  })),
  ...[
    ['0s', '60.001s'],
    ['1m', '1m1ms'],
    ['500ms', '1h'],
  ].map(([kept, broken]) => ({
    says: `a lockDelay may be ${kept}, not ${broken}`,
    message: 'lockDelay must be from 0s to 60s',
    field: 'spec.session.lockDelay',
    kept: timed({ lockDelay: kept }),
    broken: timed({ lockDelay: broken }),
  })),
];

const routes: readonly SpecCase[] = [
  {
    says: 'a Service is named as Kubernetes names them',
    message: 'name must be a DNS label that begins with a letter, as the name of a Service',
    field: 'spec.service.name',
    kept: lease({ service: { name: 'orders-1', ports: [{ port: 80 }] } }),
    broken: lease({ service: { name: '1-orders', ports: [{ port: 80 }] } }),
  },
  {
    says: 'one port may go without a name, two may not',
    message: 'with more than one port, each needs a name',
    field: 'spec.service.ports',
    kept: routed({ port: 80 }),
    broken: routed({ name: 'http', port: 80 }, { port: 81 }),
  },
  {
    says: 'ports differ by name',
    message: 'no two ports may have the same name',
    field: 'spec.service.ports',
    kept: routed({ name: 'a', port: 80 }, { name: 'b', port: 81 }),
    broken: routed({ name: 'a', port: 80 }, { name: 'a', port: 81 }),
  },
  {
    says: 'ports differ by number or protocol',
    message: 'no two ports may have the same port and protocol',
    field: 'spec.service.ports',
    kept: routed({ name: 'a', port: 53, targetPort: 'dns-1' }, { name: 'b', port: 53, protocol: 'UDP' }),
    broken: routed({ name: 'a', port: 53 }, { name: 'b', port: 53, protocol: 'TCP' }),
  },
  {
    says: 'a port is named as Kubernetes names them',
    message: 'name must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    field: 'spec.service.ports[0].name',
    kept: routed({ name: '1-http', port: 80 }),
    broken: routed({ name: 'Http', port: 80 }),
  },
];

/** One case at least for every rule of the CRD that one object alone can show. */
export const LEASE_CASES: readonly SpecCase[] = [...keys, ...labels, ...times, ...routes];

const port = (targetPort: unknown): Written => routed({ port: 80, targetPort });

/** Specs that break a bound or a type of the schema: the API server words the refusal. */
export const LEASE_SCHEMA_CASES: readonly {
  readonly says: string;
  readonly field: string;
  readonly broken: Written;
}[] = [
  { says: 'a lease without candidates', field: 'spec.candidates', broken: { key: 'a' } },
  { says: 'candidates without a selector', field: 'spec.candidates.selector', broken: { candidates: {} } },
  { says: 'no holders', field: 'spec.holders', broken: lease({ holders: 0 }) },
  { says: '33 holders', field: 'spec.holders', broken: lease({ holders: 33 }) },
  { says: 'half a holder', field: 'spec.holders', broken: lease({ holders: 1.5 }) },
  { says: 'an unknown heldBy', field: 'spec.heldBy', broken: lease({ heldBy: 'Nobody' }) },
  { says: 'an unknown handover', field: 'spec.handover', broken: lease({ handover: 'Never' }) },
  { says: 'Retain', field: 'spec.deletionPolicy', broken: lease({ deletionPolicy: 'Retain' }) },
  { says: 'a ttl that is a number', field: 'spec.session.ttl', broken: timed({ ttl: 15 }) },
  { says: 'a long ttl', field: 'spec.session.ttl', broken: timed({ ttl: `${'0'.repeat(30)}15s` }) },
  {
    says: 'an unknown operator',
    field: 'spec.candidates.selector.matchExpressions[0].operator',
    broken: required({ key: 'app', operator: 'Gt', values: ['1'] }),
  },
  {
    says: 'a value of 64 letters',
    field: 'spec.candidates.selector.matchLabels.app',
    broken: selecting({ matchLabels: { app: 'x'.repeat(64) } }),
  },
  {
    says: '65 labels',
    field: 'spec.candidates.selector.matchLabels',
    broken: selecting({
      matchLabels: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`l${n}`, ''])),
    }),
  },
  {
    says: 'a leader label of 318 letters',
    field: 'spec.leaderLabel',
    broken: lease({ leaderLabel: 'x'.repeat(318) }),
  },
  { says: 'a Service without ports', field: 'spec.service.ports', broken: routed() },
  { says: 'port 0', field: 'spec.service.ports[0].port', broken: routed({ port: 0 }) },
  { says: 'port 65536', field: 'spec.service.ports[0].port', broken: routed({ port: 65_536 }) },
  {
    says: 'an unknown protocol',
    field: 'spec.service.ports[0].protocol',
    broken: routed({ port: 80, protocol: 'HTTP' }),
  },
  ...[0, 65_536, '', '8080', 'a--b', '-a', 'Http', 'x'.repeat(16), true].map(targetPort => ({
    says: `the target port ${JSON.stringify(targetPort)}`,
    field: 'spec.service.ports[0].targetPort',
    broken: port(targetPort),
  })),
];

/** Every bound at once: what the API server must still be able to check. */
export const LARGEST_LEASE: Written = {
  key: 'x'.repeat(509),
  holders: 32,
  datacenter: 'd'.repeat(63),
  leaderLabel: `${'l'.repeat(253)}/${'l'.repeat(63)}`,
  session: { ttl: `${'0'.repeat(8)}1h`.padEnd(32, '0s'), lockDelay: '1s'.repeat(16) },
  candidates: {
    selector: {
      matchLabels: Object.fromEntries(
        Array.from({ length: 64 }, (_, n) => [
          `${'k'.repeat(253)}/${`${n}-`.padEnd(63, 'k')}`,
          'v'.repeat(63),
        ]),
      ),
      matchExpressions: Array.from({ length: 32 }, (_, n) => ({
        key: `${'e'.repeat(253)}/${`${n}-`.padEnd(63, 'e')}`,
        operator: 'NotIn',
        values: Array.from({ length: 64 }, (_, v) => `${v}-`.padEnd(63, 'v')),
      })),
    },
  },
  service: {
    name: 's'.repeat(63),
    ports: Array.from({ length: 32 }, (_, n) => ({
      name: `${n}-`.padEnd(63, 'p'),
      port: 1000 + n,
      protocol: 'UDP',
      targetPort: `${n}-`.padEnd(15, 'p'),
    })),
  },
};
