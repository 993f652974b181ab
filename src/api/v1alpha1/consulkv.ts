import { z } from 'zod';
import { specObject, statusObject } from './common.ts';
import {
  CONSUL_KV_RULES,
  DATA_FROM_RULES,
  KEY_REFERENCE_RULES,
  MAX_NAMES,
  MAX_VALUE_BYTES,
  REFERENCE_RULES,
  VALUE_FROM_RULES,
} from './consulkv-cel.ts';
import { specProblem } from './consulkv-problem.ts';
import { COLUMNS, type KindDefinition } from './definition.ts';
import {
  isObject,
  issueSentence,
  type Parsed,
  type ParsedSpec,
  parseResource,
  type Resource,
} from './resource.ts';

const objectName = (what: string) =>
  z.string().min(1).max(253).describe(`Name of the ${what}, in the namespace of this resource.`);

const optional = (what: string) =>
  z
    .boolean()
    .exactOptional()
    .describe(`True: a missing ${what} counts as empty instead of stopping the resource. Defaults to false.`);

const keyRef = (what: string) =>
  z
    .object({
      name: objectName(what),
      key: z.string().min(1).max(253).describe(`Key within the ${what}.`),
      optional: z
        .boolean()
        .exactOptional()
        .describe(
          `True: when the ${what} or the key in it is missing, nothing is declared and the key is removed from Consul, instead of stopping the resource. Defaults to false.`,
        ),
    })
    .exactOptional()
    .meta({ description: `A key of a ${what}.`, 'x-kubernetes-validations': KEY_REFERENCE_RULES });

const sourceRef = (what: string) =>
  z
    .object({ name: objectName(what), optional: optional(what) })
    .exactOptional()
    .meta({ description: `All entries of a ${what}.`, 'x-kubernetes-validations': REFERENCE_RULES });

const valueFrom = z
  .object({ configMapKeyRef: keyRef('ConfigMap'), secretKeyRef: keyRef('Secret') })
  .exactOptional()
  .meta({
    description:
      'Where the value of key comes from: exactly one source. A change there reaches Consul by itself.',
    'x-kubernetes-validations': VALUE_FROM_RULES,
  });

const dataFromEntry = z
  .object({
    configMapRef: sourceRef('ConfigMap'),
    secretRef: sourceRef('Secret'),
    prefix: z
      .string()
      .max(512)
      .exactOptional()
      .describe(
        'Sub-path, put between the prefix of the tree and each name of the source. Ends with "/". Defaults to none.',
      ),
  })
  .meta({
    description: 'One ConfigMap or Secret, all of whose entries become keys.',
    'x-kubernetes-validations': DATA_FROM_RULES,
  });

/** Longest base64 text of a value of MAX_VALUE_BYTES. */
const MAX_BASE64_CHARS = Math.ceil(MAX_VALUE_BYTES / 3) * 4;
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const textValue = z.string().max(MAX_VALUE_BYTES).describe('Value of the key, as text.');
const base64Value = z
  .string()
  .max(MAX_BASE64_CHARS)
  .regex(BASE64, 'is not base64')
  .describe('Value of the key, any bytes, in base64.');

const keyRulesText =
  'Printable, no empty, "." or ".." segment, no "/" in front, no "%", no space at an edge, at most 512 bytes, not under "proconsul/" or "proconsul-private/"';

const specSchema = specObject(
  {
    key: z
      .string()
      .min(1)
      .max(512)
      .exactOptional()
      .describe(
        `The one key to declare; exactly one of key and prefix. ${keyRulesText}; does not end with "/". Cannot be changed: make a new resource instead.`,
      ),
    prefix: z
      .string()
      .min(1)
      .max(512)
      .exactOptional()
      .describe(
        `The folder of a tree of keys; exactly one of key and prefix. Ends with "/". ${keyRulesText}. Cannot be changed: make a new resource instead.`,
      ),
    value: z
      .string()
      .max(MAX_VALUE_BYTES)
      .exactOptional()
      .describe(
        'Value of key, as text; may be empty. At most 350,000 bytes. With key, exactly one of value and valueFrom.',
      ),
    valueFrom,
    data: z.record(z.string(), textValue).exactOptional().meta({
      description:
        'Keys of the tree, by name, with their values as text. A name is put behind prefix, may contain "/" and is bound by the rules for keys. At most 512; each value at most 350,000 bytes. Wins over dataFrom.',
      maxProperties: MAX_NAMES,
    }),
    binaryData: z.record(z.string(), base64Value).exactOptional().meta({
      description:
        'Like data, with the values in base64: for bytes that are no text. A name stands in data or here, not in both. At most 512; each value at most 350,000 bytes when decoded.',
      maxProperties: MAX_NAMES,
    }),
    dataFrom: z.array(dataFromEntry).max(32).exactOptional().meta({
      description:
        'ConfigMaps and Secrets whose entries become keys of the tree. Later ones win over earlier ones; data and binaryData win over all. A change there reaches Consul by itself. With them a tree has at most 10,000 keys and 8,000,000 bytes of keys and values, else the reason is TooLarge.',
      'x-kubernetes-list-type': 'atomic',
    }),
    exclusive: z
      .boolean()
      .exactOptional()
      .describe(
        'True: keys under prefix that no resource declares are removed. Keys that stand there when the prefix is first claimed are removed only with adoptionPolicy: Always; otherwise the resource stops with AlreadyExists. Keys that hold a session or belong to another resource are never removed. Defaults to false.',
      ),
    atomic: z
      .boolean()
      .exactOptional()
      .describe(
        'True: the whole tree changes in one Consul transaction, or not at all, with the reason TooLarge: at most 110 keys and 350,000 bytes of keys and values in all, and 499,000 bytes as a transaction, where a value takes 4/3 and a key 7/3 of its bytes and every key 130 bytes more. Defaults to false: one transaction whenever it fits, else several, removals last.',
      ),
    flags: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .exactOptional()
      .describe(
        'Number that Consul stores beside each value for the use of applications, 0 to 9007199254740991. Defaults to 0.',
      ),
  },
  CONSUL_KV_RULES,
);

const statusSchema = statusObject({
  keys: z.int().min(0).exactOptional().describe('How many keys this resource owns in Consul.'),
  hash: z
    .string()
    .exactOptional()
    .describe(
      "Fingerprint of the declared keys and values (HMAC under a key of the operator's own): it changes when they do and says nothing about them.",
    ),
});

/** As `specSchema`, with Maps: zod leaves a name `__proto__` out of a record. */
const readSchema = specSchema.extend({
  data: z.map(z.string(), textValue).exactOptional(),
  binaryData: z.map(z.string(), base64Value).exactOptional(),
});

/**
 * The spec as declared, without defaults. `data` and `binaryData` are Maps because their names are the user's:
 * `__proto__` and `constructor` are legal ones. Values of `binaryData` are in base64, as written.
 */
export type ConsulKVSpec = Readonly<z.output<typeof readSchema>>;
export type ConsulKVStatus = Readonly<z.output<typeof statusSchema>>;
export type ConsulKV = Resource<ConsulKVSpec, ConsulKVStatus>;

/** Reads a ConsulKV as the API server hands it out and holds it to every rule of the CRD. Never throws. */
export function parseConsulKV(object: unknown): Parsed<ConsulKVSpec, ConsulKVStatus> {
  return parseResource(object, { spec: parseSpec, status: statusSchema });
}

function parseSpec(raw: unknown): ParsedSpec<ConsulKVSpec> {
  const parsed = readSchema.safeParse(withMaps(raw));
  if (!parsed.success) return { ok: false, problem: issueSentence(parsed.error, 'spec') };
  const problem = specProblem(parsed.data);
  return problem === undefined ? { ok: true, value: parsed.data } : { ok: false, problem };
}

function withMaps(raw: unknown): unknown {
  if (!isObject(raw)) return raw;
  const { data, binaryData, ...fields } = raw;
  return { ...fields, ...mapField('data', data), ...mapField('binaryData', binaryData) };
}

function mapField(field: string, value: unknown): object {
  if (value === undefined) return {};
  return { [field]: isObject(value) ? new Map(Object.entries(value)) : value };
}

export const consulKV: KindDefinition = {
  kind: 'ConsulKV',
  plural: 'consulkvs',
  singular: 'consulkv',
  shortNames: ['ckv'],
  description:
    "Keys and values that Consul's key/value store should hold: one key, or a tree of keys under a prefix.",
  spec: specSchema,
  status: statusSchema,
  columns: [
    COLUMNS.ready,
    COLUMNS.reason,
    {
      name: 'Path',
      type: 'string',
      jsonPath: ".spec['key','prefix']",
      description: 'The key, or the prefix of the tree.',
    },
    {
      name: 'Keys',
      type: 'integer',
      jsonPath: '.status.keys',
      description: 'How many keys are owned in Consul.',
    },
    COLUMNS.drift,
    COLUMNS.age,
    COLUMNS.message,
    COLUMNS.lastApplied,
  ],
  selectableFields: ['.spec.key', '.spec.prefix', '.spec.datacenter'],
};
