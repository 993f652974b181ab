/**
 * The rules of a ConsulLeaderLease that one object alone can show, in CEL; `consulleaderlease-problem.ts` holds the same
 * rules in code. What the API server lets a rule cost stands in `consulkv-cel.ts`.
 */
import { MAX_KEY_BYTES } from '../../core/keys.ts';
import { MAX_HOLDERS, MAX_SLOT_SUFFIX_BYTES } from '../../core/lease-keys.ts';
import { type CelRule, immutable } from './common.ts';
import { durationForm, isWithin } from './duration-rules.ts';
import { keyRules, unless } from './key-cel.ts';

/** The label of leading Pods when the spec names none. */
export const DEFAULT_LEADER_LABEL = 'proconsul.dev/leader';

/** As Consul allows a session's TTL and LockDelay. */
export const MIN_TTL = '10s';
export const MAX_TTL = '24h';
export const MAX_LOCK_DELAY = '60s';

export const MAX_PORTS = 32;
export const MAX_LABELS = 64;
export const MAX_REQUIREMENTS = 32;

/** `IsQualifiedName` of Kubernetes; the length of the part before the slash is asked for apart. */
export const LABEL_KEY =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*[/])?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
export const MAX_LABEL_PREFIX_CHARS = 253;
export const MAX_LABEL_KEY_CHARS = MAX_LABEL_PREFIX_CHARS + 1 + 63;

/** `IsValidLabelValue`, whose 63 characters the schema bounds. */
export const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

/** DNS label of RFC 1035, as the name of a Service must be. */
export const SERVICE_NAME = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
/** `IsDNS1123Label`. */
export const PORT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
/** `IsValidPortName`, of a port of a container: with a letter in it, and no two - in a row. */
export const TARGET_PORT = /^([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

export const messages = {
  labelKey:
    'must be a label key: letters, digits, -, _ and ., at most 63, optionally behind a DNS name and /',
  labelValue:
    'must be label values: letters, digits, -, _ and ., beginning and ending with a letter or digit',
  emptySelector: 'selector must not be empty: every Pod of the namespace would be a candidate',
  selectsLabel:
    'leaderLabel must not stand in the selector: a Pod would stop or start being a candidate by leading',
  roomForSlots: `with more than one holder, key must be at most ${MAX_KEY_BYTES - MAX_SLOT_SUFFIX_BYTES} bytes, so that /${MAX_HOLDERS - 1} fits behind it`,
} as const;

const isLabelKey = (key: string) =>
  `${key}.matches('${LABEL_KEY.source}') && ${key}.indexOf('/') <= ${MAX_LABEL_PREFIX_CHARS}`;

const selector = 'self.candidates.selector';
const leaderLabel = `(has(self.leaderLabel) ? self.leaderLabel : '${DEFAULT_LEADER_LABEL}')`;

/** Rules on `spec`. */
export const LEASE_RULES: readonly CelRule[] = [
  ...keyRules,
  {
    rule: unless(
      'key',
      `!has(self.holders) || self.holders == 1 || bytes(self.key).size() <= ${MAX_KEY_BYTES - MAX_SLOT_SUFFIX_BYTES}`,
    ),
    message: messages.roomForSlots,
    fieldPath: '.key',
  },
  immutable('key'),
  {
    rule: unless('leaderLabel', isLabelKey('self.leaderLabel')),
    message: `leaderLabel ${messages.labelKey}`,
    fieldPath: '.leaderLabel',
  },
  {
    rule: `(!has(${selector}.matchLabels) || !(${leaderLabel} in ${selector}.matchLabels)) && (!has(${selector}.matchExpressions) || ${selector}.matchExpressions.all(one, one.key != ${leaderLabel}))`,
    message: messages.selectsLabel,
    fieldPath: '.leaderLabel',
  },
];

const isGiven = (field: string) => `(has(self.${field}) && size(self.${field}) > 0)`;

/** Rules on `spec.candidates.selector`. */
export const SELECTOR_RULES: readonly CelRule[] = [
  {
    rule: `${isGiven('matchLabels')} || ${isGiven('matchExpressions')}`,
    message: messages.emptySelector,
    fieldPath: '.matchLabels',
  },
  {
    rule: unless('matchLabels', `self.matchLabels.all(key, ${isLabelKey('key')})`),
    message: `names in matchLabels ${messages.labelKey}`,
    fieldPath: '.matchLabels',
  },
  {
    rule: unless(
      'matchLabels',
      `self.matchLabels.all(key, self.matchLabels[key].matches('${LABEL_VALUE.source}'))`,
    ),
    message: `values in matchLabels ${messages.labelValue}`,
    fieldPath: '.matchLabels',
  },
];

/** Rules on each of `matchExpressions`. */
export const REQUIREMENT_RULES: readonly CelRule[] = [
  { rule: isLabelKey('self.key'), message: `key ${messages.labelKey}`, fieldPath: '.key' },
  {
    rule: `!(self.operator in ['In', 'NotIn']) || ${isGiven('values')}`,
    message: 'In and NotIn need values',
    fieldPath: '.values',
  },
  {
    rule: `!(self.operator in ['Exists', 'DoesNotExist']) || !${isGiven('values')}`,
    message: 'Exists and DoesNotExist have no values',
    fieldPath: '.values',
  },
  {
    rule: unless('values', `self.values.all(value, value.matches('${LABEL_VALUE.source}'))`),
    message: `values ${messages.labelValue}`,
    fieldPath: '.values',
  },
];

/** Rules on `spec.session`. */
export const SESSION_RULES: readonly CelRule[] = [
  durationForm('ttl'),
  durationForm('lockDelay'),
  {
    rule: isWithin(
      'ttl',
      `duration(self.ttl) >= duration('${MIN_TTL}') && duration(self.ttl) <= duration('${MAX_TTL}')`,
    ),
    message: `ttl must be from ${MIN_TTL} to ${MAX_TTL}`,
    fieldPath: '.ttl',
  },
  {
    rule: isWithin('lockDelay', `duration(self.lockDelay) <= duration('${MAX_LOCK_DELAY}')`),
    message: `lockDelay must be from 0s to ${MAX_LOCK_DELAY}`,
    fieldPath: '.lockDelay',
  },
];

const protocolOf = (port: string) => `(has(${port}.protocol) ? ${port}.protocol : 'TCP')`;

/** Rules on `spec.service`. */
export const SERVICE_RULES: readonly CelRule[] = [
  {
    rule: `self.name.matches('${SERVICE_NAME.source}')`,
    message: 'name must be a DNS label that begins with a letter, as the name of a Service',
    fieldPath: '.name',
  },
  {
    rule: 'size(self.ports) == 1 || self.ports.all(port, has(port.name))',
    message: 'with more than one port, each needs a name',
    fieldPath: '.ports',
  },
  {
    rule: 'self.ports.all(port, !has(port.name) || self.ports.exists_one(other, has(other.name) && other.name == port.name))',
    message: 'no two ports may have the same name',
    fieldPath: '.ports',
  },
  {
    rule: `self.ports.all(port, self.ports.exists_one(other, other.port == port.port && ${protocolOf('other')} == ${protocolOf('port')}))`,
    message: 'no two ports may have the same port and protocol',
    fieldPath: '.ports',
  },
];

/** Rules on each of `spec.service.ports`. */
export const PORT_RULES: readonly CelRule[] = [
  {
    rule: unless('name', `self.name.matches('${PORT_NAME.source}')`),
    message: 'name must be a DNS label: lower-case letters, digits and -, neither first nor last a -',
    fieldPath: '.name',
  },
];
