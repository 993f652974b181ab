import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isWritingTransaction } from '../support/traffic.ts';
import type { World } from '../support/world.ts';

const FINALIZER = 'proconsul.dev/finalizer';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-own'));
});

afterEach(() => {
  world.toKube.heal();
  world.toConsul.heal();
});

afterAll(async () => world.close());

const recordOf = async (name: string) => (await world.records())[`ConsulKV/${world.namespace}/${name}`];
const finalizersOf = async (name: string) => (await kvs.get(name)).metadata.finalizers ?? [];

describe('deletionPolicy', () => {
  test('Delete holds the resource until its keys are gone, and takes no others', async () => {
    await kvs.declareReady('held', { prefix: world.key('held/'), data: { a: '1', b: '2' } });
    expect(await finalizersOf('held')).toEqual([FINALIZER]);
    await world.consul.kvPut(world.key('held/foreign'), 'theirs');
    const stuck = world.toConsul.when(isWritingTransaction, { kind: 'hold' });
    await world.kube.delete(kvs.object('held'));
    await world.toConsul.waitFor(request => stuck.hits.includes(request));
    expect((await kvs.get('held')).metadata.deletionTimestamp).toBeDefined();
    world.toConsul.heal();
    await kvs.gone('held');
    expect(await world.stored('held/')).toEqual({ foreign: 'theirs' });
    expect(await recordOf('held')).toBeUndefined();
  });

  test('Delete removes a key that was edited meanwhile, too', async () => {
    const key = world.key('edited');
    await kvs.declareReady('edited', { key, value: 'ours', driftPolicy: 'Report' });
    await world.consul.kvPut(key, 'edited');
    await kvs.drifted('edited');
    await kvs.remove('edited');
    expect(await world.stored('edited')).toEqual({});
  });

  test('Delete has nothing to do for keys that are gone already', async () => {
    const key = world.key('absent');
    await kvs.declareReady('absent', { key, value: 'ours', driftPolicy: 'Ignore' });
    await world.consul.kvDelete(key);
    await kvs.remove('absent');
    expect(await recordOf('absent')).toBeUndefined();
  });

  test('Retain holds nothing, keeps the keys, and lets go of them', async () => {
    const spec = { prefix: world.key('kept/'), data: { a: '1' }, deletionPolicy: 'Retain' };
    await kvs.declareReady('kept', spec);
    expect(await finalizersOf('kept')).toEqual([]);
    await kvs.remove('kept');
    await eventually(async () => expect(await recordOf('kept')).toBeUndefined(), {
      what: 'the record is gone',
    });
    expect(await world.stored('kept/')).toEqual({ a: '1' });
    // Nobody owns it now: the next one to declare it as it is may have it.
    await kvs.declareReady('heir', { ...spec, adoptionPolicy: 'IfEqual' });
  });

  test.each(['Delete', 'Retain'])('%s removes a name that is taken out of the spec', async deletionPolicy => {
    const name = `shrinks-${deletionPolicy.toLowerCase()}`;
    const spec = { prefix: world.key(`${name}/`), deletionPolicy };
    await kvs.declareReady(name, { ...spec, data: { a: '1', b: '2', c: '3' } });
    await kvs.declareReady(name, { ...spec, data: { b: '2' } });
    expect(await world.stored(`${name}/`)).toEqual({ b: '2' });
    await kvs.remove(name);
    expect(await world.stored(`${name}/`)).toEqual(deletionPolicy === 'Retain' ? { b: '2' } : {});
  });

  test('can be switched to Retain: the record first, then the finalizer', async () => {
    const switched = { key: world.key('to-retain'), value: 'x' };
    await kvs.declareReady('to-retain', switched);
    const record = world.toConsul.when(isWritingTransaction, { kind: 'hold' });
    await kvs.change('to-retain', { deletionPolicy: 'Retain' });
    await world.toConsul.waitFor(request => record.hits.includes(request));
    expect(await finalizersOf('to-retain')).toEqual([FINALIZER]);
    world.toConsul.heal();
    await kvs.ready('to-retain');
    expect(await finalizersOf('to-retain')).toEqual([]);
    expect(await recordOf('to-retain')).toMatchObject({ onDelete: 'Retain' });
    await kvs.remove('to-retain');
    expect(await world.stored('to-retain')).toEqual({ '': 'x' });
  });

  test('can be switched to Delete: the finalizer first, then the record', async () => {
    await kvs.declareReady('to-delete', {
      key: world.key('to-delete'),
      value: 'x',
      deletionPolicy: 'Retain',
    });
    const isFinalizerPatch = ({ method, body }: RecordedRequest) =>
      method === 'PATCH' && body.includes(FINALIZER);
    const finalizer = world.toKube.when(isFinalizerPatch, { kind: 'hold' });
    await kvs.change('to-delete', { deletionPolicy: 'Delete' });
    await world.toKube.waitFor(request => finalizer.hits.includes(request));
    expect(await recordOf('to-delete')).toMatchObject({ onDelete: 'Retain' });
    world.toKube.heal();
    await kvs.ready('to-delete');
    expect(await finalizersOf('to-delete')).toEqual([FINALIZER]);
    expect(await recordOf('to-delete')).toMatchObject({ onDelete: 'Delete' });
    await kvs.remove('to-delete');
    expect(await world.stored('to-delete')).toEqual({});
  });

  test('leaves the finalizers of others alone', async () => {
    await kvs.declareReady('shared', { key: world.key('shared'), value: 'x' });
    await world.kube.patch(kvs.object('shared'), {
      metadata: { finalizers: [FINALIZER, 'example.com/other'] },
    });
    await world.kube.delete(kvs.object('shared'));
    await eventually(async () => expect(await finalizersOf('shared')).toEqual(['example.com/other']), {
      what: 'our finalizer is gone',
    });
    expect(await world.stored('shared')).toEqual({});
    await world.kube.patch(kvs.object('shared'), { metadata: { finalizers: null } });
    await kvs.gone('shared');
  });
});

describe('adoptionPolicy', () => {
  const existing = 'what is there';

  test.each([
    { policy: 'Never', wish: existing, outcome: 'AlreadyExists' },
    { policy: 'Never', wish: 'other', outcome: 'AlreadyExists' },
    { policy: 'IfEqual', wish: existing, outcome: 'Adopted' },
    { policy: 'IfEqual', wish: 'other', outcome: 'AlreadyExists' },
    { policy: undefined, wish: existing, outcome: 'Adopted' },
    { policy: undefined, wish: 'other', outcome: 'AlreadyExists' },
    { policy: 'Always', wish: existing, outcome: 'Adopted' },
    { policy: 'Always', wish: 'other', outcome: 'Adopted' },
  ])(
    '$policy, with the wish "$wish" where "what is there" stands: $outcome',
    async ({ policy, wish, outcome }) => {
      const name = `adopt-${policy ?? 'default'}-${wish.replaceAll(' ', '-')}`.toLowerCase();
      const key = world.key(name);
      await world.consul.kvPut(key, existing);
      const before = await world.consul.kvGet(key);
      await kvs.declare(name, { key, value: wish, ...(policy && { adoptionPolicy: policy }) });
      if (outcome === 'AlreadyExists') {
        const stalled = await kvs.stalled(name, 'AlreadyExists');
        expect(conditionsOf(stalled)['Ready']?.message).toContain(key);
        expect(await world.consul.kvGet(key)).toEqual(before);
        expect(await recordOf(name)).toBeUndefined();
        await kvs.remove(name);
        expect(await world.consul.kvGet(key)).toEqual(before);
        return;
      }
      await kvs.ready(name);
      expect(await world.stored(name)).toEqual({ '': wish });
      // What already equals the wish is taken as it is.
      if (wish === existing) expect(await world.consul.kvGet(key)).toEqual(before);
      expect((await kvs.event(name, 'Adopted')).type).toBe('Normal');
      await kvs.remove(name);
      expect(await world.stored(name)).toEqual({});
    },
  );

  test('IfEqual compares flags, too', async () => {
    const key = world.key('other-flags');
    await world.consul.kvPut(key, 'x', { flags: 5n });
    await kvs.declare('other-flags', { key, value: 'x' });
    await kvs.stalled('other-flags', 'AlreadyExists');
    await kvs.changeReady('other-flags', { flags: 5 });
  });

  test('a tree of which one key stands there differently writes none of its keys', async () => {
    await world.consul.kvPut(world.key('half/b'), 'theirs');
    await kvs.declare('half', { prefix: world.key('half/'), data: { a: '1', b: '2', c: '3' } });
    const stalled = await kvs.stalled('half', 'AlreadyExists');
    expect(conditionsOf(stalled)['Ready']?.message).toContain(
      `adoptionPolicy IfEqual does not take them: ${world.key('half/b')}`,
    );
    expect(await world.stored('half/')).toEqual({ b: 'theirs' });
  });

  test('AlreadyExists holds nothing: the resource goes at once and the key stays', async () => {
    await world.consul.kvPut(world.key('not-ours'), 'theirs');
    await kvs.declare('not-ours', { key: world.key('not-ours'), value: 'ours' });
    await kvs.stalled('not-ours', 'AlreadyExists');
    expect(await finalizersOf('not-ours')).toEqual([]);
    await world.kube.delete(kvs.object('not-ours'));
    expect(await world.kube.get(kvs.object('not-ours'))).toBeUndefined();
    expect(await world.stored('not-ours')).toEqual({ '': 'theirs' });
    expect(await recordOf('not-ours')).toBeUndefined();
  });

  test('AlreadyExists ends by itself when the key goes, and when it becomes equal', async () => {
    for (const name of ['frees', 'equals']) {
      await world.consul.kvPut(world.key(name), 'theirs');
      await kvs.declare(name, { key: world.key(name), value: 'ours' });
      await kvs.stalled(name, 'AlreadyExists');
    }
    await world.consul.kvDelete(world.key('frees'));
    await world.consul.kvPut(world.key('equals'), 'ours');
    await kvs.ready('frees');
    await kvs.ready('equals');
    expect(await world.stored('frees')).toEqual({ '': 'ours' });
  });

  test('AlreadyExists ends when the policy allows more', async () => {
    await world.consul.kvPut(world.key('allowed'), 'theirs');
    await kvs.declare('allowed', { key: world.key('allowed'), value: 'ours' });
    await kvs.stalled('allowed', 'AlreadyExists');
    await kvs.changeReady('allowed', { adoptionPolicy: 'Always' });
    expect(await world.stored('allowed')).toEqual({ '': 'ours' });
  });

  test('Always does not take a key where somebody holds a lock, until it is released', async () => {
    const key = world.key('locked');
    const session = await world.consul.createSession();
    await world.consul.kvPut(key, 'theirs', { acquire: session });
    await kvs.declare('locked', { key, value: 'ours', adoptionPolicy: 'Always' });
    await kvs.stalled('locked', 'AlreadyExists');
    expect(await world.consul.kvGet(key)).toMatchObject({ text: 'theirs', session });
    await world.consul.destroySession(session);
    await kvs.ready('locked');
    expect(await world.stored('locked')).toEqual({ '': 'ours' });
  });

  test('concerns a name that is added later as well', async () => {
    const spec = { prefix: world.key('grows/'), data: { a: '1' } };
    await kvs.declareReady('grows', spec);
    await world.consul.kvPut(world.key('grows/b'), 'theirs');
    await kvs.change('grows', { data: { a: '2', b: '2' } });
    await kvs.stalled('grows', 'AlreadyExists');
    expect(await world.stored('grows/')).toEqual({ a: '1', b: 'theirs' });
    await kvs.changeReady('grows', { adoptionPolicy: 'Always' });
    expect(await world.stored('grows/')).toEqual({ a: '2', b: '2' });
  });
});
