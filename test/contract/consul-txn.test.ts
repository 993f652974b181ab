import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { classifyLockRefusal, classifyTxnError, refusal } from '../../src/consul/errors.ts';
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

describe('taking a lock', () => {
  const aSession = async (lockDelaySeconds = 0): Promise<SessionId> => {
    const node = `contract-${randomUUID()}`;
    await consul.catalog.registerNode({ node, address: '127.0.0.1', meta: {} }, { signal });
    return await consul.sessions.create({ node, name: 'l', ttlSeconds: 60, lockDelaySeconds }, { signal });
  };
  const take = (verb: 'lock' | 'unlock', key: string, session: SessionId, value = 'v'): KvOperation => ({
    verb,
    key,
    session,
    value: Buffer.from(value),
    flags: 2n ** 64n - 1n,
  });
  const at = (key: string, index: number): KvOperation => ({
    verb: 'check-index',
    key,
    index: index as ModifyIndex,
  });
  const why = (outcome: Awaited<ReturnType<typeof submit>>) =>
    outcome.applied ? 'applied' : classifyLockRefusal(outcome.errors);
  const entry = async (key: string) => (await consul.kv.get(key, { signal })).value;

  test('writes value and flags, and only to what was believed to stand there', async () => {
    const key = `${aPrefix()}l`;
    const session = await aSession();
    const index = await created(key);
    expect(why(await submit(at(key, index - 1), take('lock', key, session)))).toBe('moved');
    expect(await entry(key)).toMatchObject({ session: undefined, modifyIndex: index });
    const locked = await submit(at(key, index), take('lock', key, session));
    expect(locked).toMatchObject({ applied: true, entries: [{}, { key, session, lockIndex: 1 }] });
    const found = await entry(key);
    expect(found).toMatchObject({ value: Buffer.from('v'), flags: 2n ** 64n - 1n, session });
    expect(found?.modifyIndex).toBe(locked.applied && locked.index);
  });

  test('of a key that is not there makes it', async () => {
    const key = `${aPrefix()}l`;
    const session = await aSession();
    const free: KvOperation = { verb: 'check-not-exists', key };
    expect(why(await submit(free, take('lock', key, session)))).toBe('applied');
    expect(why(await submit(free, take('lock', key, session)))).toBe('moved');
    expect(await entry(key)).toMatchObject({ session });
  });

  test('again is to keep it, and with equal content moves no index', async () => {
    const key = `${aPrefix()}l`;
    const session = await aSession();
    const first = await submit(take('lock', key, session));
    expect(await submit(take('lock', key, session))).toMatchObject({
      applied: true,
      index: first.applied && first.index,
    });
    expect(why(await submit(take('lock', key, session, 'new')))).toBe('applied');
    expect(await entry(key)).toMatchObject({ value: Buffer.from('new'), lockIndex: 1 });
  });

  test('that another holds is refused, at the right index too', async () => {
    const key = `${aPrefix()}l`;
    const [holder, other] = [await aSession(), await aSession()];
    const locked = await submit(take('lock', key, holder));
    const index = locked.applied ? locked.index : 0;
    expect(why(await submit(at(key, index), take('lock', key, other)))).toBe('held');
    expect(why(await submit(take('unlock', key, other)))).toBe('held');
    expect(await entry(key)).toMatchObject({ session: holder, modifyIndex: index });
  });

  test('in its lock-delay is refused before anything else is looked at', async () => {
    const key = `${aPrefix()}l`;
    const [holder, other] = [await aSession(60), await aSession()];
    await submit(take('lock', key, holder));
    await consul.sessions.destroy(holder, { signal });
    expect(await entry(key)).toMatchObject({ session: undefined });
    expect(why(await submit(take('lock', key, other)))).toBe('lock-delay');
    expect(why(await submit(at(key, 1), take('lock', key, other)))).toBe('lock-delay');
    expect(why(await submit(take('lock', key, holder)))).toBe('lock-delay');
  });

  test('that was unlocked, or whose key was deleted, has no lock-delay', async () => {
    const key = `${aPrefix()}l`;
    const [first, second, third] = [await aSession(60), await aSession(60), await aSession(60)];
    await submit(take('lock', key, first));
    expect(why(await submit(take('unlock', key, first, 'kept')))).toBe('applied');
    await consul.sessions.destroy(first, { signal });
    expect(await entry(key)).toMatchObject({ session: undefined, value: Buffer.from('kept') });
    expect(why(await submit(take('lock', key, second)))).toBe('applied');
    await submit(deleteCas(key, (await entry(key))?.modifyIndex ?? 0));
    expect(why(await submit(take('lock', key, third)))).toBe('applied');
  });

  test('by a session that is gone is refused as that, whatever else is wrong', async () => {
    const key = `${aPrefix()}l`;
    await created(key);
    const gone = parseSessionId(randomUUID());
    expect(why(await submit(take('lock', key, gone)))).toBe('invalid-session');
    expect(why(await submit(at(key, 1), take('lock', key, gone)))).toBe('invalid-session');
  });

  test('that is not there or not held cannot be given up', async () => {
    const key = `${aPrefix()}l`;
    const session = await aSession();
    expect(why(await submit(take('unlock', key, session)))).toBe('held');
    await created(key);
    expect(why(await submit(take('unlock', key, session)))).toBe('held');
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
