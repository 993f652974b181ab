import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { conditionsOf, ConsulKvs, turnsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { KubeApi, type KubeObject } from '../support/kube-api.ts';
import type { Operator } from '../support/operator.ts';
import {
  isConsulWrite,
  isKubernetesWrite,
  isReadOnlyTransaction,
  isTransaction,
  isWritingTransaction,
} from '../support/traffic.ts';
import { World } from '../support/world.ts';

/** The marks of the design, for 1,000 resources. */
const RESOURCES = 1000;
const MAX_TRANSACTIONS = 64;
const MAX_CONNECTIONS = 16;
/** The four kinds, ConfigMaps and Secrets. */
const WATCHES = 6;
const AT_ONCE = 16;
/** Made a few at a time they cost the more transactions the slower they come (docs/adr/0005), but never one each. */
const TRICKLING = 400;
const TRICKLING_AT_ONCE = 4;
const MAX_TRANSACTIONS_TRICKLING = TRICKLING / 4;

let world: World;
let kvs: ConsulKvs;
let operator: Operator;
/** A way to the API server that keeps its connections: a handshake each would be most of the work. */
let relay: FaultProxy;
let bulk: KubeApi;

beforeAll(async () => {
  const { apiServerUrl, caFile, adminToken } = inject('sandbox');
  world = await World.create('kv-counts');
  kvs = new ConsulKvs(world);
  relay = await FaultProxy.start({ upstream: apiServerUrl, caFile });
  bulk = new KubeApi({ apiServerUrl: relay.url, token: adminToken });
});

afterAll(async () => {
  await world.close();
  await relay.close();
});

const nameOf = (n: number) => `kv-${n}`;
const everyKey = Object.fromEntries(Array.from({ length: RESOURCES }, (_, n) => [String(n), `value ${n}`]));
const kind = { apiVersion: 'proconsul.dev/v1alpha1', kind: 'ConsulKV' };

async function forAll(
  act: (n: number) => Promise<unknown>,
  { total = RESOURCES, atOnce = AT_ONCE } = {},
): Promise<void> {
  const numbers = Array.from({ length: total }, (_, n) => n).values();
  const worker = async (): Promise<void> => {
    for (const n of numbers) await act(n);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function declareAll(): Promise<void> {
  await forAll(n => bulk.create(kvs.object(nameOf(n), { key: world.key(`many/${n}`), value: `value ${n}` })));
}

/** The operator hears of all that is done at once, however long it takes to do. */
async function heardAtOnce(act: () => Promise<unknown>): Promise<void> {
  world.toKube.network.freeze();
  await act();
  world.toKube.network.thaw();
}

async function allReady(total = RESOURCES): Promise<void> {
  const isReady = (object: KubeObject) => conditionsOf(object)['Ready']?.status === 'True';
  await eventually(
    async () => expect((await bulk.list(kind, world.namespace)).filter(isReady)).toHaveLength(total),
    {
      what: 'all are Ready',
      timeoutMs: 180_000,
      pollMs: 250,
    },
  );
}

async function allGone(): Promise<void> {
  await eventually(async () => (await bulk.list(kind, world.namespace)).length === 0, {
    what: 'all are gone',
    timeoutMs: 180_000,
    pollMs: 250,
  });
}

/** What was sent to either server from now on. */
function startCounting() {
  const [kube, consul] = [world.toKube.requests.length, world.toConsul.requests.length];
  const toConsul = (matches: (request: RecordedRequest) => boolean) =>
    world.toConsul.requests.slice(consul).filter(matches).length;
  return {
    get kubernetesWrites() {
      return world.toKube.requests.slice(kube).filter(isKubernetesWrite).length;
    },
    get consulWrites() {
      return toConsul(isConsulWrite);
    },
    get writingTransactions() {
      return toConsul(isWritingTransaction);
    },
    get transactions() {
      return toConsul(isTransaction);
    },
    get summary() {
      return `${toConsul(isWritingTransaction)} writing and ${toConsul(isReadOnlyTransaction)} reading transactions`;
    },
  };
}

describe('1,000 resources', { timeout: 300_000 }, () => {
  test('made before the operator starts cost two Kubernetes writes each and few transactions', async () => {
    await declareAll();
    const count = startCounting();
    operator = await world.startOperator();
    await allReady();
    await operator.stop();
    expect(await world.stored('many/')).toEqual(everyKey);
    expect(count.kubernetesWrites).toBe(2 * RESOURCES);
    expect(count.transactions, count.summary).toBeLessThanOrEqual(MAX_TRANSACTIONS);
    // Nothing is written but by transactions.
    expect(count.consulWrites).toBe(count.writingTransactions);
  });

  test('that have converged are written nothing at a restart, to neither side', async () => {
    const consul = await world.consul.kvList(world.key());
    const count = startCounting();
    operator = await world.startOperator();
    await eventually(async () => (await turnsOf(operator)) >= RESOURCES, {
      what: 'every resource was looked at',
      timeoutMs: 90_000,
    });
    await operator.stop();
    expect(count.kubernetesWrites).toBe(0);
    expect(count.consulWrites).toBe(0);
    expect(await world.consul.kvList(world.key())).toEqual(consul);
  });

  test('are one transaction away from where they should be, when one of them was edited', async () => {
    operator = await world.startOperator();
    await eventually(async () => (await turnsOf(operator)) >= RESOURCES, {
      what: 'every resource was looked at',
      timeoutMs: 90_000,
    });
    const count = startCounting();
    const looked = await turnsOf(operator);
    await world.consul.kvPut(world.key('many/500'), 'edited');
    await world.becomesStored('many/500', { '': everyKey['500'] as string });
    await kvs.event(nameOf(500), 'DriftCorrected');
    expect(count.writingTransactions).toBe(1);
    // The others were not even looked at.
    expect((await turnsOf(operator)) - looked).toBeLessThan(5);
  });

  test('need no more connections than a few', () => {
    expect(world.toConsul.network.connections.peak).toBeLessThanOrEqual(MAX_CONNECTIONS);
    expect(world.toKube.network.connections.peak).toBeLessThanOrEqual(MAX_CONNECTIONS + WATCHES);
  });

  test('are removed in few transactions, with one Kubernetes write each', async () => {
    const count = startCounting();
    await heardAtOnce(() => forAll(n => bulk.delete(kvs.object(nameOf(n)))));
    await allGone();
    expect(await world.stored('many/')).toEqual({});
    expect(await world.records()).toEqual({});
    expect(count.kubernetesWrites).toBe(RESOURCES);
    expect(count.transactions, count.summary).toBeLessThanOrEqual(MAX_TRANSACTIONS);
  });

  test('made while it runs cost no more', async () => {
    const count = startCounting();
    await heardAtOnce(declareAll);
    await allReady();
    await operator.stop();
    expect(await world.stored('many/')).toEqual(everyKey);
    expect(count.kubernetesWrites).toBe(2 * RESOURCES);
    expect(count.transactions, count.summary).toBeLessThanOrEqual(MAX_TRANSACTIONS);
  });

  test('with more of them made a few at a time gather what comes', async () => {
    operator = await world.startOperator();
    await eventually(async () => (await turnsOf(operator)) >= RESOURCES, {
      what: 'every resource was looked at',
      timeoutMs: 90_000,
    });
    const count = startCounting();
    await forAll(n => bulk.create(kvs.object(`more-${n}`, { key: world.key(`more/${n}`), value: 'v' })), {
      total: TRICKLING,
      atOnce: TRICKLING_AT_ONCE,
    });
    await allReady(RESOURCES + TRICKLING);
    await operator.stop();
    expect(count.kubernetesWrites).toBe(2 * TRICKLING);
    expect(count.transactions, count.summary).toBeLessThanOrEqual(MAX_TRANSACTIONS_TRICKLING);
  });
});
