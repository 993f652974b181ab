import type { SpecCase } from './consulkv-cases.ts';

/** A spec as a user writes it; wrong ones too, hence no type. */
type Written = Readonly<Record<string, unknown>>;

const WEB: Written = { name: 'web', action: 'allow' };

/** The least there can be, and what is said besides. */
export const intention = (fields: Written = {}): Written => ({
  destination: 'orders',
  sources: [WEB],
  ...fields,
});
export const from = (...sources: readonly Written[]): Written => intention({ sources });
const named = (name: string): Written => from({ name, action: 'deny' });
const peered = (peer: string): Written => from({ ...WEB, peer });
const permitted = (...permissions: readonly Written[]): Written => from({ name: 'web', permissions });
export const http = (http: Written): Written => permitted({ action: 'allow', http });
const header = (header: Written): Written => http({ header: [{ name: 'x-role', ...header }] });

const lower = 'lower-case letters, digits, -, _ and ., beginning and ending with a letter, a digit or _';
const letters = 'letters, digits, -, _ and ., beginning and ending with a letter, a digit or _';
const HTTP_PATH = 'spec.sources[0].permissions[0].http';
const HEADER_PATH = `${HTTP_PATH}.header[0]`;

const destinations: readonly SpecCase[] = [
  ...['Orders', 'or ders', 'a/b', '-a', 'a.', '..', '**', 'or*', 'café', 'a%2f', 'a\u202eb'].map(broken => ({
    says: `${JSON.stringify(broken)} is no destination`,
    message: `destination must be * or the name of a service: ${lower}`,
    field: 'spec.destination',
    kept: intention({ destination: '_orders-v1.shop_' }),
    broken: intention({ destination: broken }),
  })),
  {
    says: 'all services together have no L7 rules; an empty list of them counts as none',
    message:
      'permissions need a destination that is one service: Consul has no L7 rules for *; use action, or name the destination',
    field: 'spec.sources',
    kept: intention({ destination: '*', sources: [{ ...WEB, permissions: [] }] }),
    broken: intention({
      destination: '*',
      sources: [WEB, { name: 'admin', permissions: [{ action: 'allow', http: { pathPrefix: '/' } }] }],
    }),
  },
  {
    says: 'a datacenter is a DNS label',
    message: 'datacenter must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    field: 'spec.datacenter',
    kept: intention({ datacenter: 'dc1' }),
    broken: intention({ datacenter: 'dc1.example' }),
  },
];

const sources: readonly SpecCase[] = [
  {
    says: 'a source stands once; its name may stand again with a peer',
    message: 'a source must stand only once: no two may have the same peer and name',
    field: 'spec.sources',
    kept: from(WEB, { ...WEB, peer: 'dc2' }, { ...WEB, peer: 'dc3' }, { name: 'Web', action: 'deny' }),
    broken: from(WEB, { name: '*', action: 'deny' }, { name: 'web', action: 'deny' }),
  },
  {
    says: 'a source of a peer stands once, too',
    message: 'a source must stand only once: no two may have the same peer and name',
    field: 'spec.sources',
    kept: from({ ...WEB, peer: 'dc2' }, { name: '*', peer: 'dc2', action: 'deny' }),
    broken: from({ ...WEB, peer: 'dc2' }, { name: 'web', peer: 'dc2', action: 'deny' }),
  },
  ...['[^/]+', 'a|b', 'we b', 'a/b', '.web', 'web-', 'w*', '(?i)web', 'café'].map(broken => ({
    says: `${JSON.stringify(broken)} is no source`,
    message: `name must be * or the name of a service: ${letters}`,
    field: 'spec.sources[0].name',
    kept: named('_Web-2.shop'),
    broken: named(broken),
  })),
  ...['*', 'DC2', 'dc_2', '-dc2', 'a/b', 'dc2.example'].map(broken => ({
    says: `${broken} is no peer`,
    message:
      'peer must be the name of a cluster peering: lower-case letters, digits and -, neither first nor last a -',
    field: 'spec.sources[0].peer',
    kept: peered('2-dc'),
    broken: peered(broken),
  })),
  {
    says: 'a description is counted in bytes',
    message: 'description must be at most 512 bytes',
    field: 'spec.sources[0].description',
    kept: from({ ...WEB, description: 'é'.repeat(256) }),
    broken: from({ ...WEB, description: `${'é'.repeat(256)}x` }),
  },
  ...[
    { ...WEB, permissions: [{ action: 'allow', http: { pathPrefix: '/' } }] },
    { name: 'web' },
    { name: 'web', permissions: [] },
  ].map((broken, place) => ({
    says: `a source has an action or permissions (${place + 1})`,
    message: 'exactly one of action and permissions must be set',
    field: 'spec.sources[0].action',
    kept: from({ ...WEB, permissions: [] }),
    broken: from(broken),
  })),
  ...['namespace', 'partition', 'samenessGroup'].map(field => ({
    says: `${field} is refused and not ignored`,
    message: `${field} needs Consul Enterprise, which is not supported: remove it`,
    field: `spec.sources[0].${field}`,
    kept: from(WEB),
    broken: from({ ...WEB, [field]: 'default' }),
  })),
];

const requests: readonly SpecCase[] = [
  ...[{}, { header: [], methods: [] }].map((broken, place) => ({
    says: `a permission says which requests (${place + 1})`,
    message: 'http must not be empty: set a path, header or methods',
    field: `${HTTP_PATH}.pathPrefix`,
    kept: http({ methods: ['GET'], header: [] }),
    broken: http(broken),
  })),
  ...[
    { pathExact: '/a', pathPrefix: '/a' },
    { pathPrefix: '/a', pathRegex: '/a' },
    { pathExact: '/a', pathRegex: '/a' },
  ].map(broken => ({
    says: `not both of ${Object.keys(broken).join(' and ')}`,
    message: 'at most one of pathExact, pathPrefix and pathRegex may be set',
    field: `${HTTP_PATH}.pathExact`,
    kept: http({ pathRegex: 'a' }),
    broken: http(broken),
  })),
  ...['pathExact', 'pathPrefix'].map(field => ({
    says: `${field} is absolute`,
    message: `${field} must begin with /`,
    field: `${HTTP_PATH}.${field}`,
    kept: http({ [field]: '/' }),
    broken: http({ [field]: 'admin/' }),
  })),
  ...['FETCH', 'GET ', 'GETS', 'XGET'].map(broken => ({
    says: `${JSON.stringify(broken)} is no method`,
    message:
      'methods must be of GET, HEAD, POST, PUT, PATCH, DELETE, CONNECT, OPTIONS, TRACE, in upper or lower case',
    field: `${HTTP_PATH}.methods`,
    kept: http({
      methods: ['get', 'Head', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'GET'],
    }),
    broken: http({ methods: ['GET', broken] }),
  })),
  ...[
    {},
    { present: false },
    { present: true, exact: 'a' },
    { exact: 'a', prefix: 'a' },
    { suffix: 'a', contains: 'a' },
    { contains: 'a', regex: 'a' },
  ].map(broken => ({
    says: `a header has one matcher, not ${JSON.stringify(broken)}`,
    message: 'exactly one of present: true, exact, prefix, suffix, contains and regex must be set',
    field: `${HEADER_PATH}.present`,
    kept: header({ present: false, exact: 'a', invert: true }),
    broken: header({ ...broken, invert: true }),
  })),
  ...[{ present: true }, { regex: 'a' }].map(broken => ({
    says: `ignoreCase is not for ${Object.keys(broken).join()}`,
    message:
      'ignoreCase needs exact, prefix, suffix or contains; a regex ignores case when it begins with (?i)',
    field: `${HEADER_PATH}.ignoreCase`,
    kept: header({ ...broken, ignoreCase: false }),
    broken: header({ ...broken, ignoreCase: true }),
  })),
];

/** One case at least for every rule of the CRD that one object alone can show; `REGEX_CASES` has two more. */
export const INTENTION_CASES: readonly SpecCase[] = [...destinations, ...sources, ...requests];

/** Only the API server knows RE2: it shows `reason` and the message. `field` is the object that holds the text. */
export const REGEX_CASES: readonly (SpecCase & { readonly reason: string })[] = [
  { regex: '(a', reason: 'missing closing ): `(a`' },
  { regex: 'a**', reason: 'invalid nested repetition operator: `**`' },
  { regex: '(?=a)', reason: 'invalid or unsupported Perl syntax: `(?=`' },
  { regex: String.raw`(a)\1`, reason: String.raw`invalid escape sequence: ${'`\\1`'}` },
  { regex: '(a{1000}){1000}', reason: 'invalid repeat count' },
].flatMap(({ regex, reason }) => [
  {
    says: `pathRegex is one of RE2, not ${regex}`,
    message: 'pathRegex must be a regular expression of RE2',
    field: HTTP_PATH,
    kept: http({ pathRegex: '(?i)^/(v[0-9]+|latest)/.*$' }),
    broken: http({ pathRegex: regex }),
    reason,
  },
  {
    says: `regex is one of RE2, not ${regex}`,
    message: 'regex must be a regular expression of RE2',
    field: HEADER_PATH,
    kept: header({ regex: String.raw`\p{Lu}+(?:a|b){1,3}` }),
    broken: header({ regex }),
    reason,
  },
]);

const tokens = (provider: Written): Written => intention({ jwt: { providers: [provider] } });
const CLAIM = { path: ['role'], value: 'admin' };
const claimed = (claim: Written): Written => tokens({ name: 'okta', verifyClaims: [claim] });
const many = <Item>(count: number, item: (n: number) => Item): readonly Item[] =>
  Array.from({ length: count }, (_, n) => item(n));
const PROVIDER_PATH = 'spec.jwt.providers[0]';

/** Specs that break a bound or a type of the schema: the API server words the refusal. */
export const INTENTION_SCHEMA_CASES: readonly {
  readonly says: string;
  readonly field: string;
  readonly broken: Written;
}[] = [
  { says: 'no destination', field: 'spec.destination', broken: { sources: [WEB] } },
  { says: 'an empty destination', field: 'spec.destination', broken: intention({ destination: '' }) },
  {
    says: 'a destination of 129 letters',
    field: 'spec.destination',
    broken: intention({ destination: 'd'.repeat(129) }),
  },
  {
    says: 'a destination as consul-k8s has it',
    field: 'spec.destination',
    broken: intention({ destination: { name: 'orders' } }),
  },
  { says: 'no sources', field: 'spec.sources', broken: { destination: 'orders' } },
  { says: 'an empty list of sources', field: 'spec.sources', broken: from() },
  {
    says: '129 sources',
    field: 'spec.sources',
    broken: from(...many(129, n => ({ name: `s${n}`, action: 'deny' }))),
  },
  { says: 'a source without a name', field: 'spec.sources[0].name', broken: from({ action: 'deny' }) },
  { says: 'a source of 129 letters', field: 'spec.sources[0].name', broken: named('s'.repeat(129)) },
  { says: 'an empty peer', field: 'spec.sources[0].peer', broken: peered('') },
  { says: 'a peer of 64 letters', field: 'spec.sources[0].peer', broken: peered('p'.repeat(64)) },
  {
    says: 'an unknown action',
    field: 'spec.sources[0].action',
    broken: from({ name: 'web', action: 'Allow' }),
  },
  {
    says: 'a description of 513 letters',
    field: 'spec.sources[0].description',
    broken: from({ ...WEB, description: 'x'.repeat(513) }),
  },
  {
    says: '33 permissions',
    field: 'spec.sources[0].permissions',
    broken: permitted(...many(33, () => ({ action: 'allow', http: { pathPrefix: '/' } }))),
  },
  {
    says: 'a permission without an action',
    field: 'spec.sources[0].permissions[0].action',
    broken: permitted({ http: { pathPrefix: '/' } }),
  },
  {
    says: 'a permission without http',
    field: HTTP_PATH,
    broken: permitted({ action: 'allow', jwt: { providers: [{ name: 'okta' }] } }),
  },
  ...['pathExact', 'pathPrefix', 'pathRegex'].flatMap(field => [
    { says: `an empty ${field}`, field: `${HTTP_PATH}.${field}`, broken: http({ [field]: '' }) },
    {
      says: `a ${field} of 513 letters`,
      field: `${HTTP_PATH}.${field}`,
      broken: http({ [field]: `/${'x'.repeat(512)}` }),
    },
  ]),
  {
    says: '17 headers',
    field: `${HTTP_PATH}.header`,
    broken: http({ header: many(17, () => ({ name: 'a', exact: 'b' })) }),
  },
  { says: '17 methods', field: `${HTTP_PATH}.methods`, broken: http({ methods: many(17, () => 'GET') }) },
  {
    says: 'a header without a name',
    field: `${HEADER_PATH}.name`,
    broken: http({ header: [{ exact: 'a' }] }),
  },
  ...['x role', 'x/role', 'a:b', ':', 'é', 'x'.repeat(129)].map(name => ({
    says: `the header ${name}`,
    field: `${HEADER_PATH}.name`,
    broken: header({ name, exact: 'a' }),
  })),
  ...['exact', 'prefix', 'suffix', 'contains', 'regex'].map(matcher => ({
    says: `an empty ${matcher}`,
    field: `${HEADER_PATH}.${matcher}`,
    broken: header({ [matcher]: '' }),
  })),
  ...['exact', 'prefix', 'suffix', 'contains'].map(matcher => ({
    says: `a text of 513 letters as ${matcher}`,
    field: `${HEADER_PATH}.${matcher}`,
    broken: header({ [matcher]: 'x'.repeat(513) }),
  })),
  {
    says: 'a regex of 129 letters for a header',
    field: `${HEADER_PATH}.regex`,
    broken: header({ regex: 'x'.repeat(129) }),
  },
  { says: 'tokens of nobody', field: 'spec.jwt.providers', broken: intention({ jwt: { providers: [] } }) },
  {
    says: '17 providers',
    field: 'spec.jwt.providers',
    broken: intention({ jwt: { providers: many(17, n => ({ name: `p${n}` })) } }),
  },
  ...['', 'ok ta', 'a/b', 'x'.repeat(129)].map(name => ({
    says: `the provider ${JSON.stringify(name)}`,
    field: `${PROVIDER_PATH}.name`,
    broken: tokens({ name }),
  })),
  {
    says: '17 claims',
    field: `${PROVIDER_PATH}.verifyClaims`,
    broken: tokens({ name: 'okta', verifyClaims: many(17, () => CLAIM) }),
  },
  {
    says: 'a claim without a path',
    field: `${PROVIDER_PATH}.verifyClaims[0].path`,
    broken: claimed({ ...CLAIM, path: [] }),
  },
  {
    says: 'a claim 17 steps deep',
    field: `${PROVIDER_PATH}.verifyClaims[0].path`,
    broken: claimed({ ...CLAIM, path: many(17, () => 'a') }),
  },
  {
    says: 'an empty step of a path',
    field: `${PROVIDER_PATH}.verifyClaims[0].path[0]`,
    broken: claimed({ ...CLAIM, path: [''] }),
  },
  {
    says: 'a step of 129 letters',
    field: `${PROVIDER_PATH}.verifyClaims[0].path[0]`,
    broken: claimed({ ...CLAIM, path: ['x'.repeat(129)] }),
  },
  {
    says: 'a claim without a value',
    field: `${PROVIDER_PATH}.verifyClaims[0].value`,
    broken: claimed({ path: ['a'] }),
  },
  {
    says: 'an empty value of a claim',
    field: `${PROVIDER_PATH}.verifyClaims[0].value`,
    broken: claimed({ ...CLAIM, value: '' }),
  },
  {
    says: 'a value of 513 letters',
    field: `${PROVIDER_PATH}.verifyClaims[0].value`,
    broken: claimed({ ...CLAIM, value: 'x'.repeat(513) }),
  },
];

const text = (chars: number, start = ''): string => start.padEnd(chars, 'x');
const jwtAtLimits = {
  providers: many(16, n => ({
    name: text(128, `p${n}`),
    verifyClaims: many(16, () => ({ path: many(16, () => text(128)), value: text(512) })),
  })),
};
const permissionAtLimits = {
  action: 'deny',
  http: {
    pathRegex: text(512),
    header: [
      ...many(8, n => ({ name: text(128, `h${n}`), regex: text(128), invert: true })),
      ...many(8, n => ({ name: text(128, `g${n}`), contains: text(512), ignoreCase: true })),
    ],
    methods: many(16, () => 'OPTIONS'),
  },
};
const common = {
  destination: text(128),
  datacenter: text(63),
  deletionPolicy: 'Retain',
  adoptionPolicy: 'Always',
  driftPolicy: 'Report',
  suspend: true,
};

/** Every bound at once would not fit into etcd: so several, each with all that fits. */
export const LARGEST_INTENTIONS: readonly { readonly says: string; readonly spec: Written }[] = [
  {
    says: 'as many sources, each as long as allowed',
    spec: {
      ...common,
      sources: many(128, n => ({
        name: text(128, `s${n}`),
        peer: text(63),
        description: 'é'.repeat(256),
        action: 'deny',
      })),
    },
  },
  {
    says: 'sources that differ in their last letter only',
    spec: {
      ...common,
      sources: many(128, n => ({ name: `${n}`.padStart(128, 'x'), peer: text(63), action: 'allow' })),
    },
  },
  {
    says: 'as many permissions of one source, each as long as allowed',
    spec: { ...common, sources: [{ name: 'web', permissions: many(32, () => permissionAtLimits) }] },
  },
  {
    says: 'tokens of as many providers with as many claims, each as long as allowed',
    spec: { ...common, sources: [WEB], jwt: jwtAtLimits },
  },
];

/** As many headers as a spec can have, 65,536: more than etcd stores, yet a request may bring them. */
export const MOST_HEADERS: Written = {
  destination: 'orders',
  sources: many(128, n => ({
    name: `${n}`,
    permissions: many(32, () => ({
      action: 'deny',
      http: { header: many(16, () => ({ name: 'a', regex: 'b' })), methods: ['GET'] },
    })),
  })),
};
