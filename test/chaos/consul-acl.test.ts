import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulKvs, conditionsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Rows 26 and 27: what a token may not do, and tokens that change while the operator runs. */

interface Token {
  readonly accessor: string;
  readonly secret: string;
}

let own: Consul & { close(): Promise<void> };
let folder: string;
let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  own = await startConsulSandbox({ acl: true });
  folder = await mkdtemp(join(tmpdir(), 'proconsul-token-'));
});

afterAll(async () => {
  await own.close();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  world = await World.create('consul-acl', {
    consulAddress: own.address,
    consulToken: own.managementToken as string,
  });
  kvs = new ConsulKvs(world);
});

afterEach(() => world.close());

test('a token without rights on one folder: that one resource is denied by name of the right, the others converge', async () => {
  const forbidden = `key_prefix "${world.key('forbidden/')}" { policy = "read" }`;
  await startWith(await token([...rights(), forbidden]));

  const allowed = Array.from({ length: 5 }, (_, at) => `allowed-${at}`);
  await kvs.declare('denied', { key: world.key('forbidden/one'), value: 'declared' });
  for (const name of allowed) await kvs.declare(name, { key: world.key(name), value: 'declared' });

  for (const name of allowed) await kvs.ready(name);
  const denied = await kvs.stands('denied', { ready: 'False', reason: 'ConsulDenied', reconciling: true });
  expect(conditionsOf(denied)['Ready']?.message).toMatch(/key:write/);

  await setRights(rights());
  await kvs.ready('denied');
});

test('a key that the token may no longer read hides no edit of its neighbours', async () => {
  await startWith(await token(rights()));
  await kvs.declareReady('hidden', { key: world.key('forbidden/one'), value: 'declared' });
  for (const name of ['one', 'two'])
    await kvs.declareReady(name, { key: world.key(name), value: 'declared' });

  await setRights([...rights(), `key_prefix "${world.key('forbidden/')}" { policy = "deny" }`]);
  for (const name of ['one', 'two']) {
    await world.consul.kvPut(world.key(name), 'edited');
    await world.becomesStored('', { 'forbidden/one': 'declared', one: 'declared', two: 'declared' });
  }
});

test('a token is revoked and another put into its file: the operator goes on without a restart', async () => {
  const first = await token(rights());
  const operator = await startWith(first);
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });

  await world.consul.call('DELETE', `/v1/acl/token/${first.accessor}`);
  await kvs.declare('new', { key: world.key('new'), value: 'declared' });
  await kvs.stands('new', { ready: 'False', reason: 'ConsulDenied', reconciling: true });

  const second = await tokenOfPolicy();
  await writeFile(tokenFile(), second.secret);
  await kvs.ready('new');
  await world.consul.kvPut(world.key('kept'), 'edited');
  await world.becomesStored('', { kept: 'declared', new: 'declared' });
  expect(operator.tail(10_000)).not.toMatch(new RegExp(`${first.secret}|${second.secret}`));
});

test('a token that hides the records of others may create, but not adopt', async () => {
  await world.consul.kvPut('proconsul/another-install/owners/ConsulKV/shop/x', '{}');
  await startWith(await token(rights().filter(rule => !rule.startsWith('key_prefix "proconsul/" '))));
  await world.consul.kvPut(world.key('there'), 'declared');

  await kvs.declareReady('new', { key: world.key('new'), value: 'declared' });
  await kvs.declare('there', { key: world.key('there'), value: 'declared' });
  const refused = await kvs.stands('there', { ready: 'False', reason: 'ConsulDenied', reconciling: true });
  expect(conditionsOf(refused)['Ready']?.message).toContain('key_prefix "proconsul/"');
  expect(Object.keys(await world.records())).toEqual([`ConsulKV/${world.namespace}/new`]);

  await setRights(rights());
  await kvs.ready('there');
  await world.consul.kvDelete('proconsul/another-install/', { recurse: true });
});

test('a token that hides own records stops the operator from acting on what it cannot see', async () => {
  await startWith(await token(rights()));
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });
  await kvs.declareReady('other', { key: world.key('other'), value: 'declared' });
  await world.stopOperators();
  const hidden = `key "${recordOf('kept')}" { policy = "deny" }`;
  await setRights([...rights(), hidden]);
  const before = world.toConsul.requests.length;

  const operator = await world.spawnOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
  await kvs.change('kept', { value: 'changed' });
  await kvs.stands('kept', { ready: 'False', reason: 'ConsulDenied', reconciling: true });

  const { status, body } = await operator.probe('/readyz?verbose');
  expect([status, body.toString()]).toEqual([503, expect.stringContaining(`proconsul/${world.installId}/`)]);
  expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);
  expect(await world.stored()).toEqual({ kept: 'declared', other: 'declared' });

  await setRights(rights());
  await kvs.ready('kept');
  await world.becomesStored('', { kept: 'changed', other: 'declared' });
});

test('a token that may make no session: nobody leads, and every resource says why', async () => {
  const withoutSessions = rights().filter(rule => !rule.startsWith('session_prefix'));
  await writeFile(tokenFile(), (await token(withoutSessions)).secret);
  await world.spawnOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
  await kvs.declare('waiting', { key: world.key('waiting'), value: 'declared' });
  const denied = await kvs.stands('waiting', { ready: 'False', reason: 'ConsulDenied', reconciling: true });
  expect(conditionsOf(denied)['Ready']?.message).toMatch(/session:write/);

  await setRights(rights());
  await kvs.ready('waiting');
});

/** The least that the operator needs, as the documentation says. */
function rights(): string[] {
  return [
    'key_prefix "proconsul/" { policy = "read" }',
    'key "proconsul/.claims" { policy = "write" }',
    `key_prefix "proconsul/${world.installId}/" { policy = "write" }`,
    `key_prefix "proconsul-private/${world.installId}" { policy = "write" }`,
    `key_prefix "${world.namespace}/" { policy = "write" }`,
    'agent_prefix "" { policy = "read" }',
    `session_prefix "proconsul-${world.installId}" { policy = "write" }`,
    `node_prefix "proconsul-${world.installId}" { policy = "write" }`,
  ];
}

function recordOf(name: string): string {
  return `proconsul/${world.installId}/owners/ConsulKV/${world.namespace}/${name}`;
}

function tokenFile(): string {
  return join(folder, world.namespace);
}

async function startWith({ secret }: Token) {
  await writeFile(tokenFile(), secret);
  return world.startOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
}

async function token(rules: readonly string[]): Promise<Token> {
  await world.consul.put('/v1/acl/policy', { Name: world.namespace, Rules: rules.join('\n') });
  return tokenOfPolicy();
}

async function tokenOfPolicy(): Promise<Token> {
  const made = await world.consul.put('/v1/acl/token', { Policies: [{ Name: world.namespace }] });
  const { AccessorID: accessor, SecretID: secret } = made as { AccessorID: string; SecretID: string };
  return { accessor, secret };
}

/** Changes what every token of this test may do; resolves when Consul acts on it. */
async function setRights(rules: readonly string[]): Promise<void> {
  const { ID } = (await world.consul.get(`/v1/acl/policy/name/${world.namespace}`)) as { ID: string };
  await world.consul.put(`/v1/acl/policy/${ID}`, { ID, Name: world.namespace, Rules: rules.join('\n') });
  await eventually(
    async () => {
      const policy = await world.consul.get(`/v1/acl/policy/${ID}`);
      expect((policy as { Rules: string }).Rules).toBe(rules.join('\n'));
    },
    { what: 'the policy is in force' },
  );
}
