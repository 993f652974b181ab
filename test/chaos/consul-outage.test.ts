import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import {
  isConsulWrite,
  isKubernetesWrite,
  isReadOnlyTransaction,
  isTransaction,
} from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** Rows 6, 7 and 10 on one server: Consul that is not there, not yet there, or hardly there. */

const UNREACHABLE = { ready: 'Unknown', reason: 'ConsulUnreachable', reconciling: true } as const;
const RESOURCES = 60;

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  world = await World.create('consul-outage');
  kvs = new ConsulKvs(world);
});

afterEach(() => world.close());

test('Consul is down when the operator starts: it says so, waits, and goes to work when Consul is back', async () => {
  await world.toConsul.network.refuse();
  const operator = await world.spawnOperator();
  await kvs.declare('early', { key: world.key('early'), value: 'declared' });

  await kvs.stands('early', UNREACHABLE);
  expect((await operator.probe('/livez')).status).toBe(200);
  const { status, body } = await operator.probe('/readyz?verbose');
  expect(status).toBe(503);
  expect(body.toString()).toMatch(/\[-\]\s*consul.*cannot be reached/);

  await world.toConsul.network.accept();
  await kvs.ready('early');
  await operator.ready();
  expect(await world.stored()).toEqual({ early: 'declared' });
});

test('Consul goes away: Unknown within a minute, no hot loop, and all by itself Ready again with nothing written', async () => {
  const operator = await world.startOperator();
  const names = Array.from({ length: RESOURCES }, (_, at) => `held-${at}`);
  for (const name of names) await kvs.declare(name, { key: world.key(name), value: 'declared' });
  for (const name of names) await kvs.ready(name);
  const written = await world.stored();
  const before = { consul: world.toConsul.requests.length, kube: world.toKube.requests.length };

  const awaySince = performance.now();
  world.toConsul.when(() => true, { kind: 'reset' });
  world.toConsul.network.cutAll();
  for (const name of names) await kvs.stands(name, UNREACHABLE);
  const refused = world.toConsul.requests.slice(before.consul);
  const awayS = (performance.now() - awaySince) / 1000;
  expect((await operator.probe('/readyz?verbose')).status).toBe(503);

  world.toConsul.heal();
  for (const name of names) await kvs.ready(name);
  await operator.ready();
  expect(refused.filter(({ path }) => path.includes('held-') || path === '/v1/txn')).toEqual([]);
  // Each watch and the renewal back off on their own.
  expect(refused.length, 'requests while Consul was away').toBeLessThan(30 + 3 * awayS);
  expect(world.toConsul.requests.slice(before.consul).filter(isConsulWrite)).toEqual([]);
  expect(await world.stored()).toEqual(written);
  const told = world.toKube.requests.slice(before.kube).filter(isKubernetesWrite);
  expect(told.length, 'one status write each to say it, one to take it back').toBe(2 * RESOURCES);
});

test('a change and a deletion during an outage are carried out after it', async () => {
  await world.startOperator();
  await kvs.declareReady('changed', { key: world.key('changed'), value: 'first' });
  await kvs.declareReady('deleted', { key: world.key('deleted'), value: 'first' });

  const outage = world.toConsul.when(() => true, { kind: 'reset' });
  world.toConsul.network.cutAll();
  await kvs.change('changed', { value: 'second' });
  await world.kube.delete(kvs.object('deleted'));
  await kvs.declare('new', { key: world.key('new'), value: 'first' });
  await eventually(() => outage.hits.length > 3, { what: 'the operator tries' });
  world.toConsul.heal();

  await kvs.ready('changed');
  await kvs.ready('new');
  await kvs.gone('deleted');
  expect(await world.stored()).toEqual({ changed: 'second', new: 'first' });
});

test('a Consul that takes five seconds for every answer is slow, not away', async () => {
  await world.startOperator();
  world.toConsul.when(request => !isBlocking(request), { kind: 'delay', until: () => seconds(5) });

  await kvs.declareReady('slow', { key: world.key('slow'), value: 'declared' });

  expect(await world.stored()).toEqual({ slow: 'declared' });
  expect(world.toConsul.count(isConsulWrite)).toBeLessThanOrEqual(2); // the private key of the install, and the change
});

test('a transaction without an answer is given up, looked up and, if need be, sent again', async () => {
  await world.startOperator();
  const writes = (request: RecordedRequest) => isTransaction(request) && !isReadOnlyTransaction(request);
  const [unsent, committed] = [world.key('unsent'), world.key('committed')];
  world.toConsul.when(
    request => writes(request) && request.body.includes(unsent),
    { kind: 'hang' },
    { times: 1 },
  );
  world.toConsul.when(
    request => writes(request) && request.body.includes(committed),
    { kind: 'holdReply' },
    { times: 1 },
  );

  await kvs.declare('unsent', { key: unsent, value: 'declared' });
  await kvs.declare('committed', { key: committed, value: 'declared' });
  await kvs.declareReady('beside', { key: world.key('beside'), value: 'declared' });

  await kvs.ready('unsent');
  await kvs.ready('committed');
  for (const key of [unsent, committed]) {
    const { createIndex, modifyIndex } = (await world.consul.kvGet(key)) ?? {};
    expect(modifyIndex, 'written once').toBe(createIndex);
  }
});

function isBlocking({ query }: RecordedRequest): boolean {
  return query.has('index');
}

/** How slow the server is: the one place where time is the thing itself. */
function seconds(count: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, count * 1000));
}
