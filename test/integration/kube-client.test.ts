import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { KubeClient } from '../../src/kube/client.ts';
import { kubeStatus } from '../../src/kube/errors.ts';
import { readClusterUid } from '../../src/kube/identity.ts';
import { collectionPath } from '../../src/kube/paths.ts';
import { TcpGate } from '../support/tcp-gate.ts';
import { KubeWorld } from './kube-support.ts';

const { signal } = new AbortController();

let world: KubeWorld;
beforeAll(async () => {
  world = await KubeWorld.create();
});
afterAll(() => world.close());

/** A client whose connections are counted on the way, TLS and all. */
async function countedClient(): Promise<{ client: KubeClient; gate: TcpGate }> {
  const { hostname, port } = new URL(inject('sandbox').apiServerUrl);
  const gate = await TcpGate.listen({ host: hostname, port: Number(port) });
  world.closeLater(async () => gate.close());
  return { client: await world.client({ server: `https://127.0.0.1:${gate.port}` }), gate };
}

describe('connections', () => {
  test('200 requests use 16, and each watch one more', async () => {
    const { client, gate } = await countedClient();
    const path = collectionPath(world.type);
    await Promise.all(Array.from({ length: 200 }, () => client.request({ method: 'GET', path, signal })));
    expect(gate.connections).toMatchObject({ peak: 16, accepted: 16 });
    for (let watches = 0; watches < 3; watches += 1)
      await client.stream({ method: 'GET', path, query: { watch: true }, signal });
    await Promise.all(Array.from({ length: 200 }, () => client.request({ method: 'GET', path, signal })));
    expect(gate.connections).toMatchObject({ peak: 19, accepted: 19 });
  });

  test('requests that follow one another use at most two', async () => {
    const { client, gate } = await countedClient();
    for (let requests = 0; requests < 20; requests += 1) await readClusterUid(client, signal);
    // Two: the answer is complete a moment before its connection is free again.
    expect(gate.connections.accepted).toBeLessThanOrEqual(2);
  });

  test('a request goes through at once after another one was cut off in silence', async () => {
    const { client, gate } = await countedClient();
    await readClusterUid(client, signal);
    gate.freeze();
    const late = client.request({ method: 'GET', path: '/api/v1/nodes', signal, deadlineMs: 200 });
    await expect(late).rejects.toMatchObject({ code: 'KUBE_TIMEOUT' });
    gate.thaw();
    await expect(readClusterUid(client, signal)).resolves.toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('refusals', () => {
  test('a token that nobody knows is KUBE_UNAUTHORIZED', async () => {
    const client = await world.client({ token: randomUUID() });
    const error = await readClusterUid(client, signal).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'KUBE_UNAUTHORIZED' });
    expect(kubeStatus(error)).toBe(401);
  });

  test('a right that is lacking is KUBE_FORBIDDEN, and the message says which', async () => {
    const account = await world.api.createServiceAccount('default', `nobody-${randomUUID()}`);
    const client = await world.client({ token: account.token });
    const error = await readClusterUid(client, signal).catch((error: unknown) => error);
    expect(error).toMatchObject({ code: 'KUBE_FORBIDDEN' });
    expect(String(error)).toContain('cannot get resource "namespaces"');
  });

  test('a kind or object that is not there is KUBE_NOT_FOUND', async () => {
    const client = await world.client();
    for (const path of [
      '/apis/absent.proconsul.dev/v1/things',
      `${collectionPath(world.type, 'default')}/absent`,
    ]) {
      await expect(client.request({ method: 'GET', path, signal })).rejects.toMatchObject({
        code: 'KUBE_NOT_FOUND',
      });
    }
  });

  test('an object that is there already is KUBE_ALREADY_EXISTS, one that breaks its schema KUBE_INVALID', async () => {
    const client = await world.client();
    const path = collectionPath(world.type, 'default');
    await client.request({ method: 'POST', path, body: world.widget('twice'), signal });
    await expect(
      client.request({ method: 'POST', path, body: world.widget('twice'), signal }),
    ).rejects.toMatchObject({
      code: 'KUBE_ALREADY_EXISTS',
    });
    const body = world.widget('large', { size: 1_000 });
    await expect(client.request({ method: 'POST', path, body, signal })).rejects.toMatchObject({
      code: 'KUBE_INVALID',
    });
  });

  test('a server whose certificate is of another authority is KUBE_TLS, and learns no token', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'other-ca-'));
    const caFile = join(folder, 'ca.crt');
    writeFileSync(caFile, '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n');
    const client = await world.client({ caFile });
    await expect(readClusterUid(client, signal)).rejects.toMatchObject({ code: 'KUBE_TLS' });
    await rm(folder, { recursive: true });
  });
});
