import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKubeClient } from '../../../src/kube/http-client.ts';
import { createReflector, type Reflector, type ReflectorOptions } from '../../../src/kube/reflector.ts';
import type { RelistReason } from '../../../src/kube/reflector-status.ts';
import { Store } from '../../../src/kube/store.ts';
import type { KubeObject, ResourceType } from '../../../src/kube/types.ts';
import {
  FakeApiServer,
  type Fault,
  isList,
  isWatch,
  reply,
  replyStatus,
  statusOf,
} from '../../support/fake-api-server.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const widgets: ResourceType = {
  group: 'test.proconsul.dev',
  version: 'v1',
  plural: 'widgets',
  kind: 'Widget',
  namespaced: true,
};
/** Makes each backoff the longest that its attempt allows. */
const longest = (): number => 1 - Number.EPSILON;

let server: FakeApiServer;
let clock: FakeClock;
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
  await server.stop();
});

interface Subject {
  readonly store: Store;
  readonly reflector: Reflector;
  /** What the store's handlers were told. */
  readonly told: string[];
  /** Each failure's code and the pause that followed. */
  readonly failures: { readonly code: string; readonly during: string; readonly retryInMs: number }[];
  readonly relists: RelistReason[];
}

function aReflector(options: Partial<ReflectorOptions<KubeObject>> = {}): Subject {
  const client = createKubeClient({ clock, kubeconfig: server.kubeconfig() });
  closing.push(() => client.close());
  const told: string[] = [];
  const failures: Subject['failures'] = [];
  const relists: RelistReason[] = [];
  const store = new Store({
    handlers: {
      onUpsert: ({ metadata }, previous, { initial }) =>
        told.push(`${initial ? 'initial' : previous === undefined ? 'new' : 'changed'} ${metadata.name}`),
      onDelete: ({ metadata }, { inferred }) =>
        told.push(`${inferred ? 'missing' : 'deleted'} ${metadata.name}`),
      onError: error => told.push(String(error)),
    },
  });
  const reflector = createReflector({
    client,
    type: widgets,
    store,
    clock,
    random: longest,
    streaming: false,
    observer: {
      failed: (error, context) => failures.push({ code: (error as { code: string }).code, ...context }),
      relisted: reason => relists.push(reason),
    },
    ...options,
  });
  closing.push(() => reflector.close());
  return { store, reflector, told, failures, relists };
}

function names(store: Store): string[] {
  return [...store.values()].map(({ metadata }) => metadata.name).toSorted();
}

async function watching({ reflector }: Subject): Promise<void> {
  await until(() => reflector.state.watching);
}

/** Waits for failure number `count` and lets its pause go by. */
async function waitOut({ failures }: Subject, count = 1): Promise<void> {
  await until(() => failures.length === count);
  clock.advance(failures.at(-1)?.retryInMs ?? 0);
}

const answering =
  (code: number, reason: string): Fault =>
  (_, response) =>
    replyStatus(response, code, reason);

describe('a list and the watch that follows it', () => {
  test('fill the store and keep it current', async () => {
    server.put('a');
    server.put('b');
    const { reflector, store, told } = aReflector();
    await until(() => reflector.state.watching);
    server.put('c');
    server.put('a', { spec: { size: 2 } });
    server.remove('b');
    await until(() => told.length === 5);
    expect(told).toEqual(['initial a', 'initial b', 'new c', 'changed a', 'deleted b']);
    expect(names(store)).toEqual(['a', 'c']);
    expect(store.get('default', 'a')).toMatchObject({ spec: { size: 2 } });
  });

  test('take a list in pages of 500 at one moment, whatever changes between the pages', async () => {
    for (let object = 0; object < 1_100; object += 1) server.put(`w-${object}`);
    server.failNext((_, response) => {
      server.put('late');
      response.writeHead(307).end();
    }, isWatch);
    const { reflector, store, told } = aReflector();
    await reflector.synced;
    expect(server.lists.map(({ query }) => query.get('limit'))).toEqual(['500', '500', '500']);
    expect(server.lists.every(({ query }) => query.get('resourceVersion') === null)).toBe(true);
    expect(store.size).toBe(1_100);
    await until(() => server.watches.length === 1);
    expect(told.at(-1)).toBe('initial w-1099');
  });

  test('ask for bookmarks and an end after five to ten minutes', async () => {
    const { reflector } = aReflector({ random: () => 0.5 });
    await reflector.synced;
    await until(() => server.watches.length === 1);
    const query = Object.fromEntries(server.watches[0]?.query ?? []);
    expect(query).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: server.version,
      timeoutSeconds: '450',
    });
  });

  test('pass the scope and the selectors on, and see nothing else', async () => {
    server.put('a', { namespace: 'shop' });
    server.put('a', { namespace: 'other' });
    const { reflector, store } = aReflector({
      namespace: 'shop',
      labelSelector: 'x=1',
      fieldSelector: 'y=2',
    });
    await reflector.synced;
    await until(() => server.openWatches === 1);
    for (const request of server.requests) {
      expect(request.path).toBe('/apis/test.proconsul.dev/v1/namespaces/shop/widgets');
      expect(request.query.get('labelSelector')).toBe('x=1');
      expect(request.query.get('fieldSelector')).toBe('y=2');
    }
    expect(store.size).toBe(1);
  });

  test('ask for metadata only, without taking the whole object instead', async () => {
    server.put('a', { spec: { secret: 'value' } });
    const { reflector, store } = aReflector({ metadataOnly: true });
    await reflector.synced;
    await until(() => server.openWatches === 1);
    expect(store.get('default', 'a')?.spec).toBeUndefined();
    expect(server.requests.map(({ headers }) => headers.accept)).toEqual([
      'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
      'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
    ]);
  });

  test('two reflectors may fill one store, each its own namespace', async () => {
    server.put('a', { namespace: 'x' });
    server.put('a', { namespace: 'y' });
    const first = aReflector({ namespace: 'x' });
    const second = aReflector({ namespace: 'y', store: first.store });
    await Promise.all([first.reflector.synced, second.reflector.synced]);
    expect(first.store.size).toBe(2);
  });
});

describe('a watch that ends', () => {
  test('by its own time limit is resumed at once, from the last version heard, without a list', async () => {
    server.put('a');
    const subject = aReflector();
    await watching(subject);
    server.put('b');
    await until(() => subject.store.size === 2);
    const { version } = server;
    clock.advance(1_000);
    server.endWatches();
    await until(() => server.openWatches === 1);
    expect(server.watches.at(-1)?.query.get('resourceVersion')).toBe(version);
    expect(server.lists).toHaveLength(1);
    expect(subject.failures).toEqual([]);
  });

  test('resumes from a bookmark when nothing of its own kind happened for long', async () => {
    const subject = aReflector();
    await watching(subject);
    server.put('elsewhere', { namespace: 'x' });
    server.bookmark();
    await until(() => subject.store.size === 1);
    await settled();
    clock.advance(1_000);
    server.endWatches();
    await until(() => server.watches.length === 2);
    expect(server.watches[1]?.query.get('resourceVersion')).toBe(server.version);
  });

  test('at once, again and again, is asked for ever more slowly: no hot loop', async () => {
    const subject = aReflector();
    for (let refusals = 0; refusals < 8; refusals += 1)
      server.failNext((_, response) => response.end(), isWatch);
    for (let refusals = 1; refusals <= 8; refusals += 1) await waitOut(subject, refusals);
    expect(subject.failures.map(({ retryInMs }) => Math.round(retryInMs))).toEqual([
      800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
    ]);
  });

  test('sends one event and breaks off, again and again: the event does not make the pauses short again', async () => {
    server.put('a');
    const subject = aReflector();
    const eventThenError: Fault = (_, response) => {
      server.put('a');
      const event = { type: 'ADDED', object: server.put('a') };
      response.write(
        `${JSON.stringify(event)}\n${JSON.stringify({ type: 'ERROR', object: statusOf(500, 'InternalError') })}\n`,
      );
      response.end();
    };
    for (let errors = 0; errors < 4; errors += 1) server.failNext(eventThenError, isWatch);
    for (let errors = 1; errors <= 4; errors += 1) await waitOut(subject, errors);
    expect(subject.failures.map(({ retryInMs }) => Math.round(retryInMs))).toEqual([
      800, 1_600, 3_200, 6_400,
    ]);
    expect(server.lists).toHaveLength(1);
  });

  test('after a healthy minute starts with short pauses again', async () => {
    const subject = aReflector({ idleTimeoutMs: 600_000 });
    server.failNext((_, response) => response.destroy(), isWatch);
    server.failNext((_, response) => response.destroy(), isWatch);
    await waitOut(subject, 1);
    await waitOut(subject, 2);
    await watching(subject);
    clock.advance(60_000);
    server.endWatches('broken');
    await waitOut(subject, 3);
    expect(subject.failures.map(({ retryInMs }) => Math.round(retryInMs))).toEqual([800, 1_600, 800]);
  });
});

describe('410', () => {
  test.each(['http', 'event'] as const)(
    'as %s makes a new list, after a pause, and tells the differences',
    async form => {
      server.goneAs = form;
      server.put('kept');
      server.put('lost');
      server.put('replaced', { uid: 'first' });
      const subject = aReflector();
      await subject.reflector.synced;
      await until(() => server.openWatches === 1);
      server.blackHoleWatches();
      server.remove('lost');
      server.put('replaced', { uid: 'second' });
      server.put('added');
      server.compact();
      server.endWatches();
      subject.told.length = 0;
      clock.advance(75_000);
      await waitOut(subject, 1);
      await until(() => subject.failures.length === 2);
      await settled();
      expect(server.lists).toHaveLength(1);
      clock.advance(30_000);
      await until(() => server.openWatches === 1);
      expect(subject.failures.map(({ code }) => code)).toEqual(['KUBE_TIMEOUT', 'KUBE_GONE']);
      expect(subject.told).toEqual(['missing lost', 'missing replaced', 'new replaced', 'new added']);
      expect(subject.relists).toEqual(['start', 'expired']);
      expect(subject.reflector.state.relists).toEqual({ start: 1, expired: 1, silent: 0 });
    },
  );

  test('between two pages begins the list anew, and nothing of the half list is believed', async () => {
    for (const name of ['a', 'b', 'c']) server.put(name);
    const subject = aReflector({ pageSize: 2 });
    server.failNext(
      (_, response) => {
        server.compact();
        replyStatus(response, 410, 'Expired');
      },
      ({ query }) => query.has('continue'),
    );
    await until(() => subject.failures.length === 1);
    expect(subject.store.size).toBe(0);
    clock.advance(30_000);
    await subject.reflector.synced;
    expect(names(subject.store)).toEqual(['a', 'b', 'c']);
    expect(subject.told).toEqual(['initial a', 'initial b', 'initial c']);
  });
});

describe('whatever else goes wrong is tried again', () => {
  test.each([
    ['500', answering(500, 'InternalError'), 'KUBE_SERVER_ERROR'],
    ['503', answering(503, 'ServiceUnavailable'), 'KUBE_SERVER_ERROR'],
    ['401', answering(401, 'Unauthorized'), 'KUBE_UNAUTHORIZED'],
    ['403', answering(403, 'Forbidden'), 'KUBE_FORBIDDEN'],
    ['404', answering(404, 'NotFound'), 'KUBE_NOT_FOUND'],
    ['408', answering(408, 'Timeout'), 'KUBE_TIMEOUT'],
    ['400', answering(400, 'BadRequest'), 'KUBE_INVALID'],
    [
      'a broken connection',
      (_: unknown, response: { destroy(): void }) => response.destroy(),
      'KUBE_UNREACHABLE',
    ],
    [
      'no JSON',
      (_: unknown, response: { end(text: string): void }) => response.end('<html>\n'),
      'KUBE_BAD_REPLY',
    ],
  ] as [string, Fault, string][])('%s, for the list and for the watch', async (_, fault, code) => {
    const subject = aReflector();
    // Twice, as a 401 is answered once more with fresh credentials.
    const times = code === 'KUBE_UNAUTHORIZED' ? 2 : 1;
    for (let time = 0; time < times; time += 1) server.failNext(fault, isList);
    for (let time = 0; time < times; time += 1) server.failNext(fault, isWatch);
    server.put('a');
    await waitOut(subject, 1);
    await subject.reflector.synced;
    await waitOut(subject, 2);
    await until(() => server.openWatches === 1);
    server.put('b');
    await until(() => subject.store.size === 2);
    expect(subject.failures).toMatchObject([
      { code, during: 'list' },
      { code, during: 'watch' },
    ]);
    expect(subject.reflector.state.lastError).toBeUndefined();
    expect(subject.relists).toEqual(['start']);
  });

  test('a hundred times over: it never gives up', async () => {
    const subject = aReflector();
    for (let failures = 0; failures < 100; failures += 1)
      server.failNext(answering(500, 'InternalError'), isList);
    for (let failures = 1; failures <= 100; failures += 1) await waitOut(subject, failures);
    await subject.reflector.synced;
    expect(subject.failures.every(({ retryInMs }) => retryInMs <= 30_000)).toBe(true);
  });

  test('Retry-After makes the pause longer, but not endless', async () => {
    const subject = aReflector();
    for (const seconds of ['45', '86400']) {
      server.failNext((_, response) => {
        response.setHeader('retry-after', seconds);
        replyStatus(response, 429, 'TooManyRequests');
      }, isList);
    }
    await waitOut(subject, 1);
    await waitOut(subject, 2);
    expect(subject.failures.map(({ retryInMs }) => retryInMs)).toEqual([45_000, 60_000]);
  });

  test('a server that restarts on the same port is found again, without a list', async () => {
    server.put('a');
    const subject = aReflector();
    await watching(subject);
    await server.restart();
    server.put('b');
    await waitOut(subject, 1);
    await until(() => subject.store.size === 2);
    expect(server.lists).toHaveLength(1);
  });

  test('an answer of 200 that is no list never empties the store', async () => {
    server.put('a');
    const subject = aReflector();
    await watching(subject);
    for (const body of [
      {},
      { kind: 'WidgetList', metadata: {} },
      { kind: 'Status', items: [] },
      { kind: 'WidgetList', metadata: { resourceVersion: '9' } },
    ]) {
      server.failNext((_, response) => reply(response, 200, body), isList);
    }
    server.toWatches({ type: 'ERROR', object: statusOf(410, 'Expired') });
    for (let failures = 1; failures <= 5; failures += 1) {
      await until(() => subject.failures.length === failures);
      expect(names(subject.store)).toEqual(['a']);
      clock.advance(30_000);
    }
    await until(() => subject.relists.length === 2);
    expect(names(subject.store)).toEqual(['a']);
    expect(subject.told).toEqual(['initial a']);
  });
});

describe('a watch', () => {
  test('cut within a line resumes from the event before it', async () => {
    const subject = aReflector();
    await watching(subject);
    server.put('a');
    await until(() => subject.store.size === 1);
    const { version } = server;
    server.toWatches('{"type":"ADDED","object":{"metadata":{"name":"b"');
    server.endWatches();
    server.put('b');
    await waitOut(subject, 1);
    await until(() => subject.store.size === 2);
    expect(server.watches[1]?.query.get('resourceVersion')).toBe(version);
    expect(subject.failures).toMatchObject([{ code: 'KUBE_BAD_REPLY' }]);
  });

  test('that repeats events, or mixes up their order, leads to the same state', async () => {
    const subject = aReflector();
    await watching(subject);
    const older = server.put('a', { spec: { size: 1 } });
    const newer = server.put('a', { spec: { size: 2 } });
    server.toWatches({ type: 'ADDED', object: older });
    server.toWatches({ type: 'MODIFIED', object: newer });
    server.put('marker');
    await until(() => subject.store.size === 2);
    expect(subject.store.get('default', 'a')).toMatchObject({ spec: { size: 2 } });
    expect(subject.told).toEqual(['new a', 'changed a', 'new marker']);
  });

  test.each([
    ['no object', { type: 'ADDED' }],
    ['an unknown type', { type: 'NEWS', object: { metadata: { name: 'x', resourceVersion: '1' } } }],
    ['null', 'null\n'],
  ])('event with %s is an error, not a crash', async (_, event) => {
    const subject = aReflector();
    await watching(subject);
    server.toWatches(event);
    await waitOut(subject, 1);
    await until(() => server.watches.length === 2);
    expect(subject.failures).toMatchObject([{ code: 'KUBE_BAD_REPLY' }]);
  });
});

describe('silence', () => {
  test('of 75 s destroys the connection and resumes from the last version; any byte counts as a sign of life', async () => {
    const subject = aReflector();
    await watching(subject);
    server.put('a');
    await until(() => subject.store.size === 1);
    const { version } = server;
    clock.advance(74_999);
    server.bookmark();
    const contact = clock.now();
    await until(() => subject.reflector.state.lastContactAt === contact);
    clock.advance(74_999);
    await settled();
    expect(subject.failures).toEqual([]);
    server.blackHoleWatches();
    server.put('b');
    clock.advance(1);
    await waitOut(subject, 1);
    await until(() => subject.store.size === 2);
    expect(subject.failures).toMatchObject([{ code: 'KUBE_TIMEOUT', during: 'watch' }]);
    expect(server.watches[1]?.query.get('resourceVersion')).toBe(version);
    expect(server.lists).toHaveLength(1);
  });

  test('of a server that went back in time ends in a list, after which its word is believed again', async () => {
    for (const name of ['a', 'b']) server.put(name);
    const subject = aReflector();
    await watching(subject);
    server.endWatches('broken');
    server.rewind();
    server.put('a', { spec: { restored: true } });
    await waitOut(subject, 1);
    for (const failures of [2, 3]) {
      await watching(subject);
      clock.advance(75_000);
      await waitOut(subject, failures);
    }
    await until(() => subject.relists.length === 2);
    expect(subject.relists).toEqual(['start', 'silent']);
    expect(names(subject.store)).toEqual(['a']);
    expect(subject.store.get('default', 'a')).toMatchObject({ spec: { restored: true } });
  });
});

describe('WatchList', () => {
  test('streams the initial state over the watch itself: one request in all', async () => {
    for (const name of ['a', 'b']) server.put(name);
    const { reflector, store, told } = aReflector({ streaming: true });
    await reflector.synced;
    expect(told).toEqual(['initial a', 'initial b']);
    server.put('c');
    await until(() => store.size === 3);
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.query.get('resourceVersionMatch')).toBe('NotOlderThan');
    expect(server.requests[0]?.query.get('resourceVersion')).toBeNull();
    expect(told.at(-1)).toBe('new c');
  });

  test('refused is answered by a plain list at once, and not asked for again', async () => {
    server.watchList = 'refused';
    server.put('a');
    const subject = aReflector({ streaming: true });
    await subject.reflector.synced;
    expect(subject.failures).toEqual([]);
    await until(() => server.openWatches === 1);
    server.toWatches({ type: 'ERROR', object: statusOf(410, 'Expired') });
    await waitOut(subject, 1);
    await until(() => subject.relists.length === 2);
    expect(server.watches.filter(({ query }) => query.has('sendInitialEvents'))).toHaveLength(1);
  });

  test('by a server that does not know it, and never marks the end, is given up after 10 s for a list', async () => {
    server.watchList = 'ignored';
    server.put('a');
    const subject = aReflector({ streaming: true });
    await until(() => subject.reflector.state.lastContactAt !== undefined);
    await settled();
    expect(subject.store.size).toBe(0);
    clock.advance(10_000);
    await subject.reflector.synced;
    expect(names(subject.store)).toEqual(['a']);
    await until(() => server.watches.length === 2);
    expect(server.lists).toHaveLength(1);
  });

  test('goes on after its end with the longer limit for silence', async () => {
    const subject = aReflector({ streaming: true });
    await subject.reflector.synced;
    clock.advance(74_999);
    await settled();
    expect(subject.failures).toEqual([]);
    clock.advance(1);
    await until(() => subject.failures.length === 1);
  });

  test('is complete at the marked bookmark and no sooner', async () => {
    const end = { metadata: { resourceVersion: '9', annotations: { 'k8s.io/initial-events-end': 'true' } } };
    const metadata = (name: string) => ({
      metadata: { name, namespace: 'default', uid: name, resourceVersion: '5' },
    });
    server.failNext((_, response) => {
      const events = [
        { type: 'ADDED', object: metadata('a') },
        { type: 'BOOKMARK', object: { metadata: { resourceVersion: '7' } } },
        { type: 'ADDED', object: metadata('b') },
        { type: 'ADDED', object: metadata('c') },
        { type: 'DELETED', object: metadata('c') },
        { type: 'BOOKMARK', object: end },
      ];
      response.write(events.map(event => `${JSON.stringify(event)}\n`).join(''));
    });
    const { reflector, told } = aReflector({ streaming: true });
    await reflector.synced;
    expect(told).toEqual(['initial a', 'initial b']);
  });

  test('broken off half way is not believed; a list follows after the pause', async () => {
    server.put('a');
    server.failNext((_, response) => {
      const event = {
        type: 'ADDED',
        object: { metadata: { name: 'half', namespace: 'default', uid: 'u', resourceVersion: '5' } },
      };
      response.write(`${JSON.stringify(event)}\n`, () => response.destroy());
    });
    const subject = aReflector({ streaming: true });
    await waitOut(subject, 1);
    await subject.reflector.synced;
    expect(names(subject.store)).toEqual(['a']);
    expect(server.lists).toHaveLength(1);
  });
});

describe('the state', () => {
  test.each([
    [404, 'NotFound', 'KUBE_NOT_FOUND'],
    [403, 'Forbidden', 'KUBE_FORBIDDEN'],
  ])('says when a kind is not to be had (%i), and when it is again', async (status, reason, code) => {
    server.failNext(answering(status, reason), isList);
    const subject = aReflector();
    await subject.reflector.settled;
    expect(subject.reflector.state).toMatchObject({ synced: false, unavailable: { code } });
    clock.advance(30_000);
    await subject.reflector.synced;
    expect(subject.reflector.state).toMatchObject({
      synced: true,
      unavailable: undefined,
      lastError: undefined,
    });
  });

  test('keeps what the store holds, and says so, when a kind goes away later', async () => {
    server.put('a');
    const subject = aReflector();
    await watching(subject);
    server.failNext(answering(404, 'NotFound'), isWatch);
    clock.advance(1_000);
    server.endWatches();
    await until(() => subject.failures.length === 1);
    expect(subject.reflector.state).toMatchObject({ synced: true, unavailable: { code: 'KUBE_NOT_FOUND' } });
    expect(names(subject.store)).toEqual(['a']);
    clock.advance(30_000);
    await until(() => subject.reflector.state.unavailable === undefined);
  });

  test('is told to who subscribes, until they stop', async () => {
    server.failNext(answering(500, 'InternalError'), isList);
    const subject = aReflector();
    const seen: (string | undefined)[] = [];
    const stop = subject.reflector.subscribe(({ lastError }) => seen.push(lastError?.message));
    await waitOut(subject, 1);
    await subject.reflector.synced;
    stop();
    await until(() => server.openWatches === 1);
    server.endWatches('broken');
    await until(() => subject.failures.length === 2);
    expect(seen).toEqual(['API server answered 500 to GET: InternalError by test', undefined]);
  });
});

test('closing ends the watch and every timer, during a pause too', async () => {
  const subject = aReflector();
  await watching(subject);
  await subject.reflector.close();
  expect(clock.timerCount).toBe(0);
  await until(() => server.openWatches === 0);
  server.failNext(answering(500, 'InternalError'), isList);
  const pausing = aReflector();
  await until(() => pausing.failures.length === 1);
  await pausing.reflector.close();
  expect(clock.timerCount).toBe(0);
});
