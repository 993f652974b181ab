import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createKubeClient } from '../../../src/kube/http-client.ts';
import { createReflector } from '../../../src/kube/reflector.ts';
import { Store } from '../../../src/kube/store.ts';
import type { KubeObject } from '../../../src/kube/types.ts';
import { FakeApiServer, isList, isWatch, replyStatus, statusOf } from '../../support/fake-api-server.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

type Step = (server: FakeApiServer, clock: FakeClock) => void | Promise<void>;

const put = (name: string) => (server: FakeApiServer) => {
  server.put(name);
};
const remove = (name: string) => (server: FakeApiServer) => {
  if (server.has(name)) server.remove(name);
};
const replace = (name: string) => (server: FakeApiServer) => {
  remove(name)(server);
  put(name)(server);
};
const changes: Step[] = ['a', 'b', 'c'].flatMap(name => [put(name), remove(name), replace(name)]);
const troubles: Step[] = [
  server => server.endWatches('cleanly'),
  server => server.endWatches('broken'),
  server => server.blackHoleWatches(),
  server => server.compact(),
  server => server.bookmark(),
  server => server.toWatches('{"type":"ADDED","object":{"metad'),
  server => server.toWatches({ type: 'ERROR', object: statusOf(410, 'Expired') }),
  server => server.toWatches({ type: 'ERROR', object: statusOf(500, 'InternalError') }),
  server => server.failNext((_, response) => replyStatus(response, 500, 'InternalError'), isList),
  server => server.failNext((_, response) => replyStatus(response, 429, 'TooManyRequests'), isWatch),
  server => server.failNext((_, response) => response.destroy()),
  server => server.failNext(() => undefined),
  server => server.restart(),
  (_, clock) => clock.advance(1_000),
  (_, clock) => clock.advance(80_000),
];
/** Most steps find the one before carried out, some overtake it. */
const steps = fc.array(
  fc.record({
    step: fc.oneof(fc.constantFrom(...changes), fc.constantFrom(...troubles)),
    pause: fc.constantFrom(0, 30, 30),
  }),
  { minLength: 1, maxLength: 20 },
);
type Played = typeof steps extends fc.Arbitrary<infer T> ? T : never;

/** Lets I/O happen. */
async function rounds(count: number): Promise<void> {
  for (let round = 0; round < count; round += 1) await settled();
}

function versions(objects: Iterable<KubeObject>): string[] {
  return [...objects].map(({ metadata }) => `${metadata.uid}@${metadata.resourceVersion}`).toSorted();
}

async function converges(streaming: boolean, goneAs: 'http' | 'event', played: Played): Promise<void> {
  const server = await FakeApiServer.start();
  server.goneAs = goneAs;
  const clock = new FakeClock();
  const client = createKubeClient({ clock, kubeconfig: server.kubeconfig() });
  const mirror = new Map<string, KubeObject>();
  const store = new Store({
    handlers: {
      onUpsert: object => mirror.set(object.metadata.name, object),
      onDelete: ({ metadata }) => mirror.delete(metadata.name),
      onError: error => expect.fail(String(error)),
    },
  });
  const options = {
    group: 'test.proconsul.dev',
    version: 'v1',
    plural: 'widgets',
    kind: 'Widget',
    namespaced: true,
  };
  const reflector = createReflector({
    client,
    type: options,
    store,
    clock,
    random: () => 0.5,
    streaming,
    pageSize: 2,
  });
  try {
    for (const { step, pause } of played) {
      await step(server, clock);
      await rounds(pause);
    }
    server.put('last');
    for (let tries = 0; tries < 300 && !isCurrent(); tries += 1) {
      await rounds(20);
      // Without these even a reflector that lost an event would find it by the list that follows silence.
      server.bookmark();
      clock.advance(5_000);
    }
    expect(versions(store.values())).toEqual(versions(server.objects));
    expect(versions(mirror.values())).toEqual(versions(server.objects));
  } finally {
    await reflector.close();
    await client.close();
    await server.stop();
  }

  function isCurrent(): boolean {
    return versions(store.values()).join() === versions(server.objects).join();
  }
}

test('whatever the server and the network do, the store ends up as what the server holds', async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.constantFrom('http' as const, 'event' as const), steps, converges),
    { numRuns: 100 },
  );
}, 60_000);
