import { beforeEach, describe, expect, test } from 'vitest';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { crashed, type KvProcess, ModelCluster } from '../../../support/kv-process.ts';
import { KvWorld, names } from '../../../support/kv-world.ts';

/** Two clusters, each with its own install, on one Consul. */
let world: KvWorld;
let there: ModelCluster;
let a: KvProcess;
let b: KvProcess;
beforeEach(async () => {
  world = new KvWorld();
  there = new ModelCluster();
  a = await world.start({ installId: 'install-a' });
  b = await world.start({ installId: 'install-b', cluster: there });
});

const applyA = (spec: object) => world.cluster.apply('ours', spec);
const applyB = (spec: object) => there.apply('theirs', spec);
const reasons = (ours: ResourceRef, theirs: ResourceRef) => [
  world.cluster.condition(ours)?.split(/[ :]/)[1],
  there.condition(theirs)?.split(/[ :]/)[1],
];

/** Turns on both sides until nothing is written any more: two installs must never write in turns for ever. */
async function rest(ours: ResourceRef, theirs: ResourceRef): Promise<void> {
  for (let round = 0; round < 6; round++) {
    const before = world.consul.transactions.length;
    for (const operator of [a, b]) await operator.sweep();
    await a.settle(ours);
    await b.settle(theirs);
    if (world.consul.transactions.length === before) return;
  }
  throw new Error('the installs do not come to rest');
}

describe('what another install owns is not taken', () => {
  test('whoever was first keeps it, and is named by its install', async () => {
    const ours = applyA({ key: 'k', value: 'ours' });
    const theirs = applyB({ key: 'k', value: 'theirs', adoptionPolicy: 'Always' });
    await a.settle(ours);
    await b.settle(theirs);
    await rest(ours, theirs);
    expect(there.condition(theirs)).toBe('False Conflict: key k belongs to install install-a');
    expect(world.ownersOf('k')).toEqual(['install-a:ours']);
    expect(world.data()).toEqual({ k: 'ours' });
  });

  test.each(['IfEqual', 'Always'])('of two that adopt a key under %s one gets it', async adoptionPolicy => {
    world.consul.store.put('k', 'same');
    const ours = applyA({ key: 'k', value: 'same', adoptionPolicy });
    const theirs = applyB({ key: 'k', value: 'same', adoptionPolicy });
    await Promise.all([a.turn(ours), b.turn(theirs)]);
    await rest(ours, theirs);
    expect(reasons(ours, theirs).sort()).toEqual(['Applied', 'Conflict']);
    expect(world.ownersOf('k')).toHaveLength(1);
  });

  test('nor a prefix that it has claimed', async () => {
    const ours = applyA({ prefix: 'ex/', data: { a: '1' }, exclusive: true });
    const theirs = applyB({ prefix: 'ex/in/', data: { b: '1' }, exclusive: true });
    await Promise.all([a.turn(ours), b.turn(theirs)]);
    await rest(ours, theirs);
    expect(reasons(ours, theirs).sort()).toEqual(['Applied', 'Conflict']);
  });
});

describe('a tree that is claimed first and written later', () => {
  const large = (value: string) => ({
    prefix: 't/',
    data: names(5, value.repeat(200_000)),
    adoptionPolicy: 'Always',
  });

  test.each(['Never', 'IfEqual', 'Always'])(
    'does not lose a key for good to one that had not seen the claim (%s)',
    async adoptionPolicy => {
      const ours = applyA(large('x'));
      const theirs = applyB({ key: 't/n004', value: 'theirs', adoptionPolicy });
      let isClaimed = false;
      world.consul.afterWrite = async () => {
        if (isClaimed) return;
        isClaimed = true;
        await b.turn(theirs);
      };
      await a.settle(ours);
      expect(isClaimed).toBe(true);
      await rest(ours, theirs);
      expect(reasons(ours, theirs)).toEqual(['Conflict', 'Applied']);
      expect(world.ownersOf('t/n004')).toEqual(['install-b:theirs']);
      there.delete(theirs);
      await b.settle(theirs);
      await a.ledgerSync.load();
      await a.sweep();
      await a.settle(ours);
      expect(reasons(ours, theirs)[0]).toBe('Applied');
      expect(world.ownersOf('t/n004')).toEqual(['install-a:ours']);
    },
  );

  test('is claimed although another install has claimed something else meanwhile', async () => {
    world.consul.store.put('other', 'v');
    await b.settle(applyB({ key: 'other', value: 'v' }));
    const ours = applyA(large('x'));
    expect(await a.turn(ours)).toEqual({ kind: 'done' });
    expect(world.cluster.condition(ours)).toContain('True Applied');
  });

  test('and another such tree: one of them gets it, also when both die after their claim and hear of the other', async () => {
    const ours = applyA(large('x'));
    const theirs = applyB(large('y'));
    world.consul.afterWrite = () => {
      throw crashed();
    };
    await expect(a.turn(ours)).rejects.toThrow('the process is gone');
    await expect(b.turn(theirs)).rejects.toThrow('the process is gone');
    world.consul.afterWrite = () => {};
    a = await world.start({ installId: 'install-a' });
    b = await world.start({ installId: 'install-b', cluster: there });
    await rest(ours, theirs);
    expect(reasons(ours, theirs).sort()).toEqual(['Applied', 'Conflict']);
  });

  test('and another such tree: one of them gets it whole', async () => {
    const ours = applyA(large('x'));
    const theirs = applyB(large('y'));
    await Promise.all([a.turn(ours), b.turn(theirs)]);
    await rest(ours, theirs);
    expect(reasons(ours, theirs).sort()).toEqual(['Applied', 'Conflict']);
    expect(new Set(Object.values(world.data('t/'))).size).toBe(1);
  });
});

describe('a token that does not show all claims', () => {
  test('forbids adopting, and claiming a prefix, but not creating', async () => {
    world.consul.store.put('k', 'v');
    await b.settle(applyB({ key: 'other', value: 'x' }));
    world.consul.hidden.add('proconsul/install-b/');
    a = await world.start({ installId: 'install-a' });
    const adopts = world.cluster.apply('adopts', { key: 'k', value: 'v' });
    const claims = world.cluster.apply('claims', { prefix: 'ex/', data: { a: '1' }, exclusive: true });
    const creates = world.cluster.apply('creates', { key: 'new', value: 'v' });
    const grows = world.cluster.apply('grows', { prefix: 't/', data: names(3, 'x'.repeat(300_000)) });
    for (const ref of [adopts, claims]) await a.turn(ref);
    for (const ref of [creates, grows]) await a.settle(ref);
    expect(world.reasons(adopts, claims, creates, grows)).toEqual([
      'ConsulDenied',
      'ConsulDenied',
      'Applied',
      'Applied',
    ]);
    world.consul.hidden.clear();
    await a.settle(adopts);
    expect(world.reasons(adopts)).toEqual(['Applied']);
  });

  test('stops the start when it hides records of this install', async () => {
    await a.settle(applyA({ key: 'k', value: 'v' }));
    world.consul.hidden.add('proconsul/install-a/owners/ConsulKV/shop/');
    await expect(world.start({ installId: 'install-a' })).rejects.toMatchObject({ code: 'RECORDS_HIDDEN' });
  });
});
