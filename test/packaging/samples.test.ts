import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type ConsulKVSpec, parseConsulKV } from '../../src/api/v1alpha1/consulkv.ts';

const folder = join(import.meta.dirname, '../../manifests/samples');

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: unknown;
}

interface Sample {
  readonly file: string;
  readonly manifests: readonly Manifest[];
}

async function readSample(file: string): Promise<Sample> {
  const text = await readFile(join(folder, file), 'utf8');
  return { file, manifests: parseAllDocuments(text).map(document => document.toJS() as Manifest) };
}

const files = (await readdir(folder)).filter(file => file.startsWith('consulkv-'));
const samples = await Promise.all(files.map(readSample));

function specOf(manifest: Manifest): ConsulKVSpec {
  const metadata = {
    namespace: 'default',
    uid: 'u',
    resourceVersion: '1',
    generation: 1,
    ...manifest.metadata,
  };
  const parsed = parseConsulKV({ ...manifest, metadata });
  if (!parsed.ok) throw new Error(`${manifest.metadata.name}: ${parsed.problem}`);
  return parsed.value.spec;
}

const specsOf = (sample: Sample) => sample.manifests.filter(({ kind }) => kind === 'ConsulKV').map(specOf);

/** `ConfigMap orders`: everything a spec refers to. */
function referencesOf(spec: ConsulKVSpec): string[] {
  const sources = [spec.valueFrom ?? {}, ...(spec.dataFrom ?? [])];
  return sources.flatMap(source =>
    Object.entries(source).flatMap(([field, reference]) =>
      typeof reference === 'string'
        ? []
        : [`${field.startsWith('secret') ? 'Secret' : 'ConfigMap'} ${reference.name}`],
    ),
  );
}

describe.each(samples)('$file', sample => {
  test('declares a ConsulKV that keeps every rule', () => {
    expect(specsOf(sample).length).toBeGreaterThan(0);
  });

  test('brings what it refers to', () => {
    const brought = sample.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    expect(brought).toEqual(expect.arrayContaining(specsOf(sample).flatMap(referencesOf)));
  });

  test('names no namespace, so that it applies in any one', () => {
    expect(sample.manifests.filter(({ metadata }) => metadata.namespace !== undefined)).toEqual([]);
  });
});

test('no two samples share a path or a name', () => {
  const paths = samples.flatMap(specsOf).map(spec => spec.key ?? spec.prefix ?? '');
  const nested = paths.filter((path, at) =>
    paths.some((other, place) => place !== at && path.startsWith(other)),
  );
  expect(nested).toEqual([]);
  const names = samples.flatMap(({ manifests }) =>
    manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  );
  expect(new Set(names).size).toBe(names.length);
});
