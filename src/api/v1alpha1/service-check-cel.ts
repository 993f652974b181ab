/** The rules of one check of a ConsulService, in CEL; `service-check-problem.ts` holds the same rules in code. */
import type { CelRule } from './common.ts';
import { type DurationBounds, durationRules } from './duration-rules.ts';
import { unless } from './key-cel.ts';

export const CHECK_KINDS = ['http', 'tcp', 'grpc', 'ttl', 'script'] as const;
/** An agent runs them, or nobody does. */
export const AGENT_KINDS = ['ttl', 'script'] as const;
/** They ask a port of the instance. */
export const NETWORK_KINDS = ['http', 'tcp', 'grpc'] as const;
/** What says how a check is run; nobody runs one of kind ttl. */
export const RUN_FIELDS = ['interval', 'timeout', 'successBeforePassing', 'failuresBeforeCritical'] as const;

export const MAX_CHECK_NAME_CHARS = 63;
export const MAX_HEADERS = 16;
export const MAX_HEADER_VALUES = 8;

/** An agent raises what is shorter than a second to one. */
export const INTERVAL: DurationBounds = { least: '1s', most: '24h' };
export const TIMEOUT: DurationBounds = { least: '10ms', most: '10m' };
export const TTL: DurationBounds = { least: '1s', most: '24h' };
/** An agent raises what is shorter than a minute to one. */
export const DEREGISTER_AFTER: DurationBounds = { least: '1m', most: '720h' };

/** Lower case: to Consul `Http` and `http` are one check. No `:`, which may part it from the id of its instance. */
export const CHECK_NAME = /^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/;
/** Of the checks that the operator itself adds. */
export const OWN_PREFIX = 'proconsul-';
export const HTTP_PATH = /^[/][!-~]*$/;
/** No `_` in front: nobody has such a header, and `__proto__` is not a name that every JavaScript object keeps. */
export const HEADER_NAME = /^[A-Za-z0-9][-A-Za-z0-9_.]{0,127}$/;
/** They say how a message is framed and what becomes of the connection, which is not for a check to say. */
export const FRAMING_HEADERS = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
] as const;

export const checkMessages = {
  name: 'name must be lower-case letters, digits, -, _ and ., beginning and ending with a letter or digit',
  ownName: `name must not begin with ${OWN_PREFIX}, which is for the checks of the operator`,
  oneKind: `exactly one of ${CHECK_KINDS.join(', ')} must be set`,
  notRun: `nobody runs a check of kind ttl, it waits to hear from the application: remove ${RUN_FIELDS.join(', ')}`,
  path: 'path must begin with / and have neither spaces nor characters beyond ASCII: write them as %20 and so on',
  tlsNeedsHttps: 'tls needs scheme: https',
  headerNames:
    'names in headers must be letters, digits, -, _ and ., beginning with a letter or digit, at most 128',
  framing: `headers must not have ${FRAMING_HEADERS.join(', ')}: they belong to the connection`,
  twice: 'a name must stand once in headers, in whatever case: give it several values',
  oneHost: 'Host must have one value',
} as const;

/** How many of `fields` are given. */
const count = (fields: readonly string[]) => fields.map(field => `(has(self.${field}) ? 1 : 0)`).join(' + ');

/** Rules on each of `checks`. */
export const CHECK_RULES: readonly CelRule[] = [
  {
    rule: `self.name.matches('${CHECK_NAME.source}')`,
    message: checkMessages.name,
    fieldPath: '.name',
  },
  {
    rule: `!self.name.startsWith('${OWN_PREFIX}')`,
    message: checkMessages.ownName,
    fieldPath: '.name',
  },
  { rule: `${count(CHECK_KINDS)} == 1`, message: checkMessages.oneKind, fieldPath: '.http' },
  {
    rule: `!has(self.ttl) || ${count(RUN_FIELDS)} == 0`,
    message: checkMessages.notRun,
    fieldPath: '.ttl',
  },
  ...durationRules('interval', INTERVAL),
  ...durationRules('timeout', TIMEOUT),
  ...durationRules('deregisterCriticalServiceAfter', DEREGISTER_AFTER),
];

/** Rules on `ttl` of a check. */
export const TTL_RULES: readonly CelRule[] = durationRules('ttl', TTL);

const everyHeader = (condition: string) => unless('headers', `self.headers.all(name, ${condition})`);

/** Rules on `http` of a check. */
export const HTTP_CHECK_RULES: readonly CelRule[] = [
  {
    rule: unless('path', `self.path.matches('${HTTP_PATH.source}')`),
    message: checkMessages.path,
    fieldPath: '.path',
  },
  {
    rule: unless('tls', "has(self.scheme) && self.scheme == 'https'"),
    message: checkMessages.tlsNeedsHttps,
    fieldPath: '.tls',
  },
  {
    rule: everyHeader(`name.matches('${HEADER_NAME.source}')`),
    message: checkMessages.headerNames,
    fieldPath: '.headers',
  },
  {
    rule: everyHeader(`!(name.lowerAscii() in [${FRAMING_HEADERS.map(name => `'${name}'`).join(', ')}])`),
    message: checkMessages.framing,
    fieldPath: '.headers',
  },
  {
    rule: everyHeader('self.headers.exists_one(other, other.lowerAscii() == name.lowerAscii())'),
    message: checkMessages.twice,
    fieldPath: '.headers',
  },
  {
    rule: everyHeader("name.lowerAscii() != 'host' || size(self.headers[name]) == 1"),
    message: checkMessages.oneHost,
    fieldPath: '.headers',
  },
];
