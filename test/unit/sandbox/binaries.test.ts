import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTools } from '../../../tools/sandbox/binaries.ts';
import { minorVersion, pinnedVersion, toolNames } from '../../../tools/sandbox/pins.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'proconsul-tools-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function program(path: string, prints = ''): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho '${prints}'\n`, { mode: 0o755 });
  return file;
}

async function find(env: NodeJS.ProcessEnv): Promise<{ path: string; said: string[] }> {
  const said: string[] = [];
  const options = {
    env: { XDG_CACHE_HOME: join(folder, 'cache'), ...env },
    report: (line: string) => void said.push(line),
  };
  return { path: (await findTools(['etcd'], options)).etcd, said };
}

test.each(toolNames)('%s has an exact version in its go.mod', tool => {
  expect(pinnedVersion(tool)).toMatch(/^v\d+\.\d+\.\d+$/);
});

test.each([
  ['Kubernetes v1.37.2', '1.37'],
  ['etcd Version: 3.6.8\nGo Version: go1.26.8', '3.6'],
  ['Consul v1.22.6\nBuild Date 1970-01-01T00:00:01Z', '1.22'],
  ['version.BuildInfo{Version:"v4.3", GitCommit:""}', '4.3'],
  ['Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0', '1.32'],
  ['command not found', undefined],
])('the version in %j is %s', (text, version) => {
  expect(minorVersion(text)).toBe(version);
});

test('a variable wins, whatever the version, then KUBEBUILDER_ASSETS, then PATH, then the cache', async () => {
  const minor = minorVersion(pinnedVersion('etcd'));
  const named = program('named/etcd', 'etcd Version: 1.0.0');
  const assets = program('assets/etcd', 'etcd Version: 1.0.0');
  const onPath = program('path/etcd', `etcd Version: ${minor}.99`);
  const cached = program(`cache/proconsul/tools/etcd-${pinnedVersion('etcd')}/etcd`);
  const everywhere = {
    PROCONSUL_ETCD: named,
    KUBEBUILDER_ASSETS: dirname(assets),
    PATH: `${dirname(onPath)}:/bin:/usr/bin`,
  };
  expect((await find(everywhere)).path).toBe(named);
  expect((await find({ ...everywhere, PROCONSUL_ETCD: '' })).path).toBe(assets);
  expect((await find({ PATH: everywhere.PATH })).path).toBe(onPath);
  expect((await find({ PATH: join(folder, 'empty') })).path).toBe(cached);
});

test('on PATH another minor version is passed over, and said', async () => {
  const old = program('path/etcd', 'etcd Version: 3.5.9');
  const cached = program(`cache/proconsul/tools/etcd-${pinnedVersion('etcd')}/etcd`);
  const { path, said } = await find({ PATH: dirname(old) });
  expect(path).toBe(cached);
  expect(said).toEqual([expect.stringContaining(`${old} is 3.5, not ${pinnedVersion('etcd')}`)]);
});
