import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AbortedError, RetryableError } from '../../../src/core/errors.ts';
import type { KubeRequest, RequestReport } from '../../../src/kube/client.ts';
import { createKubeClient, type KubeClientOptions } from '../../../src/kube/http-client.ts';
import { kubeStatus } from '../../../src/kube/errors.ts';
import { FakeApiServer, isWatch, reply, replyStatus } from '../../support/fake-api-server.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

const collection = '/apis/test.proconsul.dev/v1/widgets';
const path = '/apis/test.proconsul.dev/v1/namespaces/default/widgets/a';
const never = new AbortController().signal;

let server: FakeApiServer;
let clock: FakeClock;
let reports: RequestReport[];
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  server = await FakeApiServer.start();
  clock = new FakeClock();
  reports = [];
});
afterEach(async () => {
  await Promise.all(closing.splice(0).map(close => close()));
  await server.stop();
});

function aClient({ kubeconfig = server.kubeconfig(), ...options }: Partial<KubeClientOptions> = {}) {
  const client = createKubeClient({
    clock,
    kubeconfig,
    onRequest: report => reports.push(report),
    ...options,
  });
  closing.push(() => client.close());
  return client;
}

function aGet(fields: Partial<KubeRequest> = {}): KubeRequest {
  return { method: 'GET', path, signal: never, ...fields };
}

describe('a request', () => {
  test('goes out with its query, body and type, and comes back as raw JSON', async () => {
    const client = aClient({ userAgent: 'proconsul/test' });
    const body = { metadata: { annotations: { unknown: 'field' } } };
    const answer = await client.request({
      method: 'PATCH',
      path,
      query: { dryRun: 'All', left: undefined },
      contentType: 'application/merge-patch+json',
      body,
      signal: never,
    });
    expect(answer).toEqual(body);
    expect(server.requests).toMatchObject([{ method: 'PATCH', path, body }]);
    expect(server.requests[0]?.query.toString()).toBe('dryRun=All');
    expect(server.requests[0]?.headers).toMatchObject({
      'content-type': 'application/merge-patch+json',
      authorization: 'Bearer secret-token',
      'user-agent': 'proconsul/test',
    });
  });

  test('is reported with code, method, host and duration, when it fails too', async () => {
    const client = aClient();
    server.put('a');
    await client.request(aGet());
    await expect(client.request(aGet({ path: `${path}b` }))).rejects.toThrow('404');
    server.failNext((_, response) => response.destroy());
    await expect(client.request(aGet())).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
    const host = `127.0.0.1:${server.port}`;
    expect(reports).toEqual(
      ['200', '404', '<error>'].map(code => ({ code, method: 'GET', host, durationMs: 0, watch: false })),
    );
  });

  test('keeps the path of the server address in front of its own', async () => {
    server.put('a');
    const kubeconfig = server.file('beneath', JSON.stringify(configOf(`${server.url}/k8s/clusters/c-1/`)));
    const client = aClient({ kubeconfig });
    await client.request(aGet());
    expect(server.requests[0]?.path).toBe(`/k8s/clusters/c-1${path}`);
  });
});

describe('an answer that is none', () => {
  test.each([
    ['HTML', (): string => '<html>welcome to the proxy</html>'],
    ['JSON cut short', (): string => '{"kind":"Widget","meta'],
    ['nothing', (): string => ''],
  ])('%s is retryable and not quoted', async (_, text) => {
    server.failNext((_, response) => response.writeHead(200).end(text()));
    const error = await aClient()
      .request(aGet())
      .catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'KUBE_BAD_REPLY', outcomeUnknown: false });
    expect(String(error)).not.toContain('proxy');
  });

  test('a connection that breaks within the body is retryable', async () => {
    server.failNext((_, response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('{"kind":');
      setImmediate(() => response.destroy());
    });
    await expect(aClient().request(aGet())).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
  });

  test('a redirect is not followed', async () => {
    server.failNext((_, response) => response.writeHead(302, { location: `${server.url}/elsewhere` }).end());
    await expect(aClient().request(aGet())).rejects.toMatchObject({ code: 'KUBE_BAD_REPLY' });
    expect(server.requests).toHaveLength(1);
  });

  test('an answer over the limit is not read further, and the connection not used again', async () => {
    const client = aClient({ maxReplyBytes: 1000 });
    let endless: NodeJS.Timeout | undefined;
    server.failNext((_, response) => {
      response.writeHead(200);
      endless = setInterval(() => response.write('x'.repeat(600)), 1);
      response.on('close', () => clearInterval(endless));
    });
    await expect(client.request(aGet())).rejects.toMatchObject({ code: 'KUBE_REPLY_TOO_LARGE' });
    server.put('a');
    await client.request(aGet());
    expect(server.requests[1]?.clientPort).not.toBe(server.requests[0]?.clientPort);
  });

  test('a refusal that is no Status is not quoted', async () => {
    server.failNext((_, response) => response.writeHead(502).end('<html>bad gateway</html>'));
    const error = await aClient()
      .request(aGet())
      .catch((error: unknown) => error);
    expect(kubeStatus(error)).toBe(502);
    expect(String(error)).not.toContain('html');
  });
});

describe('time limits', () => {
  test('a silent server is given up at the deadline, and the next request goes through at once', async () => {
    const client = aClient();
    server.failNext(() => undefined);
    const request = client.request(aGet({ method: 'PATCH', body: {}, deadlineMs: 5_000 }));
    await until(() => server.requests.length === 1);
    clock.advance(5_000);
    await expect(request).rejects.toMatchObject({ code: 'KUBE_TIMEOUT', outcomeUnknown: true });
    server.put('a');
    await client.request(aGet());
  });

  test('a server that stops within the body is given up too', async () => {
    server.failNext((_, response) => response.writeHead(200).write('{"half":'));
    const request = aClient().request(aGet({ deadlineMs: 5_000 }));
    await until(() => reports.length === 1);
    clock.advance(5_000);
    await expect(request).rejects.toMatchObject({ code: 'KUBE_TIMEOUT' });
  });

  test('a server that takes the connection and never shakes hands is given up too', async () => {
    const mute = createServer(() => connections.push('one'));
    const connections: string[] = [];
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    const kubeconfig = server.file('mute', JSON.stringify(configOf(`https://127.0.0.1:${port}`)));
    const client = aClient({ kubeconfig });
    const late = client.request(aGet({ deadlineMs: 5_000 }));
    await until(() => connections.length === 1);
    clock.advance(5_000);
    await expect(late).rejects.toMatchObject({ code: 'KUBE_TIMEOUT' });
    const tooLate = client.stream(aGet({ signal: AbortSignal.abort() }));
    await expect(tooLate).rejects.toMatchObject({ code: 'ABORTED' });
    await client.close();
    mute.close();
  });

  test("the caller's signal ends a request, as AbortedError, and no listener stays on it", async () => {
    const caller = new AbortController();
    const client = aClient();
    server.put('a');
    await client.request(aGet({ signal: caller.signal }));
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
    server.failNext(() => undefined);
    const request = client.request(aGet({ signal: caller.signal }));
    await until(() => server.requests.length === 2);
    // As a turn that is cut off: the reason is an error of our own, and none of the API server's.
    caller.abort(new RetryableError('cut off', { code: 'TURN_TIMEOUT', reason: 'Progressing' }));
    await expect(request).rejects.toMatchObject({ code: 'ABORTED' });
    expect(clock.timerCount).toBe(0);
  });

  test('closing the client ends what is in flight', async () => {
    const client = aClient();
    server.failNext(() => undefined);
    const request = client.request(aGet());
    await until(() => server.requests.length === 1);
    const [outcome] = await Promise.allSettled([request, client.close()]);
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ABORTED' } });
  });
});

test('a client that is closed, or a caller that has given up already, sends nothing', async () => {
  const client = aClient();
  await expect(client.request(aGet({ signal: AbortSignal.abort() }))).rejects.toMatchObject({
    code: 'ABORTED',
  });
  await client.close();
  await expect(client.request(aGet())).rejects.toMatchObject({ code: 'ABORTED' });
  await expect(client.stream(aGet())).rejects.toMatchObject({ code: 'ABORTED' });
  expect(server.requests).toEqual([]);
});

describe('what is to be checked before a request is sent', () => {
  test('is checked when the connection stands, not before', async () => {
    let isShaking = false;
    const mute = createServer(socket => socket.once('data', () => (isShaking = true)));
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    const kubeconfig = server.file('mute', JSON.stringify(configOf(`https://127.0.0.1:${port}`)));
    const client = aClient({ kubeconfig });
    const checked: string[] = [];
    const request = client.request(aGet({ deadlineMs: 5_000, beforeSend: () => checked.push('early') }));
    await until(() => isShaking);
    expect(checked).toEqual([]);
    clock.advance(5_000);
    await expect(request).rejects.toMatchObject({ code: 'KUBE_TIMEOUT' });
    await client.close();
    mute.close();
  });

  test('refuses: nothing is sent, and the next request goes through', async () => {
    const client = aClient();
    server.put('a');
    const refused = new AbortedError('not the leader any more');
    const beforeSend = (): never => {
      throw refused;
    };
    await expect(client.request(aGet({ method: 'POST', body: {}, beforeSend }))).rejects.toBe(refused);
    expect(server.requests).toEqual([]);
    let checks = 0;
    await client.request(aGet({ beforeSend: () => (checks += 1) }));
    expect(server.requests).toHaveLength(1);
    expect(checks).toBe(1);
  });
});

describe('429', () => {
  const throttle =
    (seconds: string) =>
    (_: unknown, response: Parameters<typeof replyStatus>[0]): void => {
      response.setHeader('retry-after', seconds);
      replyStatus(response, 429, 'TooManyRequests');
    };

  test('is waited out for as long as the server asks', async () => {
    const client = aClient();
    server.put('a');
    server.failNext(throttle('2'));
    let checks = 0;
    const request = client.request(aGet({ beforeSend: () => (checks += 1) }));
    await until(() => clock.timerCount === 1 && reports.length === 1);
    clock.advance(1_999);
    await settled();
    expect(server.requests).toHaveLength(1);
    clock.advance(1);
    await request;
    expect(server.requests).toHaveLength(2);
    // Each resend by itself: the pause may have cost the lead.
    expect(checks).toBe(2);
  });

  test('is handed on, with the pause, after four tries', async () => {
    const client = aClient();
    for (let tries = 0; tries < 4; tries += 1) server.failNext(throttle('1'));
    const outcome = client.request(aGet()).catch((error: unknown) => error);
    for (const tries of [1, 2, 3]) {
      await until(() => reports.length === tries && clock.timerCount === 1);
      clock.advance(1_000);
    }
    expect(await outcome).toMatchObject({ code: 'KUBE_THROTTLED', retryAfterMs: 1_000 });
    expect(server.requests).toHaveLength(4);
  });

  test('is handed on at once when the pause is long, or none is given', async () => {
    const client = aClient();
    server.failNext(throttle('60'));
    await expect(client.request(aGet())).rejects.toMatchObject({ retryAfterMs: 60_000 });
    server.failNext((_, response) => replyStatus(response, 429, 'TooManyRequests'));
    await expect(client.request(aGet())).rejects.toMatchObject({ retryAfterMs: undefined });
    expect(server.requests).toHaveLength(2);
  });
});

describe('401', () => {
  const refuse = (_: unknown, response: Parameters<typeof replyStatus>[0]): void =>
    replyStatus(response, 401, 'Unauthorized');

  function aTokenFileClient() {
    const tokenFile = server.file('token', 'old');
    const user = { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } };
    return aClient({ kubeconfig: server.kubeconfig(user) });
  }

  test('makes the token be read again, and the request go out once more', async () => {
    const client = aTokenFileClient();
    server.put('a');
    await client.request(aGet());
    server.file('token', 'new');
    server.failNext(refuse);
    await client.request(aGet());
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer old',
      'Bearer old',
      'Bearer new',
    ]);
  });

  test('holds for watches too', async () => {
    const client = aTokenFileClient();
    server.failNext(refuse);
    await client.stream(aGet({ path: collection, query: { watch: true } }));
    expect(server.watches).toHaveLength(2);
  });

  test('twice in a row is handed on: the credentials are wrong', async () => {
    const client = aTokenFileClient();
    server.failNext(refuse);
    server.failNext(refuse);
    await expect(client.request(aGet())).rejects.toMatchObject({ code: 'KUBE_UNAUTHORIZED' });
    expect(server.requests).toHaveLength(2);
  });
});

describe('connections', () => {
  test('end when the certificates they were made with are replaced; a watch on one goes on', async () => {
    const ca = server.file('ca.crt', 'first');
    const config = server.kubeconfig({ token: 't', 'client-certificate': ca });
    const client = aClient({ kubeconfig: config });
    server.put('a');
    await client.request(aGet());
    const query = { watch: true, resourceVersion: server.version };
    const watch = await client.stream(aGet({ path: collection, query }));
    server.file('ca.crt', 'second');
    clock.advance(60_000);
    await client.request(aGet());
    const [before, , after] = server.requests;
    expect(after?.clientPort).not.toBe(before?.clientPort);
    server.toWatches('still there');
    for await (const chunk of watch) {
      expect(Buffer.from(chunk).toString()).toBe('still there');
      break;
    }
  });

  test('200 requests at once use 16, kept alive, and never more requests are in flight', async () => {
    const client = aClient();
    let inFlight = 0;
    let most = 0;
    for (let requests = 0; requests < 200; requests += 1) {
      server.failNext((_, response) => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        setImmediate(() => {
          inFlight -= 1;
          reply(response, 200, {});
        });
      });
    }
    await Promise.all(Array.from({ length: 200 }, () => client.request(aGet())));
    expect(new Set(server.requests.map(({ clientPort }) => clientPort)).size).toBe(16);
    expect(most).toBeLessThanOrEqual(16);
  });

  test('each watch has one of its own, so that watches never hold up requests', async () => {
    const client = aClient({ maxInFlight: 1 });
    server.put('a');
    const watch = { watch: true, resourceVersion: server.version };
    for (let watches = 0; watches < 3; watches += 1)
      await client.stream(aGet({ path: collection, query: watch }));
    await client.request(aGet());
    expect(new Set(server.requests.map(({ clientPort }) => clientPort)).size).toBe(4);
  });
});

describe('a stream', () => {
  test('hands on the bytes as they come, and is not counted among the requests that are late', async () => {
    const client = aClient();
    const chunks = await client.stream(aGet({ path: collection, query: { watch: true }, deadlineMs: 1_000 }));
    clock.advance(3_600_000);
    await until(() => server.openWatches === 1);
    server.toWatches('hello');
    server.endWatches();
    const texts: string[] = [];
    for await (const chunk of chunks) texts.push(Buffer.from(chunk).toString());
    expect(texts.join('')).toBe('hello');
    expect(reports).toMatchObject([{ code: '200', watch: true }]);
  });

  test('that is refused fails at once, as a request would', async () => {
    server.failNext((_, response) => replyStatus(response, 410, 'Expired'));
    await expect(aClient().stream(aGet({ query: { watch: true } }))).rejects.toMatchObject({
      code: 'KUBE_GONE',
    });
  });

  test('that is not accepted within the deadline fails', async () => {
    server.failNext(() => undefined, isWatch);
    const stream = aClient().stream(aGet({ query: { watch: true }, deadlineMs: 1_000 }));
    await until(() => server.requests.length === 1);
    clock.advance(1_000);
    await expect(stream).rejects.toMatchObject({ code: 'KUBE_TIMEOUT' });
  });

  test('that breaks fails as unreachable', async () => {
    const chunks = await aClient().stream(aGet({ path: collection, query: { watch: true } }));
    await until(() => server.openWatches === 1);
    server.endWatches('broken');
    await expect(chunks[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'KUBE_UNREACHABLE' });
  });

  test('that nobody reads any more closes its connection', async () => {
    const chunks = await aClient().stream(aGet({ path: collection, query: { watch: true } }));
    await until(() => server.openWatches === 1);
    server.toWatches('first');
    for await (const _ of chunks) break;
    await until(() => server.openWatches === 0);
    expect(clock.timerCount).toBe(0);
  });
});

function configOf(url: string): object {
  return {
    'current-context': 'x',
    clusters: [{ name: 'x', cluster: { server: url } }],
    users: [{ name: 'x', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'x', user: 'x' } }],
  };
}
