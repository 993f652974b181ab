/** A spec as a user writes it; wrong ones too, hence no type. */
type Written = Readonly<Record<string, unknown>>;

/** A rule of the CRD: one spec that keeps it and one that breaks it and no other. */
export interface SpecCase {
  readonly says: string;
  /** The whole message of the rule, as the API server shows it. */
  readonly message: string;
  /** The field it blames. */
  readonly field: string;
  readonly kept: Written;
  readonly broken: Written;
}

const LIMIT = 350_000;
const tree = (fields: Written): Written => ({ prefix: 'config/orders/', ...fields });
const one = (fields: Written): Written => ({ key: 'config/orders', value: 'x', ...fields });
const from = (source: Written): Written => tree({ dataFrom: [source] });
const key = (key: string): Written => ({ key, value: 'x' });
const prefix = (prefix: string): Written => ({ prefix, data: { a: 'x' } });
const configMap = { configMapRef: { name: 'orders' } };
const secret = { secretRef: { name: 'orders' } };
const bytesToBase64 = (length: number) => Buffer.alloc(length, 7).toString('base64');

const printable =
  'must be printable: no control, bidi, invisible or unassigned characters, no space but the ordinary one';
const ofSource =
  'must be a name of a ConfigMap or Secret: lower-case letters, digits, - and ., each part beginning and ending with a letter or digit';

const shape: readonly SpecCase[] = [
  {
    says: 'key or prefix',
    message: 'exactly one of key and prefix must be set',
    field: 'spec.key',
    kept: one({}),
    broken: { value: 'x' },
  },
  {
    says: 'a key has a value or a source, not both',
    message: 'with key, exactly one of value and valueFrom must be set',
    field: 'spec.value',
    kept: one({ value: '' }),
    broken: one({ valueFrom: { configMapKeyRef: { name: 'orders', key: 'a' } } }),
  },
  ...[
    { field: 'data', some: { a: 'x' }, none: {} },
    { field: 'binaryData', some: { a: 'AA==' }, none: {} },
    { field: 'dataFrom', some: [configMap], none: [] },
  ].map(({ field, some, none }) => ({
    says: `${field} is for trees; an empty one counts as absent`,
    message: `${field} needs prefix; a single key has value or valueFrom`,
    field: `spec.${field}`,
    kept: one({ [field]: none }),
    broken: one({ [field]: some }),
  })),
  {
    says: 'a tree has names; empty lists of them count as none',
    message: 'with prefix, at least one of data, binaryData and dataFrom must be set and not empty',
    field: 'spec.data',
    kept: tree({ binaryData: { a: '' } }),
    broken: tree({ data: {}, binaryData: {}, dataFrom: [] }),
  },
  {
    says: 'value is for keys',
    message: 'value needs key; a tree has data, binaryData or dataFrom',
    field: 'spec.value',
    kept: tree({ data: { a: 'x' } }),
    broken: tree({ data: { a: 'x' }, value: '' }),
  },
  {
    says: 'valueFrom is for keys',
    message: 'valueFrom needs key; a tree has data, binaryData or dataFrom',
    field: 'spec.valueFrom',
    kept: { key: 'a', valueFrom: { secretKeyRef: { name: 'orders', key: 'password', optional: true } } },
    broken: tree({ data: { a: 'x' }, valueFrom: { configMapKeyRef: { name: 'orders', key: 'a' } } }),
  },
  ...['exclusive', 'atomic'].map(field => ({
    says: `${field} is for trees; false counts as absent`,
    message: `${field} needs prefix`,
    field: `spec.${field}`,
    kept: one({ [field]: false }),
    broken: one({ [field]: true }),
  })),
  {
    says: 'a value comes from one source',
    message: 'exactly one of configMapKeyRef and secretKeyRef must be set',
    field: 'spec.valueFrom.configMapKeyRef',
    kept: { key: 'a', valueFrom: { configMapKeyRef: { name: 'orders', key: 'a' } } },
    broken: { key: 'a', valueFrom: {} },
  },
  {
    says: 'an entry of dataFrom is one source',
    message: 'exactly one of configMapRef and secretRef must be set',
    field: 'spec.dataFrom[0].configMapRef',
    kept: from(configMap),
    broken: from({ ...configMap, ...secret }),
  },
  {
    says: 'a name stands once',
    message: 'a name may stand in data or in binaryData, not in both',
    field: 'spec.binaryData',
    kept: tree({ data: { a: 'x' }, binaryData: { b: 'AA==' } }),
    broken: tree({ data: { a: 'x' }, binaryData: { a: 'AA==' } }),
  },
];

const paths: readonly SpecCase[] = [
  {
    says: 'a key is printable',
    message: `key ${printable}`,
    field: 'spec.key',
    kept: key('日本 語/é'),
    broken: key('a\u202eb'),
  },
  {
    says: 'a key has no %',
    message: 'key must not contain %',
    field: 'spec.key',
    kept: key('a'),
    broken: key('a%2fb'),
  },
  {
    says: 'a key is of 512 bytes at most',
    message: 'key must be at most 512 bytes',
    field: 'spec.key',
    kept: key('é'.repeat(256)),
    broken: key(`${'é'.repeat(256)}x`),
  },
  {
    says: 'keys of the operator are its own',
    message: 'key must not be under proconsul/ or proconsul-private/, which belong to the operator',
    field: 'spec.key',
    kept: key('proconsulate'),
    broken: key('proconsul-private/x'),
  },
  {
    says: 'a key has whole segments only',
    message: 'key must not begin or end with / and must have no empty, . or .. segment',
    field: 'spec.key',
    kept: key('a/.../b'),
    broken: key('a/../b'),
  },
  {
    says: 'a key has no space at an edge',
    message: 'key must not begin or end with a space',
    field: 'spec.key',
    kept: key('a b'),
    broken: key('a '),
  },
  {
    says: 'a prefix is printable',
    message: `prefix ${printable}`,
    field: 'spec.prefix',
    kept: prefix('é/'),
    broken: prefix('a\u00a0b/'),
  },
  {
    says: 'a prefix has no %',
    message: 'prefix must not contain %',
    field: 'spec.prefix',
    kept: prefix('a/'),
    broken: prefix('a%/'),
  },
  {
    says: 'a prefix leaves room for a name',
    message: 'prefix must be under 512 bytes, so that a name fits behind it',
    field: 'spec.prefix',
    kept: prefix(`${'x'.repeat(510)}/`),
    broken: { prefix: `${'x'.repeat(511)}/`, dataFrom: [configMap] },
  },
  {
    says: 'folders of the operator are its own',
    message: 'prefix must not be under proconsul/ or proconsul-private/, which belong to the operator',
    field: 'spec.prefix',
    kept: prefix('a/proconsul/'),
    broken: prefix('proconsul/'),
  },
  {
    says: 'a prefix is a folder',
    message: 'prefix must end with /',
    field: 'spec.prefix',
    kept: prefix('a/b/'),
    broken: prefix('a/b'),
  },
  {
    says: 'a prefix has whole segments only',
    message: 'prefix must not begin with / and must have no empty, . or .. segment',
    field: 'spec.prefix',
    kept: prefix('a/.b/'),
    broken: prefix('/a/'),
  },
  {
    says: 'a prefix has no space at an edge',
    message: 'prefix must not begin or end with a space',
    field: 'spec.prefix',
    kept: prefix('a b/'),
    broken: prefix('a /'),
  },
  {
    says: 'sub-path and prefix leave room for a name',
    message:
      'prefix of the tree and prefix of a source must be under 512 bytes together, so that a name fits behind them',
    field: 'spec.dataFrom',
    kept: { prefix: 'a/', dataFrom: [{ ...configMap, prefix: `${'x'.repeat(508)}/` }] },
    broken: { prefix: 'a/', dataFrom: [{ ...configMap, prefix: `${'x'.repeat(509)}/` }] },
  },
  {
    says: 'a sub-path is printable',
    message: `prefix of a source ${printable}`,
    field: 'spec.dataFrom[0].prefix',
    kept: from({ ...secret, prefix: 'é/' }),
    broken: from({ ...secret, prefix: 'a\u200bb/' }),
  },
  {
    says: 'a sub-path has no %',
    message: 'prefix of a source must not contain %',
    field: 'spec.dataFrom[0].prefix',
    kept: from({ ...configMap, prefix: '' }),
    broken: from({ ...configMap, prefix: '%/' }),
  },
  {
    says: 'a sub-path is a folder',
    message: 'prefix of a source must end with /',
    field: 'spec.dataFrom[0].prefix',
    kept: from({ ...configMap, prefix: 'defaults/' }),
    broken: from({ ...configMap, prefix: 'defaults' }),
  },
  {
    says: 'a sub-path has whole segments only',
    message: 'prefix of a source must not begin with / and must have no empty, . or .. segment',
    field: 'spec.dataFrom[0].prefix',
    kept: from({ ...configMap, prefix: 'a/b/' }),
    broken: from({ ...configMap, prefix: '../' }),
  },
  {
    says: 'a sub-path has no space at its end',
    message: 'prefix of a source must not end with a space',
    field: 'spec.dataFrom[0].prefix',
    kept: from({ ...configMap, prefix: ' a/' }),
    broken: from({ ...configMap, prefix: 'a /' }),
  },
];

const names: readonly SpecCase[] = [
  { field: 'data', value: 'x' },
  { field: 'binaryData', value: 'AA==' },
].flatMap(({ field, value }) => {
  const named = (name: string) =>
    JSON.parse(`{"prefix":"a/","${field}":{${JSON.stringify(name)}:"${value}"}}`);
  const rule = (says: string, message: string, kept: string, broken: string): SpecCase => ({
    says: `a name in ${field} ${says}`,
    message: `names in ${field} ${message}`,
    field: `spec.${field}`,
    kept: named(kept),
    broken: named(broken),
  });
  return [
    rule('is printable', printable, '__proto__', 'a\u0000b'),
    rule('has no %', 'must not contain %', 'limits/max', 'limits%2fmax'),
    rule(
      'has whole segments only',
      'must not be empty, must not begin or end with / and must have no empty, . or .. segment',
      '.hidden',
      'a/',
    ),
    rule('has no space at its end', 'must not end with a space', ' a', 'a '),
    rule(
      'is of 512 bytes at most with the prefix',
      'must be at most 512 bytes together with the prefix',
      'é'.repeat(255),
      `${'é'.repeat(255)}x`,
    ),
  ];
});

const values: readonly SpecCase[] = [
  {
    says: 'a value is of 350,000 bytes at most',
    message: `value must be at most ${LIMIT} bytes`,
    field: 'spec.value',
    kept: one({ value: 'é'.repeat(LIMIT / 2) }),
    broken: one({ value: `${'é'.repeat(LIMIT / 2)}x` }),
  },
  {
    says: 'a value in data is of 350,000 bytes at most',
    message: `values in data must be at most ${LIMIT} bytes`,
    field: 'spec.data',
    kept: tree({ data: { a: '😀'.repeat(LIMIT / 4), b: 'x'.repeat(LIMIT) } }),
    broken: tree({ data: { a: `${'😀'.repeat(LIMIT / 4)}x`, b: 'x' } }),
  },
  {
    says: 'a value in binaryData is of 350,000 bytes at most when decoded',
    message: `values in binaryData must be at most ${LIMIT} bytes when decoded`,
    field: 'spec.binaryData',
    kept: tree({ binaryData: { a: bytesToBase64(LIMIT), b: bytesToBase64(LIMIT - 1) } }),
    broken: tree({ binaryData: { a: bytesToBase64(LIMIT + 1) } }),
  },
  {
    says: 'a datacenter is a DNS label',
    message: 'datacenter must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    field: 'spec.datacenter',
    kept: one({ datacenter: 'dc1' }),
    broken: one({ datacenter: 'dc1.example' }),
  },
];

const references: readonly SpecCase[] = [
  {
    says: 'a ConfigMap to take a value from is named as Kubernetes names them',
    message: `name ${ofSource}`,
    field: 'spec.valueFrom.configMapKeyRef.name',
    kept: { key: 'a', valueFrom: { configMapKeyRef: { name: 'orders.v1', key: 'a' } } },
    broken: { key: 'a', valueFrom: { configMapKeyRef: { name: 'orders/v1', key: 'a' } } },
  },
  {
    says: 'a key of a Secret is named as Kubernetes names them',
    message:
      'key must be a key of a ConfigMap or Secret: letters, digits, -, _ and ., not . alone and not beginning with ..',
    field: 'spec.valueFrom.secretKeyRef.key',
    kept: { key: 'a', valueFrom: { secretKeyRef: { name: 'orders', key: '.dockerconfig_json' } } },
    broken: { key: 'a', valueFrom: { secretKeyRef: { name: 'orders', key: '..data' } } },
  },
  ...['configMapRef', 'secretRef'].map(field => ({
    says: `${field} is named as Kubernetes names them`,
    message: `name ${ofSource}`,
    field: `spec.dataFrom[0].${field}.name`,
    kept: from({ [field]: { name: 'orders', optional: true } }),
    broken: from({ [field]: { name: 'Orders' } }),
  })),
];

/** One case for every rule of the CRD that one object alone can show. */
export const SPEC_CASES: readonly SpecCase[] = [...shape, ...paths, ...names, ...values, ...references];

/** Specs that break a bound or a type of the schema: the API server words the refusal. */
export const SCHEMA_CASES: readonly {
  readonly says: string;
  readonly field: string;
  readonly broken: Written;
}[] = [
  { says: 'flags under 0', field: 'spec.flags', broken: one({ flags: -1 }) },
  { says: 'flags over 2^53-1', field: 'spec.flags', broken: one({ flags: 9_007_199_254_740_992 }) },
  { says: 'flags with a fraction', field: 'spec.flags', broken: one({ flags: 1.5 }) },
  { says: 'an unknown policy', field: 'spec.driftPolicy', broken: one({ driftPolicy: 'Maybe' }) },
  { says: 'a value that is a number', field: 'spec.value', broken: one({ value: 1 }) },
  { says: 'base64 without padding', field: 'spec.binaryData.a', broken: tree({ binaryData: { a: 'AA' } }) },
  {
    says: 'base64 of the URL alphabet',
    field: 'spec.binaryData.a',
    broken: tree({ binaryData: { a: '-_-_' } }),
  },
  {
    says: 'base64 with a line break',
    field: 'spec.binaryData.a',
    broken: tree({ binaryData: { a: 'AAAA\n' } }),
  },
  { says: 'an empty key', field: 'spec.key', broken: one({ key: '' }) },
  {
    says: 'a reference without a name',
    field: 'spec.dataFrom[0].configMapRef.name',
    broken: from({ configMapRef: {} }),
  },
];
