import type { ConsulKVSpec } from '../../api/v1alpha1/consulkv.ts';
import { MAX_VALUE_BYTES } from '../../api/v1alpha1/consulkv-cel.ts';
import { keyProblem } from '../../core/keys.ts';
import type { Content } from '../../ownership/fingerprint.ts';

/** What one resource may declare, sources included: each is held in memory for the length of a turn. */
const MAX_TREE_KEYS = 10_000;
const MAX_TREE_BYTES = 8_000_000;

/** One ConfigMap or Secret that a spec refers to, in the resource's own namespace. */
export interface SourceRef {
  readonly kind: 'ConfigMap' | 'Secret';
  readonly name: string;
}

/** What reading a source gave. `forbidden`: the operator may not read Secrets there. */
export type Source =
  | { readonly kind: 'found'; readonly data: ReadonlyMap<string, Buffer> }
  | { readonly kind: 'missing' }
  | { readonly kind: 'forbidden' };

export type Sources = (ref: SourceRef) => Source;

/** The keys a resource wants in Consul, whole. */
export interface DesiredKv {
  readonly contents: ReadonlyMap<string, Content>;
  /** The prefix below which nothing else may stand, if the spec says so. */
  readonly exclusive: string | undefined;
  readonly atomic: boolean;
}

export type DesireResult =
  | { readonly kind: 'desired'; readonly desired: DesiredKv }
  | { readonly kind: 'wait'; readonly reason: 'SourceNotFound' | 'SourceForbidden'; readonly message: string }
  | { readonly kind: 'refuse'; readonly reason: 'InvalidSpec' | 'TooLarge'; readonly message: string };

/** Every source the spec mentions, optional ones too. */
export function sourceRefs(spec: ConsulKVSpec): SourceRef[] {
  const refs: SourceRef[] = [];
  const { configMapKeyRef, secretKeyRef } = spec.valueFrom ?? {};
  if (configMapKeyRef) refs.push({ kind: 'ConfigMap', name: configMapKeyRef.name });
  if (secretKeyRef) refs.push({ kind: 'Secret', name: secretKeyRef.name });
  for (const { configMapRef, secretRef } of spec.dataFrom ?? []) {
    if (configMapRef) refs.push({ kind: 'ConfigMap', name: configMapRef.name });
    if (secretRef) refs.push({ kind: 'Secret', name: secretRef.name });
  }
  return refs;
}

/** What Consul should hold for this spec, given its sources. */
export function desireKv(spec: ConsulKVSpec, sources: Sources): DesireResult {
  const collected =
    spec.key === undefined ? collectTree(spec, sources) : collectSingle(spec.key, spec, sources);
  if (collected.kind !== 'values') return collected;
  const flags = BigInt(spec.flags ?? 0);
  const contents = new Map<string, Content>();
  let bytes = 0;
  for (const [key, value] of collected.values) {
    bytes += Buffer.byteLength(key) + value.length;
    const problem = keyProblem(key);
    if (problem !== undefined) {
      return { kind: 'refuse', reason: 'InvalidSpec', message: `key ${JSON.stringify(key)} ${problem}` };
    }
    if (value.length > MAX_VALUE_BYTES) {
      const message = `the value of ${key} has ${value.length} bytes; at most ${MAX_VALUE_BYTES} fit`;
      return { kind: 'refuse', reason: 'TooLarge', message };
    }
    contents.set(key, { value, flags });
  }
  if (bytes > MAX_TREE_BYTES) return tooLarge(`${bytes} bytes of keys and values, at most ${MAX_TREE_BYTES}`);
  const exclusive = spec.exclusive === true ? spec.prefix : undefined;
  return { kind: 'desired', desired: { contents, exclusive, atomic: spec.atomic ?? false } };
}

type Collected =
  | { readonly kind: 'values'; readonly values: ReadonlyMap<string, Buffer> }
  | Exclude<DesireResult, { kind: 'desired' }>;

function collectSingle(key: string, spec: ConsulKVSpec, sources: Sources): Collected {
  if (spec.value !== undefined) return { kind: 'values', values: new Map([[key, Buffer.from(spec.value)]]) };
  const { configMapKeyRef, secretKeyRef } = spec.valueFrom ?? {};
  const wanted = configMapKeyRef ?? secretKeyRef;
  if (wanted === undefined) {
    return {
      kind: 'refuse',
      reason: 'InvalidSpec',
      message: 'spec: with key, one of value and valueFrom is needed',
    };
  }
  const ref: SourceRef = { kind: configMapKeyRef ? 'ConfigMap' : 'Secret', name: wanted.name };
  const source = sources(ref);
  if (source.kind === 'forbidden') return forbidden(ref);
  const value = source.kind === 'found' ? source.data.get(wanted.key) : undefined;
  if (value !== undefined) return { kind: 'values', values: new Map([[key, value]]) };
  // An optional value that is missing leaves the resource with nothing to declare, as an optional env var does.
  if (wanted.optional === true) return { kind: 'values', values: new Map() };
  const what =
    source.kind === 'found' ? `key ${wanted.key} in ${ref.kind} ${ref.name}` : `${ref.kind} ${ref.name}`;
  return { kind: 'wait', reason: 'SourceNotFound', message: `${what} does not exist` };
}

/** Later `dataFrom` entries win over earlier ones; `binaryData` and `data` win over all. */
function collectTree(spec: ConsulKVSpec, sources: Sources): Collected {
  const prefix = spec.prefix ?? '';
  const values = new Map<string, Buffer>();
  for (const entry of spec.dataFrom ?? []) {
    const wanted = entry.configMapRef ?? entry.secretRef;
    if (wanted === undefined) continue;
    const ref: SourceRef = { kind: entry.configMapRef ? 'ConfigMap' : 'Secret', name: wanted.name };
    const source = sources(ref);
    if (source.kind === 'forbidden') return forbidden(ref);
    if (source.kind === 'missing') {
      if (wanted.optional === true) continue;
      return { kind: 'wait', reason: 'SourceNotFound', message: `${ref.kind} ${ref.name} does not exist` };
    }
    for (const [name, value] of source.data) values.set(`${prefix}${entry.prefix ?? ''}${name}`, value);
    if (values.size > MAX_TREE_KEYS) break;
  }
  for (const [name, value] of spec.binaryData ?? []) values.set(prefix + name, Buffer.from(value, 'base64'));
  for (const [name, value] of spec.data ?? []) values.set(prefix + name, Buffer.from(value));
  if (values.size > MAX_TREE_KEYS) return tooLarge(`more than ${MAX_TREE_KEYS} keys`);
  return { kind: 'values', values };
}

function tooLarge(what: string): Extract<DesireResult, { kind: 'refuse' }> {
  const message = `the tree has ${what}: split it over several resources, with fewer entries of dataFrom each`;
  return { kind: 'refuse', reason: 'TooLarge', message };
}

function forbidden({ kind, name }: SourceRef): Collected {
  const wayOut =
    kind === 'Secret'
      ? 'add the namespace to the chart value secrets.namespaces'
      : 'its Role lacks get, list and watch on configmaps';
  const message = `the operator may not read ${kind} ${name} in this namespace: ${wayOut}`;
  return { kind: 'wait', reason: 'SourceForbidden', message };
}
