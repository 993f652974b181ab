import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodedBytes,
  encodeOperation,
  type KvOperation,
  MAX_TXN_BYTES,
  MAX_TXN_OPERATIONS,
} from '../../../src/consul/txn.ts';
import { type ModifyIndex, NOT_THERE, parseSessionId, type SessionId } from '../../../src/consul/types.ts';
import { aConsulClient, signal } from '../../support/consul-client.ts';
import { answer, FakeServer } from './server.ts';

const session = parseSessionId('11111111-2222-3333-4444-555555555555');
const index = 42 as ModifyIndex;
const aCas = { verb: 'cas', key: 'k', value: Buffer.from('hi'), flags: 0n, index } as const;

describe('an operation is written as', () => {
  test.each<[KvOperation, string]>([
    [
      { verb: 'check-session', key: 'l', session },
      `{"KV":{"Verb":"check-session","Key":"l","Session":"${session}"}}`,
    ],
    [aCas, '{"KV":{"Verb":"cas","Key":"k","Value":"aGk=","Flags":0,"Index":42}}'],
    [{ ...aCas, index: NOT_THERE }, '{"KV":{"Verb":"cas","Key":"k","Value":"aGk=","Flags":0,"Index":0}}'],
    [
      { ...aCas, flags: 2n ** 64n - 1n },
      '{"KV":{"Verb":"cas","Key":"k","Value":"aGk=","Flags":18446744073709551615,"Index":42}}',
    ],
    [
      { verb: 'lock', key: 'k', session, value: Buffer.from('hi'), flags: 7n },
      `{"KV":{"Verb":"lock","Key":"k","Value":"aGk=","Flags":7,"Session":"${session}"}}`,
    ],
    [
      { verb: 'unlock', key: 'k', session, value: Buffer.alloc(0), flags: 0n },
      `{"KV":{"Verb":"unlock","Key":"k","Value":"","Flags":0,"Session":"${session}"}}`,
    ],
    [{ verb: 'delete-cas', key: 'k', index }, '{"KV":{"Verb":"delete-cas","Key":"k","Index":42}}'],
    [{ verb: 'check-index', key: 'k', index }, '{"KV":{"Verb":"check-index","Key":"k","Index":42}}'],
    [{ verb: 'check-not-exists', key: 'k' }, '{"KV":{"Verb":"check-not-exists","Key":"k"}}'],
    [{ verb: 'get-or-empty', key: 'k' }, '{"KV":{"Verb":"get-or-empty","Key":"k"}}'],
    [{ verb: 'get', key: 'q"\\\u2028é' }, '{"KV":{"Verb":"get","Key":"q\\"\\\\\u2028é"}}'],
  ])('%o', (operation, json) => {
    expect(encodeOperation(operation)).toBe(json);
    expect(encodedBytes(operation)).toBe(Buffer.byteLength(json));
  });
});

test('any key, value and flags come out of the JSON as they went in', () => {
  const keys = fc.string({ unit: 'grapheme', minLength: 1 }).filter(key => key.isWellFormed());
  const flags = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(keys, fc.uint8Array(), flags, (key, bytes, flags) => {
      const text = encodeOperation({ ...aCas, key, value: Buffer.from(bytes), flags });
      expect(encodedBytes({ ...aCas, key, value: Buffer.from(bytes), flags })).toBe(Buffer.byteLength(text));
      const { KV } = JSON.parse(text) as { KV: Record<string, string> };
      expect(KV['Key']).toBe(key);
      expect(Buffer.from(KV['Value'] ?? '', 'base64')).toEqual(Buffer.from(bytes));
      expect(/"Flags":(\d+)/.exec(text.slice(text.lastIndexOf('"Flags"')))?.[1]).toBe(flags.toString());
    }),
  );
});

describe('never written is', () => {
  const fence = (value: unknown): KvOperation => ({
    verb: 'check-session',
    key: 'l',
    session: value as SessionId,
  });
  const cas = (change: object): KvOperation => ({ ...aCas, ...change });
  test.each([
    ['an undefined session, which would pass while nobody holds the lock', fence(undefined)],
    ['an empty session, likewise', fence('')],
    ['a lock without a session', { ...aCas, verb: 'lock', session: undefined } as unknown as KvOperation],
    ['a session with a quote', fence(`${session}","x":"`)],
    ['an undefined index, which would read as 0', cas({ index: undefined })],
    ['a negative index', cas({ index: -1 })],
    ['a fractional index', cas({ index: 1.5 })],
    ['no index at all on a delete', { verb: 'delete-cas', key: 'k' } as KvOperation],
    ['flags over 64 bits', cas({ flags: 2n ** 64n })],
    ['negative flags', cas({ flags: -1n })],
    ['an empty key', cas({ key: '' })],
    ['half a surrogate pair, which Consul would make another key of', cas({ key: 'a\ud800' })],
  ])('%s', (_, operation) => {
    expect(() => encodeOperation(operation)).toThrow(TypeError);
  });
});

describe('a transaction', () => {
  const fragment = encodeOperation(aCas);

  test('over the limits of operations or bytes is refused before it is sent', async () => {
    await using server = await FakeServer.start(answer(200, '{"Results":[],"Errors":null}'));
    await using client = aConsulClient([server.address]);
    const submit = (fragments: readonly string[]) => client.txn.submit(fragments, { signal });
    const ofBytes = (bytes: number) => ['x'.repeat(bytes - 2)];
    await expect(
      submit(Array.from({ length: MAX_TXN_OPERATIONS + 1 }, () => fragment)),
    ).rejects.toMatchObject({
      code: 'CONSUL_TOO_LARGE',
      reason: 'TooLarge',
    });
    await expect(submit(ofBytes(MAX_TXN_BYTES + 1))).rejects.toMatchObject({ code: 'CONSUL_TOO_LARGE' });
    expect(server.requests).toHaveLength(0);
    await submit(Array.from({ length: MAX_TXN_OPERATIONS }, () => fragment));
    await submit(ofBytes(MAX_TXN_BYTES));
    expect(server.requests).toHaveLength(2);
  });

  test('tells every operation that failed', async () => {
    const errors = '{"Results":null,"Errors":[{"OpIndex":0,"What":"a"},{"OpIndex":1,"What":"b"}]}';
    await using server = await FakeServer.start(answer(409, errors));
    await using client = aConsulClient([server.address]);
    expect(await client.txn.submit([fragment, fragment], { signal })).toEqual({
      applied: false,
      errors: [
        { opIndex: 0, what: 'a' },
        { opIndex: 1, what: 'b' },
      ],
    });
  });
});

describe('reading many keys', () => {
  const asked = ({ body }: { body: string }) =>
    (JSON.parse(body) as { KV: { Key: string } }[]).map(({ KV }) => KV.Key);
  const readsAnything = FakeServer.start((request, response) => {
    const results = asked(request).map(Key => ({
      KV: { Key, Value: null, Flags: 0, CreateIndex: 0, ModifyIndex: 0, LockIndex: 0 },
    }));
    answer(200, JSON.stringify({ Results: results, Errors: null }))(request, response);
  });

  test('asks for each once, in batches within the limits', async () => {
    await using server = await readsAnything;
    await using client = aConsulClient([server.address]);
    const short = Array.from({ length: 300 }, (_, position) => `k${position}`);
    const long = Array.from({ length: 3 }, (_, position) => `${position}${'l'.repeat(200_000)}`);
    const keys = [...short, ...long];
    const { value } = await client.txn.readKeys([...keys, ...keys], { signal });
    expect([...value.keys()].sort()).toEqual([...keys].sort());
    expect(server.requests.flatMap(asked).sort()).toEqual([...keys].sort());
    for (const request of server.requests) {
      expect(asked(request).length).toBeLessThanOrEqual(MAX_TXN_OPERATIONS);
      expect(request.body.length).toBeLessThanOrEqual(MAX_TXN_BYTES);
    }
    expect(server.requests).toHaveLength(4);
    expect(server.connections.peak).toBeLessThanOrEqual(4);
  });

  test('of none asks nothing', async () => {
    await using client = aConsulClient(['127.0.0.1:1']);
    expect(await client.txn.readKeys([], { signal })).toMatchObject({ value: new Map(), index: 0 });
  });
});
