import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulKvs, conditionsOf } from '../support/consulkv.ts';
import { ConsulPolicy, type Token } from '../support/consul-policy.ts';
import { kvSubject } from '../support/invariants/kv-subject.ts';
import { becomesStanding, type Subject, SUBJECTS } from '../support/invariants/subject.ts';
import type { Resources } from '../support/resources.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Rows 26 and 27: what a token may not do, and tokens that change while the operator runs. */

const DENIED = { ready: 'False', reason: 'ConsulDenied', reconciling: true } as const;

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

/** Promises P4 and P8: what is not shown is not gone, and what is denied is not in the way of others. */
describe.each(SUBJECTS)('$kind', ({ kind, of }) => {
  let subject: Subject;
  let resources: Resources;
  let enough: readonly string[];

  beforeEach(() => {
    subject = of(world);
    ({ resources } = subject);
    enough = [...ownRights(), ...subject.rights()];
  });

  /** A shared server: what is left there is in the lists of the next test. */
  afterEach(() => subject.clear());

  test('a token without rights on one folder: that one resource is denied by name of the right, the others converge', async () => {
    await startWith(await new ConsulPolicy(world).token([...enough, subject.rightOf('forbidden', 'read')]));

    const allowed = Array.from({ length: 5 }, (_, at) => `allowed-${at}`);
    await resources.declare('denied', subject.spec('forbidden/one', 'declared'));
    for (const name of allowed) await resources.declare(name, subject.spec(`shared/${name}`, 'declared'));

    for (const name of allowed) await resources.ready(name);
    const denied = await resources.stands('denied', DENIED);
    expect(conditionsOf(denied)['Ready']?.message).toMatch(subject.missingRight);

    await new ConsulPolicy(world).setRights(enough);
    await resources.ready('denied');
  });

  test('what the token may no longer read hides no edit of its neighbours, and is not taken for gone', async () => {
    await startWith(await new ConsulPolicy(world).token(enough));
    const places = { hidden: 'forbidden/hidden', one: 'shared/one', two: 'other/two' };
    for (const [name, place] of Object.entries(places)) {
      await resources.declareReady(name, subject.spec(place, 'declared'));
    }
    const hidden = await subject.at(places.hidden);

    await new ConsulPolicy(world).setRights([...enough, subject.rightOf('forbidden', 'deny')]);
    for (const place of [places.one, places.two]) {
      await subject.putByHand(place, 'edited');
      const all = Object.values(places).map(each => [each, 'declared']);
      await becomesStanding(subject, Object.fromEntries(all));
    }
    expect(await subject.at(places.hidden)).toBe(hidden);
  });

  test('a token that hides the records of others may create, but not adopt', async () => {
    await world.consul.kvPut(`proconsul/another-install/owners/${kind}/shop/x`, '{}');
    await startWith(
      await new ConsulPolicy(world).token(
        enough.filter(rule => !rule.startsWith('key_prefix "proconsul/" ')),
      ),
    );
    await resources.declareReady('first', subject.spec('shared/there', 'declared'));
    await resources.changeReady('first', { deletionPolicy: 'Retain' });
    await resources.remove('first');

    await resources.declareReady('new', subject.spec('shared/new', 'declared'));
    await resources.declare('there', subject.spec('shared/there', 'declared'));
    const refused = await resources.stands('there', DENIED);
    expect(conditionsOf(refused)['Ready']?.message).toContain('key_prefix "proconsul/"');
    expect(Object.keys(await world.records())).toEqual([`${kind}/${world.namespace}/new`]);

    await new ConsulPolicy(world).setRights(enough);
    await resources.ready('there');
    await world.consul.kvDelete('proconsul/another-install/', { recurse: true });
  });

  test('a token that hides own records stops the operator from acting on what it cannot see', async () => {
    await startWith(await new ConsulPolicy(world).token(enough));
    for (const name of ['kept', 'other']) {
      await resources.declareReady(name, subject.spec(`shared/${name}`, 'declared'));
    }
    await world.stopOperators();
    const record = `proconsul/${world.installId}/owners/${kind}/${world.namespace}/kept`;
    await new ConsulPolicy(world).setRights([...enough, `key "${record}" { policy = "deny" }`]);
    const before = { stands: await subject.exact(), requests: world.toConsul.requests.length };

    const operator = await world.spawnOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
    await resources.declare('kept', subject.spec('shared/kept', 'changed'));
    await resources.stands('kept', DENIED);

    const { status, body } = await operator.probe('/readyz?verbose');
    expect([status, body.toString()]).toEqual([
      503,
      expect.stringContaining(`proconsul/${world.installId}/`),
    ]);
    expect(world.toConsul.requests.slice(before.requests).filter(isConsulWrite)).toEqual([]);
    expect(await subject.exact()).toEqual(before.stands);

    await new ConsulPolicy(world).setRights(enough);
    await resources.ready('kept');
    await becomesStanding(subject, { 'shared/kept': 'changed', 'shared/other': 'declared' });
  });
});

test('a token is revoked and another put into its file: the operator goes on without a restart', async () => {
  const first = await new ConsulPolicy(world).token(rights());
  const operator = await startWith(first);
  await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });

  await world.consul.call('DELETE', `/v1/acl/token/${first.accessor}`);
  await kvs.declare('new', { key: world.key('new'), value: 'declared' });
  await kvs.stands('new', DENIED);

  const second = await new ConsulPolicy(world).anotherToken();
  await writeFile(tokenFile(), second.secret);
  await kvs.ready('new');
  await world.consul.kvPut(world.key('kept'), 'edited');
  await world.becomesStored('', { kept: 'declared', new: 'declared' });
  expect(operator.tail(10_000)).not.toMatch(new RegExp(`${first.secret}|${second.secret}`));
});

test('a token that may make no session: nobody leads, and every resource says why', async () => {
  const withoutSessions = rights().filter(rule => !rule.startsWith('session_prefix'));
  await writeFile(tokenFile(), (await new ConsulPolicy(world).token(withoutSessions)).secret);
  await world.spawnOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
  await kvs.declare('waiting', { key: world.key('waiting'), value: 'declared' });
  const denied = await kvs.stands('waiting', DENIED);
  expect(conditionsOf(denied)['Ready']?.message).toMatch(/session:write/);

  await new ConsulPolicy(world).setRights(rights());
  await kvs.ready('waiting');
});

/** The least that the operator needs for ConsulKVs, as the documentation says. */
function rights(): string[] {
  return [...ownRights(), ...kvSubject(world).rights()];
}

/** The least that it needs for itself. */
function ownRights(): string[] {
  return [
    'key_prefix "proconsul/" { policy = "read" }',
    'key "proconsul/.claims" { policy = "write" }',
    `key_prefix "proconsul/${world.installId}/" { policy = "write" }`,
    `key_prefix "proconsul-private/${world.installId}" { policy = "write" }`,
    'agent_prefix "" { policy = "read" }',
    `session_prefix "proconsul-${world.installId}" { policy = "write" }`,
    `node_prefix "proconsul-${world.installId}" { policy = "write" }`,
  ];
}

function tokenFile(): string {
  return join(folder, world.namespace);
}

async function startWith({ secret }: Token) {
  await writeFile(tokenFile(), secret);
  return world.startOperator({ CONSUL_HTTP_TOKEN_FILE: tokenFile() });
}
