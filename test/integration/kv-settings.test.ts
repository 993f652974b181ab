import { afterEach, beforeEach, expect, test } from 'vitest';
import { conditionsOf, ConsulKvs } from '../support/consulkv.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import { isConsulWrite, isKubernetesWrite } from '../support/traffic.ts';
import { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeEach(async () => {
  world = await World.create('kv-settings');
  kvs = new ConsulKvs(world);
});

afterEach(async () => world.close());

const fromSecret = { secretKeyRef: { name: 'login', key: 'password' } };

test('a dry run says what it would write, and writes nothing to Consul', async () => {
  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await kvs.declare('dry', { prefix: world.key('dry/'), data: { a: '1', b: '2' } });
  const { Ready } = conditionsOf(await kvs.stands('dry', { ready: 'False', reason: 'DryRun' }));
  expect(Ready?.message).toContain(`would write ${world.key('dry/a')}, ${world.key('dry/b')}`);
  await kvs.lookAgain('dry');
  expect(world.toConsul.requests.filter(isConsulWrite)).toEqual([]);
  expect(await world.stored()).toEqual({});
});

test('a dry run writes nothing to Kubernetes but status, and holds back no deletion of what owns nothing', async () => {
  await world.consul.kvPut(world.key('foreign'), 'theirs');
  await world.startOperator({ PROCONSUL_DRY_RUN: 'true' });
  await kvs.declare('dry', { key: world.key('dry'), value: 'x' });
  await kvs.declare('refused', { key: world.key('foreign'), value: 'x' });
  await kvs.stands('dry', { ready: 'False', reason: 'DryRun' });
  await kvs.stalled('refused', 'AlreadyExists');
  for (const name of ['dry', 'refused']) {
    await kvs.lookAgain(name);
    expect((await kvs.get(name)).metadata.finalizers).toBeUndefined();
    await kvs.remove(name);
  }
  const inNamespace = ({ path }: RecordedRequest) =>
    path.includes(`/namespaces/${world.namespace}/consulkvs/`);
  const written = world.toKube.requests.filter(isKubernetesWrite).filter(inNamespace);
  expect(written.filter(({ path }) => !path.endsWith('/status'))).toEqual([]);
  expect(await world.stored()).toEqual({ foreign: 'theirs' });
});

test('a Secret is not read where the settings do not allow it, and the message names the value to set', async () => {
  await world.secret('login', { password: 'x' });
  await world.startOperator({ PROCONSUL_SECRET_NAMESPACES: '' });
  await kvs.declare('secret', { key: world.key('secret'), valueFrom: fromSecret });
  const { Ready } = conditionsOf(await kvs.waiting('secret', 'SourceForbidden'));
  expect(Ready?.message).toContain('secrets.namespaces');
  expect(world.toKube.requests.filter(({ path }) => path.includes('/secrets'))).toEqual([]);
  await kvs.declareReady('plain', { key: world.key('plain'), value: 'x' });
});

test('a Secret is read where the settings name the namespace', async () => {
  await world.secret('login', { password: 'x' });
  await world.startOperator({ PROCONSUL_SECRET_NAMESPACES: world.namespace });
  await kvs.declareReady('secret', { key: world.key('secret'), valueFrom: fromSecret });
  expect(await world.stored('secret')).toEqual({ '': 'x' });
});

test('a namespace that is not named is none of its business', async () => {
  const elsewhere = await World.create('kv-elsewhere');
  try {
    await elsewhere.startOperator({ PROCONSUL_NAMESPACES: world.namespace });
    await new ConsulKvs(elsewhere).declare('ignored', { key: elsewhere.key('ignored'), value: 'x' });
    await kvs.declareReady('seen', { key: world.key('seen'), value: 'x' });
    expect((await new ConsulKvs(elsewhere).get('ignored'))['status']).toEqual({ observedGeneration: -1 });
    expect(await elsewhere.stored('ignored')).toEqual({});
  } finally {
    await elsewhere.close();
  }
});
