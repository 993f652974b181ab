import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { encodeOperation } from '../../src/consul/txn.ts';
import { NOT_THERE, parseSessionId, type SessionId } from '../../src/consul/types.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const consul = aConsulClient([inject('sandbox').consulAddress]);
afterAll(() => consul.close());

const options = { signal, consistency: 'consistent' } as const;
const aPrefix = (): string => `contract/${randomUUID()}/`;

async function put(key: string, value = 'hi', flags = 0n): Promise<void> {
  const cas = encodeOperation({ verb: 'cas', key, value: Buffer.from(value), flags, index: NOT_THERE });
  expect(await consul.txn.submit([cas], { signal })).toMatchObject({ applied: true });
}

describe('get', () => {
  test('gives the entry with its indexes', async () => {
    const key = `${aPrefix()}k`;
    await put(key);
    const { value, index, filteredByAcl, knownLeader } = await consul.kv.get(key, options);
    expect(value).toMatchObject({ key, value: Buffer.from('hi'), lockIndex: 0, session: undefined });
    expect(value?.modifyIndex).toBe(index);
    expect({ filteredByAcl, knownLeader }).toEqual({ filteredByAcl: false, knownLeader: true });
  });

  test('of an absent key is undefined, with the index of the table', async () => {
    const { value, index } = await consul.kv.get(`${aPrefix()}k`, options);
    expect(value).toBeUndefined();
    expect(index).toBeGreaterThan(0);
  });

  test('of an empty value is an empty buffer', async () => {
    const key = `${aPrefix()}k`;
    await put(key, '');
    expect((await consul.kv.get(key, options)).value?.value).toEqual(Buffer.alloc(0));
  });

  test.each([0n, 1n, 3_304_740_253_564_472_344n, 2n ** 63n, 2n ** 64n - 1n])(
    'keeps all digits of the flags %i',
    async flags => {
      const key = `${aPrefix()}k`;
      await put(key, 'hi', flags);
      expect((await consul.kv.get(key, options)).value?.flags).toBe(flags);
      const { value } = await consul.txn.readKeys([key], options);
      expect(value.get(key)?.flags).toBe(flags);
    },
  );
});

test.each([
  'a b',
  'a+b',
  'a#b?c=d&e',
  'ünï/cødé/日本語/😀',
  `quote"back\\slash'`,
  'semi;colon:at@comma,',
  'a/b/c',
  '~tilde(and)more!*',
  '%25percent',
])('the key %j is the same for every way of reading', async name => {
  const prefix = aPrefix();
  const key = prefix + name;
  await put(key, name);
  expect((await consul.kv.get(key, options)).value?.value.toString()).toBe(name);
  expect((await consul.kv.list(prefix, options)).value.map(entry => entry.key)).toEqual([key]);
  expect((await consul.kv.list(key, options)).value.map(entry => entry.key)).toEqual([key]);
  expect((await consul.kv.keys(prefix, options)).value).toEqual([key]);
  expect((await consul.txn.readKeys([key], options)).value.get(key)?.value.toString()).toBe(name);
});

describe('a prefix', () => {
  test('is listed with all that begins with it, deeper too, and nothing beside', async () => {
    const prefix = aPrefix();
    for (const name of ['in/one', 'in/deep/er', 'in-beside', 'beside']) await put(prefix + name);
    const { value } = await consul.kv.list(`${prefix}in/`, options);
    expect(value.map(({ key }) => key.slice(prefix.length))).toEqual(['in/deep/er', 'in/one']);
  });

  test('folds what lies deeper at the separator', async () => {
    const prefix = aPrefix();
    for (const name of ['one', 'deep/a', 'deep/b']) await put(prefix + name);
    const { value } = await consul.kv.keys(prefix, { ...options, separator: '/' });
    expect(value).toEqual([`${prefix}deep/`, `${prefix}one`]);
  });

  test('without keys is empty, not an error', async () => {
    expect((await consul.kv.list(aPrefix(), options)).value).toEqual([]);
    expect((await consul.kv.keys(aPrefix(), options)).value).toEqual([]);
  });

  test('may be the whole store', async () => {
    const key = `${aPrefix()}k`;
    await put(key);
    expect((await consul.kv.keys('', { ...options, separator: '/' })).value).toContain('contract/');
    expect((await consul.kv.list('', options)).value.map(entry => entry.key)).toContain(key);
  });
});

test('a transaction can write what /v1/kv reads as another key, and get refuses to be fooled', async () => {
  const prefix = aPrefix();
  await put(`${prefix}a/b`, 'clean');
  await put(`${prefix}a//b`, 'double');
  await expect(consul.kv.get(`${prefix}a//b`, options)).rejects.toThrow(TypeError);
  const { value } = await consul.txn.readKeys([`${prefix}a//b`, `${prefix}a/b`], options);
  expect([...value.values()].map(entry => entry?.value.toString())).toEqual(['double', 'clean']);
});

describe('a lock', () => {
  async function aSession(): Promise<SessionId> {
    const node = `contract-${randomUUID()}`;
    await consul.catalog.registerNode({ node, address: '127.0.0.1', meta: {} }, { signal });
    return await consul.sessions.create(
      { node, name: 'lock', ttlSeconds: 60, lockDelaySeconds: 1 },
      { signal },
    );
  }

  const value = Buffer.from('me');

  test('is held by one session, and its value and flags are set with it', async () => {
    const [holder, rival] = [await aSession(), await aSession()];
    const key = `${aPrefix()}lock`;
    expect(
      await consul.kv.acquire({ key, session: holder, value, flags: 2n ** 64n - 1n }, { signal }),
    ).toEqual({
      applied: true,
    });
    expect((await consul.kv.get(key, options)).value).toMatchObject({
      value,
      flags: 2n ** 64n - 1n,
      session: holder,
      lockIndex: 1,
    });
    expect(await consul.kv.acquire({ key, session: rival, value }, { signal })).toEqual({ applied: false });
    expect(await consul.kv.release({ key, session: rival, value }, { signal })).toEqual({ applied: false });
  });

  test('is held on by its session, and free at once when released', async () => {
    const [holder, rival] = [await aSession(), await aSession()];
    const key = `${aPrefix()}lock`;
    for (let time = 0; time < 2; time += 1) {
      expect(await consul.kv.acquire({ key, session: holder, value }, { signal })).toEqual({ applied: true });
    }
    expect((await consul.kv.get(key, options)).value?.lockIndex).toBe(1);
    expect(await consul.kv.release({ key, session: holder, value }, { signal })).toEqual({ applied: true });
    expect((await consul.kv.get(key, options)).value?.session).toBeUndefined();
    expect(await consul.kv.acquire({ key, session: rival, value }, { signal })).toEqual({ applied: true });
  });

  test('stays closed for the lock-delay when its session was destroyed', async () => {
    const [holder, rival] = [await aSession(), await aSession()];
    const key = `${aPrefix()}lock`;
    await consul.kv.acquire({ key, session: holder, value }, { signal });
    await consul.sessions.destroy(holder, { signal });
    expect(await consul.kv.acquire({ key, session: rival, value }, { signal })).toEqual({ applied: false });
    expect((await consul.kv.get(key, options)).value?.session).toBeUndefined();
  });

  test('cannot be taken by a session that is gone: that is no lost race but a new session to make', async () => {
    const session = parseSessionId(randomUUID());
    const acquire = consul.kv.acquire({ key: `${aPrefix()}lock`, session, value }, { signal });
    await expect(acquire).rejects.toMatchObject({ name: 'ConflictError', code: 'CONSUL_INVALID_SESSION' });
  });

  test('never goes out without a session', async () => {
    const session = undefined as unknown as SessionId;
    await expect(consul.kv.acquire({ key: 'lock', session, value }, { signal })).rejects.toThrow(TypeError);
  });
});

describe('the agent', () => {
  test('tells its version, name, datacenter and leader', async () => {
    expect(await consul.agent.version({ signal })).toMatch(/^1\.\d+\.\d+/);
    expect(await consul.agent.self({ signal })).toMatchObject({ datacenter: 'dc1', server: true });
    expect(await consul.agent.leader({ signal })).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  test('refuses a datacenter that is not there, by its name', async () => {
    await using elsewhere = aConsulClient([inject('sandbox').consulAddress], { datacenter: 'dc9' });
    await expect(elsewhere.kv.get('k', options)).rejects.toMatchObject({
      code: 'CONSUL_DATACENTER',
      message: expect.stringContaining('dc9'),
    });
  });

  test('serves reads at every consistency', async () => {
    for (const consistency of ['default', 'consistent', 'stale'] as const) {
      await expect(consul.kv.get('k', { signal, consistency })).resolves.toMatchObject({ knownLeader: true });
      await expect(consul.txn.readKeys(['k'], { signal, consistency })).resolves.toMatchObject({
        knownLeader: true,
      });
    }
  });
});
