import { beforeEach, describe, expect, test } from 'vitest';
import { KvWorld, names } from '../../../support/kv-world.ts';

let world: KvWorld;
beforeEach(() => {
  world = new KvWorld();
});

const verbsOf = (from: number) =>
  world.consul.transactions.slice(from).map(({ operations }) => operations.map(({ Verb }) => Verb));

describe('a resource', () => {
  test('is written in one transaction of two operations, and then rests', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', { key: 'a/b', value: 'x' });
    const begun = world.consul.transactions.length;
    expect(await operator.turn(ref)).toEqual({ kind: 'done' });
    expect(verbsOf(begun)).toEqual([['check-session', 'cas', 'cas']]);
    expect(world.cluster.condition(ref)).toBe('True Applied: 1 key in Consul equals the spec');
    const [writes, statuses] = [world.consul.transactions.length, world.cluster.statusWrites];
    await operator.turn(ref);
    const restarted = await world.start();
    await restarted.turn(ref);
    expect([world.consul.transactions.length, world.cluster.statusWrites]).toEqual([writes, statuses]);
  });

  test('goes with all it wrote, and with nothing else', async () => {
    const operator = await world.start();
    world.consul.store.put('a/other', 'theirs');
    const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '2' } });
    await operator.settle(ref);
    world.cluster.delete(ref);
    await operator.settle(ref);
    expect(world.cluster.get(ref)).toBeUndefined();
    expect(world.data()).toEqual({ 'a/other': 'theirs' });
    expect(world.records()).toEqual([]);
  });

  test('that is known goes without a look at Consul: the answer of the transaction tells that all is gone', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '1' } });
    await operator.settle(ref);
    const before = world.consul.reads.length;
    world.cluster.delete(ref);
    await operator.settle(ref);
    expect([world.cluster.get(ref), world.data(), world.records()]).toEqual([undefined, {}, []]);
    expect(world.consul.reads.slice(before)).toEqual([]);
  });

  test('whose record is not in memory is deleted all the same', async () => {
    const ref = world.cluster.apply('one', { key: 'a', value: 'x' });
    await (await world.start()).settle(ref);
    const forgetful = await world.start();
    forgetful.ledger.put(ref, undefined);
    world.cluster.delete(ref);
    await forgetful.settle(ref);
    expect([world.data(), world.records()]).toEqual([{}, []]);
  });

  test('with an optional source that is missing declares nothing; what it had is removed', async () => {
    const operator = await world.start();
    const begun = world.consul.transactions.length;
    const configMapKeyRef = { name: 'source', key: 'k', optional: true };
    const ref = world.cluster.apply('one', { key: 'a/b', valueFrom: { configMapKeyRef } });
    await operator.settle(ref);
    expect([world.data(), world.consul.transactions.length]).toEqual([{}, begun]);
    world.cluster.configMap('source', { k: 'from source' });
    await operator.settle(ref);
    expect(world.data()).toEqual({ 'a/b': 'from source' });
    world.cluster.configMap('source', undefined);
    await operator.settle(ref);
    expect(world.data()).toEqual({});
    expect(world.cluster.condition(ref)).toBe('True Applied: 0 keys in Consul equal the spec');
  });

  test('in AlreadyExists writes nothing at all, not even a record, however large it is', async () => {
    const operator = await world.start();
    world.consul.store.put('t/n004', 'theirs');
    const begun = world.consul.transactions.length;
    const ref = world.cluster.apply('one', { prefix: 't/', data: names(5, 'v'.repeat(200_000)) });
    await operator.settle(ref);
    expect(world.reasons(ref)).toEqual(['AlreadyExists']);
    expect([world.data(), world.consul.transactions.length]).toEqual([{ 't/n004': 'theirs' }, begun]);
  });

  test('that would write over the prefix of an install, as an older CRD may have let through, is refused', async () => {
    const operator = await world.start();
    world.cluster.configMap('source', { '..': 'x' });
    const dataFrom = [{ configMapRef: { name: 'source' } }];
    const ref = world.cluster.apply('one', { prefix: 'a/', dataFrom });
    await operator.settle(ref);
    expect(world.cluster.condition(ref)).toBe('False InvalidSpec: key "a/.." has the segment ..');
  });
});

describe('a suspended resource says so, whatever stands in the way, and does not stall:', () => {
  test.each([
    ['a missing source', { key: 'k', valueFrom: { configMapKeyRef: { name: 'none', key: 'k' } } }],
    ['strangers under an exclusive prefix', { prefix: 'ex/', data: { a: '1' }, exclusive: true }],
    ['something to write', { key: 'k', value: 'v' }],
  ])('%s', async (_, spec) => {
    world.consul.store.put('ex/other', 'theirs');
    const operator = await world.start();
    const ref = world.cluster.apply('one', { ...spec, suspend: true });
    expect(await operator.settle(ref)).toEqual({ kind: 'done' });
    expect(world.cluster.condition(ref)).toMatch(/^False Suspended: suspended: /);
    expect(world.cluster.condition(ref, 'Stalled')).toBeUndefined();
    expect(world.cluster.condition(ref, 'Reconciling')).toBeUndefined();
    expect(world.data()).toEqual({ 'ex/other': 'theirs' });
  });

  test('and counts the keys it owns, not those it would', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', { prefix: 'a/', data: names(3) });
    await operator.settle(ref);
    world.cluster.apply('one', { prefix: 'a/', data: names(5), suspend: true });
    await operator.settle(ref);
    expect(world.cluster.get(ref)?.status).toMatchObject({ keys: 3 });
  });
});

describe('a resource made anew under the name of another', () => {
  const replaced = async (deletionPolicy: string, count = 2) => {
    const first = world.cluster.apply('one', { prefix: 'old/', data: names(count), deletionPolicy });
    await (await world.start()).settle(first);
    world.cluster.resources.clear();
    const ref = world.cluster.apply('one', { prefix: 'new/', data: { a: '1' } });
    await (await world.start()).settle(ref);
    return ref;
  };

  test('inherits the record, and removes what the other left under Delete', async () => {
    const ref = await replaced('Delete');
    expect(world.data()).toEqual({ 'new/a': '1' });
    expect(world.record(ref)?.head.uid).toBe('uid-2');
  });

  test.each([2, 400])('leaves %d keys where they are that the other was to Retain', async count => {
    const ref = await replaced('Retain', count);
    expect(Object.keys(world.data('old/'))).toHaveLength(count);
    expect(world.ownersOf('old/n000')).toEqual([]);
    expect(world.record(ref)?.head).toMatchObject({ uid: 'uid-2', phase: 'settled' });
    expect(world.data('new/')).toEqual({ 'new/a': '1' });
  });
});

describe('under an exclusive prefix', () => {
  const large = (value: string) => names(3, value.repeat(200_000));
  const spec = (value: string, more: object) => ({
    prefix: 'ex/',
    data: large(value),
    exclusive: true,
    ...more,
  });

  test.each(['Report', 'Ignore'])(
    'a change of many transactions leaves strangers alone under %s',
    async driftPolicy => {
      const operator = await world.start();
      const ref = world.cluster.apply('one', spec('a', { driftPolicy }));
      await operator.settle(ref);
      world.consul.store.put('ex/stranger', 'theirs');
      world.cluster.apply('one', spec('b', { driftPolicy }));
      await operator.settle(ref);
      expect(world.data()['ex/stranger']).toBe('theirs');
      expect(world.reasons(ref)).toEqual(['Applied']);
    },
  );

  test('a first claim of many transactions removes them all, also under Report and over a crash', async () => {
    const policies = { driftPolicy: 'Report', adoptionPolicy: 'Always' };
    for (const name of Object.keys(names(200))) world.consul.store.put(`ex/stranger/${name}`, 'theirs');
    const ref = world.cluster.apply('one', spec('a', policies));
    let left = 2;
    world.consul.afterWrite = () => {
      if (left-- === 0) throw new Error('crash');
    };
    const crashing = await world.start();
    await crashing.turn(ref);
    expect(world.record(ref)?.head).toMatchObject({ phase: 'claiming', clearing: true });
    world.consul.afterWrite = () => {};
    await (await world.start()).settle(ref);
    expect(Object.keys(world.data())).toEqual(['ex/n000', 'ex/n001', 'ex/n002']);
    expect(world.record(ref)?.head).toEqual({
      uid: 'uid-1',
      generation: 1,
      epoch: 0,
      onDelete: 'Delete',
      phase: 'settled',
      exclusive: 'ex/',
    });
  });

  test('keys that hold a session, and keys that cannot be addressed, stay', async () => {
    world.consul.store.acquire('ex/locked', '00000000-0000-0000-0000-000000000001', 'holder');
    world.consul.store.put('ex//twice', 'theirs');
    const operator = await world.start();
    const spec = { prefix: 'ex/', data: { a: '1' }, exclusive: true, adoptionPolicy: 'Always' };
    const ref = world.cluster.apply('one', spec);
    await operator.settle(ref);
    expect(world.data()).toEqual({ 'ex//twice': 'theirs', 'ex/a': '1', 'ex/locked': 'holder' });
    expect(world.reasons(ref)).toEqual(['Applied']);
  });

  test('an empty tree claims it too, and lets go of it', async () => {
    const operator = await world.start();
    const dataFrom = [{ configMapRef: { name: 'none', optional: true } }];
    const ref = world.cluster.apply('one', { prefix: 'ex/', dataFrom, exclusive: true });
    await operator.settle(ref);
    expect(world.record(ref)?.head.exclusive).toBe('ex/');
    world.consul.store.put('ex/stranger', 'theirs');
    await operator.settle(ref);
    expect(world.data()).toEqual({});
    world.cluster.delete(ref);
    await operator.settle(ref);
    expect(world.records()).toEqual([]);
  });
});
