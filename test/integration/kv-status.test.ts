import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, ConsulKvs, turnsOf } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import type { RecordedRequest } from '../support/fault-rules.ts';
import type { KubeObject } from '../support/kube-api.ts';
import type { Operator } from '../support/operator.ts';
import { isKubernetesWrite, isWritingTransaction } from '../support/traffic.ts';
import { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;
let operator: Operator;

beforeAll(async () => {
  world = await World.create('kv-status');
  kvs = new ConsulKvs(world);
  // Nobody collects there: traces are made all the same, and what they leave in a status is tested here.
  operator = await world.startOperator({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
});

afterEach(() => {
  world.toKube.heal();
  world.toConsul.heal();
});

afterAll(async () => world.close());

const typesOf = (object: KubeObject) => Object.keys(conditionsOf(object)).sort();
const transitionOf = (object: KubeObject, type: string) => conditionsOf(object)[type]?.lastTransitionTime;

/** Times in a status are whole seconds: what happens after this has another one. */
async function untilTheSecondAfter(time: string): Promise<void> {
  await eventually(() => Date.now() >= Date.parse(time) + 1000, { what: `a second after ${time}` });
}

describe('conditions', () => {
  test('are Ready and Drifted, and Reconciling or Stalled only while they are true', async () => {
    const key = world.key('phases');
    const valueFrom = { configMapKeyRef: { name: 'phases', key: 'x' } };
    await kvs.declare('phases', { key, valueFrom });
    expect(typesOf(await kvs.waiting('phases', 'SourceNotFound'))).toEqual([
      'Drifted',
      'Ready',
      'Reconciling',
    ]);
    await world.configMap('phases', { x: 'x'.repeat(350_001) });
    expect(typesOf(await kvs.stalled('phases', 'TooLarge'))).toEqual(['Drifted', 'Ready', 'Stalled']);
    await world.configMap('phases', { x: 'x' });
    expect(typesOf(await kvs.ready('phases'))).toEqual(['Drifted', 'Ready']);
    await kvs.change('phases', { suspend: true });
    expect(typesOf(await kvs.suspended('phases', true))).toEqual(['Drifted', 'Ready']);
    await kvs.change('phases', { suspend: false, driftPolicy: 'Report' });
    await kvs.ready('phases');
    await world.consul.kvPut(key, 'edited');
    expect(typesOf(await kvs.drifted('phases'))).toEqual(['Drifted', 'Ready']);
  });

  test('of a resource that stands still say the same as Ready: reason and message', async () => {
    await kvs.declare('words', {
      key: world.key('words'),
      valueFrom: { configMapKeyRef: { name: 'words', key: 'x' } },
    });
    const { Ready, Reconciling } = conditionsOf(await kvs.waiting('words', 'SourceNotFound'));
    expect(Reconciling).toMatchObject({ reason: Ready?.reason, message: Ready?.message });
  });

  test('move lastTransitionTime when the status flips and not otherwise', async () => {
    const key = world.key('flips');
    const first = await kvs.declareReady('flips', { key, value: '1' });
    const since = transitionOf(first, 'Ready') as string;
    await untilTheSecondAfter(since);
    const second = await kvs.changeReady('flips', { value: '2' });
    expect(transitionOf(second, 'Ready')).toBe(since);
    expect(second['status'].lastAppliedTime > first['status'].lastAppliedTime).toBe(true);
    await kvs.change('flips', { value: '3', suspend: true });
    const third = await kvs.suspended('flips', false);
    expect(transitionOf(third, 'Ready')! > since).toBe(true);
    expect(transitionOf(third, 'Drifted')).toBe(transitionOf(first, 'Drifted'));
  });

  test('speak of the generation they were decided on, also when nothing is written', async () => {
    const first = await kvs.declareReady('generations', { key: world.key('generations'), value: 'x' });
    const second = await kvs.changeReady('generations', { driftPolicy: 'Ignore' });
    expect(second.metadata.generation).toBe(first.metadata.generation! + 1);
    // `ready` has compared every observedGeneration with metadata.generation.
    expect(second['status'].lastAppliedTime).toBe(first['status'].lastAppliedTime);
  });
});

describe('the other fields', () => {
  test('tell what is in effect, defaults filled in', async () => {
    const ready = await kvs.declareReady('effective', { key: world.key('effective'), value: 'x' });
    expect(ready['status'].effective).toEqual({
      deletionPolicy: 'Delete',
      adoptionPolicy: 'IfEqual',
      driftPolicy: 'Correct',
      datacenter: 'dc1',
      drift: 'Watched',
    });
    const policies = { deletionPolicy: 'Retain', adoptionPolicy: 'Always', driftPolicy: 'Report' };
    expect((await kvs.changeReady('effective', policies))['status'].effective).toMatchObject(policies);
    // Nothing of it is written into what the user declared.
    expect((await kvs.get('effective'))['spec']).toEqual({
      key: world.key('effective'),
      value: 'x',
      ...policies,
    });
  });

  test('count the keys', async () => {
    const spec = { prefix: world.key('counted/') };
    expect((await kvs.declareReady('counted', { ...spec, data: { a: '1', b: '2' } }))['status'].keys).toBe(2);
    expect((await kvs.declareReady('counted', { ...spec, data: { b: '2' } }))['status'].keys).toBe(1);
  });

  test('name the content by a hash that changes with it and tells nothing about it', async () => {
    const key = world.key('hashed');
    const hashOf = (object: KubeObject) => object['status'].hash as string;
    const one = hashOf(await kvs.declareReady('hashed', { key, value: 'guess me' }));
    const two = hashOf(await kvs.changeReady('hashed', { value: 'and me' }));
    const flagged = hashOf(await kvs.changeReady('hashed', { flags: 1 }));
    const back = hashOf(await kvs.changeReady('hashed', { value: 'guess me', flags: null }));
    expect(new Set([one, two, flagged]).size).toBe(3);
    expect(back).toBe(one);
    const raw = Buffer.from(one, 'base64url');
    for (const algorithm of ['md5', 'sha1', 'sha256', 'sha512']) {
      for (const text of ['guess me', `${key}guess me`, `${key}\0guess me`, `${key}\x000\0guess me`]) {
        const plain = createHash(algorithm).update(text).digest();
        expect(plain.subarray(0, raw.length)).not.toEqual(raw);
      }
    }
  });

  test('keep lastAppliedTime when the operator looked and found nothing to do', async () => {
    const before = await kvs.declareReady('unmoved', { key: world.key('unmoved'), value: 'x' });
    await untilTheSecondAfter(before['status'].lastAppliedTime);
    const after = await kvs.lookAgain('unmoved');
    expect(after['status'].lastAppliedTime).toBe(before['status'].lastAppliedTime);
  });

  test('tell when something was written, and the Event what, though the status lost a race', async () => {
    const isStatus = ({ method, path }: RecordedRequest) =>
      method === 'PATCH' && path.endsWith('/raced/status');
    const status = world.toKube.when(isStatus, { kind: 'hold' }, { times: 1 });
    await kvs.declare('raced', { key: world.key('raced'), value: 'x' });
    await world.toKube.waitFor(request => status.hits.includes(request));
    await world.kube.patch(kvs.object('raced'), { metadata: { annotations: { by: 'somebody' } } });
    world.toKube.heal();
    const { status: told } = await kvs.ready('raced');
    expect(status.hits.map(({ upstreamStatus }) => upstreamStatus)).toEqual([409]);
    expect(told).toHaveProperty('lastAppliedTime');
    expect((await kvs.event('raced', 'Created')).note).toBe(`write ${world.key('raced')}`);
  });

  test('name the trace of the turn that wrote them, which is never a reason to write', async () => {
    await world.configMap('quiet', { x: '1' });
    const valueFrom = { configMapKeyRef: { name: 'quiet', key: 'x' } };
    const before = await kvs.declareReady('quiet', { key: world.key('quiet'), valueFrom });
    expect(before['status'].lastTraceID).toMatch(/^[0-9a-f]{32}$/);
    const [looked, writes] = [await turnsOf(operator), world.toKube.count(isKubernetesWrite)];
    await world.configMap('quiet', { x: '1', y: 'of no interest' });
    await eventually(async () => (await turnsOf(operator)) > looked, { what: 'another turn' });
    expect(world.toKube.count(isKubernetesWrite)).toBe(writes);
    expect((await kvs.get('quiet'))['status']).toEqual(before['status']);
  });

  test('are taken back when somebody else writes them', async () => {
    const before = await kvs.declareReady('forged', { key: world.key('forged'), value: 'x' });
    await world.kube.patch(
      kvs.object('forged'),
      { status: { keys: 99, hash: 'forged', conditions: [] } },
      'status',
    );
    await kvs.lookAgain('forged');
    const after = await kvs.ready('forged');
    expect(after['status']).toMatchObject({ keys: 1, hash: before['status'].hash });
  });
});

describe('the operator', () => {
  test('touches nothing but the status and its finalizer', async () => {
    const declared = await kvs.declare('untouched', { key: world.key('untouched'), value: 'x' });
    const ready = await kvs.ready('untouched');
    const { generation, labels, annotations, ownerReferences } = ready.metadata as KubeObject['metadata'] & {
      ownerReferences?: unknown;
    };
    expect({ generation, labels, annotations, ownerReferences }).toEqual({
      generation: declared.metadata.generation,
    });
    expect(ready['spec']).toEqual(declared['spec']);
    expect(ready.metadata.finalizers).toEqual(['proconsul.dev/finalizer']);
  });
});

describe('Events', () => {
  const reasonsOf = async (name: string) => (await kvs.events(name)).map(({ reason }) => reason).sort();

  test('tell a creation, an update and a deletion, once each', async () => {
    await kvs.declareReady('told', { prefix: world.key('told/'), data: { a: '1', b: '1' } });
    expect((await kvs.event('told', 'Created')).note).toBe(
      `write ${world.key('told/a')}, ${world.key('told/b')}`,
    );
    await kvs.declareReady('told', { prefix: world.key('told/'), data: { a: '2' } });
    expect((await kvs.event('told', 'Updated')).note).toBe(
      `write ${world.key('told/a')}; delete ${world.key('told/b')}`,
    );
    await kvs.remove('told');
    expect((await kvs.event('told', 'Deleted')).note).toBe(`removed ${world.key('told/a')}`);
    expect(await reasonsOf('told')).toEqual(['Created', 'Deleted', 'Updated']);
    expect((await kvs.events('told')).map(({ type }) => type)).toEqual(['Normal', 'Normal', 'Normal']);
  });

  test('count what is repeated as a series', async () => {
    const key = world.key('series');
    await kvs.declareReady('series', { key, value: 'ours' });
    for (const times of [1, 2, 3]) {
      await world.consul.kvPut(key, `edit ${times}`);
      await eventually(
        async () => expect(await kvs.event('series', 'DriftCorrected')).toMatchObject({ count: times }),
        { what: `drift was told ${times} times` },
      );
    }
    expect(await reasonsOf('series')).toEqual(['Created', 'DriftCorrected']);
  });

  test('warn of a stall with its reason, and not of the same one again', async () => {
    await world.consul.kvPut(world.key('warned'), 'theirs');
    await kvs.declare('warned', { key: world.key('warned'), value: 'ours' });
    await kvs.stalled('warned', 'AlreadyExists');
    const { type, note } = await kvs.event('warned', 'Stalled');
    expect({ type, note }).toEqual({ type: 'Warning', note: expect.stringContaining(world.key('warned')) });
    await kvs.lookAgain('warned');
    await kvs.declareReady('after-warned', { key: world.key('after-warned'), value: 'x' });
    // Events are sent in order: that of a later resource comes after all of this one's.
    await kvs.event('after-warned', 'Created');
    expect(await kvs.event('warned', 'Stalled')).toMatchObject({ count: 1 });
  });

  test('tell of a deletion that cannot go on, and the resource says why', async () => {
    await kvs.declareReady('blocked', { key: world.key('blocked'), value: 'x' });
    const denied = JSON.stringify({
      Results: null,
      Errors: [{ OpIndex: 0, What: 'Permission denied: token lacks permission' }],
    });
    world.toConsul.when(isWritingTransaction, { kind: 'reply', status: 409, body: denied });
    await world.kube.delete(kvs.object('blocked'));
    const { type } = await kvs.event('blocked', 'DeletionBlocked');
    expect(type).toBe('Warning');
    const { Ready } = conditionsOf(await kvs.get('blocked'));
    expect(Ready).toMatchObject({
      status: 'False',
      reason: 'DeletionBlocked',
      message: expect.stringContaining('Permission denied'),
    });
    world.toConsul.heal();
    await kvs.gone('blocked');
    expect(await world.stored('blocked')).toEqual({});
  });
});
