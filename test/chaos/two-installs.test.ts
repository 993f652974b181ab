import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulKvs, conditionsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { KvEntry } from '../support/consul-api.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Promise P9: two installs in one cluster and on one Consul. Each world is one; both declare keys of the first's folder. */

const KEYS = 20;
const names = Array.from({ length: KEYS }, (_, at) => `kv-${at}`);

interface Install {
  readonly world: World;
  readonly kvs: ConsulKvs;
}

let one: Install;
let other: Install;

beforeEach(async () => {
  [one, other] = await Promise.all([install('install-one'), install('install-other')]);
});

afterEach(() => Promise.all([one.world.close(), other.world.close()]));

test('both adopt the same twenty keys at once: each key gets one owner, and the loser names the winner', async () => {
  for (const name of names) await one.world.consul.kvPut(shared(name), 'unowned');
  await Promise.all([one.world.startOperator(), other.world.startOperator()]);

  await Promise.all([one, other].map(({ kvs }) => declareAll(kvs, { adoptionPolicy: 'Always' })));

  await eachHasOneOwner();
});

test('both create the same twenty keys at once: the same', async () => {
  await Promise.all([one.world.startOperator(), other.world.startOperator()]);

  await Promise.all([one, other].map(({ kvs }) => declareAll(kvs, { adoptionPolicy: 'Always' })));

  await eachHasOneOwner();
});

test('what one install owns and records, the other never writes to; when it lets go, only a matching wish takes it', async () => {
  await one.world.startOperator();
  await declareAll(one.kvs, {});
  for (const name of names) await one.kvs.ready(name);
  const owned = await everythingOf(one);
  await other.world.startOperator();
  for (const name of names)
    await other.kvs.declare(name, { key: shared(name), value: 'other', adoptionPolicy: 'Always' });
  for (const name of names) await other.kvs.stalled(name, 'Conflict');
  expect(await everythingOf(one)).toEqual(owned);
  expect(
    other.world.toConsul.requests
      .filter(isWritingTransaction)
      .filter(({ body }) => body.includes('/owners/')),
  ).toEqual([]);

  await one.world.stopOperators();
  const { code } = await (await one.world.spawnOperator({}, ['release'])).waitForExit();
  expect(code).toBe(0);
  for (const name of names) await one.world.kube.delete(one.kvs.object(name));
  await one.world.startOperator();
  await eventually(async () => expect(await one.world.records()).toEqual({}), {
    what: 'the first install has let go',
  });

  await other.kvs.declare('kv-0', { key: shared('kv-0'), value: 'one', adoptionPolicy: 'IfEqual' });
  await other.kvs.declare('kv-1', { key: shared('kv-1'), value: 'unlike', adoptionPolicy: 'IfEqual' });
  await other.kvs.ready('kv-0');
  await other.kvs.stalled('kv-1', 'AlreadyExists');
  expect((await one.world.consul.kvGet(shared('kv-1')))?.text).toBe('one');
});

async function install(topic: string): Promise<Install> {
  const world = await World.create(topic);
  return { world, kvs: new ConsulKvs(world) };
}

function shared(name: string): string {
  return one.world.key(`shared/${name}`);
}

async function declareAll(kvs: ConsulKvs, policies: Readonly<Record<string, string>>): Promise<void> {
  const value = kvs === one.kvs ? 'one' : 'other';
  await Promise.all(names.map(name => kvs.declare(name, { key: shared(name), value, ...policies })));
}

async function everythingOf({ world }: Install): Promise<ReadonlyMap<string, KvEntry>> {
  const folders = [
    world.key('shared/'),
    `proconsul/${world.installId}/`,
    `proconsul-private/${world.installId}`,
  ];
  const entries = await Promise.all(folders.map(folder => world.consul.kvList(folder)));
  return new Map(entries.flatMap(found => [...found]));
}

/** Both are done with every key, one as its owner; its value, and the two installs' records, say the same. */
async function eachHasOneOwner(): Promise<void> {
  for (const name of names) {
    const winner = await eventually(() => winnerOf(name), { what: `${name} has an owner and a loser` });
    const loser = winner === one ? other : one;
    expect((await one.world.consul.kvGet(shared(name)))?.text).toBe(winner === one ? 'one' : 'other');
    expect(await claimed(winner)).toContain(shared(name));
    expect(await claimed(loser)).not.toContain(shared(name));
  }
}

async function winnerOf(name: string): Promise<Install> {
  const [readyOne, readyOther] = await Promise.all([one, other].map(({ kvs }) => ready(kvs, name)));
  const isWon = readyOne?.status === 'True';
  const [won, lost] = isWon ? [readyOne, readyOther] : [readyOther, readyOne];
  const loser = isWon ? other : one;
  const winner = isWon ? one : other;
  expect([won?.status, lost?.reason]).toEqual(['True', 'Conflict']);
  expect(lost?.message).toContain(`install ${winner.world.installId}`);
  expect(conditionsOf(await loser.kvs.get(name))['Stalled']?.status).toBe('True');
  return winner;
}

async function ready(kvs: ConsulKvs, name: string) {
  return conditionsOf(await kvs.get(name))['Ready'];
}

async function claimed({ world }: Install): Promise<string[]> {
  return Object.values(await world.records()).flatMap(record => Object.keys(record.names));
}
