import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findTools } from '../../tools/sandbox/binaries.ts';
import { KubeApi } from '../support/kube-api.ts';
import { installCrds } from '../support/crds.ts';

const root = join(import.meta.dirname, '../..');
const { apiServerUrl, caFile, adminToken, kubeconfigPath } = inject('sandbox');
const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
let namespace: string;
let folder: string;
let program: string;

beforeAll(async () => {
  await installCrds(kube);
  namespace = await kube.createNamespace('kubectl');
  folder = await mkdtemp(join(tmpdir(), 'proconsul-kubectl-'));
  const report = (line: string) => void process.stderr.write(`${line}\n`);
  ({ kubectl: program } = await findTools(['kubectl'], { env: process.env, report }));
});

afterAll(async () => {
  await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await rm(folder, { recursive: true, force: true });
});

/** What kubectl prints; rejects when it fails. */
async function kubectl(...args: readonly string[]): Promise<string> {
  const context = ['--kubeconfig', kubeconfigPath, '--cache-dir', folder, '--namespace', namespace];
  const { stdout } = await promisify(execFile)(program, [...context, ...args]);
  return stdout;
}

const apiVersion = 'proconsul.dev/v1alpha1';
const condition = (type: string, status: string, reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  observedGeneration: 1,
  lastTransitionTime: '2020-01-01T00:00:00Z',
});

describe('kubectl get', () => {
  const tree = { apiVersion, kind: 'ConsulKV', metadata: { name: 'tree', namespace: '' } };

  beforeAll(async () => {
    tree.metadata.namespace = namespace;
    await kube.create({ ...tree, spec: { prefix: 'kubectl/tree/', data: { a: 'x' }, datacenter: 'dc1' } });
    const single = { ...tree, metadata: { name: 'single', namespace } };
    await kube.create({ ...single, spec: { key: 'kubectl/single', value: 'x' } });
    const conditions = [
      condition('Ready', 'True', 'Applied', 'all is well'),
      condition('Drifted', 'False', 'Applied', ''),
    ];
    const status = { observedGeneration: 1, keys: 1, lastAppliedTime: '2020-01-01T00:00:00Z', conditions };
    await kube.patch(tree, { status }, 'status');
  });

  test('shows the columns, with the key or the prefix as the path', async () => {
    const lines = (await kubectl('get', 'consulkv')).trim().split('\n');
    const [header, single, treeLine] = lines.map(line => line.split(/ {2,}/));
    expect(header).toEqual(['NAME', 'READY', 'REASON', 'PATH', 'KEYS', 'DRIFT', 'AGE']);
    expect(single).toEqual(['single', 'kubectl/single', expect.any(String)]);
    expect(treeLine).toEqual(['tree', 'True', 'Applied', 'kubectl/tree/', '1', 'False', expect.any(String)]);
  });

  test('shows the message and when it was last applied, if asked for more', async () => {
    const wide = await kubectl('get', 'consulkv', 'tree', '-o', 'wide');
    expect(wide).toMatch(/MESSAGE +LAST APPLIED/);
    expect(wide).toMatch(/all is well +\d+y/);
  });

  test.each(['consul', 'ckv', 'consulkvs', 'consulkv'])('knows the resource as %s', async word => {
    const names = await kubectl('get', word, '-o', 'name');
    expect(names.trim().split('\n')).toEqual([
      'consulkv.proconsul.dev/single',
      'consulkv.proconsul.dev/tree',
    ]);
  });

  test.each([
    ['spec.key=kubectl/single', 'single'],
    ['spec.prefix=kubectl/tree/', 'tree'],
    ['spec.datacenter=dc1', 'tree'],
  ])('selects by %s', async (selector, name) => {
    const names = await kubectl('get', 'consulkv', '-o', 'name', '--field-selector', selector);
    expect(names.trim()).toBe(`consulkv.proconsul.dev/${name}`);
  });

  test('can wait for Ready', async () => {
    await expect(
      kubectl('wait', '--for=condition=Ready', 'consulkv/tree', '--timeout=10s'),
    ).resolves.toContain('met');
  });
});

describe('kubectl get, of a lease', () => {
  const lease = { apiVersion, kind: 'ConsulLeaderLease', metadata: { name: 'lease', namespace: '' } };

  beforeAll(async () => {
    lease.metadata.namespace = namespace;
    const candidates = { selector: { matchLabels: { app: 'orders' } } };
    await kube.create({ ...lease, spec: { key: 'kubectl/lease', holders: 2, candidates } });
    const holders = [{ name: 'orders-0', acquiredTime: '2020-01-01T00:00:00Z' }, { name: 'orders-1' }];
    const conditions = [condition('Ready', 'True', 'Applied', 'all is well')];
    await kube.patch(
      lease,
      { status: { observedGeneration: 1, holders, transitions: 3, conditions } },
      'status',
    );
  });

  afterAll(() => kube.delete(lease));

  test('shows the columns, with the first holder', async () => {
    const lines = (await kubectl('get', 'clease', '-o', 'wide')).trim().split('\n');
    const [header, row] = lines.map(line => line.split(/ {2,}/));
    expect(header).toEqual(['NAME', 'READY', 'HOLDER', 'SINCE', 'TRANSITIONS', 'AGE', 'REASON', 'MESSAGE']);
    const ages = [expect.stringMatching(/^\d+y/), '3', expect.any(String)];
    expect(row).toEqual(['lease', 'True', 'orders-0', ...ages, 'Applied', 'all is well']);
  });

  test('selects by the key', async () => {
    const names = await kubectl('get', 'clease', '-o', 'name', '--field-selector', 'spec.key=kubectl/lease');
    expect(names.trim()).toBe('consulleaderlease.proconsul.dev/lease');
  });
});

describe('kubectl get, of a service', () => {
  const service = { apiVersion, kind: 'ConsulService', metadata: { name: 'service', namespace: '' } };

  beforeAll(async () => {
    service.metadata.namespace = namespace;
    const instances = [{ id: 'vm-1', address: '192.0.2.10' }];
    await kube.create({ ...service, spec: { name: 'kubectl', instances, datacenter: 'dc1' } });
    const conditions = [
      condition('Ready', 'True', 'Applied', 'all is well'),
      condition('Drifted', 'False', 'Applied', ''),
    ];
    const counts = { registered: 3, passing: 2, summary: '2/3' };
    const effective = { name: 'kubectl' };
    await kube.patch(
      service,
      { status: { observedGeneration: 1, instances: counts, effective, conditions } },
      'status',
    );
  });

  afterAll(() => kube.delete(service));

  test('shows the columns, with the health of the instances', async () => {
    const lines = (await kubectl('get', 'csvc')).trim().split('\n');
    const [header, row] = lines.map(line => line.split(/ {2,}/));
    expect(header).toEqual(['NAME', 'READY', 'REASON', 'SERVICE', 'INSTANCES', 'DRIFT', 'AGE']);
    expect(row).toEqual(['service', 'True', 'Applied', 'kubectl', '2/3', 'False', expect.any(String)]);
  });

  test.each(['spec.name=kubectl', 'spec.datacenter=dc1'])('selects by %s', async selector => {
    const names = await kubectl('get', 'csvc', '-o', 'name', '--field-selector', selector);
    expect(names.trim()).toBe('consulservice.proconsul.dev/service');
  });
});

describe('kubectl get, of an intention', () => {
  const intention = { apiVersion, kind: 'ConsulIntention', metadata: { name: 'intention', namespace: '' } };

  beforeAll(async () => {
    intention.metadata.namespace = namespace;
    const sources = [{ name: 'web', action: 'allow' }];
    await kube.create({ ...intention, spec: { destination: 'kubectl', sources, datacenter: 'dc1' } });
    const conditions = [
      condition('Ready', 'True', 'Applied', 'all is well'),
      condition('Drifted', 'False', 'Applied', ''),
    ];
    await kube.patch(intention, { status: { observedGeneration: 1, sources: 1, conditions } }, 'status');
  });

  afterAll(() => kube.delete(intention));

  test('shows the columns, with the destination', async () => {
    const lines = (await kubectl('get', 'cint')).trim().split('\n');
    const [header, row] = lines.map(line => line.split(/ {2,}/));
    expect(header).toEqual(['NAME', 'READY', 'REASON', 'DESTINATION', 'SOURCES', 'DRIFT', 'AGE']);
    expect(row).toEqual(['intention', 'True', 'Applied', 'kubectl', '1', 'False', expect.any(String)]);
  });

  test.each(['spec.destination=kubectl', 'spec.datacenter=dc1'])('selects by %s', async selector => {
    const names = await kubectl('get', 'cint', '-o', 'name', '--field-selector', selector);
    expect(names.trim()).toBe('consulintention.proconsul.dev/intention');
  });
});

describe('kubectl explain', () => {
  test('shows every field, also nested ones, without a default', async () => {
    const fields = await kubectl('explain', 'consulkv.spec', '--recursive');
    for (const name of [
      'key',
      'prefix',
      'secretKeyRef',
      'configMapRef',
      'optional',
      'flags',
      'adoptionPolicy',
    ]) {
      expect(fields).toMatch(new RegExp(`^ +${name}\t<`, 'm'));
    }
    expect(fields).not.toContain('default:');
  });

  test('tells of a policy what its default is', async () => {
    const text = await kubectl('explain', 'consulkv.spec.driftPolicy');
    expect(text.replaceAll(/\s+/g, ' ')).toContain('Defaults to Correct.');
  });
});

describe('written examples', async () => {
  const pages = await readdir(join(root, 'docs/spec'));
  const texts = await Promise.all(pages.map(page => readFile(join(root, 'docs/spec', page), 'utf8')));
  const examples = texts.flatMap((text, page) =>
    [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, yaml = ''], place) => {
      return { page: pages[page] ?? '', place: place + 1, yaml };
    }),
  );
  const all = await readdir(join(root, 'manifests/samples'), { recursive: true });
  const files = all.filter(file => file.endsWith('.yaml'));
  const samples = files.map(file => ({ path: join(root, 'manifests/samples', file), file }));

  test('are there', () => {
    for (const page of pages) expect(examples.filter(one => one.page === page).length).toBeGreaterThan(2);
    expect(samples.length).toBeGreaterThan(3);
  });

  test.each(examples)('number $place of docs/spec/$page is accepted', async ({ page, place, yaml }) => {
    const path = join(folder, `example-${page}-${place}.yaml`);
    await writeFile(path, yaml);
    await expect(applied(path)).resolves.toHaveLength(yaml.split(/^---$/m).length);
  });

  test.each(samples)('manifests/samples/$file is accepted', async ({ path }) => {
    const documents = (await readFile(path, 'utf8')).split(/^---$/m).length;
    await expect(applied(path)).resolves.toHaveLength(documents);
  });

  /** What the server says it would create. */
  async function applied(path: string): Promise<string[]> {
    const said = await kubectl('apply', '--dry-run=server', '--validate=strict', '-f', path);
    return said.split('\n').filter(line => line.endsWith(' created (server dry run)'));
  }
});
