import { type IncomingHttpHeaders, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TerminalError } from '../../../src/core/errors.ts';
import { serveMetrics, serveProbes } from '../../../src/telemetry/endpoints.ts';
import type { HttpServer } from '../../../src/telemetry/http-server.ts';
import { createLogger, type Logger } from '../../../src/telemetry/logger.ts';

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const host = '127.0.0.1';
let lines: string[];
let logger: Logger;
let servers: HttpServer[];

beforeEach(() => {
  lines = [];
  servers = [];
  logger = createLogger({ level: 'info', base: {}, destination: { write: line => void lines.push(line) } });
});

afterEach(() => Promise.all(servers.map(server => server.close())));

async function probes({ port = 0, failure = undefined as string | undefined } = {}): Promise<HttpServer> {
  const livez = () => ({ loop: () => undefined });
  const readyz = () => ({ caches: () => failure });
  const server = await serveProbes({ host, port, logger, livez, readyz });
  servers.push(server);
  return server;
}

async function metrics(scrape: () => Promise<string>): Promise<HttpServer> {
  const server = await serveMetrics({ host, port: 0, logger, scrape });
  servers.push(server);
  return server;
}

function ask(
  { port }: HttpServer,
  path: string,
  { method = 'GET', headers = {} as Record<string, string> } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host, port, path, method, headers, agent: false }, answer => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the probes', () => {
  test.each(['/livez', '/healthz', '/readyz'])('answer ok on %s', async path => {
    expect(await ask(await probes(), path)).toMatchObject({ status: 200, body: 'ok\n' });
  });

  test('show their checks by name', async () => {
    const { body } = await ask(await probes(), '/readyz?verbose');
    expect(body).toBe('[+]caches ok\nreadyz check passed\n');
  });

  test('are ready or not without being dead', async () => {
    const server = await probes({ failure: 'consulkvs has not synced' });
    expect(await ask(server, '/readyz')).toMatchObject({
      status: 503,
      body: '[-]caches failed: consulkvs has not synced\nreadyz check failed\n',
    });
    expect((await ask(server, '/livez')).status).toBe(200);
  });

  test('say on which port they listen', async () => {
    const { port } = await probes();
    expect(port).toBeGreaterThan(0);
    expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([
      { level: 'info', msg: 'probes listening', port },
    ]);
  });

  test('stop the start with one clear line when the port is taken', async () => {
    const { port } = await probes();
    const second = probes({ port });
    await expect(second).rejects.toBeInstanceOf(TerminalError);
    await expect(second).rejects.toThrow(
      `PROCONSUL_PROBE_PORT: port ${port} on 127.0.0.1 is in use; set it to a free port, or to 0 for any`,
    );
  });

  test.each(['/', '/livez/', '/livez/loop', '/metrics', '/__proto__', '/constructor', '//livez'])(
    'know no %s',
    async path => {
      expect((await ask(await probes(), path)).status).toBe(404);
    },
  );

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuse %s', async method => {
    const { status, headers } = await ask(await probes(), '/livez', { method });
    expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: 'GET, HEAD' });
  });

  test('answer HEAD without a body', async () => {
    const { status, headers, body } = await ask(await probes(), '/livez', { method: 'HEAD' });
    expect({ status, length: headers['content-length'], body }).toEqual({
      status: 200,
      length: '3',
      body: '',
    });
  });

  test('refuse headers that are too large', async () => {
    const headers = { 'x-large': 'x'.repeat(10_000) };
    expect((await ask(await probes(), '/livez', { headers })).status).toBe(431);
  });

  test('are gone once closed', async () => {
    const server = await probes();
    await server.close();
    await expect(ask(server, '/livez')).rejects.toThrow('ECONNREFUSED');
  });
});

describe('the metrics', () => {
  test("come in Prometheus' text format", async () => {
    const server = await metrics(() => Promise.resolve('up 1\n'));
    expect(await ask(server, '/metrics')).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
      body: 'up 1\n',
    });
  });

  test('say on which port they listen', async () => {
    const { port } = await metrics(() => Promise.resolve(''));
    expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([{ msg: 'metrics listening', port }]);
  });

  test('answer 500 and log why when they cannot be collected', async () => {
    const server = await metrics(() => Promise.reject(new Error('s3cr3t')));
    expect(await ask(server, '/metrics')).toMatchObject({ status: 500, body: 'internal error\n' });
    expect(lines.map(line => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({ level: 'error', msg: 'metrics could not be collected' }),
    );
  });
});
