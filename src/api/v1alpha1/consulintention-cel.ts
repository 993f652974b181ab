/**
 * The rules of a ConsulIntention that one object alone can show, in CEL; `consulintention-problem.ts` holds the same rules
 * in code. What the API server lets a rule cost stands in `consulkv-cel.ts`: here it counts a rule on a header as often
 * as a resource could hold headers, 65,536 times, so these rules are short, and what is bounded further in stands in the
 * schema as a pattern, which costs nothing.
 */
import { type CelRule, DNS_LABEL, immutable } from './common.ts';
import { unless } from './key-cel.ts';

export const MAX_SOURCES = 128;
export const MAX_PERMISSIONS = 32;
export const MAX_HEADERS = 16;
export const MAX_METHODS = 16;
export const MAX_PROVIDERS = 16;
/** As Consul has it (`metaValueMaxLength`), in bytes. */
export const MAX_DESCRIPTION_BYTES = 512;
export const MAX_NAME_CHARS = 128;
export const MAX_MATCHER_CHARS = 512;
/** What the cost of checking it allows for. */
export const MAX_HEADER_REGEX_CHARS = 128;

export const ANY_SERVICE = '*';

/**
 * Consul takes any text for a service. It puts the name of a source into a regular expression of Envoy's as it is
 * (`makeSpiffePattern`): `[^/]+` would be everybody. And names are put together to claims with `/` between them. What a
 * `jwt-provider` is called is held to the same.
 */
export const CONSUL_NAME = /^[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?$/;
/** Lower case only: to Consul `Orders` and `orders` are one config entry, and who wrote last has named it. */
export const DESTINATION_NAME = /^[a-z0-9_]([-a-z0-9_.]*[a-z0-9_])?$/;
/** As Consul's `validatePeerName`. */
export const PEER_NAME = DNS_LABEL;
/** A name of an HTTP header or, with `:` in front, of a pseudo-header. */
export const HEADER_NAME = /^:?[-A-Za-z0-9_.]+$/;

/** As Consul's `isValidHTTPMethod`. */
export const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
] as const;
const METHOD_LIST = METHODS.join(', ');

export const PATHS = ['pathExact', 'pathPrefix', 'pathRegex'] as const;
export const TEXT_MATCHERS = ['exact', 'prefix', 'suffix', 'contains', 'regex'] as const;

/** Declared to be refused: a field the schema did not know would be dropped, and the source would mean more than was written. */
export const ENTERPRISE_FIELDS = ['namespace', 'partition', 'samenessGroup'] as const;

const letters = 'digits, -, _ and ., beginning and ending with a letter, a digit or _';
export const messages = {
  destination: `destination must be * or the name of a service: lower-case letters, ${letters}`,
  noWildcardPermissions:
    'permissions need a destination that is one service: Consul has no L7 rules for *; use action, or name the destination',
  twice: 'a source must stand only once: no two may have the same peer and name',
  sourceName: `name must be * or the name of a service: letters, ${letters}`,
  peer: 'peer must be the name of a cluster peering: lower-case letters, digits and -, neither first nor last a -',
  description: `description must be at most ${MAX_DESCRIPTION_BYTES} bytes`,
  actionOrPermissions: 'exactly one of action and permissions must be set',
  emptyHttp: 'http must not be empty: set a path, header or methods',
  onePath: 'at most one of pathExact, pathPrefix and pathRegex may be set',
  methods: `methods must be of ${METHOD_LIST}, in upper or lower case`,
  oneMatcher: 'exactly one of present: true, exact, prefix, suffix, contains and regex must be set',
  ignoreCase:
    'ignoreCase needs exact, prefix, suffix or contains; a regex ignores case when it begins with (?i)',
} as const;

export const enterpriseOnly = (field: string) =>
  `${field} needs Consul Enterprise, which is not supported: remove it`;
export const absolutePath = (field: string) => `${field} must begin with /`;
const regexForm = (field: string) => `${field} must be a regular expression of RE2`;

const isGiven = (list: string) => `(has(${list}) && size(${list}) > 0)`;

/** The empty text where there is none: no peer is called so. */
const peerOf = (source: string) => `(has(${source}.peer) ? ${source}.peer : '')`;

/** Rules on `spec`. */
export const INTENTION_RULES: readonly CelRule[] = [
  {
    rule: `self.destination == '${ANY_SERVICE}' || self.destination.matches('${DESTINATION_NAME.source}')`,
    message: messages.destination,
    fieldPath: '.destination',
  },
  immutable('destination'),
  {
    rule: `self.destination != '${ANY_SERVICE}' || self.sources.all(source, !${isGiven('source.permissions')})`,
    message: messages.noWildcardPermissions,
    fieldPath: '.sources',
  },
  {
    rule: `self.sources.all(source, self.sources.exists_one(other, other.name == source.name && ${peerOf('other')} == ${peerOf('source')}))`,
    message: messages.twice,
    fieldPath: '.sources',
  },
];

/** Rules on each of `sources`. */
export const SOURCE_RULES: readonly CelRule[] = [
  {
    rule: `self.name == '${ANY_SERVICE}' || self.name.matches('${CONSUL_NAME.source}')`,
    message: messages.sourceName,
    fieldPath: '.name',
  },
  {
    rule: unless('peer', `self.peer.matches('${PEER_NAME.source}')`),
    message: messages.peer,
    fieldPath: '.peer',
  },
  {
    rule: unless('description', `bytes(self.description).size() <= ${MAX_DESCRIPTION_BYTES}`),
    message: messages.description,
    fieldPath: '.description',
  },
  {
    rule: `has(self.action) != ${isGiven('self.permissions')}`,
    message: messages.actionOrPermissions,
    fieldPath: '.action',
  },
  ...ENTERPRISE_FIELDS.map(field => ({
    rule: `!has(self.${field})`,
    message: enterpriseOnly(field),
    fieldPath: `.${field}`,
  })),
];

/**
 * A wrong regular expression makes the rule fail with the reason (`missing closing )`), which the API server shows before the
 * message. `||` would swallow that. Asked of the empty text it costs next to nothing. Consul stores any text, and Envoy
 * then refuses the whole of the destination's configuration.
 */
const isRegex = (field: string): CelRule => ({
  rule: `!has(self.${field}) ? true : ''.matches(self.${field}) in [true, false]`,
  message: regexForm(field),
  fieldPath: `.${field}`,
});

/** How many of `conditions` hold. */
const count = (conditions: readonly string[]) => conditions.map(one => `(${one} ? 1 : 0)`).join(' + ');

/** Rules on `http` of a permission. */
export const HTTP_RULES: readonly CelRule[] = [
  {
    rule: `${PATHS.map(path => `has(self.${path})`).join(' || ')} || ${isGiven('self.header')} || ${isGiven('self.methods')}`,
    message: messages.emptyHttp,
    fieldPath: '.pathPrefix',
  },
  {
    rule: `${count(PATHS.map(path => `has(self.${path})`))} <= 1`,
    message: messages.onePath,
    fieldPath: '.pathExact',
  },
  ...(['pathExact', 'pathPrefix'] as const).map(path => ({
    rule: unless(path, `self.${path}.startsWith('/')`),
    message: absolutePath(path),
    fieldPath: `.${path}`,
  })),
  isRegex('pathRegex'),
  {
    rule: unless('methods', `self.methods.all(method, method.matches('(?i)^(${METHODS.join('|')})$'))`),
    message: messages.methods,
    fieldPath: '.methods',
  },
];

const isPresent = '(has(self.present) && self.present)';

/** Rules on each of `header`. */
export const HEADER_RULES: readonly CelRule[] = [
  {
    rule: `${count([isPresent, ...TEXT_MATCHERS.map(matcher => `has(self.${matcher})`)])} == 1`,
    message: messages.oneMatcher,
    fieldPath: '.present',
  },
  isRegex('regex'),
  {
    rule: `!has(self.ignoreCase) || !self.ignoreCase || !(${isPresent} || has(self.regex))`,
    message: messages.ignoreCase,
    fieldPath: '.ignoreCase',
  },
];
