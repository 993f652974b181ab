import { beforeEach, describe, expect, test } from 'vitest';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import type { KvProcess } from '../../../support/kv-process.ts';
import { atOnce, KvWorld, names } from '../../../support/kv-world.ts';

let world: KvWorld;
beforeEach(() => {
  world = new KvWorld();
});

/** Both first turns at once, their first units in one transaction; then each until it rests. */
async function race(...refs: readonly ResourceRef[]): Promise<KvProcess> {
  const operator = await world.startGathering(refs.length);
  await atOnce(operator, ...refs);
  for (let round = 0; round < 2; round++) {
    for (const ref of refs) await settle(operator, ref);
  }
  return operator;
}

async function settle(operator: KvProcess, ref: ResourceRef): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await atOnce(operator, ref);
}

/** One is as declared, the other names it; and so it is for a process that has only Consul to go by. */
async function expectOneWinner(refs: readonly ResourceRef[], key: string): Promise<void> {
  expect(world.reasons(...refs).sort()).toEqual(['Applied', 'Conflict']);
  const winner = refs[world.reasons(...refs).indexOf('Applied')] as ResourceRef;
  expect(world.ownersOf(key)).toEqual([`install-a:${winner.name}`]);
  const [data, reasons, writes] = [world.data(), world.reasons(...refs), world.consul.transactions.length];
  const restarted = await world.start();
  for (const ref of [...refs, ...refs]) await restarted.settle(ref);
  expect([world.data(), world.reasons(...refs)]).toEqual([data, reasons]);
  expect(world.consul.transactions).toHaveLength(writes);
}

describe('of two resources that want the same at the same moment one gets it:', () => {
  test('a key that is new', async () => {
    const refs = ['one', 'two'].map(name => world.cluster.apply(name, { key: 'k', value: name }));
    await race(...refs);
    await expectOneWinner(refs, 'k');
  });

  test.each(['IfEqual', 'Always'])(
    'a key that stands there already, adopted under %s',
    async adoptionPolicy => {
      world.consul.store.put('k', 'same');
      const spec = { key: 'k', value: 'same', adoptionPolicy };
      const refs = ['one', 'two'].map(name => world.cluster.apply(name, spec));
      await race(...refs);
      await expectOneWinner(refs, 'k');
    },
  );

  test.each([
    ['equal', 'x'.repeat(200_000)],
    ['other', 'other'],
  ])('a key of a tree that is claimed first and written later, by one of %s content', async (_, value) => {
    const data = names(5, 'x'.repeat(200_000));
    const large = world.cluster.apply('large', { prefix: 't/', data, adoptionPolicy: 'Always' });
    const small = world.cluster.apply('small', { key: 't/n004', value, adoptionPolicy: 'Always' });
    await race(large, small);
    await expectOneWinner([large, small], 't/n004');
  });

  test('an exclusive prefix', async () => {
    const spec = (name: string) => ({ prefix: 'ex/', data: { [name]: '1' }, exclusive: true });
    const refs = ['one', 'two'].map(name => world.cluster.apply(name, spec(name)));
    await race(...refs);
    expect(world.reasons(...refs).sort()).toEqual(['Applied', 'Conflict']);
    expect(Object.keys(world.data())).toHaveLength(1);
  });

  test('exclusive prefixes one in the other', async () => {
    const spec = (prefix: string) => ({ prefix, data: { a: '1' }, exclusive: true });
    const refs = ['ex/', 'ex/in/'].map((prefix, n) => world.cluster.apply(`at-${n}`, spec(prefix)));
    await race(...refs);
    expect(world.reasons(...refs).sort()).toEqual(['Applied', 'Conflict']);
  });

  test('an exclusive prefix, and a key below it', async () => {
    const landlord = world.cluster.apply('landlord', { prefix: 'ex/', data: { a: '1' }, exclusive: true });
    const guest = world.cluster.apply('guest', { key: 'ex/b', value: '2' });
    await race(landlord, guest);
    expect(world.reasons(landlord, guest).sort()).toEqual(['Applied', 'Conflict']);
  });
});

describe('the loser', () => {
  test('takes over when the winner goes', async () => {
    const refs = ['one', 'two'].map(name => world.cluster.apply(name, { key: 'k', value: name }));
    const operator = await race(...refs);
    const winner = refs[world.reasons(...refs).indexOf('Applied')] as ResourceRef;
    const loser = refs.find(ref => ref !== winner) as ResourceRef;
    const released: string[][] = [];
    operator.ledger.onRelease(names => released.push([...names]));
    world.cluster.delete(winner);
    await settle(operator, winner);
    expect(released).toEqual([['k']]);
    await settle(operator, loser);
    expect([world.data(), world.reasons(loser)]).toEqual([{ k: loser.name }, ['Applied']]);
  });

  test('when it goes leaves what the winner owns, even if its own record lists the key, too', async () => {
    const operator = await world.start();
    const winner = world.cluster.apply('winner', { key: 'k', value: 'v' });
    await operator.settle(winner);
    const key = 'proconsul/install-a/owners/ConsulKV/shop/';
    const record = world.consul.store.get(`${key}winner`)?.value.toString() ?? '';
    world.consul.store.put(`${key}zloser`, record);
    const loser = world.cluster.apply('zloser', { key: 'k', value: 'v' });
    const restarted = await world.start();
    await restarted.settle(loser);
    expect(world.reasons(loser)).toEqual(['Conflict']);
    world.cluster.delete(loser);
    await restarted.settle(loser);
    expect(world.data()).toEqual({ k: 'v' });
    expect(world.ownersOf('k')).toEqual(['install-a:winner']);
  });
});

test('what was reserved for a write that is refused is free again', async () => {
  const operator = await world.start();
  const ref = world.cluster.apply('one', { key: 'k', value: 'ours' });
  world.consul.store.put('k', 'theirs');
  await operator.settle(ref);
  expect(world.reasons(ref)).toEqual(['AlreadyExists']);
  const other = { kind: 'ConsulKV', namespace: 'shop', name: 'other' };
  expect(operator.ledger.rivalFor('k', other)).toBeUndefined();
});

test('what was reserved for a write that is denied is free again', async () => {
  const operator = await world.start();
  world.consul.readOnly.add('k');
  const ref = world.cluster.apply('one', { key: 'k', value: 'v' });
  await operator.turn(ref);
  expect(world.reasons(ref)).toEqual(['ConsulDenied']);
  expect(
    operator.ledger.rivalFor('k', { kind: 'ConsulKV', namespace: 'shop', name: 'other' }),
  ).toBeUndefined();
});

describe('after a refusal is read what Consul named as stale, and nothing else:', () => {
  const data = (value: string) => ({ prefix: 't/', data: { a: value, b: value, c: value } });

  test('one key that stands there otherwise than believed', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', data('1'));
    await operator.settle(ref);
    world.consul.store.put('t/b', 'edited');
    world.cluster.apply('one', data('2'));
    const reads = world.consul.reads.length;
    await operator.settle(ref);
    expect(world.data()).toEqual({ 't/a': '2', 't/b': '2', 't/c': '2' });
    expect(world.consul.reads.slice(reads)).toEqual(['/v1/txn']);
  });

  test('a record that somebody else has written', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', data('1'));
    await operator.settle(ref);
    const record = 'proconsul/install-a/owners/ConsulKV/shop/one';
    world.consul.store.put(record, `${String(world.consul.store.get(record)?.value)} `);
    world.cluster.apply('one', data('2'));
    const reads = world.consul.reads.length;
    await operator.settle(ref);
    expect(world.data()).toEqual({ 't/a': '2', 't/b': '2', 't/c': '2' });
    const path = `/v1/kv/${encodeURIComponent(record)}`;
    expect(world.consul.reads.slice(reads)).toEqual([path, `${path}%2F`]);
  });
});
