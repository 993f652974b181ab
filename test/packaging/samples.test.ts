import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { CommonStatus } from '../../src/api/v1alpha1/common.ts';
import { type ConsulIntentionSpec, parseConsulIntention } from '../../src/api/v1alpha1/consulintention.ts';
import { type ConsulKVSpec, parseConsulKV } from '../../src/api/v1alpha1/consulkv.ts';
import { type ConsulServiceSpec, parseConsulService } from '../../src/api/v1alpha1/consulservice.ts';
import type { Parsed } from '../../src/api/v1alpha1/resource.ts';

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

const files = (await readdir(folder, { recursive: true })).filter(file => file.endsWith('.yaml'));
const samples = await Promise.all(files.map(readSample));

function specOf<Spec>(manifest: Manifest, parse: (object: unknown) => Parsed<Spec, CommonStatus>): Spec {
  const metadata = {
    namespace: 'default',
    uid: 'u',
    resourceVersion: '1',
    generation: 1,
    ...manifest.metadata,
  };
  const parsed = parse({ ...manifest, metadata });
  if (!parsed.ok) throw new Error(`${manifest.metadata.name}: ${parsed.problem}`);
  return parsed.value.spec;
}

const ofKind = (sample: Sample, wanted: string) => sample.manifests.filter(({ kind }) => kind === wanted);
const kvsOf = (sample: Sample): ConsulKVSpec[] =>
  ofKind(sample, 'ConsulKV').map(manifest => specOf(manifest, parseConsulKV));
const servicesOf = (sample: Sample): ConsulServiceSpec[] =>
  ofKind(sample, 'ConsulService').map(manifest => specOf(manifest, parseConsulService));
const intentionsOf = (sample: Sample): ConsulIntentionSpec[] =>
  ofKind(sample, 'ConsulIntention').map(manifest => specOf(manifest, parseConsulIntention));

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
  test('declares a resource that keeps every rule, of the kind that the file is named after', () => {
    const declared = [...kvsOf(sample), ...intentionsOf(sample), ...servicesOf(sample)];
    expect(declared).not.toEqual([]);
    const [prefix = ''] = basename(sample.file).split('-');
    const kind = { consulkv: 'ConsulKV', consulintention: 'ConsulIntention', consulservice: 'ConsulService' }[
      prefix
    ];
    expect(ofKind(sample, kind ?? '')).not.toEqual([]);
  });

  test('brings what it refers to', () => {
    const brought = sample.manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    const needed = [
      ...kvsOf(sample).flatMap(referencesOf),
      ...servicesOf(sample).flatMap(({ kubernetes }) =>
        kubernetes ? [`Service ${kubernetes.service}`] : [],
      ),
    ];
    expect(brought).toEqual(expect.arrayContaining(needed));
  });

  test('names no namespace, so that it applies in any one', () => {
    expect(sample.manifests.filter(({ metadata }) => metadata.namespace !== undefined)).toEqual([]);
  });
});

test('no two samples declare the same keys, the same destination, the same instance or the same name', () => {
  const paths = samples.flatMap(kvsOf).map(spec => spec.key ?? spec.prefix ?? '');
  const nested = paths.filter((path, at) =>
    paths.some((other, place) => place !== at && path.startsWith(other)),
  );
  expect(nested).toEqual([]);
  const ids = samples.flatMap(servicesOf).flatMap(({ instances = [] }) => instances.map(({ id }) => id));
  expect(new Set(ids).size).toBe(ids.length);
  const destinations = samples.flatMap(intentionsOf).map(({ destination }) => destination);
  expect(new Set(destinations).size).toBe(destinations.length);
  const names = samples.flatMap(({ manifests }) =>
    manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
  );
  expect(new Set(names).size).toBe(names.length);
});
