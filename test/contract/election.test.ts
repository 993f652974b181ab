/** The election on a real Consul: how it takes the lock, keeps it, loses it and gives it back. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, describe, expect, inject, test } from 'vitest';
import { GO_LOCK_FLAGS, LOCK_FLAGS, parseLockValue } from '../../src/core/lock-value.ts';
import { encodeOperation } from '../../src/consul/txn.ts';
import { NOT_THERE } from '../../src/consul/types.ts';
import {
  type Candidate,
  type CandidateOptions,
  createCandidate,
  type ElectionNews,
  type Leadership,
  leaseTiming,
} from '../../src/election/index.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { eventually } from '../support/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
const api = new ConsulApi({ address: consulAddress });
afterAll(() => consul.close());

/** An admin's act is noticed within this: the bound that is promised. */
const NOTICED_MS = 1000;

const open: Candidate[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map(candidate => candidate.resign()));
});

interface Place {
  readonly lockKey: string;
  readonly node: string;
}

const aPlace = (): Place => ({ lockKey: `contract/${randomUUID()}/lock`, node: `contract-${randomUUID()}` });

function aCandidate(
  place: Place,
  change: Partial<CandidateOptions> & { lockDelaySeconds?: number } = {},
): Candidate {
  const { lockDelaySeconds = 0, ...options } = change;
  const candidate = createCandidate({
    consul,
    ...place,
    name: 'one',
    timing: leaseTiming({ ttlSeconds: 10, lockDelaySeconds }),
    clock: systemClock,
    random: Math.random,
    signal,
    value: () => ({ holder: 'one', uid: 'u', extra: { cluster: 'c' } }),
    ...options,
  });
  open.push(candidate);
  return candidate;
}

const ending = ({ signal }: Leadership): Promise<unknown> =>
  signal.aborted
    ? Promise.resolve(signal.reason)
    : new Promise(resolve => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

async function sessionsOf({ node }: Place): Promise<readonly string[]> {
  return (await consul.sessions.listNode(node, { signal, consistency: 'consistent' })).value.map(
    ({ id }) => id,
  );
}

test('a leader is who holds the lock: its session, its value and its token are there', async () => {
  const place = aPlace();
  const candidate = aCandidate(place);
  const leadership = await candidate.campaign();
  const entry = await api.kvGet(place.lockKey);
  expect(entry).toMatchObject({ session: leadership.session, flags: LOCK_FLAGS });
  expect(entry && parseLockValue(entry.value)).toMatchObject({
    holder: 'one',
    uid: 'u',
    extra: { cluster: 'c' },
    fencingToken: leadership.fencingToken,
  });
  expect(await consul.sessions.info(leadership.session, { signal })).toMatchObject({
    value: {
      node: place.node,
      behavior: 'release',
      ttl: '10s',
      name: expect.stringMatching(/^one [0-9a-f]{16}$/),
    },
  });
  expect(await sessionsOf(place)).toEqual([leadership.session]);
  expect(() => leadership.assertHeld()).not.toThrow();
});

test('a leader stays one: it renews', async () => {
  const place = aPlace();
  await using proxy = await FaultProxy.start({ upstream: consulAddress });
  await using client = aConsulClient([proxy.url]);
  const leadership = await aCandidate(place, { consul: client }).campaign();
  const renewal = proxy.when(({ path }) => path.startsWith('/v1/session/renew/'), { kind: 'forward' });
  await eventually(() => renewal.hits.filter(({ status }) => status === 200).length >= 2, {
    what: 'two renewals',
  });
  expect(() => leadership.assertHeld()).not.toThrow();
});

test('one that resigns is followed at once, in the order of tokens, and leaves no session', async () => {
  const place = aPlace();
  const [first, second] = [aCandidate(place, { lockDelaySeconds: 60 }), aCandidate(place)];
  const leadership = await first.campaign();
  const next = second.campaign();
  await eventually(() => second.holder?.holder === 'one', { what: 'the second stands by' });
  expect(await sessionsOf(place)).toEqual([leadership.session]);
  const resigned = performance.now();
  await first.resign();
  const successor = await next;
  expect(performance.now() - resigned).toBeLessThan(NOTICED_MS);
  expect(await ending(leadership)).toMatchObject({ name: 'AbortedError' });
  expect(successor.fencingToken).toBeGreaterThan(leadership.fencingToken);
  expect(await sessionsOf(place)).toEqual([successor.session]);
});

describe('an admin who', () => {
  test.each<[string, (place: Place, leadership: Leadership) => Promise<unknown>]>([
    ['destroys the session', (_, { session }) => api.destroySession(session)],
    ['deletes the key', ({ lockKey }) => api.kvDelete(lockKey)],
    ['releases the lock', ({ lockKey }, { session }) => api.kvPut(lockKey, '', { release: session })],
    ['removes the node', ({ node }) => api.put('/v1/catalog/deregister', { Node: node })],
  ])(
    '%s ends the tenure within a second; the next has another session and a higher token',
    async (_, act) => {
      const place = aPlace();
      const candidate = aCandidate(place);
      const leadership = await candidate.campaign();
      const since = performance.now();
      await act(place, leadership);
      await ending(leadership);
      expect(performance.now() - since).toBeLessThan(NOTICED_MS);
      expect(() => leadership.assertHeld()).toThrow(expect.objectContaining({ name: 'AbortedError' }));
      const fence = { verb: 'check-session', key: place.lockKey, session: leadership.session } as const;
      expect(await consul.txn.submit([encodeOperation(fence)], { signal })).toMatchObject({ applied: false });
      const next = await candidate.campaign();
      expect(next.session).not.toBe(leadership.session);
      expect(next.fencingToken).toBeGreaterThan(leadership.fencingToken);
      expect(await sessionsOf(place)).toEqual([next.session]);
    },
  );

  test('edits the value changes nothing, and giving the lock back restores it', async () => {
    const place = aPlace();
    const candidate = aCandidate(place);
    const leadership = await candidate.campaign();
    await api.kvPut(place.lockKey, 'edited');
    await eventually(() => candidate.holder === undefined, { what: 'the edit is seen' });
    expect(() => leadership.assertHeld()).not.toThrow();
    await candidate.resign();
    const entry = await api.kvGet(place.lockKey);
    expect(entry && parseLockValue(entry.value)?.fencingToken).toBe(leadership.fencingToken);
    expect(entry?.flags).toBe(LOCK_FLAGS);
  });
});

test('after a tenure that was ended, the lock-delay is honoured, by one session that is kept', async () => {
  const place = aPlace();
  const news: ElectionNews[] = [];
  const leadership = await aCandidate(place, { lockDelaySeconds: 3 }).campaign();
  const other = aCandidate(place, { onStep: one => news.push(one) });
  const next = other.campaign();
  await eventually(() => other.holder !== undefined, { what: 'the second stands by' });
  const since = performance.now();
  leadership.revoke('the fence is lost');
  const successor = await next;
  expect(performance.now() - since).toBeGreaterThan(2900);
  expect(news.map(({ what }) => what)).toEqual(['watching', 'opening', 'campaigning', 'leading']);
  expect(await sessionsOf(place)).toEqual([successor.session]);
});

test('a predecessor that is known to be dead is cleared at once, for all its lock-delay', async () => {
  const place = aPlace();
  await using crashed = aConsulClient([consulAddress]);
  const dead = await aCandidate(place, {
    consul: crashed,
    lockDelaySeconds: 60,
    value: () => ({ holder: 'dead', uid: 'd' }),
  }).campaign();
  const since = performance.now();
  const heir = aCandidate(place, { judge: content => (content?.uid === 'd' ? 'dead' : 'alive') });
  const leadership = await heir.campaign();
  expect(performance.now() - since).toBeLessThan(NOTICED_MS);
  expect(leadership.fencingToken).toBeGreaterThan(dead.fencingToken);
  expect(await sessionsOf(place)).toEqual([leadership.session]);
});

describe('a key that is used for something else', () => {
  test.each([
    ["Go's api.Lock", GO_LOCK_FLAGS, Buffer.alloc(0)],
    ['data', 0n, Buffer.from('hello')],
    ['another program', 42n, Buffer.from('hello')],
  ])('is left alone: %s', async (what, flags, value) => {
    const place = aPlace();
    await api.kvPut(place.lockKey, value, { flags });
    const before = await api.kvGet(place.lockKey);
    await expect(aCandidate(place).campaign()).rejects.toMatchObject({
      name: 'TerminalError',
      code: 'LOCK_CONFLICT',
      message: expect.stringContaining(what),
    });
    expect(await api.kvGet(place.lockKey)).toEqual(before);
    expect(await sessionsOf(place)).toEqual([]);
  });
});

describe('an answer that is lost', () => {
  test.each([
    ['of the creation', (path: string) => path === '/v1/session/create'],
    ['of the acquisition', (path: string) => path === '/v1/txn'],
  ])('%s costs a moment, and leaves no second session', async (_, isIt) => {
    const place = aPlace();
    await consul.catalog.registerNode({ node: place.node, address: '127.0.0.1', meta: {} }, { signal });
    // The key is there, so that the only transaction is the acquisition.
    const empty = {
      verb: 'cas',
      key: place.lockKey,
      value: Buffer.alloc(0),
      flags: LOCK_FLAGS,
      index: NOT_THERE,
    } as const;
    await consul.txn.submit([encodeOperation(empty)], { signal });
    await using proxy = await FaultProxy.start({ upstream: consulAddress });
    await using client = aConsulClient([proxy.url]);
    const lost = proxy.when(({ path }) => isIt(path), { kind: 'dropReply' }, { times: 1 });
    const candidate = aCandidate(place, { consul: client });
    const leadership = await candidate.campaign();
    expect(lost.hits).toHaveLength(1);
    expect((await api.kvGet(place.lockKey))?.session).toBe(leadership.session);
    await eventually(async () => (await sessionsOf(place)).length === 1, { what: 'one session is left' });
    await candidate.resign();
  });
});

test('cut off from Consul, a leader stops a TTL before anyone else can lead', async () => {
  const place = aPlace();
  await using proxy = await FaultProxy.start({ upstream: consulAddress });
  await using client = aConsulClient([proxy.url]);
  const leadership = await aCandidate(place, { consul: client }).campaign();
  const next = aCandidate(place).campaign();
  proxy.when(() => true, { kind: 'hang' });
  await ending(leadership);
  const stoppedAt = performance.now();
  expect((await api.kvGet(place.lockKey))?.session).toBe(leadership.session);
  expect((await next).fencingToken).toBeGreaterThan(leadership.fencingToken);
  expect(performance.now() - stoppedAt).toBeGreaterThan(10_000);
});

test('standbys have no session, and of many one leads', async () => {
  const place = aPlace();
  const leaders: Leadership[] = [];
  const crowd = Array.from({ length: 5 }, () => aCandidate(place));
  for (const candidate of crowd) {
    void candidate.campaign().then(
      leadership => leaders.push(leadership),
      () => {},
    );
  }
  for (let round = 1; round <= 5; round++) {
    await eventually(() => leaders.length === round, { what: `leader ${round}` });
    await eventually(async () => (await sessionsOf(place)).length === 1, { what: 'one session' });
    expect(await sessionsOf(place)).toEqual([leaders.at(-1)?.session]);
    leaders.at(-1)?.revoke('next, please');
    await ending(leaders.at(-1) as Leadership);
  }
  const tokens = leaders.map(({ fencingToken }) => fencingToken);
  expect(tokens).toEqual([...tokens].sort((one, other) => Number(one - other)));
  expect(new Set(tokens).size).toBe(5);
});
