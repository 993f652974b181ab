import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { createReflector, type Reflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import type { RelistReason } from '../../src/kube/reflector-status.ts';
import { Store } from '../../src/kube/store.ts';
import type { KubeObject, ResourceType } from '../../src/kube/types.ts';
import { openWatch } from '../../src/kube/watch.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { eventually } from '../support/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { KubeWorld } from './kube-support.ts';

const secrets: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
};

let world: KubeWorld;
beforeAll(async () => {
  world = await KubeWorld.create();
});
afterAll(() => world.close());

interface Subject {
  readonly store: Store;
  readonly reflector: Reflector;
  readonly proxy: FaultProxy;
  readonly clock: FakeClock;
  readonly deletions: { readonly name: string; readonly inferred: boolean }[];
  readonly relists: RelistReason[];
  readonly failures: unknown[];
}

/** A reflector behind a proxy, on a clock of its own: only the test makes time go by. */
async function aReflector(options: Partial<ReflectorOptions<KubeObject>> = {}): Promise<Subject> {
  const { apiServerUrl, caFile } = inject('sandbox');
  const proxy = await FaultProxy.start({ upstream: apiServerUrl, caFile });
  world.closeLater(() => proxy.close());
  const clock = new FakeClock();
  const client = await world.client({ server: proxy.url, clock });
  const [deletions, relists, failures]: [Subject['deletions'], RelistReason[], unknown[]] = [[], [], []];
  const store = new Store({
    handlers: {
      onUpsert: () => undefined,
      onDelete: ({ metadata }, { inferred }) => deletions.push({ name: metadata.name, inferred }),
      onError: error => failures.push(error),
    },
  });
  const observer = {
    relisted: (reason: RelistReason) => relists.push(reason),
    failed: (error: unknown) => failures.push(error),
  };
  const reflector = createReflector({
    client,
    type: world.type,
    store,
    clock,
    random: () => 0.5,
    observer,
    ...options,
  });
  world.closeLater(() => reflector.close());
  return { store, reflector, proxy, clock, deletions, relists, failures };
}

function versionsOf(objects: Iterable<{ metadata: { name: string; resourceVersion?: string } }>): string[] {
  return [...objects].map(({ metadata }) => `${metadata.name}@${metadata.resourceVersion}`).toSorted();
}

/** The store holds exactly what the server does. */
async function current({ store }: Subject, namespace: string): Promise<void> {
  await eventually(
    async () => {
      const there = await world.api.list(world.widget('any'), namespace);
      expect(versionsOf(store.values())).toEqual(versionsOf(there));
    },
    { what: 'the store equals the server' },
  );
}

describe.each([
  ['WatchList', true],
  ['pages of lists', false],
])('by %s', (_, streaming) => {
  test('the store is filled and follows every change', async () => {
    const namespace = await world.api.createNamespace();
    for (let object = 0; object < 25; object += 1)
      await world.api.create(world.widget(`w-${object}`, { namespace }));
    const subject = await aReflector({ streaming, pageSize: 10, namespace });
    await subject.reflector.synced;
    expect(subject.store.size).toBe(25);
    await eventually(() => subject.reflector.state.watching, { what: 'the watch is open' });
    await world.api.patch(world.widget('w-0', { namespace }), { spec: { size: 7 } });
    await world.api.delete(world.widget('w-1', { namespace }));
    await world.api.create(world.widget('new', { namespace }));
    await current(subject, namespace);
    expect(subject.deletions).toEqual([{ name: 'w-1', inferred: false }]);
    expect(subject.failures).toEqual([]);
    const lists = subject.proxy.count(({ query }) => !query.has('watch'));
    expect(lists).toBe(streaming ? 0 : 3);
    expect(subject.proxy.requests).toHaveLength(streaming ? 1 : 4);
  });

  test('Secrets come by their metadata alone', async () => {
    const namespace = await world.api.createNamespace();
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 's', namespace },
      stringData: { k: 'v' },
    };
    await world.api.create(secret);
    const subject = await aReflector({ type: secrets, metadataOnly: true, streaming, namespace });
    await subject.reflector.synced;
    await eventually(() => subject.reflector.state.watching, { what: 'the watch is open' });
    const before = subject.store.get(namespace, 's')?.metadata.resourceVersion;
    await world.api.patch(secret, { stringData: { k: 'w' } });
    await eventually(() => subject.store.get(namespace, 's')?.metadata.resourceVersion !== before, {
      what: 'the change is seen',
    });
    expect(Object.keys(subject.store.get(namespace, 's') ?? {}).toSorted()).toEqual([
      'apiVersion',
      'kind',
      'metadata',
    ]);
    expect(subject.failures).toEqual([]);
  });
});

describe('when things go wrong', () => {
  test('a half-open watch is replaced, and nothing that happened meanwhile is missed', async () => {
    const namespace = await world.api.createNamespace();
    for (const name of ['kept', 'lost']) await world.api.create(world.widget(name, { namespace }));
    const subject = await aReflector({ namespace });
    await subject.reflector.synced;
    subject.proxy.network.freeze();
    await world.api.delete(world.widget('lost', { namespace }));
    await world.api.create(world.widget('new', { namespace }));
    subject.clock.advance(75_000);
    await eventually(() => subject.failures.length === 1, { what: 'the silence is noticed' });
    subject.proxy.network.thaw();
    subject.clock.advance(30_000);
    await current(subject, namespace);
    expect(subject.relists).toEqual(['start']);
    expect(subject.deletions).toEqual([{ name: 'lost', inferred: false }]);
  });

  test('what happened while the versions expired is found by comparing lists, another uid included', async () => {
    const namespace = await world.api.createNamespace();
    for (const name of ['kept', 'lost', 'replaced'])
      await world.api.create(world.widget(name, { namespace }));
    const subject = await aReflector({ namespace });
    await subject.reflector.synced;
    const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
    subject.proxy.when(
      ({ query }) => query.has('resourceVersion'),
      { kind: 'reply', status: 410, body: JSON.stringify(gone) },
      { times: 1 },
    );
    subject.proxy.cut(({ query }) => query.has('watch'));
    await eventually(() => subject.failures.length === 1, { what: 'the cut is noticed' });
    for (const name of ['lost', 'replaced']) await world.api.delete(world.widget(name, { namespace }));
    await world.api.create(world.widget('replaced', { namespace }));
    subject.clock.advance(30_000);
    await eventually(() => subject.failures.length === 2, { what: 'the 410 arrives' });
    subject.clock.advance(30_000);
    await current(subject, namespace);
    expect(subject.relists).toEqual(['start', 'expired']);
    expect(subject.deletions).toEqual([
      { name: 'lost', inferred: true },
      { name: 'replaced', inferred: true },
    ]);
  });

  test('a version that the server has forgotten is KUBE_GONE', async () => {
    const client = await world.client();
    const { signal } = new AbortController();
    const collection = { client, type: world.type };
    const query = { resourceVersion: '1' };
    const watched = (async () => {
      const options = {
        query,
        clock: systemClock,
        idleTimeoutMs: 30_000,
        signal,
        onContact: () => undefined,
      };
      const watch = await openWatch(collection, options);
      return watch.events.next();
    })();
    await expect(watched).rejects.toMatchObject({ code: 'KUBE_GONE' });
  });

  test('a kind without its CRD is said to be unavailable, and is found once it is installed', async () => {
    const type = { ...world.type, plural: 'gadgets' };
    const subject = await aReflector({ type });
    await subject.reflector.settled;
    expect(subject.reflector.state).toMatchObject({ synced: false, unavailable: { code: 'KUBE_NOT_FOUND' } });
    await installGadgets();
    await eventually(
      () => {
        subject.clock.advance(30_000);
        return subject.reflector.state.synced;
      },
      { what: 'the kind is found' },
    );
    expect(subject.reflector.state.unavailable).toBeUndefined();
  });

  test('a kind that may not be read is said to be unavailable, and is read once it may be', async () => {
    const namespace = await world.api.createNamespace();
    const account = await world.api.createServiceAccount(namespace, 'reader');
    const client = await world.client({ token: account.token });
    const clock = new FakeClock();
    const subject = await aReflector({ client, clock, namespace });
    await subject.reflector.settled;
    expect(subject.reflector.state).toMatchObject({ synced: false, unavailable: { code: 'KUBE_FORBIDDEN' } });
    await allowReading(namespace);
    await eventually(
      () => {
        clock.advance(30_000);
        return subject.reflector.state.synced;
      },
      { what: 'the right is noticed' },
    );
  });
});

async function installGadgets(): Promise<void> {
  const { group } = world.type;
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `gadgets.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind: 'Gadget', plural: 'gadgets', singular: 'gadget', listKind: 'GadgetList' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
  await world.api.create(crd);
  world.closeLater(() => world.api.delete(crd));
}

async function allowReading(namespace: string): Promise<void> {
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const metadata = { name: 'reader', namespace };
  const rules = [{ apiGroups: [world.type.group], resources: ['widgets'], verbs: ['list', 'watch'] }];
  await world.api.create({ apiVersion, kind: 'Role', metadata, rules });
  await world.api.create({
    apiVersion,
    kind: 'RoleBinding',
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace }],
  });
}
