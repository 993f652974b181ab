/**
 * The rules for keys (`core/keys.ts`) in CEL, as far as one field shows them. A rule on each segment is a rule on the
 * whole, so a tree's prefix and its names can be judged apart; only their length and edges belong together.
 */
import { MAX_KEY_BYTES } from '../../core/keys.ts';
import type { CelRule } from './common.ts';

/** What Go's unicode.IsPrint refuses, and with it Consul's HTTP API; and the characters that stand for lost ones. */
const UNPRINTABLE = String.raw`[^\\pL\\pM\\pN\\pP\\pS ]|[\\x{fffc}\\x{fffd}]`;
const BAD_SEGMENT = '(^|/)[.]{0,2}(/|$)';
const RESERVED = '^proconsul(-private)?(/|$)';

/** A rule for when the field is there. */
export const unless = (field: string, rule: string) => `!has(self.${field}) || ${rule}`;

const pathMessages = {
  printable:
    'must be printable: no control, bidi, invisible or unassigned characters, no space but the ordinary one',
  percent: 'must not contain %',
  space: 'must not begin or end with a space',
  reserved: 'must not be under proconsul/ or proconsul-private/, which belong to the operator',
};

function pathRules(field: 'key' | 'prefix'): readonly CelRule[] {
  const path = `self.${field}`;
  const fieldPath = `.${field}`;
  const rule = (condition: string, message: string) => ({
    rule: unless(field, condition),
    message: `${field} ${message}`,
    fieldPath,
  });
  return [
    rule(`!${path}.matches('${UNPRINTABLE}')`, pathMessages.printable),
    rule(`!${path}.contains('%')`, pathMessages.percent),
    rule(`!${path}.matches('${RESERVED}')`, pathMessages.reserved),
  ];
}

/** Rules on `key`. */
export const keyRules: readonly CelRule[] = [
  ...pathRules('key'),
  {
    rule: unless('key', `bytes(self.key).size() <= ${MAX_KEY_BYTES}`),
    message: `key must be at most ${MAX_KEY_BYTES} bytes`,
    fieldPath: '.key',
  },
  {
    rule: unless('key', `!self.key.matches('${BAD_SEGMENT}')`),
    message: 'key must not begin or end with / and must have no empty, . or .. segment',
    fieldPath: '.key',
  },
  {
    rule: unless('key', "!self.key.startsWith(' ') && !self.key.endsWith(' ')"),
    message: `key ${pathMessages.space}`,
    fieldPath: '.key',
  },
];

/** Rules on the `prefix` of a tree. */
export const prefixRules: readonly CelRule[] = [
  ...pathRules('prefix'),
  {
    rule: unless('prefix', `bytes(self.prefix).size() < ${MAX_KEY_BYTES}`),
    message: `prefix must be under ${MAX_KEY_BYTES} bytes, so that a name fits behind it`,
    fieldPath: '.prefix',
  },
  {
    rule: unless('prefix', "self.prefix.endsWith('/')"),
    message: 'prefix must end with /',
    fieldPath: '.prefix',
  },
  {
    rule: unless('prefix', "!('/' + self.prefix).matches('/[.]{0,2}/')"),
    message: 'prefix must not begin with / and must have no empty, . or .. segment',
    fieldPath: '.prefix',
  },
  {
    rule: unless('prefix', "!self.prefix.startsWith(' ') && !self.prefix.endsWith(' /')"),
    message: `prefix ${pathMessages.space}`,
    fieldPath: '.prefix',
  },
];

/** Rules on the names in a map; with the prefix before them they are keys. */
export function nameRules(field: 'data' | 'binaryData'): readonly CelRule[] {
  const rule = (condition: string, message: string) => ({
    rule: unless(field, `self.${field}.all(name, ${condition})`),
    message: `names in ${field} ${message}`,
    fieldPath: `.${field}`,
  });
  return [
    rule(`!name.matches('${UNPRINTABLE}')`, pathMessages.printable),
    rule("!name.contains('%')", pathMessages.percent),
    rule(
      `!name.matches('${BAD_SEGMENT}')`,
      'must not be empty, must not begin or end with / and must have no empty, . or .. segment',
    ),
    rule("!name.endsWith(' ')", 'must not end with a space'),
    rule(
      `!has(self.prefix) || bytes(self.prefix + name).size() <= ${MAX_KEY_BYTES}`,
      `must be at most ${MAX_KEY_BYTES} bytes together with the prefix`,
    ),
  ];
}

const subPath = (condition: string) => `!has(self.prefix) || self.prefix == '' || ${condition}`;

/** Rules on the `prefix` of a source: a sub-path, or empty. */
export const subPathRules: readonly CelRule[] = [
  {
    rule: `!has(self.prefix) || !self.prefix.matches('${UNPRINTABLE}')`,
    message: `prefix of a source ${pathMessages.printable}`,
    fieldPath: '.prefix',
  },
  {
    rule: "!has(self.prefix) || !self.prefix.contains('%')",
    message: `prefix of a source ${pathMessages.percent}`,
    fieldPath: '.prefix',
  },
  {
    rule: subPath("self.prefix.endsWith('/')"),
    message: 'prefix of a source must end with /',
    fieldPath: '.prefix',
  },
  {
    rule: subPath("!('/' + self.prefix).matches('/[.]{0,2}/')"),
    message: 'prefix of a source must not begin with / and must have no empty, . or .. segment',
    fieldPath: '.prefix',
  },
  {
    rule: subPath("!self.prefix.endsWith(' /')"),
    message: 'prefix of a source must not end with a space',
    fieldPath: '.prefix',
  },
];
