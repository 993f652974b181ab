/** What a token may not do with intentions is an error by name or marked, and never looks like a deletion. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConsulClient } from '../../src/consul/client.ts';
import { SERVICE_INTENTIONS } from '../../src/consul/config-entry.ts';
import { type ModifyIndex, NOT_THERE } from '../../src/consul/types.ts';
import type { ResourceRef } from '../../src/core/resource.ts';
import { IntentionMirror } from '../../src/mirror/intention-mirror.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { until } from '../support/until.ts';

/** `read-` may be read, `write-` written, and what has no rule is hidden. */
const RULES = `
  service_prefix "write-" { policy = "read" intentions = "write" }
  service_prefix "read-" { policy = "read" intentions = "read" }
`;

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
let admin: ConsulClient;
let limited: ConsulClient;

beforeAll(async () => {
  sandbox = await startConsulSandbox({ acl: true });
  const token = sandbox.managementToken ?? '';
  const api = new ConsulApi({ address: sandbox.address, token });
  await api.put('/v1/acl/policy', { Name: 'limited', Rules: RULES });
  const made = (await api.put('/v1/acl/token', { Policies: [{ Name: 'limited' }] })) as { SecretID: string };
  admin = aConsulClient([sandbox.address], { token });
  limited = aConsulClient([sandbox.address], { token: made.SecretID });
  for (const name of ['read-a', 'write-a', 'hidden-a']) await write(name);
});

afterAll(async () => {
  await Promise.all([admin.close(), limited.close()]);
  await sandbox.close();
});

const id = (name: string) => ({ kind: SERVICE_INTENTIONS, name });
const body = (name: string) => ({
  Kind: SERVICE_INTENTIONS,
  Name: name,
  Sources: [{ Name: 'web', Action: 'allow' }],
});
const write = (name: string, by = admin) => by.configEntries.put(body(name), NOT_THERE, { signal });
const remove = async (name: string, by = admin) => {
  const { value } = await admin.configEntries.get(id(name), { signal });
  return by.configEntries.delete(id(name), value?.modifyIndex ?? (1 as ModifyIndex), { signal });
};
const denied = (right: string, name: string) => ({
  code: 'CONSUL_DENIED',
  reason: 'ConsulDenied',
  message: expect.stringMatching(
    new RegExp(
      `403: Permission denied: token with AccessorID '.*' lacks permission 'intention:${right}' on "${name}"`,
    ),
  ),
});

describe('a token', () => {
  test('with intentions = "write" on the destination may do all that is needed, and nothing for the source', async () => {
    expect(await write('write-b', limited)).toEqual({ applied: true });
    expect((await limited.configEntries.get(id('write-b'), { signal })).value).toBeDefined();
    expect(await remove('write-b', limited)).toEqual({ applied: true });
    expect((await limited.configEntries.get(id('write-b'), { signal })).value).toBeUndefined();
  });

  test.each(['read-a', 'hidden-a', 'hidden-absent'])('without it is told so by name, for %s', async name => {
    await expect(write(name, limited)).rejects.toMatchObject(denied('write', name));
    await expect(remove(name, limited)).rejects.toMatchObject(denied('write', name));
  });

  test.each(['hidden-a', 'hidden-absent'])('that may not read %s is told so, there or not', async name => {
    await expect(limited.configEntries.get(id(name), { signal })).rejects.toMatchObject(denied('read', name));
  });

  test('is shown what it may read of the list, and that there is more', async () => {
    const { value, filteredByAcl } = await limited.configEntries.list(SERVICE_INTENTIONS, { signal });
    expect(value.map(({ name }) => name).toSorted()).toEqual(['read-a', 'write-a']);
    expect(filteredByAcl).toBe(true);
  });

  test('needs agent:read to be told the primary datacenter', async () => {
    await expect(limited.agent.self({ signal })).rejects.toMatchObject({ code: 'CONSUL_DENIED' });
  });
});

test('a deletion is seen although the list is filtered, and what is hidden is an error', async () => {
  await write('write-c');
  const ending = new AbortController();
  const told: string[] = [];
  const mirror = new IntentionMirror({
    consul: limited,
    datacenter: () => undefined,
    clock: systemClock,
    random: Math.random,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never,
    signal: ending.signal,
    onIndexFell: () => Promise.reject(new Error('no index fell')),
  });
  mirror.onChange(refs => told.push(...refs.map(({ name }) => name)));
  const ref = (name: string): ResourceRef => ({ kind: 'ConsulIntention', namespace: 'n', name });
  mirror.open();
  for (const name of ['write-a', 'write-c', 'hidden-a']) mirror.track(ref(name), name);
  await mirror.current('write-c', { signal });
  await mirror.current('write-a', { signal });
  await remove('write-c');
  await until(() => told.length > 0);
  const reader = ref('write-c');
  expect((await mirror.current('write-c', { signal, reader })).entry).toBeUndefined();
  await expect(mirror.current('hidden-a', { signal })).rejects.toMatchObject(denied('read', 'hidden-a'));
  expect(mirror.seen('write-a')?.entry?.name).toBe('write-a');
  expect(told).toEqual(['write-c']);
  ending.abort();
});
