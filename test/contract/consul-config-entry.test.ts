import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { type ModifyIndex, NOT_THERE } from '../../src/consul/types.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const consul = aConsulClient([inject('sandbox').consulAddress]);
afterAll(() => consul.close());

const KIND = 'service-defaults';
const aName = (): string => `contract-${randomUUID()}`;
const defaults = (name: string, protocol = 'http') => ({ Kind: KIND, Name: name, Protocol: protocol });
const put = (body: Record<string, unknown>, index: number = NOT_THERE) =>
  consul.configEntries.put(body, index as ModifyIndex, { signal });
const get = async (name: string) => (await consul.configEntries.get({ kind: KIND, name }, { signal })).value;

describe('a config entry', () => {
  test('is created once, changed at its index, and read without what the server adds', async () => {
    const name = aName();
    expect(await put(defaults(name))).toEqual({ applied: true });
    const entry = await get(name);
    expect(entry).toMatchObject({ kind: KIND, name, createIndex: entry?.modifyIndex, body: defaults(name) });
    expect(Object.keys(entry?.body ?? {})).not.toEqual(expect.arrayContaining(['Hash']));
    expect(await put({ ...entry?.body, Protocol: 'tcp' }, entry?.modifyIndex)).toEqual({ applied: true });
    expect((await get(name))?.body['Protocol']).toBe('tcp');
  });

  test('with a stale index is left as it is', async () => {
    const name = aName();
    await put(defaults(name));
    expect(await put(defaults(name, 'grpc'))).toEqual({ applied: false });
    expect(await put(defaults(name, 'grpc'), 1)).toEqual({ applied: false });
    expect((await get(name))?.body['Protocol']).toBe('http');
  });

  test('of equal content is applied at any index, and moves none', async () => {
    const name = aName();
    await put(defaults(name));
    const before = await get(name);
    expect(await put(defaults(name), 1)).toEqual({ applied: true });
    expect(await get(name)).toEqual(before);
  });

  test('is deleted at its index only, and absent counts as deleted', async () => {
    const id = { kind: KIND, name: aName() };
    await put(defaults(id.name));
    const { modifyIndex } = (await get(id.name)) ?? { modifyIndex: NOT_THERE };
    const remove = (index: ModifyIndex) => consul.configEntries.delete(id, index, { signal });
    expect(await remove((modifyIndex - 1) as ModifyIndex)).toEqual({ applied: false });
    expect(await remove(modifyIndex)).toEqual({ applied: true });
    expect(await get(id.name)).toBeUndefined();
    expect(await remove(modifyIndex)).toEqual({ applied: true });
  });

  test('is listed by its kind, with the index of the whole table', async () => {
    const name = aName();
    await put(defaults(name));
    const { value, index } = await consul.configEntries.list(KIND, { signal });
    const listed = value.find(entry => entry.name === name);
    expect(listed).toEqual(await get(name));
    expect(index).toBeGreaterThanOrEqual(listed?.modifyIndex ?? Number.POSITIVE_INFINITY);
  });

  test.each([undefined, Number.NaN, -1])('is never written at the index %s', async index => {
    await expect(
      consul.configEntries.put(defaults(aName()), index as ModifyIndex, { signal }),
    ).rejects.toThrow(TypeError);
  });
});

describe('a refusal', () => {
  const intentions = (source: object) => ({ Kind: 'service-intentions', Name: aName(), Sources: [source] });
  const byPath = { Action: 'allow', HTTP: { PathExact: '/x' } };

  test.each([
    [
      'of what another object can put right',
      intentions({ Name: 'a', Permissions: [byPath] }),
      'CONSUL_DEPENDENCY',
    ],
    [
      'of a JWT provider that is not there',
      { ...intentions({ Name: 'a', Action: 'allow' }), JWT: { Providers: [{ Name: 'nobody' }] } },
      'CONSUL_DEPENDENCY',
    ],
    ['of no sources at all', { ...intentions({}), Sources: [] }, 'CONSUL_INVALID'],
    ['of an action that is none', intentions({ Name: 'a', Action: 'zork' }), 'CONSUL_INVALID'],
    ['of an unknown field', { ...defaults(aName()), Zork: 1 }, 'CONSUL_BAD_REQUEST'],
    ['of an unknown kind', { ...defaults(aName()), Kind: 'zork' }, 'CONSUL_BAD_REQUEST'],
  ])('%s is told apart', async (_, body, code) => {
    await expect(put(body)).rejects.toMatchObject({ code });
  });
});
