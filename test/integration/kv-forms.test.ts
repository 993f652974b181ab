import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { KubeApiError } from '../support/kube-api.ts';
import { createRunningWorld } from '../support/running-world.ts';
import type { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-forms'));
});

afterAll(async () => world.close());

const bytes = Buffer.from([0, 1, 2, 0xff, 0xfe, 0x0a]);

describe('a single value', () => {
  test('is created, changed and deleted', async () => {
    await kvs.declareReady('single', { key: world.key('single'), value: 'one' });
    expect(await world.stored('single')).toEqual({ '': 'one' });
    await kvs.changeReady('single', { value: 'two' });
    expect(await world.stored('single')).toEqual({ '': 'two' });
    await kvs.remove('single');
    expect(await world.stored('single')).toEqual({});
  });

  test('may be empty', async () => {
    await kvs.declareReady('empty', { key: world.key('empty'), value: '' });
    expect((await world.consul.kvGet(world.key('empty')))?.value).toEqual(Buffer.alloc(0));
    await kvs.changeReady('empty', { value: 'x' });
    await kvs.changeReady('empty', { value: '' });
    expect(await world.stored('empty')).toEqual({ '': '' });
    await kvs.remove('empty');
    expect(await world.stored('empty')).toEqual({});
  });

  test('has flags up to 2^53 - 1, which change alone, too', async () => {
    const key = world.key('flagged');
    await kvs.declareReady('flagged', { key, value: 'x', flags: Number.MAX_SAFE_INTEGER });
    expect((await world.consul.kvGet(key))?.flags).toBe(BigInt(Number.MAX_SAFE_INTEGER));
    await kvs.changeReady('flagged', { flags: 7 });
    expect(await world.consul.kvGet(key)).toMatchObject({ text: 'x', flags: 7n });
    await kvs.changeReady('flagged', { flags: null });
    expect(await world.consul.kvGet(key)).toMatchObject({ text: 'x', flags: 0n });
  });

  test('leaves nothing of the operator behind when it is deleted', async () => {
    await kvs.declareReady('traceless', { key: world.key('traceless'), value: 'x' });
    expect(Object.keys(await world.records())).toContain(`ConsulKV/${world.namespace}/traceless`);
    await kvs.remove('traceless');
    expect(Object.keys(await world.records())).not.toContain(`ConsulKV/${world.namespace}/traceless`);
  });
});

describe.each([
  {
    source: 'ConfigMap',
    ref: 'configMapKeyRef',
    write: (name: string, data: Data) => world.configMap(name, data),
  },
  { source: 'Secret', ref: 'secretKeyRef', write: (name: string, data: Data) => world.secret(name, data) },
])('a value from a $source', ({ source, ref, write }) => {
  const named = (name: string) => `${name}-${source.toLowerCase()}`;
  const spec = (name: string, optional?: boolean) => ({
    key: world.key(named(name)),
    valueFrom: { [ref]: { name: named(name), key: 'word', ...(optional && { optional }) } },
  });
  const drop = (name: string) => world.kube.delete(world.object('v1', source, named(name)));

  test('follows it', async () => {
    await write(named('live'), { word: 'one' });
    await kvs.declareReady(named('live'), spec('live'));
    expect(await world.stored(named('live'))).toEqual({ '': 'one' });
    await write(named('live'), { word: 'two', other: 'x' });
    await world.becomesStored(named('live'), { '': 'two' });
    await kvs.remove(named('live'));
    expect(await world.stored(named('live'))).toEqual({});
  });

  test('waits for it, then for the entry in it', async () => {
    await kvs.declare(named('late'), spec('late'));
    const waits = await kvs.waiting(named('late'), 'SourceNotFound');
    expect(conditionsOf(waits)['Ready']?.message).toBe(`${source} ${named('late')} does not exist`);
    expect(waits.metadata.finalizers).toBeUndefined();
    await write(named('late'), { other: 'x' });
    const still = () => kvs.get(named('late'));
    await expect
      .poll(async () => conditionsOf(await still())['Ready']?.message)
      .toBe(`key word in ${source} ${named('late')} does not exist`);
    await write(named('late'), { word: 'there' });
    await kvs.ready(named('late'));
    expect(await world.stored(named('late'))).toEqual({ '': 'there' });
  });

  test('stays in Consul when it vanishes, and follows it again when it is back', async () => {
    await write(named('gone'), { word: 'last' });
    await kvs.declareReady(named('gone'), spec('gone'));
    await drop('gone');
    await kvs.waiting(named('gone'), 'SourceNotFound');
    expect(await world.stored(named('gone'))).toEqual({ '': 'last' });
    await write(named('gone'), { word: 'next' });
    await kvs.ready(named('gone'));
    expect(await world.stored(named('gone'))).toEqual({ '': 'next' });
  });

  test('is removed with its resource though the source is gone', async () => {
    await write(named('left'), { word: 'last' });
    await kvs.declareReady(named('left'), spec('left'));
    await drop('left');
    await kvs.waiting(named('left'), 'SourceNotFound');
    await kvs.remove(named('left'));
    expect(await world.stored(named('left'))).toEqual({});
  });

  test('that is optional is nothing while it is missing', async () => {
    const nothing = await kvs.declareReady(named('optional'), spec('optional', true));
    expect(nothing['status'].keys).toBe(0);
    expect(await world.stored(named('optional'))).toEqual({});
    await write(named('optional'), { word: 'here' });
    await world.becomesStored(named('optional'), { '': 'here' });
    await drop('optional');
    await world.becomesStored(named('optional'), {});
    await kvs.ready(named('optional'));
  });
});

describe('a tree', () => {
  test('is created, changed and deleted as declared, bytes and folders included', async () => {
    const prefix = world.key('tree/');
    await kvs.declareReady('tree', {
      prefix,
      data: { a: '1', 'limits/max': '100', empty: '' },
      binaryData: { blob: bytes.toString('base64') },
      flags: 42,
    });
    const entries = await world.consul.kvList(prefix);
    expect([...entries.keys()]).toEqual(['a', 'blob', 'empty', 'limits/max'].map(name => prefix + name));
    expect(entries.get(`${prefix}blob`)?.value).toEqual(bytes);
    expect(new Set([...entries.values()].map(({ flags }) => flags))).toEqual(new Set([42n]));
    await kvs.declareReady('tree', { prefix, data: { a: '2', 'limits/min': '1' }, flags: 42 });
    expect(await world.stored('tree/')).toEqual({ a: '2', 'limits/min': '1' });
    await kvs.remove('tree');
    expect(await world.stored('tree/')).toEqual({});
  });

  test('keeps names that mean something to JavaScript', async () => {
    const data = JSON.parse('{"__proto__":"x","constructor":"y","hasOwnProperty":"z"}');
    await kvs.declareReady('proto', { prefix: world.key('proto/'), data });
    const stored = [...(await world.consul.kvList(world.key('proto/'))).values()].map(({ text }) => text);
    expect(stored).toEqual(['x', 'y', 'z']);
    await kvs.remove('proto');
    expect((await world.consul.kvList(world.key('proto/'))).size).toBe(0);
  });

  test('takes later sources before earlier ones, data before all, and puts sub-paths between', async () => {
    await world.configMap(
      'base',
      { shared: 'base', base: 'b', top: 'base' },
      { raw: bytes.toString('base64') },
    );
    await world.configMap('over', { shared: 'over', over: 'o' });
    await world.secret('login', { user: 'u' });
    const sources = [
      { configMapRef: { name: 'base' } },
      { configMapRef: { name: 'over' } },
      { secretRef: { name: 'login' }, prefix: 'auth/db/' },
      { configMapRef: { name: 'nowhere', optional: true } },
    ];
    const spec = { prefix: world.key('order/'), dataFrom: sources, data: { top: 'data' } };
    await kvs.declareReady('order', spec);
    expect(await world.stored('order/')).toEqual({
      shared: 'over',
      base: 'b',
      over: 'o',
      top: 'data',
      raw: bytes.toString(),
      'auth/db/user': 'u',
    });
    await kvs.changeReady('order', { dataFrom: sources.slice(0, 2).toReversed(), data: null });
    expect(await world.stored('order/')).toEqual({
      shared: 'base',
      base: 'b',
      over: 'o',
      top: 'base',
      raw: bytes.toString(),
    });
  });

  test('follows every one of its sources, each name to its end', async () => {
    await world.configMap('settings', { a: '1', b: '1' });
    await world.secret('credentials', { password: 'p1' });
    const dataFrom = [
      { configMapRef: { name: 'settings' } },
      { secretRef: { name: 'credentials' }, prefix: 'login/' },
      { configMapRef: { name: 'extra', optional: true } },
    ];
    await kvs.declareReady('live-tree', { prefix: world.key('live-tree/'), dataFrom });
    await world.configMap('settings', { a: '2', c: '2' });
    await world.becomesStored('live-tree/', { a: '2', c: '2', 'login/password': 'p1' });
    await world.secret('credentials', { password: 'p2' });
    await world.becomesStored('live-tree/', { a: '2', c: '2', 'login/password': 'p2' });
    await world.configMap('extra', { a: '3' });
    await world.becomesStored('live-tree/', { a: '3', c: '2', 'login/password': 'p2' });
    await world.kube.delete(world.object('v1', 'ConfigMap', 'extra'));
    await world.becomesStored('live-tree/', { a: '2', c: '2', 'login/password': 'p2' });
    await world.kube.delete(world.object('v1', 'Secret', 'credentials'));
    await kvs.waiting('live-tree', 'SourceNotFound');
    expect(await world.stored('live-tree/')).toEqual({ a: '2', c: '2', 'login/password': 'p2' });
  });

  test('of 512 names in data and 512 in binaryData is whole', async () => {
    const names = Array.from({ length: 512 }, (_, n) => `n${n}`);
    const data = Object.fromEntries(names.map(name => [`text/${name}`, name]));
    const binaryData = Object.fromEntries(
      names.map(name => [`bin/${name}`, Buffer.from(name).toString('base64')]),
    );
    const ready = await kvs.declareReady('wide', { prefix: world.key('wide/'), data, binaryData });
    expect(ready['status'].keys).toBe(1024);
    expect(await world.stored('wide/text/')).toEqual(Object.fromEntries(names.map(name => [name, name])));
    expect(await world.stored('wide/bin/')).toEqual(Object.fromEntries(names.map(name => [name, name])));
    await kvs.remove('wide');
    expect(await world.stored('wide/')).toEqual({});
    expect(Object.keys(await world.records()).filter(key => key.includes('/wide'))).toEqual([]);
  });
});

describe('the place a resource declares', () => {
  test.each([
    ['another key', 'fixed', { key: 'elsewhere/x' }],
    ['a prefix instead', 'fixed', { key: null, value: null, prefix: 'elsewhere/', data: { a: '1' } }],
    ['another datacenter', 'fixed', { datacenter: 'dc2' }],
    ['another prefix', 'fixed-tree', { prefix: 'elsewhere/' }],
  ])('cannot be changed: %s', async (_what, name, patch) => {
    await kvs.declareReady('fixed', { key: world.key('fixed'), value: 'x' });
    await kvs.declareReady('fixed-tree', { prefix: world.key('fixed-tree/'), data: { a: 'x' } });
    const refusal = await kvs.change(name, patch).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(KubeApiError);
    expect(refusal).toMatchObject({ status: 422, message: expect.stringContaining('cannot be changed') });
    expect(await world.stored('fixed')).toEqual({ '': 'x', '-tree/a': 'x' });
  });

  test('can only be in the datacenter of the agent', async () => {
    await kvs.declare('abroad', { key: world.key('abroad'), value: 'x', datacenter: 'dc2' });
    await kvs.stalled('abroad', 'UnsupportedByConsul');
    expect(await world.stored('abroad')).toEqual({});
    await kvs.declareReady('at-home', { key: world.key('at-home'), value: 'x', datacenter: 'dc1' });
    expect(await world.stored('at-home')).toEqual({ '': 'x' });
  });
});

type Data = Readonly<Record<string, string>>;
