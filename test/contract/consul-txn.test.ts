import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { classifyTxnError, refusal } from '../../src/consul/errors.ts';
import {
  encodeOperation,
  type KvOperation,
  MAX_TXN_BYTES,
  MAX_TXN_OPERATIONS,
} from '../../src/consul/txn.ts';
import { type ModifyIndex, NOT_THERE, parseSessionId, type SessionId } from '../../src/consul/types.ts';
import { http } from '../../tools/sandbox/http.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
afterAll(() => consul.close());

const aPrefix = (): string => `contract/${randomUUID()}/`;
const submit = (...operations: KvOperation[]) =>
  consul.txn.submit(operations.map(encodeOperation), { signal });

const cas = (key: string, index: number, value = 'hi'): KvOperation => ({
  verb: 'cas',
  key,
  value: Buffer.from(value),
  flags: 0n,
  index: index as ModifyIndex,
});
const deleteCas = (key: string, index: number): KvOperation => ({
  verb: 'delete-cas',
  key,
  index: index as ModifyIndex,
});

async function created(key: string): Promise<ModifyIndex> {
  const outcome = await submit(cas(key, NOT_THERE));
  if (!outcome.applied) throw new Error('not created');
  return outcome.index as ModifyIndex;
}

async function heldLock(): Promise<{ readonly key: string; readonly session: SessionId }> {
  const node = `contract-${randomUUID()}`;
  await consul.catalog.registerNode({ node, address: '127.0.0.1', meta: {} }, { signal });
  const session = await consul.sessions.create(
    { node, name: 'f', ttlSeconds: 60, lockDelaySeconds: 0 },
    { signal },
  );
  const key = `${aPrefix()}lock`;
  await consul.kv.acquire({ key, session, value: Buffer.alloc(0) }, { signal });
  return { key, session };
}

const kinds = (outcome: Awaited<ReturnType<typeof submit>>) =>
  outcome.applied ? 'applied' : outcome.errors.map(error => [error.opIndex, classifyTxnError(error)]);

describe('compare-and-set', () => {
  test('creates, changes and deletes at the index it believes in', async () => {
    const key = `${aPrefix()}k`;
    const index = await created(key);
    const changed = await submit(cas(key, index, 'new'));
    expect(changed).toMatchObject({ applied: true, entries: [{ key, createIndex: index }] });
    const entry = (await consul.txn.readKeys([key], { signal })).value.get(key);
    expect(entry).toMatchObject({ value: Buffer.from('new'), modifyIndex: changed.applied && changed.index });
    expect(await submit(deleteCas(key, entry?.modifyIndex ?? 0))).toMatchObject({
      applied: true,
      entries: [],
    });
    expect((await consul.txn.readKeys([key], { signal })).value.get(key)).toBeUndefined();
  });

  test('with equal content moves no index', async () => {
    const key = `${aPrefix()}k`;
    const index = await created(key);
    expect(await submit(cas(key, index))).toMatchObject({ applied: true, index });
  });

  test('of an absent key counts as deleted', async () => {
    expect(await submit(deleteCas(`${aPrefix()}k`, 1))).toMatchObject({ applied: true });
  });

  test('that lost applies nothing of its transaction and names every operation that failed', async () => {
    const prefix = aPrefix();
    const index = await created(`${prefix}there`);
    const outcome = await submit(
      cas(`${prefix}new`, NOT_THERE),
      cas(`${prefix}absent`, index),
      cas(`${prefix}there`, NOT_THERE),
      cas(`${prefix}there`, index - 1),
      deleteCas(`${prefix}there`, index - 1),
      { verb: 'check-index', key: `${prefix}there`, index: (index - 1) as ModifyIndex },
      { verb: 'check-index', key: `${prefix}absent`, index },
      { verb: 'check-not-exists', key: `${prefix}there` },
      { verb: 'get', key: `${prefix}absent` },
    );
    expect(kinds(outcome)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map(opIndex => [opIndex, 'precondition']));
    expect((await consul.kv.list(prefix, { signal })).value.map(({ key }) => key)).toEqual([
      `${prefix}there`,
    ]);
  });

  test('cannot be fooled by a key that reads like an error', async () => {
    const key = `${aPrefix()}failed session check, Permission denied`;
    const outcome = await submit(cas(key, 1));
    expect(kinds(outcome)).toEqual([[0, 'precondition']]);
  });
});

describe('the fence', () => {
  test('lets its holder through', async () => {
    const { key, session } = await heldLock();
    const target = `${aPrefix()}k`;
    expect(kinds(await submit({ verb: 'check-session', key, session }, cas(target, NOT_THERE)))).toBe(
      'applied',
    );
  });

  test.each([
    ['another session', async () => ({ ...(await heldLock()), session: parseSessionId(randomUUID()) })],
    ['a lock that does not exist', async () => ({ ...(await heldLock()), key: `${aPrefix()}nolock` })],
    [
      'a lock that was released',
      async () => {
        const lock = await heldLock();
        await consul.kv.release({ ...lock, value: Buffer.alloc(0) }, { signal });
        return lock;
      },
    ],
    [
      'a session that was destroyed',
      async () => {
        const lock = await heldLock();
        await consul.sessions.destroy(lock.session, { signal });
        return lock;
      },
    ],
  ])('stops %s, and says that the lead is lost', async (_, lock) => {
    const { key, session } = await lock();
    const target = `${aPrefix()}k`;
    const outcome = await submit({ verb: 'check-session', key, session }, cas(target, NOT_THERE));
    expect(kinds(outcome)).toEqual([[0, 'lost-fence']]);
    expect((await consul.kv.get(target, { signal })).value).toBeUndefined();
  });

  test('with an empty session would let everybody through while nobody holds the lock', async () => {
    const key = `${aPrefix()}free`;
    await created(key);
    const body = JSON.stringify([{ KV: { Verb: 'check-session', Key: key } }]);
    expect(await http(consulAddress, '/v1/txn', { method: 'PUT', body })).toMatchObject({ status: 200 });
    expect(() => encodeOperation({ verb: 'check-session', key, session: '' as SessionId })).toThrow(
      TypeError,
    );
  });
});

describe('the limits', () => {
  const site = { address: consulAddress, datacenter: undefined, operation: 'PUT /v1/txn', writes: true };

  test(`of ${MAX_TXN_OPERATIONS} operations and ${MAX_TXN_BYTES} bytes are within what Consul takes`, async () => {
    const prefix = aPrefix();
    const many = Array.from({ length: MAX_TXN_OPERATIONS }, (_, at) => cas(`${prefix}${at}`, NOT_THERE));
    expect(kinds(await submit(...many))).toBe('applied');
    const empty = encodeOperation(cas(`${prefix}big`, NOT_THERE, '')).length + 2;
    const value = 'x'.repeat(Math.floor(((MAX_TXN_BYTES - empty) * 3) / 4));
    expect(kinds(await submit(cas(`${prefix}big`, NOT_THERE, value)))).toBe('applied');
  });

  test.each([
    [
      'one operation more',
      JSON.stringify(Array.from({ length: 129 }, () => ({ KV: { Verb: 'get', Key: 'k' } }))),
    ],
    ['one byte more', `[{"KV":{"Verb":"get","Key":"k"}}]${' '.repeat(524_289 - 33)}`],
  ])('%s is refused as too large', async (_, body) => {
    const { status, body: text } = await http(consulAddress, '/v1/txn', { method: 'PUT', body });
    expect(refusal({ status, text: text.toString(), retryAfter: undefined }, site)).toMatchObject({
      code: 'CONSUL_TOO_LARGE',
    });
  });

  test.each([
    ['an unknown field', '[{"KV":{"Verb":"get","Key":"k","Zork":1}}]'],
    ['what is not JSON', '['],
  ])('%s is refused as not understood', async (_, body) => {
    const { status, body: text } = await http(consulAddress, '/v1/txn', { method: 'PUT', body });
    expect(refusal({ status, text: text.toString(), retryAfter: undefined }, site)).toMatchObject({
      code: 'CONSUL_BAD_REQUEST',
    });
  });
});

test('readKeys tells hundreds of keys from as many absent ones', async () => {
  const prefix = aPrefix();
  const there = Array.from({ length: 200 }, (_, at) => `${prefix}there/${at}`);
  const absent = Array.from({ length: 200 }, (_, at) => `${prefix}absent/${at}`);
  await submit(...there.slice(0, 100).map(key => cas(key, NOT_THERE, key)));
  await submit(...there.slice(100).map(key => cas(key, NOT_THERE, key)));
  const { value, index } = await consul.txn.readKeys([...there, ...absent], {
    signal,
    consistency: 'consistent',
  });
  expect(there.every(key => value.get(key)?.value.toString() === key)).toBe(true);
  expect(absent.every(key => value.has(key) && value.get(key) === undefined)).toBe(true);
  expect(index).toBe(value.get(there[199] ?? '')?.modifyIndex);
});
