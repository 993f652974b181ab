import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TlsFiles } from '../../src/consul/tls.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
let folder: string;
let files: Required<Omit<TlsFiles, 'serverName'>>;

beforeAll(async () => {
  sandbox = await startConsulSandbox({ tls: { verifyClients: true } });
  folder = await mkdtemp(join(tmpdir(), 'consul-tls-'));
  const { caFile = '', clientCertFile = '', clientKeyFile = '' } = sandbox.tls ?? {};
  files = { caFile, certFile: clientCertFile, keyFile: clientKeyFile };
});

afterAll(async () => {
  await sandbox.close();
  await rm(folder, { recursive: true });
});

async function outcome(tls: TlsFiles | undefined, address = sandbox.address): Promise<unknown> {
  await using client = aConsulClient([address], { tls });
  return await client.agent.version({ signal }).catch((thrown: unknown) => thrown);
}

const VERSION = expect.stringMatching(/^1\./) as string;
const NO_TLS = { name: 'RetryableError', code: 'CONSUL_TLS', reason: 'ConsulUnreachable' };

describe('a Consul that demands certificates', () => {
  test('is reached with its authority and a client certificate', async () => {
    expect(await outcome(files)).toEqual(VERSION);
  });

  test('is reached by https when the address does not say', async () => {
    expect(await outcome(files, sandbox.address.replace('https://', ''))).toEqual(VERSION);
  });

  test('is reached by the name in its certificate', async () => {
    expect(await outcome({ ...files, serverName: 'server.dc1.consul' })).toEqual(VERSION);
  });

  test('is not spoken to when its certificate has another name', async () => {
    expect(await outcome({ ...files, serverName: 'server.dc2.consul' })).toMatchObject(NO_TLS);
  });

  test('is not spoken to when its authority is unknown', async () => {
    const { caFile: _, ...withoutAuthority } = files;
    expect(await outcome(withoutAuthority)).toMatchObject(NO_TLS);
    expect(await outcome(undefined)).toMatchObject(NO_TLS);
  });

  test('refuses who has no certificate', async () => {
    // TLS 1.3: the client is through before the server looks, and then sees an alert or just the end.
    const code = expect.stringMatching(/^CONSUL_(?:TLS|CONNECTION_LOST)$/) as string;
    expect(await outcome({ caFile: files.caFile })).toMatchObject({ ...NO_TLS, code });
  });

  test('spoken to in plain HTTP says so', async () => {
    expect(await outcome(undefined, sandbox.address.replace('https://', 'http://'))).toMatchObject(NO_TLS);
  });
});

test('verification cannot be switched off from outside', async () => {
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  try {
    expect(await outcome(undefined)).toMatchObject(NO_TLS);
  } finally {
    delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  }
});

test('a file that is missing or broken is named, and used once it is right, without a restart', async () => {
  const certFile = join(folder, 'client.pem');
  await using client = aConsulClient([sandbox.address], { tls: { ...files, certFile } });
  await expect(client.agent.version({ signal })).rejects.toMatchObject({
    ...NO_TLS,
    message: expect.stringContaining(certFile),
  });
  await writeFile(certFile, 'not a certificate');
  await expect(client.agent.version({ signal })).rejects.toMatchObject(NO_TLS);
  await cp(files.certFile, certFile);
  expect(await client.agent.version({ signal })).toEqual(VERSION);
});
