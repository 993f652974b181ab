import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { HealthServer } from '../support/health-server.ts';
import {
  aGrpcTarget,
  anHttpTarget,
  aProber,
  ask,
  createIdentity,
  Listener,
} from '../support/probe-targets.ts';
import { until } from '../support/until.ts';

const servers: HealthServer[] = [];

async function aHealthServer(options?: Parameters<typeof HealthServer.start>[0]): Promise<HealthServer> {
  const server = await HealthServer.start(options);
  servers.push(server);
  return server;
}

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

test.each([
  ['SERVING', 'passing'],
  ['NOT_SERVING', 'critical'],
  ['UNKNOWN', 'critical'],
  ['SERVICE_UNKNOWN', 'critical'],
] as const)('%s is %s', async (serving, status) => {
  const server = await aHealthServer();
  server.services.set('', serving);
  expect(await ask(aGrpcTarget(server.port))).toEqual({
    status,
    output: `gRPC check 127.0.0.1:${server.port}: ${serving}`,
  });
  expect(server.authorities).toEqual([`127.0.0.1:${server.port}`]);
});

test('a service is asked for by name; one that the server does not know is critical and said so', async () => {
  const server = await aHealthServer();
  const name = `orders.v1.${'x'.repeat(200)}`;
  server.services.set(name, 'SERVING');
  expect(await ask(aGrpcTarget(server.port, { service: name }))).toMatchObject({ status: 'passing' });
  expect(await ask(aGrpcTarget(server.port, { service: 'payments.v1' }))).toEqual({
    status: 'critical',
    output: `gRPC check 127.0.0.1:${server.port}/payments.v1: the server does not know this service (NOT_FOUND)`,
  });
});

test('a server without the health service is critical, and said so', async () => {
  const server = await aHealthServer({ withoutHealth: true });
  expect(await ask(aGrpcTarget(server.port))).toMatchObject({
    status: 'critical',
    output: expect.stringContaining('has no health service (UNIMPLEMENTED)') as string,
  });
});

test('it goes bad and good again', async () => {
  const server = await aHealthServer();
  const probe = aProber();
  const found: string[] = [];
  for (const serving of ['SERVING', 'NOT_SERVING', 'SERVING'] as const) {
    server.services.set('', serving);
    found.push((await ask(aGrpcTarget(server.port), probe)).status);
  }
  expect(found).toEqual(['passing', 'critical', 'passing']);
});

test('one that does not answer is given up when time is up, and told so', async () => {
  const server = await aHealthServer();
  server.services.set('', 'hangs');
  await expect(ask(aGrpcTarget(server.port), aProber(), 500)).rejects.toThrow();
  await until(() => server.cancelled === 1);
});

test('one that accepts and says nothing is given up too, and its connection closed', async () => {
  await using silent = await Listener.tcp(socket => void socket.resume());
  await expect(ask(aGrpcTarget(silent.port), aProber(), 500)).rejects.toThrow();
  await until(() => silent.accepted === 1 && silent.open === 0);
});

test('a server of another protocol, and none at all, are critical', async () => {
  const web = await Listener.http((_, response) => void response.end());
  const { port } = web;
  expect(await ask(anHttpTarget(port))).toMatchObject({ status: 'passing' });
  expect(await ask(aGrpcTarget(port))).toMatchObject({ status: 'critical' });
  await until(() => web.open === 0);
  await web[Symbol.asyncDispose]();
  expect(await ask(aGrpcTarget(port))).toMatchObject({
    status: 'critical',
    output: expect.stringContaining('ECONNREFUSED') as string,
  });
});

test('IPv6', async () => {
  const server = await aHealthServer({ host: '[::1]' });
  server.services.set('', 'SERVING');
  expect(await ask(aGrpcTarget(server.port, { host: '::1' }))).toMatchObject({ status: 'passing' });
});

test('no proxy is used', async () => {
  const server = await aHealthServer();
  server.services.set('', 'SERVING');
  await using proxy = await Listener.tcp(() => {});
  const names = ['grpc_proxy', 'http_proxy', 'https_proxy'] as const;
  for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
  try {
    expect(await ask(aGrpcTarget(server.port))).toMatchObject({ status: 'passing' });
  } finally {
    for (const name of names) delete process.env[name];
  }
  expect(proxy.accepted).toBe(0);
});

describe('TLS', () => {
  let identity: Awaited<ReturnType<typeof createIdentity>>;
  const tls = { serverName: undefined, skipVerify: false };

  beforeAll(async () => {
    identity = await createIdentity();
  });

  test('an unknown authority is not believed, unless verification is skipped', async () => {
    const server = await aHealthServer({ identity });
    server.services.set('', 'SERVING');
    expect(await ask(aGrpcTarget(server.port, { tls }))).toMatchObject({ status: 'critical' });
    expect(server.authorities).toEqual([]);
    const careless = { ...tls, skipVerify: true };
    expect(await ask(aGrpcTarget(server.port, { tls: careless }))).toMatchObject({ status: 'passing' });
  });

  test('the certificate has to carry the server name, else the host', async () => {
    const server = await aHealthServer({ identity });
    server.services.set('', 'SERVING');
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, identity.ca.toString()]);
    try {
      const named = (serverName: string | undefined) =>
        ask(aGrpcTarget(server.port, { tls: { ...tls, serverName } }));
      expect(await named(undefined)).toMatchObject({ status: 'passing' });
      expect(await named('server.dc1.consul')).toMatchObject({ status: 'passing' });
      expect(await named('server.dc2.consul')).toMatchObject({ status: 'critical' });
    } finally {
      setDefaultCACertificates(before);
    }
  });
});
