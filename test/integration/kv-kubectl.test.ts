import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findTools } from '../../tools/sandbox/binaries.ts';
import { ConsulKvs } from '../support/consulkv.ts';
import { World } from '../support/world.ts';

const run = promisify(execFile);
const { kubeconfigPath } = inject('sandbox');
let world: World;
let kvs: ConsulKvs;
let folder: string;
let program: string;

beforeAll(async () => {
  world = await World.create('kv-kubectl');
  kvs = new ConsulKvs(world);
  folder = await mkdtemp(join(tmpdir(), 'proconsul-kubectl-'));
  const report = (line: string) => void process.stderr.write(`${line}\n`);
  ({ kubectl: program } = await findTools(['kubectl'], { env: process.env, report }));
  await world.startOperator();
});

afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

/** What kubectl prints; rejects when it fails. */
async function kubectl(...args: readonly string[]): Promise<string> {
  const context = ['--kubeconfig', kubeconfigPath, '--cache-dir', folder, '--namespace', world.namespace];
  return (await run(program, [...context, ...args])).stdout;
}

/** The table of `kubectl get`, by name. */
async function table(...args: readonly string[]): Promise<Record<string, Record<string, string>>> {
  const [header = '', ...rows] = (await kubectl('get', ...args)).trimEnd().split('\n');
  // A cell may be empty, so columns are told by where their titles begin.
  const columns = [...header.matchAll(/\S+(?: \S+)*/g)].map(({ 0: title, index }) => ({ title, index }));
  const cells = (row: string) =>
    columns.map(({ title, index }, at) => [title, row.slice(index, columns[at + 1]?.index).trim()]);
  return Object.fromEntries(rows.map(row => [row.split(' ', 1)[0], Object.fromEntries(cells(row))]));
}

async function manifest(name: string, text: string): Promise<string> {
  const path = join(folder, `${name}.yaml`);
  await writeFile(path, text);
  return path;
}

const yaml = (name: string, value: string) => `
apiVersion: proconsul.dev/v1alpha1
kind: ConsulKV
metadata:
  name: ${name}
spec:
  prefix: ${world.key(`${name}/`)}
  data:
    word: ${value}
`;

describe('kubectl', () => {
  test('apply, wait for Ready, and see no difference afterwards', async () => {
    const path = await manifest('applied', yaml('applied', 'one'));
    await kubectl('apply', '-f', path);
    await kubectl('wait', '--for=condition=Ready', 'consulkv/applied', '--timeout=30s');
    expect(await world.stored('applied/')).toEqual({ word: 'one' });
    expect(await kubectl('diff', '-f', path)).toBe('');
    // The same command does see one where there is one.
    const changed = await manifest('changed', yaml('applied', 'two'));
    await expect(kubectl('diff', '-f', changed)).rejects.toMatchObject({ code: 1 });
  });

  test('apply by the server itself, and see no difference afterwards either', async () => {
    const path = await manifest('by-server', yaml('by-server', 'one'));
    await kubectl('apply', '--server-side', '-f', path);
    await kubectl('wait', '--for=condition=Ready', 'consulkv/by-server', '--timeout=30s');
    expect(await kubectl('diff', '--server-side', '-f', path)).toBe('');
    const changed = await manifest('changed-by-server', yaml('by-server', 'two'));
    await expect(kubectl('diff', '--server-side', '-f', changed)).rejects.toMatchObject({ code: 1 });
  });

  test('wait is not satisfied by what Ready said of an older spec', async () => {
    await kubectl('apply', '-f', await manifest('waits', yaml('waits', 'one')));
    await kubectl('wait', '--for=condition=Ready', 'consulkv/waits', '--timeout=30s');
    for (const word of ['two', 'three', 'four']) {
      await kubectl('apply', '-f', await manifest('waits', yaml('waits', word)));
      await kvs.ready('waits');
      expect(await world.stored('waits/')).toEqual({ word });
    }
  });

  test('get shows how each stands, and the category knows them all', async () => {
    await kvs.declareReady('fine', { prefix: world.key('fine/'), data: { a: '1', b: '2' } });
    await kvs.declare('lost', {
      key: world.key('lost'),
      valueFrom: { configMapKeyRef: { name: 'nowhere', key: 'x' } },
    });
    await kvs.waiting('lost', 'SourceNotFound');
    await kvs.declareReady('edited', { key: world.key('edited'), value: 'x', driftPolicy: 'Report' });
    await world.consul.kvDelete(world.key('edited'));
    await kvs.drifted('edited');
    const rows = await table('consulkv');
    expect(rows['fine']).toMatchObject({
      READY: 'True',
      REASON: 'Applied',
      PATH: world.key('fine/'),
      KEYS: '2',
      DRIFT: 'False',
    });
    expect(rows['lost']).toMatchObject({ READY: 'False', REASON: 'SourceNotFound', PATH: world.key('lost') });
    expect(rows['edited']).toMatchObject({ READY: 'True', KEYS: '1', DRIFT: 'True' });
    const wide = await table('consulkv', '-o', 'wide');
    expect(wide['lost']?.['MESSAGE']).toBe('ConfigMap nowhere does not exist');
    const everywhere = await kubectl('get', 'consul', '-A', '--no-headers');
    expect(everywhere.split('\n').map(line => line.split(/ +/).slice(0, 2))).toContainEqual([
      world.namespace,
      'consulkv.proconsul.dev/fine',
    ]);
  });

  test('delete waits until the keys are gone', async () => {
    const path = await manifest('deleted', yaml('deleted', 'x'));
    await kubectl('apply', '-f', path);
    await kubectl('wait', '--for=condition=Ready', 'consulkv/deleted', '--timeout=30s');
    await kubectl('delete', '-f', path, '--timeout=30s');
    expect(await world.stored('deleted/')).toEqual({});
  });

  test('describe tells the Events', async () => {
    await kvs.declareReady('described', { key: world.key('described'), value: 'x' });
    await kvs.event('described', 'Created');
    expect(await kubectl('describe', 'consulkv', 'described')).toMatch(/Normal +Created .*write /);
  });

  test('annotate asks for a look', async () => {
    await kvs.declareReady('asked', { key: world.key('asked'), value: 'x' });
    await kubectl('annotate', 'consulkv', 'asked', 'proconsul.dev/reconcile-at=now');
    await kubectl(
      'wait',
      '--for=jsonpath={.status.lastHandledReconcileAt}=now',
      'consulkv/asked',
      '--timeout=30s',
    );
  });
});
