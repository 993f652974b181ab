import { beforeEach, describe, expect, test } from 'vitest';
import type { ConsulClient } from '../../../src/consul/client.ts';
import type { Logger } from '../../../src/core/logger.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { IntentionMirror } from '../../../src/mirror/intention-mirror.ts';
import { ServiceMirror } from '../../../src/mirror/service-mirror.ts';
import { Knowledge } from '../../../src/operator/knowledge.ts';
import { settled } from '../../support/fake-clock.ts';
import type { KvProcess } from '../../support/kv-process.ts';
import { KvWorld } from '../../support/kv-world.ts';

let world: KvWorld;
let operator: KvProcess;
let knowledge: Knowledge;
let warnings: string[];
let loads: number;
let falls: number;
let told: string[];
let ref: ResourceRef;
/** Brings back what stood before `ref` was made. */
let restore: () => void;

beforeEach(async () => {
  world = new KvWorld();
  warnings = [];
  told = [];
  falls = 0;
  operator = await world.start({
    onIndexFell: () => {
      falls++;
      return knowledge.indexFell();
    },
  });
  const { clock, gate, fingerprinter, ledger, ledgerSync, watcher } = operator;
  const agent = { self: async () => ({ datacenter: 'dc2', primaryDatacenter: 'dc1' }) };
  const consul = { ...world.consul.asClient, agent } as unknown as ConsulClient;
  const { signal } = new AbortController();
  const logger: Logger = {
    debug() {},
    info() {},
    warn: (_, message) => warnings.push(message),
    error() {},
  };
  const random = () => 0.5;
  const onIndexFell = () => knowledge.indexFell();
  const datacenter = () => 'dc1';
  const mirroring = { consul, clock, random, logger, signal, onIndexFell, datacenter };
  knowledge = new Knowledge({
    consul,
    clock,
    gate,
    fingerprinter,
    ledger,
    ledgerSync,
    watcher,
    installId: 'install-a',
    datacenter: 'dc2',
    intentionMirror: new IntentionMirror(mirroring),
    serviceMirror: new ServiceMirror({ ...mirroring, virtualNodes: [] }),
    random,
    logger,
    signal,
    onLoaded: () => loads++,
  });
  await operator.settle(world.cluster.apply('first', { prefix: 'a/', data: { first: '1' } }));
  restore = world.consul.store.snapshot();
  ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '1' } });
  await operator.settle(ref);
  await knowledge.load();
  loads = 0;
  operator.mirror.onChange(refs => told.push(...refs.map(({ name }) => name)));
});

const stranger = {
  edits: () => world.consul.store.put('a/stranger', 'theirs'),
  goes: () => world.consul.store.delete('a/stranger'),
};

/** What stands now, to be brought back after `act`. */
function setBack(act: () => void): void {
  const back = world.consul.store.snapshot();
  act();
  back();
}

describe('an index that went back means nothing for what is known', () => {
  test.each<[what: string, act: () => void]>([
    [
      'tombstones were collected',
      () => (stranger.edits(), stranger.goes(), world.consul.store.collectTombstones()),
    ],
    ['keys that are not ours were set back', () => setBack(stranger.edits)],
    ['nothing changed at all', () => {}],
  ])('when %s', async (_, act) => {
    act();
    const judged = knowledge.indexFell();
    expect(knowledge.missing).toBeUndefined();
    await judged;
    expect([knowledge.missing, warnings, loads, told]).toEqual([undefined, [], 0, []]);
  });

  test('but what was set back beside the records is seen, and put right', async () => {
    world.consul.store.put('a/x', 'edited');
    setBack(() => world.consul.store.put('a/x', '1'));
    await knowledge.indexFell();
    expect([told, loads]).toEqual([['one'], 0]);
    await operator.settle(ref);
    expect(world.data()).toEqual({ 'a/first': '1', 'a/x': '1', 'a/y': '1' });
  });

  test('but a stranger that lost its lock by that is no longer in the way', async () => {
    const exclusive = world.cluster.apply('landlord', { prefix: 'ex/', data: { x: '1' }, exclusive: true });
    await operator.settle(exclusive);
    world.consul.store.put('ex/stranger', 'theirs');
    const back = world.consul.store.snapshot();
    world.consul.store.acquire('ex/stranger', 'e2fcc1a3-0d5e-4d26-a7d3-5b1a8d1bfb1e');
    await operator.watcher.lookAtAll();
    told = [];
    back();
    await knowledge.indexFell();
    expect(told).toEqual(['landlord']);
  });

  test('but nothing is adopted before the claims of other installs were read again', async () => {
    await knowledge.indexFell();
    expect(operator.ledger.claims).toMatchObject({ complete: true, asOf: -1 });
  });
});

describe('an index that went back leaves nothing known', () => {
  test.each<[what: string, act: () => void | Promise<void>]>([
    ['a record is lost', () => restore()],
    [
      'a record was set back',
      () => undo(() => world.cluster.apply('one', { prefix: 'a/', data: { x: '2' } })),
    ],
    ['a record is back that was removed', () => undo(() => (world.cluster.delete(ref), ref))],
    [
      'Consul was emptied',
      () => Object.keys(world.consul.texts()).forEach(key => world.consul.store.delete(key)),
    ],
    [
      'the records are hidden',
      () => void world.consul.hidden.add('proconsul/install-a/owners/ConsulKV/shop/one'),
    ],
  ])('when %s', async (_, act) => {
    await act();
    await knowledge.indexFell();
    expect(knowledge.missing?.error.code).toMatch(/CONSUL_NOT_READ|RECORDS_HIDDEN/);
    expect(warnings[0]).toContain('restored or rebuilt');
    world.consul.hidden.clear();
    await passTime();
    expect([knowledge.missing, loads]).toEqual([undefined, 1]);
  });

  test.each(['proconsul%2Finstall-a%2Fowners', 'a'])('when Consul does not answer for %s', async path => {
    world.consul.afterRead = asked => {
      if (!asked.startsWith(`/v1/kv/${path}`)) return;
      world.consul.afterRead = () => {};
      throw new Error('lost');
    };
    await knowledge.indexFell();
    expect(knowledge.missing?.error.code).toBe('CONSUL_NOT_READ');
    await passTime();
    expect([knowledge.missing, loads]).toEqual([undefined, 1]);
  });
});

test('an index that goes back again while it is settled what the last one meant is looked into, too', async () => {
  world.consul.afterRead = async () => {
    world.consul.afterRead = () => {};
    await settled();
    restore();
    void knowledge.indexFell();
  };
  await knowledge.indexFell();
  expect(warnings).toHaveLength(1);
});

test('an index that goes back while everything is being read has it read once more', async () => {
  const before = world.consul.reads.length;
  const loading = knowledge.load();
  await knowledge.indexFell();
  await loading;
  const records = world.consul.reads.slice(before).filter(path => path === '/v1/kv/proconsul%2F');
  expect([records.length, loads]).toEqual([2, 1]);
});

test('a collection of tombstones is looked into once', async () => {
  operator.watcher.follow();
  void operator.ledgerSync.follow();
  stranger.edits();
  stranger.goes();
  await passTime();
  world.consul.store.collectTombstones();
  await passTime();
  await passTime();
  expect([falls, warnings, loads, told]).toEqual([1, [], 0, []]);
});

/** Half a minute: every pause and every sweep that is due. */
async function passTime(): Promise<void> {
  for (let step = 0; step < 300; step++) {
    operator.clock.advance(100);
    await settled();
  }
}

/** Does something by the operator and undoes it by a restore. */
async function undo(act: () => ResourceRef): Promise<void> {
  const back = world.consul.store.snapshot();
  await operator.settle(act());
  back();
}
