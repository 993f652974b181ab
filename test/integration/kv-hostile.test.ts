import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs, turnsOf } from '../support/consulkv.ts';
import type { Operator } from '../support/operator.ts';
import { createRunningWorld } from '../support/running-world.ts';
import { isTransaction, isWritingTransaction } from '../support/traffic.ts';
import type { World } from '../support/world.ts';
import { GOOD_KEYS } from '../unit/api/consulkv-keys.ts';

let world: World;
let kvs: ConsulKvs;
let operator: Operator;

beforeAll(async () => {
  ({ world, kvs, operator } = await createRunningWorld('kv-hostile'));
});

afterAll(async () => world.close());

const messageOf = async (name: string) => conditionsOf(await kvs.get(name))['Ready']?.message;

describe('names from a ConfigMap', () => {
  const long = 'n'.repeat(253);
  const folder = 'sub/'.repeat(60);
  const tree = (path: string, name: string) => ({
    prefix: world.key(`${path}/`),
    dataFrom: [{ configMapRef: { name }, prefix: folder }],
  });

  test('that make too long a key with the sub-path stop the whole tree, and say which', async () => {
    await world.configMap('long', { fine: 'x', [long]: 'x' });
    await kvs.declare('long', tree('long', 'long'));
    await kvs.stalled('long', 'InvalidSpec');
    expect(await messageOf('long')).toContain('is longer than 512 bytes');
    expect(await messageOf('long')).toContain(long);
    expect(await world.stored('long/')).toEqual({});
    await world.configMap('long', { fine: 'x' });
    await kvs.ready('long');
    expect(await world.stored('long/')).toEqual({ [`${folder}fine`]: 'x' });
  });

  test('that come later leave the tree as it is', async () => {
    await world.configMap('later', { fine: '1' });
    await kvs.declareReady('later', tree('later', 'later'));
    await world.configMap('later', { fine: '2', [long]: 'x' });
    await kvs.stalled('later', 'InvalidSpec');
    expect(await world.stored('later/')).toEqual({ [`${folder}fine`]: '1' });
    await kvs.remove('later');
    expect(await world.stored('later/')).toEqual({});
  });

  test('that begin with dots are only names', async () => {
    const data = { '.hidden': '1', 'a..b': '2', '-': '3', _: '4' };
    await world.configMap('dots', data);
    await kvs.declareReady('dots', {
      prefix: world.key('dots/'),
      dataFrom: [{ configMapRef: { name: 'dots' } }],
    });
    expect(await world.stored('dots/')).toEqual(data);
  });
});

describe('keys of every legal kind', () => {
  const names = GOOD_KEYS.filter(key => Buffer.byteLength(key) < 400);

  test('are written, put back and removed', async () => {
    const data = Object.fromEntries(names.map(name => [name, name]));
    const prefix = world.key('legal/');
    await kvs.declareReady('legal', { prefix, data });
    const written = await world.consul.kvList(prefix);
    expect(new Set([...written.values()].map(({ key, text }) => key === prefix + text))).toEqual(
      new Set([true]),
    );
    expect(written.size).toBe(names.length);
    const edits = names.map(name => ({ KV: { Verb: 'set', Key: prefix + name, Value: '' } }));
    expect(await world.consul.txn(edits)).toMatchObject({ status: 200 });
    await expect
      .poll(async () => [...(await world.consul.kvList(prefix)).values()].every(({ text }) => text !== ''))
      .toBe(true);
    await kvs.remove('legal');
    expect((await world.consul.kvList(prefix)).size).toBe(0);
  });
});

describe('100 bad resources', () => {
  const bad = Array.from({ length: 100 }, (_, n) => `bad-${n}`);
  /** Everything that admission cannot see, in turn. */
  const specOf = (name: string, n: number): Readonly<Record<string, unknown>> => {
    const key = world.key(`bad/${name}`);
    const kinds = [
      { key, value: 'ours' }, // a stranger's key, which only the transaction finds out
      { key: world.key('bad/taken'), value: 'x' },
      { key, valueFrom: { configMapKeyRef: { name: 'nowhere', key: 'x' } } },
      { key, valueFrom: { configMapKeyRef: { name: 'bulky', key: 'x' } } },
      { prefix: `${key}/`, dataFrom: [{ configMapRef: { name: 'bulky' }, prefix: `${'p'.repeat(250)}/` }] },
    ];
    return kinds[n % kinds.length] ?? {};
  };

  beforeAll(async () => {
    await kvs.declareReady('taken', { key: world.key('bad/taken'), value: 'x' });
    await world.configMap('bulky', { x: 'x'.repeat(350_001), ['n'.repeat(253)]: 'x' });
    const strangers = bad.filter((_, n) => n % 5 === 0).map(name => world.key(`bad/${name}`));
    const operations = strangers.map(Key => ({ KV: { Verb: 'set', Key, Value: '' } }));
    expect(await world.consul.txn(operations)).toMatchObject({ status: 200 });
  });

  test('made together with a good one do not keep it from Consul', async () => {
    const seen = world.toConsul.requests.length;
    await Promise.all([
      ...bad.slice(0, 50).map((name, n) => kvs.declare(name, specOf(name, n))),
      kvs.declare('good', { key: world.key('good'), value: 'x' }),
      ...bad.slice(50).map((name, n) => kvs.declare(name, specOf(name, n))),
    ]);
    await kvs.ready('good');
    expect(await world.stored('good')).toEqual({ '': 'x' });
    // Refused beside it or not, it is in at most a few transactions before it is through.
    const tries = world.toConsul.requests
      .slice(seen)
      .filter(
        request => isWritingTransaction(request) && request.body.includes(`"Key":"${world.key('good')}"`),
      );
    expect(tries.length).toBeLessThanOrEqual(3);
    for (const [n, name] of bad.entries()) {
      const reason = ['AlreadyExists', 'Conflict', 'SourceNotFound', 'TooLarge', 'InvalidSpec'][
        n % 5
      ] as string;
      await (reason === 'SourceNotFound' ? kvs.waiting(name, reason) : kvs.stalled(name, reason));
    }
  });

  test('that have been told so cost nothing more, while a good one goes through in one turn', async () => {
    const [looked, seen] = [await turnsOf(operator), world.toConsul.requests.length];
    await kvs.declareReady('alone', { key: world.key('alone'), value: 'x' });
    await kvs.changeReady('alone', { value: 'y' });
    expect(world.toConsul.requests.slice(seen).filter(isTransaction)).toHaveLength(2);
    // Two for the changes, and one for the finalizer that the first of them added.
    expect((await turnsOf(operator)) - looked).toBeLessThanOrEqual(3);
  });

  test('go as quickly as they came', async () => {
    await Promise.all(bad.map(name => kvs.remove(name)));
    expect(await world.stored('bad/taken')).toEqual({ '': 'x' });
    expect(Object.keys(await world.records()).filter(key => key.includes('/bad-'))).toEqual([]);
  });
});

test('a resource made again at once under the same name is another one, and ends as declared', async () => {
  for (const round of ['1', '2', '3']) {
    await kvs.declare('phoenix', { key: world.key(`phoenix-${round}`), value: round });
    if (round !== '2') await kvs.ready('phoenix');
    await world.kube.delete(kvs.object('phoenix'));
    await kvs.gone('phoenix');
  }
  await kvs.declareReady('phoenix', { key: world.key('phoenix-last'), value: 'last' });
  expect(await world.stored('phoenix')).toEqual({ '-last': 'last' });
});

test('a spec that changes faster than anybody can follow ends as it was last', async () => {
  await kvs.declareReady('fast', { prefix: world.key('fast/'), data: { a: '0' } });
  for (let n = 1; n <= 20; n++)
    await kvs.change('fast', { data: { a: String(n), [`k${n}`]: 'x', [`k${n - 1}`]: null } });
  await kvs.ready('fast');
  expect(await world.stored('fast/')).toEqual({ a: '20', k20: 'x' });
});
