import { describe, expect, test } from 'vitest';
import { consulError } from '../../../../src/consul/errors.ts';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { decodeRecords, listedNames } from '../../../../src/ownership/record.ts';
import { crashed, KvProcess, ModelCluster } from '../../../support/kv-process.ts';
import { ModelConsul } from '../../../support/model-consul.ts';
import { signal } from '../../../support/consul-client.ts';

const consul = () => new ModelConsul();
const cluster = () => new ModelCluster();
const single = (key: string, value: string, more: object = {}) => ({ key, value, ...more });
const tree = (prefix: string, data: object, more: object = {}) => ({ prefix, data, ...more });
const many = (count: number, value = 'x') =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${String(n).padStart(3, '0')}`, value]));
const big = (count: number) => many(count, 'v'.repeat(200_000));

/** What the users' part of the key space holds. */
const data = (model: ModelConsul) =>
  Object.fromEntries(Object.entries(model.texts()).filter(([key]) => !key.startsWith('proconsul')));

/** Which records list each key. */
async function listers(model: ModelConsul, key: string): Promise<string[]> {
  const { value } = await model.kv.list('proconsul/', { signal });
  const installs = new Set(value.map(entry => entry.key.split('/')[1] as string));
  return [...installs].flatMap(install =>
    decodeRecords(install, value)
      .filter(record => (listedNames(record).get(key) ?? '') !== '')
      .map(({ ref }) => `${install}:${ref.name}`),
  );
}

describe('one resource', () => {
  test('is written in one transaction of two operations, and then rests', async () => {
    const [model, api] = [consul(), cluster()];
    const operator = await KvProcess.start({ consul: model, cluster: api });
    const ref = api.apply('one', single('a/b', 'x'));
    const before = model.transactions.length;
    expect(await operator.turn(ref)).toEqual({ kind: 'done' });
    expect(model.transactions.slice(before).map(({ operations }) => operations.map(({ Verb }) => Verb))).toEqual([
      ['cas', 'cas'],
    ]);
    expect(api.condition(ref)).toBe('True Applied: 1 key in Consul equals the spec');
    const [writes, statuses] = [model.transactions.length, api.statusWrites];
    await operator.turn(ref);
    expect([model.transactions.length, api.statusWrites]).toEqual([writes, statuses]);
  });

  test('goes with all it wrote, and with nothing else', async () => {
    const [model, api] = [consul(), cluster()];
    const operator = await KvProcess.start({ consul: model, cluster: api });
    model.store.put('a/other', 'theirs');
    const ref = api.apply('one', tree('a/', { x: '1', y: '2' }));
    await operator.settle(ref);
    api.delete(ref);
    await operator.settle(ref);
    expect(api.get(ref)).toBeUndefined();
    expect(data(model)).toEqual({ 'a/other': 'theirs' });
    expect(await listers(model, 'a/x')).toEqual([]);
  });

  test('an optional source that is missing leaves it with nothing, and what it had is removed', async () => {
    const [model, api] = [consul(), cluster()];
    const operator = await KvProcess.start({ consul: model, cluster: api });
    const configMapKeyRef = { name: 'source', key: 'k', optional: true };
    const ref = api.apply('one', { key: 'a/b', valueFrom: { configMapKeyRef } });
    await operator.settle(ref);
    expect([data(model), model.transactions.length]).toEqual([{}, 1]);
    api.sources.set('ConfigMap/shop/source', { k: 'from source' });
    await operator.settle(ref);
    expect(data(model)).toEqual({ 'a/b': 'from source' });
    api.sources.delete('ConfigMap/shop/source');
    await operator.settle(ref);
    expect([data(model), api.condition(ref)]).toEqual([{}, 'True Applied: 0 keys in Consul equal the spec']);
  });

  test('that exists already writes nothing at all, not even a record, however large the rest of it is', async () => {
    const [model, api] = [consul(), cluster()];
    const operator = await KvProcess.start({ consul: model, cluster: api });
    model.store.put('t/n004', 'theirs');
    const before = model.transactions.length;
    const ref = api.apply('one', tree('t/', big(5)));
    await operator.settle(ref);
    expect(api.condition(ref)).toContain('False AlreadyExists');
    expect([data(model), model.transactions.length]).toEqual([{ 't/n004': 'theirs' }, before]);
  });

  test('suspended says so whatever stands in the way, and does not stall', async () => {
    const [model, api] = [consul(), cluster()];
    const operator = await KvProcess.start({ consul: model, cluster: api });
    const configMapKeyRef = { name: 'none', key: 'k' };
    const waiting = api.apply('waiting', { key: 'w', valueFrom: { configMapKeyRef }, suspend: true });
    model.store.put('there', 'theirs');
    const blocked = api.apply('blocked', tree('', {}, { ...single('there', 'ours'), suspend: true }));
    const ref = api.apply('blocked-tree', { ...tree('ex/', { a: '1' }), exclusive: true, suspend: true });
    model.store.put('ex/other', 'theirs');
    for (const each of [waiting, ref]) {
      expect(await operator.settle(each)).toEqual({ kind: 'done' });
      expect(api.condition(each)).toMatch(/^False Suspended: suspended: /);
      expect(api.condition(each, 'Stalled')).toBeUndefined();
    }
    expect(blocked.name).toBe('blocked');
  });
});

describe('two resources that want the same at the same moment', () => {
  const atOnce = async (operator: KvProcess, refs: readonly ResourceRef[]) => {
    await Promise.all(refs.map(ref => operator.turn(ref)));
    for (let round = 0; round < 3; round++) for (const ref of refs) await operator.settle(ref);
  };
  const reasons = (api: ModelCluster, refs: readonly ResourceRef[]) =>
    refs.map(ref => api.condition(ref)?.split(' ')[1]?.replace(':', '')).sort();

  /** Commits nothing before both have handed in what they want, so that it travels in one transaction. */
  const together = (waiting: number) => waiting < 2;

  test('a key that stands there already is adopted by one of them', async () => {
    const [model, api] = [consul(), cluster()];
    model.store.put('k', 'same');
    const operator = await KvProcess.start({ consul: model, cluster: api });
    const racing = new KvProcess({ consul: model, cluster: api, othersRunnable: together });
    racing.fingerprinter.use(operator.fingerprinter.key as Buffer);
    await racing.ledgerSync.load();
    const refs = [api.apply('one', single('k', 'same')), api.apply('two', single('k', 'same'))];
    const turns = Promise.all(refs.map(ref => racing.turn(ref)));
    await settledWith(racing, turns);
    await atOnce(racing, []);
    const after = await KvProcess.start({ consul: model, cluster: api });
    for (const ref of refs) await after.settle(ref);
    expect(reasons(api, refs)).toEqual(['Applied', 'Conflict']);
    expect(await listers(model, 'k')).toHaveLength(1);
  });
});

async function settledWith(operator: KvProcess, turns: Promise<unknown>): Promise<void> {
  let done = false;
  void turns.finally(() => {
    done = true;
  });
  while (!done) {
    await new Promise(resolve => setImmediate(resolve));
    operator.clock.advance(250);
  }
}
void consulError;
void crashed;
