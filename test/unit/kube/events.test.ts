import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { clipBytes, type EventNotice, eventName, microTime } from '../../../src/kube/event-body.ts';
import { createEventRecorder, type EventRecorder } from '../../../src/kube/events.ts';
import { createKubeClient } from '../../../src/kube/http-client.ts';
import { FakeApiServer, replyStatus } from '../../support/fake-api-server.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const never = new AbortController().signal;
const regarding = {
  apiVersion: 'proconsul.dev/v1alpha1',
  kind: 'ConsulKV',
  namespace: 'shop',
  name: 'orders',
  uid: 'u1',
};

let server: FakeApiServer;
let clock: FakeClock;
let dropped: string[];
let recorder: EventRecorder;
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  dropped = [];
  const client = createKubeClient({ clock, kubeconfig: server.kubeconfig() });
  closing.push(() => client.close());
  recorder = createEventRecorder({
    client,
    clock,
    instance: 'proconsul-0',
    onDropped: cause => dropped.push(cause),
  });
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map(close => close()));
  await server.stop();
});

function aNotice(fields: Partial<EventNotice> = {}): EventNotice {
  return {
    regarding,
    type: 'Normal',
    reason: 'Applied',
    action: 'Reconcile',
    note: '3 keys written',
    ...fields,
  };
}

describe('a notice', () => {
  test('becomes an Event in the namespace of its object', async () => {
    recorder.emit(aNotice());
    await recorder.flush(never);
    expect(server.requests).toMatchObject([
      {
        method: 'POST',
        path: '/apis/events.k8s.io/v1/namespaces/shop/events',
        body: {
          apiVersion: 'events.k8s.io/v1',
          kind: 'Event',
          metadata: { namespace: 'shop' },
          eventTime: '2026-01-02T03:04:05.678000Z',
          reportingController: 'proconsul.dev/operator',
          reportingInstance: 'proconsul-0',
          regarding,
          type: 'Normal',
          reason: 'Applied',
          action: 'Reconcile',
          note: '3 keys written',
        },
      },
    ]);
  });

  test('about an object without a namespace goes to default', async () => {
    const { namespace: _, ...clusterScoped } = regarding;
    recorder.emit(aNotice({ regarding: clusterScoped }));
    await recorder.flush(never);
    expect(server.requests[0]?.path).toBe('/apis/events.k8s.io/v1/namespaces/default/events');
  });

  test('repeated counts as a series of one Event, whatever version the object is at by then', async () => {
    for (const resourceVersion of ['1', '2', '3']) {
      recorder.emit(aNotice({ regarding: { ...regarding, resourceVersion } }));
      await recorder.flush(never);
      clock.advance(1_000);
    }
    const [created, ...patched] = server.requests;
    const name = (created?.body as { metadata: { name: string } } | undefined)?.metadata.name;
    expect(patched.map(({ method, path }) => `${method} ${path}`)).toEqual(
      Array.from({ length: 2 }, () => `PATCH /apis/events.k8s.io/v1/namespaces/shop/events/${name}`),
    );
    expect(patched.map(({ body }) => body)).toEqual([
      { series: { count: 2, lastObservedTime: '2026-01-02T03:04:06.678000Z' } },
      { series: { count: 3, lastObservedTime: '2026-01-02T03:04:07.678000Z' } },
    ]);
    expect(patched[0]?.headers['content-type']).toBe('application/merge-patch+json');
  });

  test('repeated while another is being sent is one request with the count', async () => {
    recorder.emit(aNotice({ note: 'first' }));
    for (let times = 0; times < 100; times += 1) recorder.emit(aNotice());
    await recorder.flush(never);
    const counts = server.requests.map(({ body }) => (body as { series?: { count: number } }).series?.count);
    expect(counts).toEqual([undefined, 100]);
    expect(dropped).toEqual([]);
  });

  test('repeated after six minutes of rest is a new Event', async () => {
    recorder.emit(aNotice());
    await recorder.flush(never);
    clock.advance(6 * 60_000 + 1);
    recorder.emit(aNotice());
    await recorder.flush(never);
    expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'POST']);
  });

  test('repeated after the server has forgotten the Event is a new one with the count so far', async () => {
    recorder.emit(aNotice());
    await recorder.flush(never);
    server.failNext((_, response) => replyStatus(response, 404, 'NotFound'));
    recorder.emit(aNotice());
    await recorder.flush(never);
    expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'POST']);
    expect(server.requests[2]?.body).toMatchObject({ series: { count: 2 } });
  });
});

describe('the caller is never bothered', () => {
  test('by a server that refuses or is away', async () => {
    server.failNext((_, response) => replyStatus(response, 403, 'Forbidden'));
    recorder.emit(aNotice());
    await recorder.flush(never);
    await server.restart();
    server.failNext((_, response) => response.destroy());
    recorder.emit(aNotice({ note: 'second' }));
    await recorder.flush(never);
    expect(dropped).toEqual(['failed', 'failed']);
  });

  test('by too many notices: 50 at once and 10 a second go through, the others are counted', async () => {
    for (let notices = 0; notices < 60; notices += 1) recorder.emit(aNotice({ note: `n${notices}` }));
    expect(dropped).toEqual(Array.from({ length: 10 }, () => 'rate'));
    clock.advance(500);
    for (let notices = 0; notices < 10; notices += 1) recorder.emit(aNotice({ note: `m${notices}` }));
    expect(dropped).toHaveLength(15);
    await recorder.flush(never);
    expect(server.requests).toHaveLength(55);
  });

  test('by a server that hangs: one request is open, 500 notices wait, the others are counted', async () => {
    server.failNext(() => undefined);
    recorder.emit(aNotice());
    await until(() => server.requests.length === 1);
    for (let notices = 0; notices < 600; notices += 1) {
      recorder.emit(aNotice({ note: `n${notices}` }));
      clock.advance(100);
    }
    expect(dropped).toEqual(Array.from({ length: 100 }, () => 'queue'));
    const cut = new AbortController();
    const flushed = recorder.flush(cut.signal);
    cut.abort();
    await flushed;
    expect(dropped.filter(cause => cause === 'failed')).toHaveLength(501);
    expect(server.requests).toHaveLength(1);
  });
});

test('a note is cut to 1,024 bytes between characters', () => {
  expect(clipBytes('x'.repeat(1_024), 1_024)).toHaveLength(1_024);
  const cut = clipBytes(`${'x'.repeat(1_023)}é…`, 1_024);
  expect(cut).toBe('x'.repeat(1_023));
  expect(Buffer.byteLength(clipBytes('…'.repeat(1_000), 1_024))).toBeLessThanOrEqual(1_024);
});

test('a name stays a DNS name of at most 253 characters', () => {
  const long = eventName(
    aNotice({ regarding: { ...regarding, name: `${'a'.repeat(219)}.b` } }),
    '0123456789abcdef',
  );
  expect(long).toBe(`${'a'.repeat(219)}.0123456789abcdef`);
  expect(long.length).toBeLessThanOrEqual(253);
});

test('times have six digits', () => {
  expect(microTime(0)).toBe('1970-01-01T00:00:00.000000Z');
});
