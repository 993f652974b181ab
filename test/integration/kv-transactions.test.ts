import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isWritingTransaction, transactionVerbs } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;
let seen = 0;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-txn'));
});

beforeEach(() => {
  seen = world.toConsul.requests.length;
});

afterAll(async () => world.close());

const MAX_VALUE_BYTES = 350_000;

/** The transactions of this test that write something below the path. */
const transactions = (path: string) =>
  world.toConsul.requests
    .slice(seen)
    .filter(request => isWritingTransaction(request) && request.body.includes(`"Key":"${world.key(path)}`));
const entries = (count: number, name: string, value = 'x') =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`${name}${n}`, value]));
const messageOf = async (name: string) => conditionsOf(await kvs.get(name))['Ready']?.message;

describe('all changes of one resource', () => {
  test('are one transaction, opened by the fence and the owner record, each with what it believed', async () => {
    await kvs.declareReady('whole', { prefix: world.key('whole/'), data: { a: '1', b: '1', c: '1' } });
    await kvs.declareReady('whole', { prefix: world.key('whole/'), data: { a: '2', c: '1', d: '1' } });
    const [create, change, ...others] = transactions('whole/');
    expect(others).toEqual([]);
    expect(transactionVerbs(create!)).toEqual(['check-session', 'cas', 'cas', 'cas', 'cas']);
    expect(transactionVerbs(change!)).toEqual(['check-session', 'cas', 'cas', 'cas', 'delete-cas']);
    await kvs.remove('whole');
    expect(transactionVerbs(transactions('whole/')[2]!)).toEqual([
      'check-session',
      'delete-cas',
      'delete-cas',
      'delete-cas',
      'delete-cas',
    ]);
  });

  test('are two operations for a new resource of one key, after the fence', async () => {
    await kvs.declareReady('two', { key: world.key('two'), value: 'x' });
    const [create, ...others] = transactions('two');
    expect(others).toEqual([]);
    expect(transactionVerbs(create!)).toEqual(['check-session', 'cas', 'cas']);
  });

  test('are as many transactions as it takes when values are large, and all arrive', async () => {
    for (const half of ['a', 'b']) {
      await world.configMap(`large-${half}`, entries(2, half, half.repeat(MAX_VALUE_BYTES)));
    }
    const dataFrom = ['a', 'b'].map(half => ({ configMapRef: { name: `large-${half}` } }));
    await kvs.declareReady('large', { prefix: world.key('large/'), dataFrom });
    const lengths = Object.entries(await world.stored('large/')).map(([name, text]) => [name, text.length]);
    expect(lengths).toEqual(['a0', 'a1', 'b0', 'b1'].map(name => [name, MAX_VALUE_BYTES]));
    expect(Math.max(...transactions('large/').map(({ body }) => body.length))).toBeLessThanOrEqual(500_000);
    await kvs.remove('large');
    expect(await world.stored('large/')).toEqual({});
  });
});

describe('atomic', () => {
  const tree = (path: string, data: object) => ({ prefix: world.key(`${path}/`), atomic: true, data });

  test('puts 110 keys into one transaction', async () => {
    await kvs.declareReady('full', tree('full', entries(110, 'k')));
    expect(transactions('full/')).toHaveLength(1);
    await kvs.declareReady('full', tree('full', entries(110, 'k', 'y')));
    expect(transactions('full/')).toHaveLength(2);
    expect(await world.stored('full/')).toEqual(entries(110, 'k', 'y'));
    await kvs.remove('full');
    expect(transactions('full/')).toHaveLength(3);
  });

  test('refuses 111 keys and writes nothing, until there are less', async () => {
    await kvs.declare('over', tree('over', entries(111, 'k')));
    await kvs.stalled('over', 'TooLarge');
    expect(await messageOf('over')).toContain('111 keys');
    expect(await world.stored('over/')).toEqual({});
    await kvs.declareReady('over', tree('over', entries(110, 'k')));
  });

  test('refuses a change that touches more than 110 names, and leaves the tree as it was', async () => {
    await kvs.declareReady('turnover', tree('turnover', entries(60, 'old')));
    await kvs.declare('turnover', tree('turnover', entries(60, 'new')));
    await kvs.stalled('turnover', 'TooLarge');
    expect(await messageOf('turnover')).toContain('120 keys');
    expect(await world.stored('turnover/')).toEqual(entries(60, 'old'));
    await kvs.declareReady('turnover', tree('turnover', { ...entries(50, 'new'), ...entries(5, 'old') }));
    expect(transactions('turnover/')).toHaveLength(2);
  });

  test('takes 350,000 bytes of keys and values, and not one more', async () => {
    const room = MAX_VALUE_BYTES - 2 * world.key('bytes/a').length;
    const halves = (bytes: number) => ({
      a: 'x'.repeat(Math.floor(bytes / 2)),
      b: 'x'.repeat(Math.ceil(bytes / 2)),
    });
    await world.configMap('bytes', halves(room + 1));
    const dataFrom = [{ configMapRef: { name: 'bytes' } }];
    await kvs.declare('bytes', { prefix: world.key('bytes/'), atomic: true, dataFrom });
    await kvs.stalled('bytes', 'TooLarge');
    expect(await messageOf('bytes')).toContain('350001 bytes');
    expect(await world.stored('bytes/')).toEqual({});
    await world.configMap('bytes', halves(room));
    await kvs.ready('bytes');
    expect(transactions('bytes/')).toHaveLength(1);
  });

  test('refuses long keys that leave too little of a transaction for their values, and sends nothing', async () => {
    const longest = 512 - world.key('long/').length;
    const names = Array.from({ length: 110 }, (_, n) => String(n).padStart(longest, 'k'));
    const spec = (bytes: number) =>
      tree('long', Object.fromEntries(names.map(name => [name, 'x'.repeat(bytes)])));
    await kvs.declare('long', spec(2_669));
    await kvs.stalled('long', 'TooLarge');
    expect(await messageOf('long')).toContain(
      '110 keys of 56320 bytes, each carried twice, and 293590 bytes',
    );
    expect(transactions('long/')).toEqual([]);
    await kvs.declareReady('long', spec(2_390));
    expect(transactions('long/')).toHaveLength(1);
  });
});

describe('a value from a ConfigMap', () => {
  test('may have 350,000 bytes, and not one more', async () => {
    await world.configMap('limit', { value: 'x'.repeat(MAX_VALUE_BYTES + 1) });
    const valueFrom = { configMapKeyRef: { name: 'limit', key: 'value' } };
    await kvs.declare('limit', { key: world.key('limit'), valueFrom });
    await kvs.stalled('limit', 'TooLarge');
    expect(await messageOf('limit')).toContain('350001 bytes');
    expect(await world.stored('limit')).toEqual({});
    await world.configMap('limit', { value: 'x'.repeat(MAX_VALUE_BYTES) });
    await kvs.ready('limit');
    expect((await world.stored('limit'))['']).toHaveLength(MAX_VALUE_BYTES);
    await world.configMap('limit', { value: 'x'.repeat(MAX_VALUE_BYTES + 1) });
    await kvs.stalled('limit', 'TooLarge');
    expect((await world.stored('limit'))['']).toHaveLength(MAX_VALUE_BYTES);
  });

  test('counts bytes, not characters', async () => {
    await world.configMap('wide', {
      value: 'é'.repeat(MAX_VALUE_BYTES / 2),
      more: 'é'.repeat(MAX_VALUE_BYTES / 2 + 1),
    });
    const from = (key: string) => ({ configMapKeyRef: { name: 'wide', key } });
    await kvs.declareReady('wide', { key: world.key('wide'), valueFrom: from('value') });
    await kvs.change('wide', { valueFrom: from('more') });
    await kvs.stalled('wide', 'TooLarge');
  });
});

describe('a tree of 1,500 names', () => {
  const sources = ['one', 'two', 'three'];
  const fill = (set: string) =>
    Promise.all(
      sources.map(source => world.configMap(`${set}-${source}`, entries(500, `${set}-${source}-`, set))),
    );
  const spec = (set: string) => ({
    prefix: world.key('big/'),
    dataFrom: sources.map(source => ({ configMapRef: { name: `${set}-${source}` } })),
  });
  /** How many names of each set a reader finds, at one moment. */
  const count = async () => {
    const values = Object.values(await world.stored('big/'));
    return {
      old: values.filter(value => value === 'old').length,
      next: values.filter(value => value === 'next').length,
    };
  };

  test('is written whole, exchanged without a name missing in between, and removed', async () => {
    await Promise.all([fill('old'), fill('next')]);
    const created = await kvs.declareReady('big', spec('old'));
    expect(created['status'].keys).toBe(1500);
    expect(await count()).toEqual({ old: 1500, next: 0 });

    await kvs.declare('big', spec('next'));
    const readings = [];
    for (let now = await count(); now.old > 0 || now.next < 1500; now = await count()) readings.push(now);
    await kvs.ready('big');
    expect(readings.filter(({ old, next }) => old < 1500 && next < 1500)).toEqual([]);
    // Or the readings would show nothing.
    expect(readings.some(({ next }) => next > 0)).toBe(true);
    expect(await count()).toEqual({ old: 0, next: 1500 });

    const after = await world.records();
    const owner = `ConsulKV/${world.namespace}/big`;
    expect(after[owner]).toMatchObject({ phase: 'settled' });
    const shards = Object.entries(after).filter(([key]) => key.startsWith(owner));
    expect(shards.flatMap(([, { names }]) => Object.keys(names))).toHaveLength(1500);
    expect(Math.max(...shards.map(([, { names }]) => Object.keys(names).length))).toBeLessThanOrEqual(40);

    await kvs.remove('big');
    expect(await world.stored('big/')).toEqual({});
    expect(Object.keys(await world.records()).filter(key => key.startsWith(owner))).toEqual([]);
  });
});
