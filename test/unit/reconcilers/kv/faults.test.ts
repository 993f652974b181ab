import { beforeEach, describe, expect, test } from 'vitest';
import { consulError } from '../../../../src/consul/errors.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { crashed, type KvProcess } from '../../../support/kv-process.ts';
import { KvWorld, names } from '../../../support/kv-world.ts';

let world: KvWorld;
let operator: KvProcess;
beforeEach(async () => {
  world = new KvWorld();
  operator = await world.start();
});

const lostAnswer = () => consulError('CONSUL_TIMEOUT', 'no answer', { outcomeUnknown: true });

/** Makes the next transaction end in `error`, after it was carried out or instead. */
function breakNext(when: 'before' | 'after', error: () => Error): void {
  const hook = when === 'before' ? 'beforeWrite' : 'afterWrite';
  world.consul[hook] = () => {
    world.consul[hook] = () => {};
    throw error();
  };
}

describe.each(['before', 'after'] as const)(
  'an answer that is lost %s the transaction was carried out',
  when => {
    test.each(['create', 'change', 'adopt', 'delete'])(
      'leaves a %s to be finished by the next turn',
      async what => {
        const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '1' } });
        if (what === 'adopt') for (const name of ['x', 'y']) world.consul.store.put(`a/${name}`, '1');
        if (what === 'change' || what === 'delete') await operator.settle(ref);
        if (what === 'change') world.cluster.apply('one', { prefix: 'a/', data: { x: '2', z: '2' } });
        if (what === 'delete') world.cluster.delete(ref);
        breakNext(when, lostAnswer);
        expect(await operator.turn(ref)).toMatchObject({ kind: 'retry' });
        expect(operator.ledger.trusts(ref)).toBe(false);
        await operator.settle(ref);
        const wanted =
          { create: { x: '1', y: '1' }, adopt: { x: '1', y: '1' }, change: { x: '2', z: '2' } }[what] ?? {};
        expect(world.data()).toEqual(
          Object.fromEntries(Object.entries(wanted).map(([k, v]) => [`a/${k}`, v])),
        );
        expect(world.ownersOf('a/y')).toEqual(what === 'create' || what === 'adopt' ? ['install-a:one'] : []);
        expect(world.record(ref) === undefined).toBe(what === 'delete');
      },
    );

    test('keeps what the write meant to take from others until it is known', async () => {
      const first = world.cluster.apply('first', { key: 'k', value: 'first' });
      const second = world.cluster.apply('second', { key: 'k', value: 'second' });
      breakNext(when, lostAnswer);
      await operator.turn(first);
      await operator.settle(second);
      expect(world.reasons(second)).toEqual(['Conflict']);
      await operator.settle(first);
      expect([world.data(), world.reasons(first)]).toEqual([{ k: 'first' }, ['Applied']]);
    });
  },
);

test('a transaction that is carried out long after its answer was given up changes nothing any more', async () => {
  const ref = world.cluster.apply('one', { key: 'k', value: 'old' });
  await operator.settle(ref);
  const late: (() => void)[] = [];
  world.consul.beforeWrite = operations => {
    world.consul.beforeWrite = () => {};
    late.push(() => world.consul.store.transact(operations));
    throw lostAnswer();
  };
  world.cluster.apply('one', { key: 'k', value: 'never' });
  await operator.turn(ref);
  world.cluster.apply('one', { key: 'k', value: 'new' });
  await operator.settle(ref);
  for (const arrive of late) arrive();
  expect(world.data()).toEqual({ k: 'new' });
});

test('a write that was cut off by losing the lead is not believed to have failed', async () => {
  const ref = world.cluster.apply('one', { key: 'k', value: 'v' });
  breakNext('after', crashed);
  await expect(operator.turn(ref)).rejects.toThrow('the process is gone');
  expect(operator.ledger.trusts(ref)).toBe(false);
});

describe('what is known of Consul is dropped while a resource is looked at', () => {
  /** As `Knowledge` does when the index of Consul went back. */
  const dropDuringReads = () => {
    world.consul.afterRead = path => {
      if (path === '/v1/txn') operator.mirror.forgetAll();
    };
  };

  test.each(['deleted', 'shrunk'])('then nothing of one that is being %s is forgotten', async what => {
    const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '1' } });
    await operator.settle(ref);
    if (what === 'deleted') world.cluster.delete(ref);
    else world.cluster.apply('one', { prefix: 'a/', data: { x: '1' } });
    operator.mirror.forgetAll();
    dropDuringReads();
    expect(await operator.turn(ref)).toMatchObject({ kind: 'retry' });
    expect(Object.keys(world.data())).toEqual(['a/x', 'a/y']);
    world.consul.afterRead = () => {};
    await operator.settle(ref);
    expect(world.data()).toEqual(what === 'deleted' ? {} : { 'a/x': '1' });
  });
});

describe('Consul is', () => {
  test('emptied: all of it is written again', async () => {
    const ref = world.cluster.apply('one', { prefix: 'a/', data: names(3) });
    const restore = world.consul.store.snapshot();
    await operator.settle(ref);
    restore();
    await operator.load();
    await operator.settle(ref);
    expect(Object.keys(world.data())).toHaveLength(3);
  });

  test('restored to before a change: the change is made again, and what was removed goes again', async () => {
    const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', gone: '1' } });
    await operator.settle(ref);
    const restore = world.consul.store.snapshot();
    world.cluster.apply('one', { prefix: 'a/', data: { x: '2' } });
    await operator.settle(ref);
    restore();
    await operator.load();
    await operator.settle(ref);
    expect(world.data()).toEqual({ 'a/x': '2' });
  });
});

test('a record that cannot be used holds up neither the start nor the other resources', async () => {
  const refs: ResourceRef[] = ['one', 'two'].map(name =>
    world.cluster.apply(name, { key: name, value: 'v' }),
  );
  for (const ref of refs) await operator.settle(ref);
  const records = 'proconsul/install-a/owners/ConsulKV/shop/';
  const hostile = {
    uid: 'u',
    onDelete: 'Delete',
    names: { '': 'f', '\ud800': 'f', 'proconsul/x': 'f', 'a//b': 'f' },
  };
  world.consul.store.put(`${records}one`, JSON.stringify(hostile));
  world.consul.store.put(`${records}one/01`, '{}');
  world.consul.store.put(`${records}broken`, '{"uid":');
  const restarted = await world.start();
  for (const ref of refs) await restarted.settle(ref);
  expect(world.reasons(...refs)).toEqual(['Applied', 'Applied']);
  world.cluster.delete(refs[0] as ResourceRef);
  await restarted.settle(refs[0] as ResourceRef);
  expect(world.data()).toEqual({ two: 'v' });
});

describe('what others do between our transaction and its answer, and the watch sees before we have the answer,', () => {
  /** Lets it happen once, right after the next transaction was carried out. */
  const happenAfterNext = (what: () => void) => {
    world.consul.afterWrite = async ({ applied }) => {
      if (!applied) return;
      world.consul.afterWrite = () => {};
      what();
      await operator.sweep();
    };
  };

  test.each<[what: string, act: () => void]>([
    ['an edit', () => world.consul.store.put('k', 'theirs')],
    ['a removal', () => world.consul.store.delete('k')],
    [
      'a removal and a new key',
      () => (world.consul.store.delete('k'), world.consul.store.put('k', 'theirs')),
    ],
  ])('is put back: %s', async (_, act) => {
    for (const value of ['created', 'changed']) {
      const ref = world.cluster.apply('one', { key: 'k', value });
      happenAfterNext(act);
      await operator.settle(ref);
      await operator.settle(ref);
      expect(world.data()).toEqual({ k: value });
    }
  });

  test('is put back also where we only took over what stood there', async () => {
    world.consul.store.put('k', 'same');
    const ref = world.cluster.apply('one', { key: 'k', value: 'same' });
    happenAfterNext(() => world.consul.store.put('k', 'theirs'));
    await operator.settle(ref);
    await operator.settle(ref);
    expect(world.data()).toEqual({ k: 'same' });
  });

  test('is not ours when we had removed the key, and known to be there', async () => {
    const ref = world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '1' } });
    await operator.settle(ref);
    world.cluster.apply('one', { prefix: 'a/', data: { x: '1' } });
    happenAfterNext(() => world.consul.store.put('a/y', 'theirs'));
    await operator.settle(ref);
    expect(world.data()).toEqual({ 'a/x': '1', 'a/y': 'theirs' });
    world.cluster.apply('one', { prefix: 'a/', data: { x: '1', y: '2' } });
    await operator.settle(ref);
    expect(world.reasons(ref)).toEqual(['AlreadyExists']);
  });
});
