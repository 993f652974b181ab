/**
 * The rules of a ConsulKV that one object alone can show, in CEL; `consulkv-problem.ts` holds the same rules in code.
 *
 * The API server bounds what a rule may cost: by estimate when the CRD is created (10 million units a rule), and by
 * count when an object is checked (1 million a rule). A regular expression costs a tenth of the text's length times
 * a quarter of its own, hence short ones; map keys are estimated as empty, so that rules on names are cheap to
 * declare, while a rule that reads every value is not: see `valueBytes`.
 */
import { MAX_KEY_BYTES } from '../../core/keys.ts';
import { type CelRule, immutable } from './common.ts';
import { keyRules, nameRules, prefixRules, subPathRules, unless } from './key-cel.ts';

/** Bytes a value may have, decoded: with its owner record it always fits into one transaction. */
export const MAX_VALUE_BYTES = 350_000;
/** Names that `data` and `binaryData` may each have. */
export const MAX_NAMES = 512;

const given = (field: string) => `(has(self.${field}) && size(self.${field}) > 0)`;
const shapeRules: readonly CelRule[] = [
  {
    rule: 'has(self.key) != has(self.prefix)',
    message: 'exactly one of key and prefix must be set',
    fieldPath: '.key',
  },
  {
    rule: unless('key', 'has(self.value) != has(self.valueFrom)'),
    message: 'with key, exactly one of value and valueFrom must be set',
    fieldPath: '.value',
  },
  ...(['data', 'binaryData', 'dataFrom'] as const).map(field => ({
    rule: unless('key', `!${given(field)}`),
    message: `${field} needs prefix; a single key has value or valueFrom`,
    fieldPath: `.${field}`,
  })),
  {
    rule: unless('prefix', `${given('data')} || ${given('binaryData')} || ${given('dataFrom')}`),
    message: 'with prefix, at least one of data, binaryData and dataFrom must be set and not empty',
    fieldPath: '.data',
  },
  ...(['value', 'valueFrom'] as const).map(field => ({
    rule: unless('prefix', `!has(self.${field})`),
    message: `${field} needs key; a tree has data, binaryData or dataFrom`,
    fieldPath: `.${field}`,
  })),
  ...(['exclusive', 'atomic'] as const).map(field => ({
    rule: unless('key', `!has(self.${field}) || !self.${field}`),
    message: `${field} needs prefix`,
    fieldPath: `.${field}`,
  })),
  immutable('key'),
  immutable('prefix'),
];

/**
 * No value is over the limit in bytes. Asking this of every value would be estimated at 512 values of full length and
 * refused as too dear. But only values of more than a quarter of the limit in characters can be over it in bytes, and
 * a request holds no more than 36 such (the API server reads 3 MiB): so these are listed, and 36 places looked at.
 */
function valueBytes(): string {
  const places = Array.from({ length: 36 }, (_, place) => place).join(', ');
  const long = `self.data.filter(name, size(self.data[name]) > ${MAX_VALUE_BYTES / 4})`;
  const fits = `bytes(self.data[long[place]]).size() <= ${MAX_VALUE_BYTES}`;
  return `[${long}].all(long, [${places}].all(place, place >= size(long) || ${fits}))`;
}

/** Length of what a base64 text stands for. */
const decodedBytes = (text: string) =>
  `size(${text}) / 4 * 3 - (${text}.endsWith('==') ? 2 : ${text}.endsWith('=') ? 1 : 0)`;

const valueRules: readonly CelRule[] = [
  {
    rule: unless('value', `bytes(self.value).size() <= ${MAX_VALUE_BYTES}`),
    message: `value must be at most ${MAX_VALUE_BYTES} bytes`,
    fieldPath: '.value',
  },
  {
    rule: unless('data', valueBytes()),
    message: `values in data must be at most ${MAX_VALUE_BYTES} bytes`,
    fieldPath: '.data',
  },
  {
    rule: unless(
      'binaryData',
      `self.binaryData.all(name, ${decodedBytes('self.binaryData[name]')} <= ${MAX_VALUE_BYTES})`,
    ),
    message: `values in binaryData must be at most ${MAX_VALUE_BYTES} bytes when decoded`,
    fieldPath: '.binaryData',
  },
  {
    rule: '!has(self.data) || !has(self.binaryData) || self.data.all(name, !(name in self.binaryData))',
    message: 'a name may stand in data or in binaryData, not in both',
    fieldPath: '.binaryData',
  },
];

/** Rules on `spec`. */
export const CONSUL_KV_RULES: readonly CelRule[] = [
  ...shapeRules,
  ...keyRules,
  ...prefixRules,
  ...nameRules('data'),
  ...nameRules('binaryData'),
  ...valueRules,
  {
    rule: unless(
      'dataFrom',
      `self.dataFrom.all(source, !has(self.prefix) || !has(source.prefix) || bytes(self.prefix + source.prefix).size() < ${MAX_KEY_BYTES})`,
    ),
    message: `prefix of the tree and prefix of a source must be under ${MAX_KEY_BYTES} bytes together, so that a name fits behind them`,
    fieldPath: '.dataFrom',
  },
];

/** Rules on `spec.valueFrom`. */
export const VALUE_FROM_RULES: readonly CelRule[] = [
  {
    rule: 'has(self.configMapKeyRef) != has(self.secretKeyRef)',
    message: 'exactly one of configMapKeyRef and secretKeyRef must be set',
    fieldPath: '.configMapKeyRef',
  },
];

/** Rules on each of `spec.dataFrom`. */
export const DATA_FROM_RULES: readonly CelRule[] = [
  {
    rule: 'has(self.configMapRef) != has(self.secretRef)',
    message: 'exactly one of configMapRef and secretRef must be set',
    fieldPath: '.configMapRef',
  },
  ...subPathRules,
];

/** A name of a ConfigMap or Secret, RFC 1123. */
export const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** A key within a ConfigMap or Secret. */
export const SOURCE_KEY = /^[-._a-zA-Z0-9]+$/;

/** Rules on whatever names a ConfigMap or Secret. */
export const REFERENCE_RULES: readonly CelRule[] = [
  {
    rule: `self.name.matches('${OBJECT_NAME.source}')`,
    message:
      'name must be a name of a ConfigMap or Secret: lower-case letters, digits, - and ., each part beginning and ending with a letter or digit',
    fieldPath: '.name',
  },
];

/** Rules on whatever names a key within a ConfigMap or Secret. */
export const KEY_REFERENCE_RULES: readonly CelRule[] = [
  ...REFERENCE_RULES,
  {
    rule: `self.key.matches('${SOURCE_KEY.source}') && self.key != '.' && !self.key.startsWith('..')`,
    message:
      'key must be a key of a ConfigMap or Secret: letters, digits, -, _ and ., not . alone and not beginning with ..',
    fieldPath: '.key',
  },
];
