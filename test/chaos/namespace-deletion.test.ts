import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { createRunningWorld } from '../support/running-world.ts';
import type { World } from '../support/world.ts';

const RESOURCES = 100;

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('namespace-gone'));
});

afterAll(() => world.close());

/** Row 29. */
test('a namespace is deleted while Consul is away: that is said, and it goes when Consul is back', async () => {
  const names = Array.from({ length: RESOURCES }, (_, at) => `kv-${at}`);
  await Promise.all(names.map(name => kvs.declare(name, { key: world.key(name), value: 'declared' })));
  for (const name of names) await kvs.ready(name);

  world.toConsul.when(() => true, { kind: 'reset' });
  world.toConsul.network.cutAll();
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: world.namespace } };
  await world.kube.delete(namespace);
  for (const name of names)
    await kvs.stands(name, { ready: 'Unknown', reason: 'DeletionBlocked', reconciling: true });
  expect(Object.keys(await world.stored())).toHaveLength(RESOURCES);

  world.toConsul.heal();
  await eventually(async () => (await world.kube.get(namespace)) === undefined, {
    what: 'the namespace is gone',
    timeoutMs: 60_000,
  });
  expect(await world.stored()).toEqual({});
  expect(await world.records()).toEqual({});
});
