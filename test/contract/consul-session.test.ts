import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { parseSessionId } from '../../src/consul/types.ts';
import { http } from '../../tools/sandbox/http.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
afterAll(() => consul.close());

async function aNode(): Promise<string> {
  const node = `contract-${randomUUID()}`;
  await consul.catalog.registerNode(
    { node, address: '127.0.0.1', meta: { 'managed-by': 'test' } },
    { signal },
  );
  return node;
}

const create = (node: string, change: object = {}) =>
  consul.sessions.create({ node, name: 'lead', ttlSeconds: 20, lockDelaySeconds: 10, ...change }, { signal });

describe('a session', () => {
  test('is bound to its node and TTL alone, and releases its locks without deleting them', async () => {
    const node = await aNode();
    const id = await create(node);
    const info = { id, name: 'lead', node, ttl: '20s', behavior: 'release' };
    expect((await consul.sessions.info(id, { signal })).value).toMatchObject(info);
    expect((await consul.sessions.listNode(node, { signal })).value).toMatchObject([info]);
    const raw = await http(consulAddress, `/v1/session/info/${id}`);
    expect(JSON.parse(raw.body.toString())).toMatchObject([{ NodeChecks: [], LockDelay: 10e9 }]);
  });

  test('is renewed while it lives, and lost for good after', async () => {
    const id = await create(await aNode());
    expect(await consul.sessions.renew(id, { signal })).toEqual({ alive: true });
    await consul.sessions.destroy(id, { signal });
    expect(await consul.sessions.renew(id, { signal })).toEqual({ alive: false });
    expect((await consul.sessions.info(id, { signal })).value).toBeUndefined();
  });

  test('can be destroyed twice, or without ever having been', async () => {
    const id = await create(await aNode());
    for (const session of [id, id, parseSessionId(randomUUID())]) {
      await expect(consul.sessions.destroy(session, { signal })).resolves.toBeUndefined();
    }
  });

  test('dies with its node', async () => {
    const node = await aNode();
    const id = await create(node);
    await http(consulAddress, '/v1/catalog/deregister', {
      method: 'PUT',
      body: JSON.stringify({ Node: node }),
    });
    expect(await consul.sessions.renew(id, { signal })).toEqual({ alive: false });
  });

  test('needs a node of the catalog, which can be made', async () => {
    const creation = create(`contract-${randomUUID()}`);
    await expect(creation).rejects.toMatchObject({ name: 'ConflictError', code: 'CONSUL_NODE_MISSING' });
  });

  test('needs a TTL that Consul takes', async () => {
    const creation = create(await aNode(), { ttlSeconds: 1 });
    await expect(creation).rejects.toMatchObject({ name: 'TerminalError', code: 'CONSUL_INVALID' });
  });
});

describe('a node', () => {
  test('that was registered is there, with its meta', async () => {
    const node = await aNode();
    const { value, index } = await consul.catalog.getNode(node, { signal });
    expect(value).toEqual({ node, address: '127.0.0.1', meta: { 'managed-by': 'test' } });
    expect(index).toBeGreaterThan(0);
  });

  test('that was not is undefined', async () => {
    expect((await consul.catalog.getNode(`contract-${randomUUID()}`, { signal })).value).toBeUndefined();
  });

  test('registered again keeps its sessions', async () => {
    const node = await aNode();
    const id = await create(node);
    await consul.catalog.registerNode({ node, address: '127.0.0.1', meta: {} }, { signal });
    expect(await consul.sessions.renew(id, { signal })).toEqual({ alive: true });
  });

  test('without sessions has none', async () => {
    expect((await consul.sessions.listNode(await aNode(), { signal })).value).toEqual([]);
  });
});
