import { keyProblem, MAX_KEY_BYTES, prefixProblem } from '../../core/keys.ts';
import { DNS_LABEL } from './common.ts';
import type { ConsulKVSpec } from './consulkv.ts';
import { MAX_NAMES, MAX_VALUE_BYTES, OBJECT_NAME, SOURCE_KEY } from './consulkv-cel.ts';
import { first } from './problems.ts';
import { quoted } from './resource.ts';

/**
 * The rules of `consulkv-cel.ts` once more, in code: a spec may have been stored before the API server knew a rule.
 * Says what is wrong with the first field that breaks one, in a sentence that starts with its path. A test runs both
 * against the same specs.
 */
export function specProblem(spec: ConsulKVSpec): string | undefined {
  return (
    datacenterProblem(spec) ??
    (spec.key === undefined ? treeProblem(spec, spec.prefix) : singleKeyProblem(spec, spec.key))
  );
}

function datacenterProblem({ datacenter }: ConsulKVSpec): string | undefined {
  if (datacenter === undefined || DNS_LABEL.test(datacenter)) return undefined;
  return 'spec.datacenter is not a DNS label';
}

function singleKeyProblem(spec: ConsulKVSpec, key: string): string | undefined {
  if (spec.prefix !== undefined) return 'spec.key and spec.prefix are both set; exactly one of them must be';
  const treeField = treeFieldOf(spec);
  if (treeField !== undefined) return `spec.${treeField} needs prefix; a single key has value or valueFrom`;
  return at('spec.key', keyProblem(key)) ?? valueProblem(spec) ?? valueFromProblem(spec.valueFrom);
}

function treeFieldOf(spec: ConsulKVSpec): string | undefined {
  const lists = (['data', 'binaryData', 'dataFrom'] as const).find(field => sizeOf(spec[field]) > 0);
  return lists ?? (['exclusive', 'atomic'] as const).find(field => spec[field] === true);
}

function sizeOf(field: ReadonlyMap<string, string> | readonly unknown[] | undefined): number {
  if (field === undefined) return 0;
  return 'size' in field ? field.size : field.length;
}

function valueProblem({ value, valueFrom }: ConsulKVSpec): string | undefined {
  if ((value === undefined) === (valueFrom === undefined)) {
    return 'spec.value: with key, exactly one of value and valueFrom must be set';
  }
  return value !== undefined && Buffer.byteLength(value) > MAX_VALUE_BYTES
    ? tooLong('spec.value')
    : undefined;
}

function valueFromProblem(valueFrom: ConsulKVSpec['valueFrom']): string | undefined {
  if (valueFrom === undefined) return undefined;
  const { configMapKeyRef, secretKeyRef } = valueFrom;
  const path = 'spec.valueFrom';
  if ((configMapKeyRef === undefined) === (secretKeyRef === undefined)) {
    return `${path}: exactly one of configMapKeyRef and secretKeyRef must be set`;
  }
  return (
    referenceProblem(`${path}.configMapKeyRef`, configMapKeyRef) ??
    referenceProblem(`${path}.secretKeyRef`, secretKeyRef)
  );
}

function referenceProblem(
  path: string,
  reference: { readonly name: string; readonly key?: string } | undefined,
): string | undefined {
  if (reference === undefined) return undefined;
  const { name, key } = reference;
  if (!OBJECT_NAME.test(name)) return `${path}.name is not a name of a ConfigMap or Secret`;
  if (key !== undefined && !isSourceKey(key)) return `${path}.key is not a key of a ConfigMap or Secret`;
  return undefined;
}

/** As Kubernetes allows in a ConfigMap (`IsConfigMapKey`). */
function isSourceKey(key: string): boolean {
  return SOURCE_KEY.test(key) && key !== '.' && !key.startsWith('..');
}

function treeProblem(spec: ConsulKVSpec, prefix: string | undefined): string | undefined {
  if (prefix === undefined) return 'spec.key: exactly one of key and prefix must be set';
  const keyField = (['value', 'valueFrom'] as const).find(field => spec[field] !== undefined);
  if (keyField !== undefined) return `spec.${keyField} needs key; a tree has data, binaryData or dataFrom`;
  const { data = new Map<string, string>(), binaryData = new Map<string, string>(), dataFrom = [] } = spec;
  if (data.size + binaryData.size + dataFrom.length === 0) {
    return 'spec.data: with prefix, at least one of data, binaryData and dataFrom must be set and not empty';
  }
  return (
    at('spec.prefix', folderProblem(prefix)) ??
    namesProblem('spec.data', prefix, data, value => Buffer.byteLength(value)) ??
    namesProblem('spec.binaryData', prefix, binaryData, decodedLength) ??
    twiceProblem(data, binaryData) ??
    first(dataFrom, (source, index) => sourceProblem(`spec.dataFrom[${index}]`, prefix, source))
  );
}

function namesProblem(
  path: string,
  prefix: string,
  values: ReadonlyMap<string, string>,
  byteLength: (value: string) => number,
): string | undefined {
  if (values.size > MAX_NAMES) return `${path} has more than ${MAX_NAMES} names`;
  return first(values, ([name, value]) => {
    const namePath = `${path}[${quoted(name)}]`;
    const problem = at(namePath, name === '' ? 'is empty' : keyProblem(prefix + name));
    return problem ?? (byteLength(value) > MAX_VALUE_BYTES ? tooLong(namePath) : undefined);
  });
}

function decodedLength(base64: string): number {
  return Buffer.byteLength(base64, 'base64');
}

function twiceProblem(
  data: ReadonlyMap<string, string>,
  binaryData: ReadonlyMap<string, string>,
): string | undefined {
  return first(data.keys(), name =>
    binaryData.has(name) ? `spec.binaryData[${quoted(name)}] stands in spec.data too` : undefined,
  );
}

type Source = NonNullable<ConsulKVSpec['dataFrom']>[number];

function sourceProblem(path: string, treePrefix: string, source: Source): string | undefined {
  const { configMapRef, secretRef, prefix = '' } = source;
  if ((configMapRef === undefined) === (secretRef === undefined)) {
    return `${path}: exactly one of configMapRef and secretRef must be set`;
  }
  return (
    referenceProblem(`${path}.configMapRef`, configMapRef) ??
    referenceProblem(`${path}.secretRef`, secretRef) ??
    at(`${path}.prefix`, subPathProblem(treePrefix, prefix))
  );
}

function subPathProblem(treePrefix: string, prefix: string): string | undefined {
  return prefix === '' ? undefined : folderProblem(treePrefix + prefix);
}

/** A folder is full when no name fits behind it. */
function folderProblem(path: string): string | undefined {
  if (Buffer.byteLength(path) >= MAX_KEY_BYTES)
    return `leaves no room for a name within ${MAX_KEY_BYTES} bytes`;
  return prefixProblem(path);
}

function tooLong(path: string): string {
  return `${path} is longer than ${MAX_VALUE_BYTES} bytes`;
}

function at(path: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${path} ${problem}`;
}
