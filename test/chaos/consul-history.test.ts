import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Consul } from '../../tools/sandbox/consul.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { becomesStanding, SUBJECTS } from '../support/invariants/subject.ts';
import type { Operator } from '../support/operator.ts';
import type { Resources } from '../support/resources.ts';
import { isConsulWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Rows 6, 18 and 19: the same address, another past. */

type OwnConsul = Consul & { close(): Promise<void> };

let own: OwnConsul;
let world: World;
let kvs: ConsulKvs;
let operator: Operator;

async function start(durable: boolean): Promise<void> {
  own = await startConsulSandbox({ durable });
  world = await World.create('consul-history', { consulAddress: own.address });
  kvs = new ConsulKvs(world);
  operator = await world.startOperator();
}

afterEach(async () => {
  await world.close();
  await own.close();
});

describe('a Consul that keeps its data', () => {
  beforeEach(() => start(true));

  test('is restarted: nothing is written, and the next outside edit is put back', async () => {
    await kvs.declareReady('kept', { key: world.key('kept'), value: 'declared' });
    const before = world.toConsul.requests.length;

    await own.servers[0]?.stop();
    await own.servers[0]?.start();
    await kvs.lookAgain('kept');
    expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);

    await world.consul.kvPut(world.key('kept'), 'edited');
    await world.becomesStored('', { kept: 'declared' });
    await kvs.ready('kept');
  });

  test('is set back: who was not changed in between keeps its status all the while', async () => {
    await kvs.declareReady('untouched', { key: world.key('untouched'), value: 'declared' });
    const snapshot = await takeSnapshot(own.address);
    await kvs.declareReady('added', { key: world.key('added'), value: 'new' });
    const before = world.toKube.requests.length;
    await restore(own.address, snapshot);

    await world.becomesStored('', { untouched: 'declared', added: 'new' });
    await kvs.lookAgain('untouched');
    const statusWrites = world.toKube.requests
      .slice(before)
      .filter(({ method, path }) => method === 'PATCH' && path.endsWith('/untouched/status'));
    expect(statusWrites).toHaveLength(1); // that of the look just asked for
  });

  test('is set back between two queries: a write that is lost is made again', async () => {
    await kvs.declareReady('untouched', { key: world.key('untouched'), value: 'declared' });
    await setBackUnseen(pollPaths(), () =>
      kvs.declareReady('added', { key: world.key('added'), value: 'new' }),
    );
    await world.becomesStored('', { untouched: 'declared', added: 'new', stranger: '' });
    for (const name of ['untouched', 'added']) await kvs.ready(name);
  });

  /** A deletion leaves no index to miss: only the query for the lock, which was blocked, can tell. */
  test('is set back between two queries: a deletion that is lost is made again', async () => {
    await kvs.declareReady('deleted', { key: world.key('deleted'), value: 'declared' });
    await setBackUnseen(pollPaths().slice(0, 2), () => kvs.remove('deleted'));
    await world.becomesStored('', { stranger: '' });
  });

  /** Made by a snapshot of before: it holds the same keys, and no tombstones of those deleted since. */
  test('collects its tombstones: indexes go back, and nothing is forgotten or written', async () => {
    for (const name of ['one', 'two']) {
      await kvs.declareReady(name, { key: world.key(name), value: 'declared' });
    }
    const snapshot = await takeSnapshot(own.address);
    const index = await indexBelow(world.namespace);
    await kvs.declareReady('deleted', { key: world.key('deleted'), value: 'declared' });
    await kvs.remove('deleted');
    for (const prefix of [world.namespace, 'proconsul']) {
      expect(await indexBelow(prefix)).toBeGreaterThan(index);
      await isWaitedFor(prefix, await indexBelow(prefix));
    }
    const requests = world.toConsul.requests.length;
    await restore(own.address, snapshot);

    await isWaitedFor(world.namespace, index);
    // Set back it was all the same, which the lead does not outlast.
    await eventually(() => operator.logs.filter(({ msg }) => msg === 'leading').length === 2, {
      what: 'a second tenure',
    });
    expect(world.toConsul.requests.slice(requests).filter(isConsulWrite)).toEqual([]);
    expect(operator.logs.filter(({ msg }) => msg === 'Consul has been read')).toHaveLength(1);

    await world.consul.kvPut(world.key('one'), 'edited');
    await world.becomesStored('', { one: 'declared', two: 'declared' });
  });
});

describe.each(SUBJECTS)('$kind on a Consul that keeps its data', ({ of }) => {
  beforeEach(() => start(true));

  test('is set back by a snapshot: it becomes what is declared now, and strangers stay', async () => {
    const subject = of(world);
    const { resources } = subject;
    for (const name of ['changed', 'deleted', 'untouched']) {
      await resources.declareReady(name, subject.spec(`shared/${name}`, 'old'));
    }
    await subject.putByHand('shared/stranger', 'old');
    const snapshot = await takeSnapshot(own.address);

    await resources.changeReady('changed', subject.spec('shared/changed', 'new'));
    await resources.remove('deleted');
    await resources.declareReady('added', subject.spec('alone/added', 'new'));
    await subject.putByHand('shared/stranger', 'new');
    await isWaitedFor('proconsul', await indexBelow('proconsul'));
    await restore(own.address, snapshot);

    await becomesStanding(subject, {
      'shared/changed': 'new',
      'shared/untouched': 'old',
      'shared/stranger': 'old',
      'alone/added': 'new',
    });
    for (const name of ['changed', 'untouched', 'added']) await resources.ready(name);
    await settles(resources);
  });

  test('is set back while no operator runs: the same', async () => {
    const subject = of(world);
    const { resources } = subject;
    await resources.declareReady('changed', subject.spec('shared/changed', 'old'));
    const snapshot = await takeSnapshot(own.address);
    await resources.changeReady('changed', subject.spec('shared/changed', 'new'));
    await resources.declareReady('added', subject.spec('shared/added', 'new'));
    await world.stopOperators();
    await restore(own.address, snapshot);

    await world.startOperator();
    await becomesStanding(subject, { 'shared/changed': 'new', 'shared/added': 'new' });
    for (const name of ['changed', 'added']) await resources.ready(name);
  });
});

describe.each(SUBJECTS)('$kind on a Consul in memory', ({ of }) => {
  beforeEach(() => start(false));

  test('that comes back empty at the same address: everything is written again', async () => {
    const subject = of(world);
    const { resources } = subject;
    const names = Array.from({ length: 5 }, (_, at) => `again-${at}`);
    for (const name of names) await resources.declareReady(name, subject.spec(`shared/${name}`, 'declared'));
    const [standing, records] = [await subject.standing(), await world.records()];

    await own.servers[0]?.kill();
    await own.servers[0]?.start();

    await becomesStanding(subject, standing);
    await eventually(async () => expect(Object.keys(await world.records())).toEqual(Object.keys(records)), {
      what: 'the owner records are back',
    });
    for (const name of names) await resources.ready(name);
    await settles(resources);
  });

  test('that loses a deletion which was under way: the resource goes all the same', async () => {
    const subject = of(world);
    const { resources } = subject;
    await resources.declareReady('gone', subject.spec('shared/gone', 'declared'));
    await own.servers[0]?.kill();
    await world.kube.delete(resources.object('gone'));
    await own.servers[0]?.start();

    await resources.gone('gone');
    expect(await subject.standing()).toEqual({});
  });
});

/** The paths of the blocking queries for what is declared, for owner records and for the leader's lock. */
const pollPaths = () =>
  [world.namespace, 'proconsul', `proconsul%2F${world.namespace}%2Fleader`].map(prefix => `/v1/kv/${prefix}`);

const isPollOf = (paths: readonly string[]) => (request: RecordedRequest) =>
  request.query.has('index') && paths.includes(request.path);

/** Takes back a change while none of these queries is blocked: the next ones wait for an index that is yet to come. */
async function setBackUnseen(paths: readonly string[], change: () => Promise<unknown>): Promise<void> {
  for (const prefix of [world.namespace, 'proconsul']) await isWaitedFor(prefix, await indexBelow(prefix));
  const polls = world.toConsul.when(isPollOf(paths), { kind: 'hold' });
  for (const key of [world.key('stranger'), 'proconsul/stranger']) await world.consul.kvPut(key, '');
  const isHeld = (path: string) => polls.hits.some(hit => hit.path === path);
  await eventually(() => paths.every(isHeld), { what: 'every query waits to be passed on' });
  const snapshot = await takeSnapshot(own.address);
  await change();
  await restore(own.address, snapshot);
  polls.remove();
  polls.release();
}

async function takeSnapshot(address: string): Promise<ArrayBuffer> {
  return (await fetch(`${address}/v1/snapshot`)).arrayBuffer();
}

async function restore(address: string, snapshot: ArrayBuffer): Promise<void> {
  const { status } = await fetch(`${address}/v1/snapshot`, { method: 'PUT', body: snapshot });
  expect(status).toBe(200);
}

/** A long poll waits for whatever comes below the prefix after this index. */
async function isWaitedFor(prefix: string, index: number): Promise<void> {
  const waits = () =>
    world.toConsul.count(
      ({ path, query, finished }) =>
        !finished && path === `/v1/kv/${prefix}` && query.get('index') === String(index),
    ) > 0;
  await eventually(waits, { what: `a blocking query below ${prefix} on ${index}` });
}

/** The highest index at and below a prefix, that of tombstones included. */
async function indexBelow(prefix: string): Promise<number> {
  const { headers } = await fetch(`${own.address}/v1/kv/${prefix}?keys&separator=/&consistent`);
  return Number(headers.get('x-consul-index'));
}

/** Promise P1: once every resource was looked at again, nothing more is written. */
async function settles(kind: Resources): Promise<void> {
  const resources = await world.kube.list(kind.object(''), world.namespace);
  // A status may be older than the restore, and what stands as declared may have to be recorded still.
  for (const { metadata } of resources) await kind.lookAgain(metadata.name);
  const before = world.toConsul.requests.length;
  for (const { metadata } of resources) await kind.lookAgain(metadata.name);
  expect(world.toConsul.requests.slice(before).filter(isConsulWrite)).toEqual([]);
}
