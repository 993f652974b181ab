import type { RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { anHttpTarget, aProber, ask, createIdentity, Listener } from '../support/probe-targets.ts';
import { until } from '../support/until.ts';

const ok: RequestListener = (_, response) => void response.end('ok');

test.each([
  [200, 'passing'],
  [204, 'passing'],
  [299, 'passing'],
  [300, 'critical'],
  [404, 'critical'],
  [429, 'warning'],
  [500, 'critical'],
  [599, 'critical'],
])('%i is %s', async (code, status) => {
  await using server = await Listener.http((_, response) => response.writeHead(code).end());
  expect(await ask(anHttpTarget(server.port))).toMatchObject({ status });
});

test('the output says what was asked and answered, as that of a Consul agent; the query it keeps to itself', async () => {
  await using server = await Listener.http((request, response) =>
    response.writeHead(503).end(`no ${request.url}`),
  );
  const target = anHttpTarget(server.port, { path: '/health?token=abc', method: 'POST' });
  expect(await ask(target)).toEqual({
    status: 'critical',
    output: `HTTP POST http://127.0.0.1:${server.port}/health: 503 Service Unavailable Output: no /health?[redacted]`,
  });
});

test('a redirect is not followed', async () => {
  const asked: (string | undefined)[] = [];
  await using server = await Listener.http((request, response) => {
    asked.push(request.url);
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  expect(await ask(anHttpTarget(server.port))).toMatchObject({ status: 'critical' });
  expect([asked, server.accepted]).toEqual([['/'], 1]);
});

describe('a request', () => {
  async function requestOf(declared: Parameters<typeof anHttpTarget>[1]) {
    const seen: {
      method?: string | undefined;
      url?: string | undefined;
      headers: Record<string, unknown>;
      body: string;
    }[] = [];
    await using server = await Listener.http((request, response) => {
      const { method, url, headersDistinct: headers } = request;
      void text(request).then(body => {
        seen.push({ method, url, headers, body });
        response.end();
      });
    });
    expect(await ask(anHttpTarget(server.port, declared))).toMatchObject({ status: 'passing' });
    expect(seen).toHaveLength(1);
    return { ...seen[0], port: server.port };
  }

  test('says who asks, like that of a Consul agent', async () => {
    const { method, url, headers, body, port } = await requestOf({});
    expect([method, url, body]).toEqual(['GET', '/', '']);
    expect(headers).toEqual({
      host: [`127.0.0.1:${port}`],
      'user-agent': ['Consul Health Check'],
      accept: ['text/plain, text/*, */*'],
      connection: ['close'],
    });
  });

  test('carries the method, the path, the headers and the body that were declared', async () => {
    const { method, url, headers, body } = await requestOf({
      method: 'PUT',
      path: '/a/b?c=d',
      headers: { 'X-Many': ['1', '2'], Host: ['orders'], 'User-Agent': ['me'], __proto__x: ['y'] },
      body: '{"größe": 1}',
    });
    expect([method, url, body]).toEqual(['PUT', '/a/b?c=d', '{"größe": 1}']);
    expect(headers).toMatchObject({ 'x-many': ['1', '2'], host: ['orders'], 'user-agent': ['me'] });
  });

  test('has the length of its body, a GET too: what follows must not be read as a second request', async () => {
    const { method, headers, body } = await requestOf({ body: 'GET /admin HTTP/1.1\r\nHost: x\r\n\r\n' });
    expect([method, body?.length, headers?.['content-length']]).toEqual(['GET', 32, ['32']]);
  });

  test('is framed by us alone', async () => {
    const { headers, body } = await requestOf({
      method: 'POST',
      headers: {
        'Content-Length': ['0'],
        'transfer-encoding': ['chunked'],
        Connection: ['keep-alive'],
        Expect: ['100-continue'],
      },
      body: 'four',
    });
    expect(body).toBe('four');
    expect(headers).toMatchObject({ 'content-length': ['4'], connection: ['close'] });
    expect(headers).not.toHaveProperty('transfer-encoding');
    expect(headers).not.toHaveProperty('expect');
  });

  test.each([
    { headers: { 'X-Evil': ['a\r\nX-Other: 1'] } },
    { headers: { 'X Evil': ['a'] } },
    { path: '/a b' },
    { path: '/\r\nX: 1' },
    { method: 'GET / HTTP/1.1\r\nX: 1' },
    { port: 70_000 },
  ])('that cannot be sent is critical, and sends nothing: %j', async declared => {
    await using server = await Listener.http(ok);
    expect(await ask(anHttpTarget(server.port, declared))).toMatchObject({ status: 'critical' });
    expect(server.accepted).toBe(0);
  });
});

test('each run has a connection of its own, and leaves none behind', async () => {
  await using server = await Listener.http(ok);
  const probe = aProber();
  for (let n = 0; n < 5; n += 1) await ask(anHttpTarget(server.port), probe);
  expect(server.accepted).toBe(5);
  await until(() => server.open === 0);
});

describe('secrets in headers and body', () => {
  test('are not shown, though the target repeats them', async () => {
    await using server = await Listener.http((request, response) => {
      const { rawHeaders, headers } = request;
      const token = headers.authorization?.slice(7);
      void text(request).then(body => response.end(JSON.stringify({ rawHeaders, body, token })));
    });
    const { output } = await ask(
      anHttpTarget(server.port, {
        method: 'POST',
        headers: { Authorization: ['Bearer s3cr3t-t0ken'], 'X-Key': ['k1', 'k-22'], Host: ['orders'] },
        body: 'password=hunter2hunter2',
      }),
    );
    expect(output).toContain('[redacted]');
    expect(output).toContain('orders');
    for (const secret of ['s3cr3t-t0ken', 'k1', 'k-22', 'hunter2']) expect(output).not.toContain(secret);
  });

  test('nor is a query that the target repeats, in its body or its status line', async () => {
    await using server = await Listener.http(({ url = '' }, response) => {
      const said = new URL(url, 'http://orders').searchParams.get('token') ?? '';
      response.writeHead(500, `no ${said}`).end(`${url} ${said}`);
    });
    const { output } = await ask(anHttpTarget(server.port, { path: '/health?v=1&token=s3cr3t%2Dt0ken' }));
    expect(output).toContain('/health: 500 no [redacted] Output: /health?[redacted] [redacted]');
    expect(output).not.toMatch(/s3cr3t|t0ken/);
  });

  test('nor are their beginnings where the output ends', async () => {
    const secret = 's'.repeat(1_000);
    await using server = await Listener.http(
      (_, response) => void response.end(`${'x'.repeat(3_900)}${secret}`),
    );
    const { output } = await ask(anHttpTarget(server.port, { headers: { 'X-Key': [secret] } }));
    expect(output).toMatch(/x\[redacted]$/);
  });
});

describe('a target that misbehaves', () => {
  test('with a body without end is read to 4 KB, and its connection closed', async () => {
    await using server = await Listener.http((_, response) => {
      const pour = (): void => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', pour);
      pour();
    });
    const { status, output } = await ask(anHttpTarget(server.port));
    expect(status).toBe('passing');
    expect(output.length).toBeLessThan(4_300);
    await until(() => server.open === 0);
  });

  test('with a body that stalls has said its status', async () => {
    await using server = await Listener.http((_, response) => void response.writeHead(429).write('wait'));
    const found = await ask(anHttpTarget(server.port), aProber(), 200);
    expect(found).toMatchObject({
      status: 'warning',
      output: expect.stringMatching(/Output: wait$/) as string,
    });
    await until(() => server.open === 0);
  });

  test('that does not answer is given up when time is up, and its connection closed', async () => {
    await using server = await Listener.http(() => {});
    await expect(ask(anHttpTarget(server.port), aProber(), 200)).rejects.toThrow();
    await until(() => server.open === 0);
  });

  test.each<[string, string | undefined, RegExp]>([
    ['hangs up', undefined, /socket hang up|ECONNRESET|connection closed/],
    ['speaks another protocol', 'SSH-2.0-OpenSSH_9.9\r\n', /Parse Error/],
    ['sends headers without end', `HTTP/1.1 200 OK\r\n${'X-Long: y\r\n'.repeat(5_000)}`, /Header overflow/],
    [
      'switches protocols',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      /101 Switching/,
    ],
    ['sends control characters', 'HTTP/1.1 500 \u00b7\r\nContent-Length: 3\r\n\r\n\u001b[2', /500/],
  ])('and %s is critical', async (_, words, why) => {
    await using server = await Listener.tcp(socket => {
      if (words === undefined) socket.destroy();
      else socket.end(words, 'latin1');
      socket.resume();
    });
    expect(await ask(anHttpTarget(server.port))).toEqual({
      status: 'critical',
      output: expect.stringMatching(why) as string,
    });
    await until(() => server.open === 0);
  });

  test('a CONNECT that is granted is no answer', async () => {
    await using server = await Listener.tcp(socket => void socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    expect(await ask(anHttpTarget(server.port, { method: 'CONNECT' }))).toMatchObject({ status: 'critical' });
  });

  test('where nobody listens it is critical', async () => {
    const { port } = await Listener.http(ok).then(async server => {
      const { port } = server;
      await server[Symbol.asyncDispose]();
      return { port };
    });
    expect(await ask(anHttpTarget(port))).toMatchObject({
      status: 'critical',
      output: expect.stringContaining('ECONNREFUSED') as string,
    });
  });
});

test('IPv6', async () => {
  await using server = await Listener.http(
    (request, response) => void response.end(request.headers.host),
    '::1',
  );
  expect(await ask(anHttpTarget(server.port, { host: '::1' }))).toEqual({
    status: 'passing',
    output: `HTTP GET http://[::1]:${server.port}/: 200 OK Output: [::1]:${server.port}`,
  });
});

describe('TLS', () => {
  let identity: Awaited<ReturnType<typeof createIdentity>>;
  const tls = { serverName: undefined, skipVerify: false };
  const askedName: RequestListener = (request, response) =>
    void response.end(`name ${String((request.socket as TLSSocket).servername)}`);

  beforeAll(async () => {
    identity = await createIdentity();
  });

  /** As NODE_EXTRA_CA_CERTS does for a process. */
  async function trusting<T>(work: () => Promise<T>): Promise<T> {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, identity.ca.toString()]);
    try {
      return await work();
    } finally {
      setDefaultCACertificates(before);
    }
  }

  test('an unknown authority is not believed', async () => {
    await using server = await Listener.https(identity, askedName);
    expect(await ask(anHttpTarget(server.port, { tls }))).toMatchObject({
      status: 'critical',
      output: expect.stringContaining('self-signed certificate in certificate chain') as string,
    });
  });

  test('nor when somebody set NODE_TLS_REJECT_UNAUTHORIZED', async () => {
    await using server = await Listener.https(identity, askedName);
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    try {
      expect(await ask(anHttpTarget(server.port, { tls }))).toMatchObject({ status: 'critical' });
    } finally {
      delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    }
  });

  test('unless verification is skipped', async () => {
    await using server = await Listener.https(identity, askedName);
    const target = anHttpTarget(server.port, { tls: { ...tls, skipVerify: true } });
    expect(await ask(target)).toMatchObject({ status: 'passing' });
  });

  test('a certificate for the address is good, and no address is sent as a name', async () => {
    await using server = await Listener.https(identity, askedName);
    await trusting(async () => {
      expect(await ask(anHttpTarget(server.port, { tls }))).toMatchObject({
        status: 'passing',
        output: expect.stringMatching(/Output: name (false|undefined|null)$/) as string,
      });
    });
  });

  test('the server name is what is asked for and what has to be in the certificate', async () => {
    await using server = await Listener.https(identity, askedName);
    const named = (serverName: string) => ask(anHttpTarget(server.port, { tls: { ...tls, serverName } }));
    await trusting(async () => {
      expect(await named('server.dc1.consul')).toMatchObject({
        status: 'passing',
        output: expect.stringMatching(/Output: name server\.dc1\.consul$/) as string,
      });
      expect(await named('server.dc2.consul')).toMatchObject({
        status: 'critical',
        output: expect.stringContaining("does not match certificate's altnames") as string,
      });
    });
  });

  test('a host name is the name', async () => {
    await using server = await Listener.https(identity, askedName);
    const probe = aProber({ lookup: async () => ['127.0.0.1'] });
    await trusting(async () => {
      const at = (host: string) => ask(anHttpTarget(server.port, { tls, host }), probe);
      expect(await at('server.dc1.consul')).toMatchObject({ status: 'passing' });
      expect(await at('orders.example')).toMatchObject({ status: 'critical' });
    });
  });

  test('plain HTTP to a TLS port is critical, and the reverse', async () => {
    await using secure = await Listener.https(identity, askedName);
    await using plain = await Listener.http(ok);
    expect(await ask(anHttpTarget(secure.port))).toMatchObject({ status: 'critical' });
    expect(await ask(anHttpTarget(plain.port, { tls }))).toMatchObject({ status: 'critical' });
  });
});
