import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, ConsulKvs } from '../support/consulkv.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-rivals'));
});

afterAll(async () => world.close());

const single = (path: string, value: string) => ({ key: world.key(path), value });
const tree = (path: string, data: object) => ({ prefix: world.key(`${path}/`), data });

describe('two resources that declare one key', () => {
  test('the first keeps it, the second names it, and takes over when it goes', async () => {
    await kvs.declareReady('first', single('contested', 'of the first'));
    await kvs.declare('second', { ...single('contested', 'of the second'), adoptionPolicy: 'Always' });
    const { Ready, Stalled } = conditionsOf(await kvs.stalled('second', 'Conflict'));
    expect(Ready?.message).toContain(`ConsulKV ${world.namespace}/first`);
    expect(Stalled?.reason).toBe('Conflict');
    expect((await kvs.event('second', 'Conflict')).type).toBe('Warning');
    await kvs.lookAgain('first');
    await kvs.lookAgain('second');
    expect(await world.stored('contested')).toEqual({ '': 'of the first' });
    await kvs.remove('first');
    await kvs.ready('second');
    expect(await world.stored('contested')).toEqual({ '': 'of the second' });
  });

  test('the second writes nothing at all, not even what nobody contests', async () => {
    await kvs.declareReady('holder', single('partly/b', 'held'));
    await kvs.declare('wants', tree('partly', { a: '1', b: '2', c: '3' }));
    await kvs.stalled('wants', 'Conflict');
    expect(await world.stored('partly/')).toEqual({ b: 'held' });
    expect(Object.keys(await world.records())).not.toContain(`ConsulKV/${world.namespace}/wants`);
    await kvs.remove('wants');
    expect(await world.stored('partly/')).toEqual({ b: 'held' });
  });

  test('the second takes over when the first no longer declares the key', async () => {
    await kvs.declareReady('shrinks', tree('yields', { a: '1', b: '1' }));
    await kvs.declare('follows', single('yields/b', '2'));
    await kvs.stalled('follows', 'Conflict');
    await kvs.declareReady('shrinks', tree('yields', { a: '1' }));
    await kvs.ready('follows');
    expect(await world.stored('yields/')).toEqual({ a: '1', b: '2' });
  });

  test('the second adopts what the first leaves behind under Retain', async () => {
    await kvs.declareReady('leaves', { ...single('left', 'same'), deletionPolicy: 'Retain' });
    await kvs.declare('inherits', single('left', 'same'));
    await kvs.stalled('inherits', 'Conflict');
    const before = await world.consul.kvGet(world.key('left'));
    await kvs.remove('leaves');
    await kvs.ready('inherits');
    expect(await world.consul.kvGet(world.key('left'))).toEqual(before);
    await kvs.event('inherits', 'Adopted');
  });

  test('a tree that grows into the key of another stays as it was, and goes on when it shrinks again', async () => {
    await kvs.declareReady('neighbour', single('grows/b', 'theirs'));
    await kvs.declareReady('grower', tree('grows', { a: '1' }));
    await kvs.declare('grower', tree('grows', { a: '2', b: '2' }));
    await kvs.stalled('grower', 'Conflict');
    expect(await world.stored('grows/')).toEqual({ a: '1', b: 'theirs' });
    await kvs.declareReady('grower', tree('grows', { a: '3' }));
    expect(await world.stored('grows/')).toEqual({ a: '3', b: 'theirs' });
  });

  test('of many that want one key at the same time exactly one has it, and all have had it in the end', async () => {
    const names = Array.from({ length: 6 }, (_, n) => `racer-${n}`);
    await Promise.all(names.map(name => kvs.declare(name, single('race', name))));
    const left = new Set(names);
    while (left.size > 0) {
      const winner = await expect
        .poll(async () => (await world.stored('race'))[''])
        .toSatisfy(value => left.has(value))
        .then(async () => (await world.stored('race'))[''] as string);
      await kvs.ready(winner);
      for (const loser of left) if (loser !== winner) await kvs.stalled(loser, 'Conflict');
      await kvs.remove(winner);
      left.delete(winner);
    }
    await world.becomesStored('race', {});
  });
});

describe('two installs on one Consul', () => {
  test('see the keys of the other as owned by that install', async () => {
    const neighbour = await World.create('kv-rivals-2');
    try {
      await neighbour.startOperator();
      const theirs = new ConsulKvs(neighbour);
      const first = await theirs.declareReady('first', single('between', 'theirs'));
      await kvs.declare('between', { ...single('between', 'ours'), adoptionPolicy: 'Always' });
      const { Ready } = conditionsOf(await kvs.stalled('between', 'Conflict'));
      expect(Ready?.message).toContain(`install ${neighbour.installId}`);
      expect(await world.stored('between')).toEqual({ '': 'theirs' });
      // Nor does a prefix become ours below which something of theirs stands.
      await theirs.declareReady('inner', single('enclosed/inner', 'theirs'));
      await kvs.declare('around', {
        ...tree('enclosed', { a: '1' }),
        exclusive: true,
        adoptionPolicy: 'Always',
      });
      const around = conditionsOf(await kvs.stalled('around', 'Conflict'));
      expect(around['Ready']?.message).toContain(`install ${neighbour.installId}`);
      await theirs.remove('inner');
      await kvs.ready('around');
      expect(await world.stored('enclosed/')).toEqual({ a: '1' });
      await theirs.remove('first');
      await kvs.ready('between');
      expect(await world.stored('between')).toEqual({ '': 'ours' });
      // Each under a key of its own: the same content has another hash.
      const same = await kvs.changeReady('between', { value: 'theirs' });
      expect(same['status'].hash).not.toBe(first['status'].hash);
    } finally {
      await neighbour.close();
    }
  });
});

describe('keys that belong to operators', () => {
  test.each([
    ['proconsul/x', { key: 'proconsul/x', value: 'x' }],
    ['proconsul', { key: 'proconsul', value: 'x' }],
    ['proconsul-private/x', { key: 'proconsul-private/x', value: 'x' }],
    ['a tree at proconsul/', { prefix: 'proconsul/', data: { x: 'x' } }],
    ['a tree above', { prefix: 'proconsul/x/', data: { x: 'x' } }],
  ])('are refused at admission: %s', async (_what, spec) => {
    await expect(kvs.declare('reserved', spec)).rejects.toMatchObject({ status: 422 });
  });
});
