/** What a token may not do is an error by name, or marked, and never looks like absence. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConsulClient } from '../../src/consul/client.ts';
import { classifyTxnError } from '../../src/consul/errors.ts';
import { encodeOperation, type KvOperation } from '../../src/consul/txn.ts';
import { NOT_THERE, parseSessionId } from '../../src/consul/types.ts';
import { http } from '../../tools/sandbox/http.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const UNKNOWN = '11111111-2222-3333-4444-555555555556';
const RULES = `
  key_prefix "own/" { policy = "write" }
  key_prefix "own/readonly/" { policy = "read" }
  session "own" { policy = "write" }
  node "own" { policy = "write" }
`;

type Sandbox = Awaited<ReturnType<typeof startConsulSandbox>>;
let sandbox: Sandbox;
let admin: ConsulClient;
/** Holds RULES and nothing else. */
let limited: ConsulClient;
let anonymous: ConsulClient;
let limitedToken: string;

beforeAll(async () => {
  sandbox = await startConsulSandbox({ acl: true });
  admin = aConsulClient([sandbox.address], { token: sandbox.managementToken });
  limitedToken = await createToken();
  limited = aConsulClient([sandbox.address], { token: limitedToken });
  anonymous = aConsulClient([sandbox.address]);
  await admin.txn.submit([cas('own/k'), cas('foreign/k')].map(encodeOperation), { signal });
  await admin.catalog.registerNode({ node: 'own', address: '127.0.0.1', meta: {} }, { signal });
  await admin.configEntries.put({ Kind: 'service-defaults', Name: 'foreign' }, NOT_THERE, { signal });
});

afterAll(async () => {
  await Promise.all([admin.close(), limited.close(), anonymous.close()]);
  await sandbox.close();
});

const cas = (key: string): KvOperation => ({
  verb: 'cas',
  key,
  value: Buffer.from('hi'),
  flags: 0n,
  index: NOT_THERE,
});

async function manage(path: string, body: object): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${sandbox.managementToken}` };
  const reply = await http(sandbox.address, path, { method: 'PUT', headers, body: JSON.stringify(body) });
  return JSON.parse(reply.body.toString()) as Record<string, string>;
}

async function createToken(): Promise<string> {
  await manage('/v1/acl/policy', { Name: 'own', Rules: RULES });
  return (await manage('/v1/acl/token', { Policies: [{ Name: 'own' }] }))['SecretID'] ?? '';
}

const DENIED = { name: 'RetryableError', code: 'CONSUL_DENIED', reason: 'ConsulDenied' };

describe('a single key', () => {
  test.each(['foreign/k', 'foreign/absent'])(
    '%s is denied, there or not, and the right is named',
    async key => {
      const read = limited.kv.get(key, { signal });
      await expect(read).rejects.toMatchObject({ ...DENIED, message: expect.stringContaining("'key:read'") });
      await expect(anonymous.kv.get(key, { signal })).rejects.toMatchObject(DENIED);
    },
  );

  test('that is allowed is read without a mark', async () => {
    expect(await limited.kv.get('own/k', { signal })).toMatchObject({ filteredByAcl: false });
    expect((await limited.kv.get('own/absent', { signal })).value).toBeUndefined();
  });
});

describe('a list', () => {
  test.each(['foreign/', ''])('of %j leaves out what the token may not see, and is marked', async prefix => {
    const { value, filteredByAcl } = await limited.kv.list(prefix, { signal });
    expect(value.map(({ key }) => key)).toEqual(prefix === '' ? ['own/k'] : []);
    expect(filteredByAcl).toBe(true);
    expect(await limited.kv.keys(prefix, { signal })).toMatchObject({ filteredByAcl: true });
  });

  test('of an anonymous client is marked though Consul does not say it', async () => {
    expect(await anonymous.kv.list('foreign/', { signal })).toMatchObject({ value: [], filteredByAcl: true });
    expect(await anonymous.kv.keys('foreign/', { signal })).toMatchObject({ value: [], filteredByAcl: true });
  });

  test('of what the token may see is not', async () => {
    expect(await limited.kv.list('own/', { signal })).toMatchObject({ filteredByAcl: false });
    expect(await admin.kv.list('', { signal })).toMatchObject({ filteredByAcl: false });
  });

  test('of config entries or of a node is marked too', async () => {
    const { value, filteredByAcl } = await limited.configEntries.list('service-defaults', { signal });
    expect({ value, filteredByAcl }).toEqual({ value: [], filteredByAcl: true });
    const foreign = (await admin.agent.self({ signal })).nodeName;
    expect(await limited.catalog.getNode(foreign, { signal })).toMatchObject({
      value: undefined,
      filteredByAcl: true,
    });
    expect(await anonymous.catalog.getNode(foreign, { signal })).toMatchObject({ filteredByAcl: true });
  });
});

describe('a read by transaction', () => {
  test.each(['default', 'consistent', 'stale'] as const)(
    'is denied as a whole, %s, by the key',
    async consistency => {
      for (const client of [limited, anonymous]) {
        for (const hidden of ['foreign/k', 'foreign/absent']) {
          const read = client.txn.readKeys(['own/k', hidden], { signal, consistency });
          await expect(read).rejects.toMatchObject(DENIED);
        }
      }
      await expect(limited.txn.readKeys(['own/k', 'foreign/k'], { signal })).rejects.toThrow('"foreign/k"');
    },
  );

  test('of allowed keys is whole', async () => {
    const { value, filteredByAcl } = await limited.txn.readKeys(['own/k', 'own/absent'], { signal });
    expect([...value.values()].map(entry => entry?.key)).toEqual(['own/k', undefined]);
    expect(filteredByAcl).toBe(false);
  });
});

describe('a transaction', () => {
  const kinds = async (client: ConsulClient, ...operations: KvOperation[]) => {
    const outcome = await client.txn.submit(operations.map(encodeOperation), { signal });
    return outcome.applied
      ? 'applied'
      : outcome.errors.map(error => [error.opIndex, classifyTxnError(error)]);
  };

  test('names the operations that were denied, and applies none', async () => {
    const refused = await kinds(limited, cas('own/new'), cas('foreign/new'), cas('own/readonly/new'));
    expect(refused).toEqual([
      [1, 'denied'],
      [2, 'denied'],
    ]);
    expect((await admin.kv.get('own/new', { signal })).value).toBeUndefined();
  });

  test('whose fence may not be read was denied, and has not lost the lead', async () => {
    const fence = { verb: 'check-session', key: 'foreign/k', session: parseSessionId(UNKNOWN) } as const;
    expect(await kinds(limited, fence, cas('own/new'))).toEqual([[0, 'denied']]);
    expect(await kinds(limited, fence)).toEqual([[0, 'denied']]);
  });

  test('with a token that Consul does not know is an error, not a refusal of operations', async () => {
    await using stranger = aConsulClient([sandbox.address], { token: UNKNOWN });
    await expect(kinds(stranger, cas('own/new'))).rejects.toMatchObject(DENIED);
    await expect(stranger.txn.readKeys(['own/k'], { signal })).rejects.toMatchObject(DENIED);
    await expect(stranger.kv.list('own/', { signal })).rejects.toMatchObject(DENIED);
  });
});

describe('a session', () => {
  const aSession = { name: 's', ttlSeconds: 20, lockDelaySeconds: 0 };

  test('can be made on the node that the token may write', async () => {
    const id = await limited.sessions.create({ ...aSession, node: 'own' }, { signal });
    expect(await limited.sessions.renew(id, { signal })).toEqual({ alive: true });
    await expect(anonymous.sessions.renew(id, { signal })).rejects.toMatchObject(DENIED);
    await expect(anonymous.sessions.destroy(id, { signal })).rejects.toMatchObject(DENIED);
    expect(await anonymous.sessions.info(id, { signal })).toMatchObject({
      value: undefined,
      filteredByAcl: true,
    });
    await limited.sessions.destroy(id, { signal });
  });

  test('cannot on another', async () => {
    const creation = limited.sessions.create({ ...aSession, node: 'foreign' }, { signal });
    await expect(creation).rejects.toMatchObject({
      ...DENIED,
      message: expect.stringContaining("'session:write'"),
    });
  });
});

test('the version is told to everybody, all else about the agent is not', async () => {
  expect(await anonymous.agent.version({ signal })).toMatch(/^1\./);
  await expect(limited.agent.self({ signal })).rejects.toMatchObject(DENIED);
});

test('a token replaced in its file works with the next call, without a restart', async () => {
  const tokenFile = join(sandbox.folder, 'token');
  await writeFile(tokenFile, UNKNOWN);
  await using client = aConsulClient([sandbox.address], { tokenFile });
  await expect(client.kv.get('own/k', { signal })).rejects.toMatchObject(DENIED);
  expect(client.health.reachable).toBe(true);
  await writeFile(tokenFile, limitedToken);
  expect((await client.kv.get('own/k', { signal })).value).toBeDefined();
});
