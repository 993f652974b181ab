import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  Agent,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { http } from '../../../tools/sandbox/http.ts';
import { eventually } from '../../support/eventually.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';

/** The server behind: says what it was asked, or streams on demand. */
class Upstream {
  readonly asked: string[] = [];
  readonly streams: ServerResponse[] = [];
  readonly #server: Server = createServer((request, response) => void this.#serve(request, response));

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    this.asked.push(`${request.method} ${request.url} ${body}`.trim());
    if (request.url === '/stream') {
      response.writeHead(200).flushHeaders();
      this.streams.push(response);
    } else {
      response.writeHead(201, { 'x-token': request.headers.authorization ?? '' }).end(`you said ${body}`);
    }
  }
}

let upstream: Upstream;
let proxy: FaultProxy;
const all = () => true;

beforeEach(async () => {
  upstream = new Upstream();
  proxy = await FaultProxy.start({ upstream: await upstream.listen() });
});
afterEach(async () => {
  await proxy.close();
  upstream.close();
});

const put = (path: string, body = '') =>
  http(proxy.url, path, { method: 'PUT', body, headers: { authorization: 'Bearer t' } });
/** An answer that stays open; what fails does so on the answer, which the test watches. */
async function openStream(): Promise<{ answer: IncomingMessage; leave: () => void }> {
  const call = request(`${proxy.url}/stream`).end();
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  call.on('error', () => {});
  return { answer, leave: () => call.destroy() };
}
const streamEnded = () =>
  eventually(() => upstream.streams[0]?.closed ?? false, { what: 'the stream ended at the server' });
/** The code of the failure, or the status: settled either way. */
const outcome = (reply: Promise<{ status: number }>) =>
  reply.then(
    ({ status }) => status,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

describe('without a rule', () => {
  test('it passes request and answer on, credentials included, and records both', async () => {
    const reply = await put('/a//../b?x=1&x=2', 'hello');

    expect(reply).toMatchObject({ status: 201, headers: { 'x-token': 'Bearer t' } });
    expect(reply.body.toString()).toBe('you said hello');
    expect(upstream.asked).toEqual(['PUT /a//../b?x=1&x=2 hello']);
    const record = await proxy.waitFor(r => r.finished);
    expect(record).toMatchObject({
      n: 1,
      method: 'PUT',
      path: '/a//../b',
      body: 'hello',
      status: 201,
      upstreamStatus: 201,
    });
    expect(record.query.getAll('x')).toEqual(['1', '2']);
  });

  test('it streams: headers before the first byte, each piece when it comes, the end of a server as an end', async () => {
    const { answer } = await openStream();
    for (const piece of ['one', 'two']) {
      upstream.streams[0]?.write(piece);
      expect(String((await once(answer, 'data'))[0])).toBe(piece);
    }
    upstream.streams[0]?.destroy();
    expect(await once(answer, 'error')).toMatchObject([{ code: 'ECONNRESET' }]);
  });

  test('a client that leaves a stream leaves it at the server too', async () => {
    const { leave } = await openStream();
    expect(upstream.streams[0]?.closed).toBe(false);
    leave();
    await streamEnded();
  });
});

describe('a rule', () => {
  test('replies in the place of the server, as often as said', async () => {
    proxy.when(
      all,
      { kind: 'reply', status: 429, headers: { 'retry-after': '7' }, body: 'slow down' },
      { times: 1 },
    );
    expect(await put('/')).toMatchObject({ status: 429, headers: { 'retry-after': '7' } });
    expect(await put('/')).toMatchObject({ status: 201 });
    expect(upstream.asked).toHaveLength(1);
    expect(proxy.requests.map(r => [r.status, r.upstreamStatus])).toEqual([
      [429, undefined],
      [201, 201],
    ]);
  });

  test('applies to what it matches, the latest first', async () => {
    proxy.when(r => r.body.includes('x'), { kind: 'reply', status: 500 });
    const later = proxy.when(r => r.path === '/special', { kind: 'reply', status: 418 });
    expect(await Promise.all(['/', '/special'].map(path => outcome(put(path, 'x'))))).toEqual([500, 418]);
    expect(await outcome(put('/', 'y'))).toBe(201);
    expect(later.hits.map(r => r.path)).toEqual(['/special']);
    later.remove();
    expect(await outcome(put('/special', 'y'))).toBe(201);
  });

  test('hangs: no answer, no request at the server, the connection stays', async () => {
    proxy.when(all, { kind: 'hang' });
    const waiting = http(proxy.url, '/', { timeoutMs: 200 });
    await proxy.waitFor(all);
    expect(proxy.network.connections.open).toBe(1);
    expect(await outcome(waiting)).toBe('ABORT_ERR');
    expect(upstream.asked).toEqual([]);
  });

  test('resets: the server never hears of the request', async () => {
    proxy.when(all, { kind: 'reset' });
    expect(await outcome(put('/'))).toBe('ECONNRESET');
    expect(upstream.asked).toEqual([]);
  });

  test('drops the reply: done at the server, unanswered to the client', async () => {
    proxy.when(all, { kind: 'dropReply' });
    expect(await outcome(put('/', 'done'))).toBe('ECONNRESET');
    expect(upstream.asked).toEqual(['PUT / done']);
    expect(proxy.requests[0]).toMatchObject({ upstreamStatus: 201, status: undefined });
  });

  test('truncates: the announced length and half of it', async () => {
    proxy.when(all, { kind: 'truncate' });
    const call = request(`${proxy.url}/`, { method: 'PUT' }).end('0123456789');
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    expect(answer.headers['content-length']).toBe('19');
    let got = '';
    answer.on('data', (chunk: Buffer) => (got += chunk.toString()));
    await once(answer, 'error');
    expect(got).toBe('you said ');
  });

  test('holds until released, then passes on, also what nobody waits for any more', async () => {
    const rule = proxy.when(r => r.body === 'late', { kind: 'hold' });
    const late = put('/', 'late');
    const abandoned = outcome(http(proxy.url, '/', { method: 'PUT', body: 'late', timeoutMs: 100 }));
    await eventually(() => rule.hits.length === 2, { what: 'both held' });
    expect(await abandoned).toBe('ABORT_ERR');
    await put('/', 'overtakes');
    rule.release();
    expect(await late).toMatchObject({ status: 201 });
    await eventually(() => upstream.asked.length === 3, { what: 'the abandoned one arrives' });
    expect(upstream.asked[0]).toBe('PUT / overtakes');
  });

  test('holds a reply: the server has done it, the client learns when released', async () => {
    const rule = proxy.when(r => r.path === '/held', { kind: 'holdReply' });
    const reply = put('/held');
    const seen = await proxy.waitFor(r => r.upstreamStatus === 201);
    await put('/other'); // a whole exchange later
    expect(seen.status).toBeUndefined();
    rule.release();
    expect(await reply).toMatchObject({ status: 201 });
  });

  test('delays until its promise resolves', async () => {
    const go = Promise.withResolvers<void>();
    proxy.when(r => r.path === '/slow', { kind: 'delay', until: () => go.promise });
    const reply = put('/slow');
    await proxy.waitFor(all);
    await put('/other');
    expect(upstream.asked).toEqual(['PUT /other']);
    go.resolve();
    expect(await reply).toMatchObject({ status: 201 });
  });

  test('healing ends all rules and lets go what they hold', async () => {
    proxy.when(all, { kind: 'hold' });
    const held = put('/');
    await proxy.waitFor(all);
    proxy.heal();
    expect(await held).toMatchObject({ status: 201 });
    expect(await put('/')).toMatchObject({ status: 201 });
  });
});

describe('the network', () => {
  test('frozen, it accepts connections and lets no byte through; thawed, everything arrives', async () => {
    const { answer, leave } = await openStream();
    proxy.network.freeze();
    upstream.streams[0]?.write('during');
    const second = put('/', 'second');
    await eventually(() => proxy.network.connections.open === 2, { what: 'the second connection accepted' });
    const silent = Promise.race([
      once(answer, 'data'),
      second,
      outcome(http(proxy.url, '/', { timeoutMs: 200 })),
    ]);
    expect(await silent).toBe('ABORT_ERR');
    expect(upstream.asked).toEqual(['GET /stream']);

    const data = once(answer, 'data');
    proxy.network.thaw();
    expect(String((await data)[0])).toBe('during');
    expect(await second).toMatchObject({ status: 201 });
    leave();
  });

  test('cut, every open connection is reset and new ones work', async () => {
    const streams = await Promise.all([openStream(), openStream()]);
    const ends = streams.map(({ answer }) => once(answer, 'error'));
    proxy.network.cutAll();
    expect(await Promise.all(ends)).toMatchObject([[{ code: 'ECONNRESET' }], [{ code: 'ECONNRESET' }]]);
    expect(await put('/')).toMatchObject({ status: 201 });
  });

  test('single requests can be cut', async () => {
    const { answer } = await openStream();
    const end = once(answer, 'error');
    expect(proxy.cut(r => r.path === '/other')).toBe(0);
    expect(proxy.cut(r => r.path === '/stream')).toBe(1);
    expect(await end).toMatchObject([{ code: 'ECONNRESET' }]);
    await streamEnded();
  });

  test('refusing, it takes no connection; accepting again, it is on the same port', async () => {
    const { url } = proxy;
    await proxy.network.refuse();
    expect(await outcome(put('/'))).toBe('ECONNREFUSED');
    await proxy.network.accept();
    expect(proxy.url).toBe(url);
    expect(await put('/')).toMatchObject({ status: 201 });
  });

  test('a server that is away looks like a reset connection', async () => {
    upstream.close();
    expect(await outcome(put('/'))).toBe('ECONNRESET');
  });

  test('connections are counted: now, at most, ever', async () => {
    const agent = new Agent({ keepAlive: true });
    const ask = () =>
      new Promise(resolve => request(`${proxy.url}/`, { agent }, r => r.resume().on('end', resolve)).end());
    await Promise.all([ask(), ask(), ask()]);
    await ask();
    expect(proxy.network.connections).toEqual({ open: 3, peak: 3, accepted: 3 });
    agent.destroy();
    await eventually(() => proxy.network.connections.open === 0, { what: 'all closed' });
    expect(proxy.network.connections).toEqual({ open: 0, peak: 3, accepted: 3 });
  });
});
