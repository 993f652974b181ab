import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-suspend'));
});

afterAll(async () => world.close());

describe('a suspended resource', () => {
  test('stays Ready while Consul equals the spec', async () => {
    await kvs.declareReady('equal', { key: world.key('equal'), value: 'x' });
    await kvs.change('equal', { suspend: true });
    await kvs.suspended('equal', true);
    await kvs.remove('equal');
  });

  test('that is new writes nothing, and says what it would write', async () => {
    await kvs.declare('new', { key: world.key('new'), value: 'x', suspend: true });
    const { Ready } = conditionsOf(await kvs.suspended('new', false));
    expect(Ready?.message).toBe(`suspended: would write ${world.key('new')}`);
    expect(await world.stored('new')).toEqual({});
    expect(Object.keys(await world.records()).filter(key => key.endsWith('/new'))).toEqual([]);
    await kvs.remove('new');
  });

  test('leaves drift, sees it end, and puts it back when resumed', async () => {
    const key = world.key('drift');
    await kvs.declareReady('drift', { key, value: 'ours' });
    await kvs.change('drift', { suspend: true });
    await kvs.suspended('drift', true);
    await world.consul.kvPut(key, 'edited');
    await kvs.suspended('drift', false);
    await kvs.lookAgain('drift');
    expect(await world.stored('drift')).toEqual({ '': 'edited' });
    await world.consul.kvPut(key, 'ours');
    await kvs.suspended('drift', true);
    await world.consul.kvDelete(key);
    await kvs.suspended('drift', false);
    await kvs.changeReady('drift', { suspend: false });
    expect(await world.stored('drift')).toEqual({ '': 'ours' });
    expect((await kvs.event('drift', 'Resumed')).type).toBe('Normal');
  });

  test('takes a new wish when resumed, whether from its spec or from a source', async () => {
    await world.configMap('words', { a: 'one' });
    const dataFrom = [{ configMapRef: { name: 'words' } }];
    await kvs.declareReady('wish', { prefix: world.key('wish/'), dataFrom, data: { b: 'one' } });
    await kvs.change('wish', { suspend: true, data: { b: 'two' } });
    await kvs.suspended('wish', false);
    await world.configMap('words', { a: 'two' });
    await expect
      .poll(async () => conditionsOf(await kvs.get('wish'))['Ready']?.message)
      .toBe(`suspended: would write ${world.key('wish/a')}, ${world.key('wish/b')}`);
    expect(await world.stored('wish/')).toEqual({ a: 'one', b: 'one' });
    await kvs.changeReady('wish', { suspend: null });
    expect(await world.stored('wish/')).toEqual({ a: 'two', b: 'two' });
    await kvs.event('wish', 'Resumed');
  });

  test.each([
    { deletionPolicy: 'Delete', left: {} },
    { deletionPolicy: 'Retain', left: { '': 'x' } },
  ])('is deleted as $deletionPolicy says', async ({ deletionPolicy, left }) => {
    const name = `deleted-${deletionPolicy.toLowerCase()}`;
    await kvs.declareReady(name, { key: world.key(name), value: 'x', deletionPolicy });
    await kvs.change(name, { suspend: true });
    await kvs.suspended(name, true);
    await kvs.remove(name);
    await expect
      .poll(async () => Object.keys(await world.records()).filter(key => key.endsWith(name)))
      .toEqual([]);
    expect(await world.stored(name)).toEqual(left);
  });

  test('is not stalled by what it would meet, and meets it when resumed', async () => {
    await world.consul.kvPut(world.key('blocked'), 'theirs');
    await kvs.declare('blocked', { key: world.key('blocked'), value: 'ours', suspend: true });
    await kvs.suspended('blocked', false);
    await kvs.lookAgain('blocked');
    await kvs.suspended('blocked', false);
    expect(await world.stored('blocked')).toEqual({ '': 'theirs' });
    await kvs.change('blocked', { suspend: false });
    await kvs.stalled('blocked', 'AlreadyExists');
  });

  test('does not wait for a source before it is resumed', async () => {
    const valueFrom = { configMapKeyRef: { name: 'nowhere', key: 'x' } };
    await kvs.declare('sourceless', { key: world.key('sourceless'), valueFrom, suspend: true });
    const { Ready } = conditionsOf(await kvs.suspended('sourceless', false));
    expect(Ready?.message).toBe('suspended: ConfigMap nowhere does not exist');
    await kvs.change('sourceless', { suspend: false });
    await kvs.waiting('sourceless', 'SourceNotFound');
  });

  test('is Ready though nobody owns the key yet, if what stands there equals the spec', async () => {
    const key = world.key('unowned');
    await world.consul.kvPut(key, 'same');
    await kvs.declare('unowned', { key, value: 'same', suspend: true });
    await kvs.suspended('unowned', true);
    expect(Object.keys(await world.records()).filter(record => record.endsWith('/unowned'))).toEqual([]);
    await kvs.changeReady('unowned', { suspend: false });
    await kvs.event('unowned', 'Adopted');
  });

  test('stays Ready when only its policies change, which it takes up when resumed', async () => {
    await kvs.declareReady('policies', { key: world.key('policies'), value: 'x' });
    await kvs.change('policies', { suspend: true, deletionPolicy: 'Retain' });
    const suspended = await kvs.suspended('policies', true);
    // Until the record says Retain the finalizer stays.
    expect(suspended.metadata.finalizers).toEqual(['proconsul.dev/finalizer']);
    const resumed = await kvs.changeReady('policies', { suspend: false });
    expect(resumed.metadata.finalizers).toBeUndefined();
  });
});

describe('the annotation reconcile-at', () => {
  test('makes the operator look at Consul itself, and is echoed', async () => {
    const key = world.key('asked');
    await kvs.declareReady('asked', { key, value: 'x' });
    const before = await world.consul.kvGet(key);
    const requests = world.toConsul.requests.length;
    await kvs.lookAgain('asked');
    const looks = world.toConsul.requests.slice(requests);
    expect(looks.some(request => request.method === 'PUT' && request.body.includes(`"Key":"${key}"`))).toBe(
      true,
    );
    expect(looks.filter(isConsulWrite)).toEqual([]);
    expect(await world.consul.kvGet(key)).toEqual(before);
  });

  test('costs one status write and no more when nothing else changed', async () => {
    await kvs.declareReady('cheap', { key: world.key('cheap'), value: 'x' });
    const writes = world.toKube.count(isKubernetesWrite);
    await kvs.lookAgain('cheap');
    await kvs.lookAgain('cheap');
    expect(world.toKube.count(isKubernetesWrite) - writes).toBe(2);
  });

  test('is echoed by a resource that waits, too', async () => {
    const configMapKeyRef = { name: 'nowhere', key: 'x' };
    await kvs.declare('waits', { key: world.key('waits'), valueFrom: { configMapKeyRef } });
    await kvs.waiting('waits', 'SourceNotFound');
    await kvs.lookAgain('waits');
    await kvs.waiting('waits', 'SourceNotFound');
  });
});
