import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { directionsBlock, LAYERS, PACKAGES } from './import-directions.ts';
import { brokenRules } from './import-rules.ts';

const root = join(import.meta.dirname, '../..');

async function sourceFiles(): Promise<{ path: string; source: string }[]> {
  const names = await readdir(join(root, 'src'), { recursive: true });
  return Promise.all(
    names
      .filter(name => name.endsWith('.ts'))
      .map(async path => ({ path, source: await readFile(join(root, 'src', path), 'utf8') })),
  );
}

test('every file of src/ imports only what its place allows', async () => {
  const files = await sourceFiles();
  expect(files.length).toBeGreaterThan(50);
  expect(files.flatMap(brokenRules)).toEqual([]);
});

test('ARCHITECTURE.md shows the same list', async () => {
  const page = await readFile(join(root, 'ARCHITECTURE.md'), 'utf8');
  const shown = /^```import-directions\n.*?^```/ms.exec(page)?.[0];
  expect(shown, 'copy the expected block into ARCHITECTURE.md').toBe(directionsBlock());
});

test('the directions have no circle', () => {
  const placed = new Set<string>();
  let rest = [...LAYERS];
  while (rest.length > 0) {
    const ready = rest.filter(layer => layer.uses.every(name => placed.has(name)));
    expect(ready, `a circle among ${rest.map(layer => layer.name).join(', ')}`).not.toEqual([]);
    for (const layer of ready) placed.add(layer.name);
    rest = rest.filter(layer => !placed.has(layer.name));
  }
});

test('every package that is installed for the operator has an owner', async () => {
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const owned = PACKAGES.map(one => one.name.replace(/\/\*$/, '/'));
  const orphans = Object.keys(dependencies).filter(name => !owned.some(owner => name.startsWith(owner)));
  expect(orphans).toEqual([]);
});

/** For each file, what it must not say and the rule that this breaks. */
const BREACHES: Readonly<Record<string, readonly (readonly [source: string, rule: string])[]>> = {
  'core/keys.ts': [
    [`import { REASONS } from '../api/v1alpha1/reasons.ts';`, 'core -> nothing'],
    [`export type { Config } from '../config/config.ts';`, 'core -> nothing'],
    [`import { z } from 'zod';`, 'core and pure files use no package'],
    [`import { readFile } from 'node:fs/promises';`, 'core and pure files use no package'],
    [`import {`, 'does not parse'],
  ],
  'api/v1alpha1/consulkv.ts': [[`import '../../kube/store.ts';`, 'api -> core']],
  'consul/kv.ts': [
    [`import { x } from '../kube/store.ts';`, 'consul -> core'],
    [`const store = await import('../kube/store.ts');`, 'consul -> core'],
    [`let x: import('../kube/store.ts').Store;`, 'consul -> core'],
    [`export * from '../kube/store.ts';`, 'consul -> core'],
    [`const m = await import(name);`, 'imports what only shows at run time'],
    [`import { request } from 'undici';`, 'undici belongs to consul/transport.ts'],
    [`import { x } from '../../test/support/fake-clock.ts';`, 'src/ imports nothing outside'],
    [`import p from '../../package.json' with { type: 'json' };`, 'src/ imports nothing outside'],
    [`import left from 'left-pad';`, 'left-pad has no owner'],
  ],
  'commit/group-commit.ts': [[`import { x } from '../ownership/ledger.ts';`, 'commit -> core, consul']],
  'ownership/ledger.ts': [
    [`import { x } from '../kube/store.ts';`, 'ownership -> core, consul, commit'],
    [`import type { ConsulWrites } from '../consul/client.ts';`, 'may write to Consul'],
    [`import * as txn from '../consul/txn.ts';`, 'may write to Consul'],
    [`import type { ConfigEntryWrites } from '../consul/config-entry.ts';`, 'may write to Consul'],
    [`import { createConfigEntries } from '../consul/config-entry.ts';`, 'may write to Consul'],
    [`import type { ServiceWrites } from '../consul/catalog.ts';`, 'may write to Consul'],
    [`import { createAgentServices } from '../consul/agent-services.ts';`, 'may write to Consul'],
  ],
  'commit/lease-sessions.ts': [
    [`await consul.configEntries.put(body, 0, options);`, 'only commit/intention-entries.ts may'],
    [`const remove = this.#options.consul.configEntries.delete;`, 'only commit/intention-entries.ts may'],
  ],
  'kube/store.ts': [[`import { x } from '../consul/kv.ts';`, 'kube -> core, api']],
  'kube/reflector.ts': [[`import { Agent } from 'undici';`, 'undici belongs to']],
  'runtime/turn.ts': [
    [`import { KubeConfig } from '@kubernetes/client-node';`, 'belongs to kube/'],
    [`import { createKubeClient } from '../kube/index.ts';`, 'runtime knows only the types of kube'],
    [`import { NodeSDK } from '@opentelemetry/sdk-node';`, '@opentelemetry/* belongs to telemetry/'],
    [`import { z } from 'zod';`, 'zod belongs to'],
  ],
  'reconcilers/kv/apply.ts': [
    [`import { x } from '../service/plan.ts';`, 'reconcilers do not know each other'],
    [`import { x } from '../../tools/crd.ts';`, 'reconcilers -> core'],
  ],
  'operator/operator.ts': [[`import { x } from '../tools/crd.ts';`, 'operator -> core']],
  'main.ts': [[`import { x } from './tools/crd.ts';`, 'main -> core']],
  'elsewhere/x.ts': [[`import { x } from '../core/keys.ts';`, 'elsewhere/ is no layer']],
  'reconcilers/kv/plan.ts': [
    [`import { x } from '../../consul/txn.ts';`, 'pure files use core, api and types'],
    [`import { x } from './apply.ts';`, 'pure files use core, api and types'],
    [`import { S } from '../../telemetry/names.ts';`, 'pure files use core, api and types'],
    [`import { trace } from '@opentelemetry/api';`, 'core and pure files use no package'],
    [`import { createHash } from 'node:crypto';`, 'core and pure files use no package'],
    [`export async function plan() {}`, 'is async'],
    [`const at = Date.now();`, 'uses Date.now'],
    [`const at = new Date();`, 'reads the clock'],
    [`const at = performance.now();`, 'uses performance'],
    [`const draw = Math.random();`, 'uses Math.random'],
    [`console.log('x');`, 'uses console'],
  ],
  'core/backoff.ts': [[`const draw = Math.random();`, 'uses Math.random']],
  'election/state.ts': [[`setTimeout(step, 5);`, 'uses setTimeout']],
};

describe('each rule can be broken', () => {
  const breaches = Object.entries(BREACHES).flatMap(([path, rules]) =>
    rules.map(one => [path, ...one] as const),
  );

  test.each(breaches)('%s with %s', (path, source, rule) => {
    const broken = brokenRules({ path, source });
    expect(broken).toEqual([expect.stringContaining(rule)]);
    expect(broken[0]).toMatch(new RegExp(`^${path} `));
  });

  test.each([
    ['runtime/turn.ts', `import type { KubeClient } from '../kube/index.ts';`],
    ['consul/kv.ts', `import { SCOPE } from '../telemetry/names.ts';`],
    ['commit/group-commit.ts', `import type { ConsulWrites } from '../consul/client.ts';`],
    ['reconcilers/service/endpoints.ts', `import { createHash } from 'node:crypto';`],
    ['reconcilers/kv/plan.ts', `import type { ModifyIndex } from '../../consul/types.ts';`],
    ['reconcilers/kv/plan.ts', `const shown = new Date(0); const own = { console: 1, setTimeout: 2 };`],
    ['commit/intention-entries.ts', `await consul.configEntries.put(body, 0, options);`],
    ['mirror/intention-mirror.ts', `await consul.configEntries.get(id, options);`],
    ['version.ts', `import p from '../package.json' with { type: 'json' };`],
    ['consul/kv.ts', `// import { x } from '../kube/store.ts';\nconst text = "import '../kube/store.ts'";`],
  ])('but not by %s with %s', (path, source) => {
    expect(brokenRules({ path, source })).toEqual([]);
  });
});
