import { afterEach, beforeEach, expect, test } from 'vitest';
import { createKubeClient, type KubeClient } from '../../../src/kube/index.ts';
import { listAll } from '../../../src/kube/list.ts';
import { streamAll } from '../../../src/kube/stream-list.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import { FakeApiServer } from '../../support/fake-api-server.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const clock = new FakeClock();
const { signal } = new AbortController();
const onContact = (): void => {};

let server: FakeApiServer;
let client: KubeClient;
beforeEach(async () => {
  server = await FakeApiServer.start();
  client = createKubeClient({ clock, kubeconfig: server.kubeconfig() });
});
afterEach(async () => {
  await client.close();
  await server.stop();
});

test('objects are trimmed page by page, not once all are there', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e']) server.put(name, { spec: {} });
  const trimmedBefore: number[] = [];
  let trimmed = 0;
  const { objects } = await listAll<KubeObject>(collection(), {
    pageSize: 2,
    signal,
    onContact: () => trimmedBefore.push(trimmed),
    trim: object => {
      trimmed += 1;
      return withoutSpec(object);
    },
  });
  expect(trimmedBefore).toEqual([0, 2, 4]);
  expect(objects.map(({ metadata, spec }) => [metadata.name, spec])).toEqual(
    ['a', 'b', 'c', 'd', 'e'].map(name => [name, undefined]),
  );
});

test('objects of a stream are trimmed as they come', async () => {
  for (const name of ['a', 'b']) server.put(name, { spec: {} });
  const options = { query: {}, clock, idleTimeoutMs: 1_000, signal, onContact, trim: withoutSpec };
  const { objects, watch } = await streamAll<KubeObject>(collection(), options);
  await watch.events.return(undefined);
  expect(objects.map(({ metadata, spec }) => [metadata.name, spec])).toEqual([
    ['a', undefined],
    ['b', undefined],
  ]);
});

function collection() {
  const type = {
    group: 'test.proconsul.dev',
    version: 'v1',
    plural: 'widgets',
    kind: 'Widget',
    namespaced: true,
  };
  return { client, type };
}

function withoutSpec({ metadata }: KubeObject): KubeObject {
  return { metadata };
}
