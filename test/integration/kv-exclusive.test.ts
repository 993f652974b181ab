import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conditionsOf, type ConsulKvs } from '../support/consulkv.ts';
import { eventually } from '../support/eventually.ts';
import { createRunningWorld } from '../support/running-world.ts';
import type { World } from '../support/world.ts';

let world: World;
let kvs: ConsulKvs;

beforeAll(async () => {
  ({ world, kvs } = await createRunningWorld('kv-excl'));
});

afterAll(async () => world.close());

/** An exclusive tree of one key below the path. */
const exclusive = (path: string, spec: object = {}) => ({
  prefix: world.key(`${path}/`),
  exclusive: true,
  data: { ours: '1' },
  ...spec,
});
const put = (path: string, value = 'theirs') => world.consul.kvPut(world.key(path), value);
const messageOf = async (name: string, type = 'Ready') => conditionsOf(await kvs.get(name))[type]?.message;

/** Writes a key that `/v1/kv` cannot name, as any client of `/v1/txn` could. */
async function putUnaddressable(key: string): Promise<void> {
  const Value = Buffer.from('theirs').toString('base64');
  expect(await world.consul.txn([{ KV: { Verb: 'set', Key: key, Value } }])).toMatchObject({ status: 200 });
}

/** Resolves once the operator knows of all that has moved so far and waits for more. */
async function untilItWaits(): Promise<void> {
  const isWaiting = async (): Promise<boolean> => {
    const polls = world.toConsul.requests.filter(
      ({ finished, query, path }) =>
        !finished && query.has('index') && path.startsWith(`/v1/kv/${world.namespace}`),
    );
    const now = await Promise.all(
      polls.map(({ path }) => world.consul.request('GET', `${path}?keys&separator=/`)),
    );
    return polls.length > 0 && polls.every(({ query }, at) => query.get('index') === now[at]?.index);
  };
  await eventually(isWaiting, { what: 'the operator waits for a change in Consul' });
}

describe('the first claim of an exclusive prefix', () => {
  test.each(['Never', 'IfEqual'])(
    'stops at strangers under %s, naming the first ten',
    async adoptionPolicy => {
      const name = `first-${adoptionPolicy.toLowerCase()}`;
      const strangers = Array.from({ length: 12 }, (_, n) => `${name}/s${String(n).padStart(2, '0')}`);
      for (const path of strangers) await put(path);
      await kvs.declare(name, exclusive(name, { adoptionPolicy }));
      const { Ready } = conditionsOf(await kvs.stalled(name, 'AlreadyExists'));
      const named = strangers.slice(0, 10).map(path => world.key(path));
      expect(Ready?.message).toContain(`${named.join(', ')} and 2 more`);
      expect(Object.keys(await world.stored(`${name}/`))).toHaveLength(12);
      await world.consul.kvDelete(world.key(`${name}/`), { recurse: true });
      await kvs.ready(name);
      expect(await world.stored(`${name}/`)).toEqual({ ours: '1' });
    },
  );

  test('removes strangers under Always', async () => {
    for (const path of ['a', 'b/c', 'b/d/e']) await put(`first-always/${path}`);
    await put('first-always-not');
    await kvs.declareReady('first-always', exclusive('first-always', { adoptionPolicy: 'Always' }));
    expect(await world.stored('first-always')).toEqual({ '/ours': '1', '-not': 'theirs' });
  });

  test('removes more strangers than one transaction holds', async () => {
    const put = (n: number) => ({ KV: { Verb: 'set', Key: world.key(`crowd/s${n}`), Value: '' } });
    for (const from of [0, 100, 200]) {
      const operations = Array.from({ length: 100 }, (_, n) => put(from + n));
      expect(await world.consul.txn(operations)).toMatchObject({ status: 200 });
    }
    await kvs.declareReady('crowd', exclusive('crowd', { adoptionPolicy: 'Always' }));
    expect(await world.stored('crowd/')).toEqual({ ours: '1' });
  });

  test('is also made by switching exclusive on, and given up by switching it off', async () => {
    await kvs.declareReady('switched', exclusive('switched', { exclusive: false }));
    await put('switched/stranger');
    await kvs.change('switched', { exclusive: true });
    await kvs.stalled('switched', 'AlreadyExists');
    expect(await world.stored('switched/')).toEqual({ ours: '1', stranger: 'theirs' });
    await kvs.changeReady('switched', { adoptionPolicy: 'Always' });
    expect(await world.stored('switched/')).toEqual({ ours: '1' });
    await kvs.changeReady('switched', { exclusive: false });
    await put('switched/stranger');
    await kvs.lookAgain('switched');
    expect(await world.stored('switched/')).toEqual({ ours: '1', stranger: 'theirs' });
  });
});

describe('a stranger that comes later', () => {
  test('is removed under Correct', async () => {
    await kvs.declareReady('later', exclusive('later'));
    await put('later/stranger');
    await put('later/deep/er');
    await world.becomesStored('later/', { ours: '1' });
    await kvs.event('later', 'DriftCorrected');
  });

  test('is shown under Report', async () => {
    await kvs.declareReady('reported', exclusive('reported', { driftPolicy: 'Report' }));
    await put('reported/stranger');
    await kvs.drifted('reported');
    expect(await messageOf('reported', 'Drifted')).toContain(world.key('reported/stranger'));
    await kvs.lookAgain('reported');
    expect(await world.stored('reported/')).toEqual({ ours: '1', stranger: 'theirs' });
    await world.consul.kvDelete(world.key('reported/stranger'));
    await kvs.ready('reported');
  });

  test('is left alone under Ignore', async () => {
    await kvs.declareReady('ignored', exclusive('ignored', { driftPolicy: 'Ignore' }));
    await put('ignored/stranger');
    await kvs.lookAgain('ignored');
    await kvs.ready('ignored');
    expect(await world.stored('ignored/')).toEqual({ ours: '1', stranger: 'theirs' });
  });

  test('that holds a lock is not removed until it is released', async () => {
    const spec = exclusive('locked');
    await kvs.declareReady('locked', spec);
    const session = await world.consul.createSession();
    await world.consul.kvPut(world.key('locked/lock'), 'holder', { acquire: session });
    await kvs.lookAgain('locked');
    expect(await world.stored('locked/')).toEqual({ ours: '1', lock: 'holder' });
    expect(await messageOf('locked')).toContain(
      `a lock is held there or it cannot be addressed safely: ${world.key('locked/lock')}`,
    );
    await put('locked/plain');
    await world.becomesStored('locked/', { ours: '1', lock: 'holder' });
    await untilItWaits();
    await world.consul.destroySession(session);
    await world.becomesStored('locked/', { ours: '1' });
    await eventually(async () => expect(await messageOf('locked')).toBe('1 key in Consul equals the spec'), {
      what: 'it is Ready',
    });
  });

  test('stays when the resource is deleted: only what was declared goes', async () => {
    await kvs.declareReady('left', exclusive('left', { driftPolicy: 'Report' }));
    await put('left/stranger');
    await kvs.drifted('left');
    await kvs.remove('left');
    expect(await world.stored('left/')).toEqual({ stranger: 'theirs' });
  });
});

describe('keys that cannot be addressed safely', () => {
  test.each([
    { name: 'empty-segment', rest: 'a//b' },
    { name: 'dot-segment', rest: 'a/../b' },
    { name: 'percent-sign', rest: 'a%2fb' },
    { name: 'folder-entry', rest: 'folder/' },
  ])('are reported and never removed: $name', async ({ name, rest }) => {
    await kvs.declareReady(name, exclusive(name, { driftPolicy: 'Report' }));
    await putUnaddressable(world.key(`${name}/${rest}`));
    await kvs.drifted(name);
    expect(await messageOf(name, 'Drifted')).toContain(world.key(`${name}/${rest}`));
    await kvs.change(name, { driftPolicy: 'Correct' });
    await kvs.lookAgain(name);
    expect(await messageOf(name)).toContain(world.key(`${name}/${rest}`));
    const keys = await world.consul.get(`/v1/kv/${world.key(name)}?keys`);
    expect(keys).toEqual([world.key(`${name}/${rest}`), world.key(`${name}/ours`)].sort());
  });
});

describe('owners below and beside an exclusive prefix', () => {
  test('keep their keys: the claim is a Conflict that ends with them', async () => {
    await kvs.declareReady('tenant', { key: world.key('shared/tenant'), value: 'x' });
    await kvs.declare('landlord', exclusive('shared', { adoptionPolicy: 'Always' }));
    const { Ready } = conditionsOf(await kvs.stalled('landlord', 'Conflict'));
    expect(Ready?.message).toContain(`ConsulKV ${world.namespace}/tenant`);
    expect(await world.stored('shared/')).toEqual({ tenant: 'x' });
    await kvs.remove('tenant');
    await kvs.ready('landlord');
    expect(await world.stored('shared/')).toEqual({ ours: '1' });
  });

  test('cannot come later: the newcomer is the one in Conflict', async () => {
    await kvs.declareReady('owner', exclusive('owned'));
    await kvs.declare('guest', { key: world.key('owned/guest'), value: 'x', adoptionPolicy: 'Always' });
    const { Ready } = conditionsOf(await kvs.stalled('guest', 'Conflict'));
    expect(Ready?.message).toContain(`ConsulKV ${world.namespace}/owner`);
    expect(await world.stored('owned/')).toEqual({ ours: '1' });
    await kvs.lookAgain('guest');
    await untilItWaits();
    await kvs.changeReady('owner', { exclusive: false });
    await kvs.ready('guest');
    expect(await world.stored('owned/')).toEqual({ ours: '1', guest: 'x' });
  });

  test.each([
    { first: 'overlap-a', second: 'overlap-a/inner' },
    { first: 'overlap-b/inner', second: 'overlap-b' },
    { first: 'overlap-c', second: 'overlap-c' },
  ])('that are exclusive, too, cannot overlap: $first, then $second', async ({ first, second }) => {
    const [one, other] = [`one-${first.replace('/', '-')}`, `other-${second.replace('/', '-')}`];
    await kvs.declareReady(one, exclusive(first));
    await kvs.declare(other, exclusive(second, { data: { second: '2' }, adoptionPolicy: 'Always' }));
    const { Ready } = conditionsOf(await kvs.stalled(other, 'Conflict'));
    expect(Ready?.message).toContain(`ConsulKV ${world.namespace}/${one}`);
    expect(await world.stored(`${first}/`)).toEqual({ ours: '1' });
    await kvs.remove(one);
    await kvs.ready(other);
    expect(await world.stored(`${second}/`)).toEqual({ second: '2' });
  });

  test('cannot overlap either while there is nothing in them', async () => {
    const empty = { data: {}, dataFrom: [{ configMapRef: { name: 'nowhere', optional: true } }] };
    await kvs.declareReady('void', exclusive('void', empty));
    await kvs.declare('void-inside', exclusive('void/inside', empty));
    const { Ready } = conditionsOf(await kvs.stalled('void-inside', 'Conflict'));
    expect(Ready?.message).toContain(`ConsulKV ${world.namespace}/void`);
    await kvs.remove('void');
    await kvs.ready('void-inside');
  });

  test('whose names only begin alike do not meet', async () => {
    await kvs.declareReady('team', exclusive('team'));
    await kvs.declareReady('team2', { prefix: world.key('team2/'), data: { a: '1' } });
    await kvs.lookAgain('team');
    expect(await world.stored('team2/')).toEqual({ a: '1' });
  });
});
