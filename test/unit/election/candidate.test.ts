import { getEventListeners, once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { encodeLockValue, LOCK_FLAGS, parseLockValue } from '../../../src/core/lock-value.ts';
import { consulError } from '../../../src/consul/errors.ts';
import type { SessionId } from '../../../src/consul/types.ts';
import {
  type Candidate,
  type CandidateOptions,
  createCandidate,
  type ElectionNews,
  type Leadership,
  leaseTiming,
} from '../../../src/election/index.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { randomFrom } from './electorate.ts';
import { LockServer } from './lock-server.ts';
import { consulFor, Process } from './process.ts';

const LOCK = 'locks/lead';

class Stage {
  readonly world = new FakeClock();
  readonly server = new LockServer(() => this.world.monotonic());
  readonly process = new Process(this.world, randomFrom(1));
  readonly stop = new AbortController();
  readonly news: ElectionNews[] = [];

  candidate(change: Partial<CandidateOptions> = {}): Candidate {
    return createCandidate({
      consul: consulFor(this.process, this.server, this.world),
      lockKey: LOCK,
      node: 'virtual',
      name: 'one',
      timing: leaseTiming({ ttlSeconds: 20, lockDelaySeconds: 5 }),
      clock: this.process,
      random: randomFrom(2),
      signal: this.stop.signal,
      value: () => ({ holder: 'one', uid: 'u' }),
      onStep: news => this.news.push(news),
      ...change,
    });
  }

  /** Lets time pass in small steps, as far as there is anything to wait for. */
  async pass(ms: number): Promise<void> {
    for (const untilMs = this.world.monotonic() + ms; this.world.monotonic() < untilMs; ) {
      await settled();
      this.world.advance(Math.min(10, untilMs - this.world.monotonic()));
      this.server.expire();
    }
    await settled();
  }

  async during<T>(promise: Promise<T>, ms = 1000): Promise<T> {
    const outcome = promise.then(
      value => ({ value }),
      (error: unknown) => ({ error }),
    );
    await this.pass(ms);
    const settledBy = await Promise.race([outcome, settled().then(() => undefined)]);
    if (settledBy === undefined) throw new Error(`not settled within ${ms} ms`);
    if ('error' in settledBy) throw settledBy.error;
    return settledBy.value;
  }

  get session(): SessionId | undefined {
    return this.server.entry(LOCK)?.session;
  }

  /** The lock is held by the session of somebody else. */
  heldByAnother(fencingToken = 41n): SessionId {
    this.server.nodes.add('other');
    const session = this.server.create({
      node: 'other',
      name: 'another',
      ttlMs: 3_600_000,
      lockDelayMs: 5000,
    });
    if (session === undefined) throw new Error('no node');
    const Value = encodeLockValue({ holder: 'another', uid: 'v', fencingToken, acquiredTime: 't' });
    this.server.transact([
      { Verb: 'cas', Key: LOCK, Index: this.server.entry(LOCK)?.modifyIndex ?? 0, Flags: Number(LOCK_FLAGS) },
      {
        Verb: 'lock',
        Key: LOCK,
        Session: session,
        Value: Value.toString('base64'),
        Flags: Number(LOCK_FLAGS),
      },
    ]);
    return session;
  }
}

function isHeld(leadership: Leadership): boolean {
  try {
    leadership.assertHeld();
    return true;
  } catch {
    return false;
  }
}

test('a lease counts from the sending of its last renewal, not from its answer', async () => {
  const stage = new Stage();
  const leadership = await stage.during(stage.candidate().campaign());
  stage.process.network = 'slow';
  const renewed = () =>
    [...stage.server.sessions.values()].map(({ expiresAtMs }) => expiresAtMs - 40_000)[0] ?? 0;
  const before = renewed();
  while (renewed() === before) await stage.pass(10);
  // The server got it at `renewed`, half the way of a request that was sent before; its answer comes after.
  const arrivedAtMs = renewed();
  await stage.pass(2500);
  stage.process.network = 'cut';
  await stage.pass(arrivedAtMs + 16_990 - stage.world.monotonic());
  expect(leadership.signal.aborted).toBe(true);
});

test('in a process that was paused, assertHeld knows before any timer fires', async () => {
  const stage = new Stage();
  const leadership = await stage.during(stage.candidate().campaign());
  stage.process.pause();
  await stage.pass(60_000);
  expect(leadership.signal.aborted).toBe(false);
  expect(() => leadership.assertHeld()).toThrow(expect.objectContaining({ name: 'AbortedError' }));
  expect(leadership.signal.reason).toMatchObject({
    message: expect.stringContaining('its lease ran out') as string,
  });
});

test('what ended does not come back: the next tenure has another session and a higher token', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  const first = await stage.during(candidate.campaign());
  first.revoke('the fence is lost');
  const second = await stage.during(candidate.campaign(), 10_000);
  expect(isHeld(first)).toBe(false);
  expect(isHeld(second)).toBe(true);
  expect(second.session).not.toBe(first.session);
  expect(second.fencingToken).toBeGreaterThan(first.fencingToken);
  expect(stage.session).toBe(second.session);
});

test('a session that was made without an answer is destroyed before the next is made', async () => {
  const stage = new Stage();
  stage.server.nodes.add('virtual');
  const campaign = stage.candidate().campaign();
  // The first look is on its way; what follows is the creation.
  await settled();
  stage.process.network = 'no-answer';
  while (stage.server.everMade.length === 0) await stage.pass(1);
  stage.process.network = 'good';
  await stage.during(campaign, 20_000);
  expect(stage.server.everMade).toHaveLength(2);
  expect([...stage.server.sessions.keys()]).toEqual([stage.session]);
});

test('a campaign that is ended leaves nothing behind', async () => {
  const stage = new Stage();
  const enough = new AbortController();
  const campaign = stage.candidate().campaign(enough.signal);
  while (stage.server.everMade.length === 0) await stage.pass(1);
  enough.abort();
  await expect(campaign).rejects.toMatchObject({ name: 'AbortedError' });
  await stage.pass(1000);
  expect(stage.server.everMade).toHaveLength(1);
  expect(stage.server.sessions.size).toBe(0);
  expect(stage.session).toBeUndefined();
});

test('one campaign at a time', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  await stage.during(candidate.campaign());
  await expect(candidate.campaign()).rejects.toThrow(TypeError);
});

test('to resign takes no longer than the others need, and keeps the value with its token', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  const { fencingToken } = await stage.during(candidate.campaign());
  await stage.during(candidate.resign(), 100);
  expect(stage.server.sessions.size).toBe(0);
  const { value, flags, session } = stage.server.entry(LOCK) ?? {};
  expect({ flags, session, token: value && parseLockValue(value)?.fencingToken }).toEqual({
    flags: LOCK_FLAGS,
    session: undefined,
    token: fencingToken,
  });
  const next = await stage.during(stage.candidate().campaign(), 100);
  expect(next.fencingToken).toBeGreaterThan(fencingToken);
});

test('a lock that was taken and given back meanwhile is not taken on what was known before', async () => {
  const stage = new Stage();
  const campaign = stage.candidate().campaign();
  while (stage.server.entry(LOCK) === undefined) await stage.pass(1);
  stage.process.network = 'slow';
  await stage.pass(20);
  const meanwhile = stage.heldByAnother(1_000_000n);
  const { value = Buffer.alloc(0) } = stage.server.entry(LOCK) ?? {};
  stage.server.release(LOCK, meanwhile, value, LOCK_FLAGS);
  const { fencingToken } = await stage.during(campaign, 60_000);
  expect(fencingToken).toBeGreaterThan(1_000_000n);
});

test('a session of its own past that a restore revives is destroyed, not waited for, and its lock-delay is', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  const past = await stage.during(candidate.campaign());
  const restore = stage.server.snapshot();
  await stage.during(candidate.resign());
  const present = await stage.during(candidate.campaign());
  restore();
  await stage.pass(100);
  expect(present.signal.aborted).toBe(true);
  expect(stage.session).toBe(past.session);
  const since = stage.world.monotonic();
  const campaign = candidate.campaign();
  while (stage.session === past.session || stage.session === undefined) await stage.pass(100);
  expect((await campaign).session).not.toBe(past.session);
  expect(stage.world.monotonic() - since).toBeGreaterThanOrEqual(5000);
  expect(stage.world.monotonic() - since).toBeLessThan(7000);
});

test('the token grows over a restore also for one that has seen nothing of before', async () => {
  const stage = new Stage();
  const tenure = async (): Promise<bigint> => {
    const candidate = stage.candidate();
    const { fencingToken } = await stage.during(candidate.campaign());
    await stage.during(candidate.resign());
    return fencingToken;
  };
  await tenure();
  const restore = stage.server.snapshot();
  await tenure();
  const before = await tenure();
  restore();
  expect(await tenure()).toBeGreaterThan(before);
});

test.each(['refused', 'cut'] as const)('to resign does not wait for a Consul that is %s', async network => {
  const stage = new Stage();
  const candidate = stage.candidate();
  const leadership = await stage.during(candidate.campaign());
  stage.process.network = network;
  const resigned = candidate.resign();
  expect(leadership.signal.aborted).toBe(true);
  await stage.during(resigned, 3000);
  stage.process.network = 'good';
  await stage.pass(10_000);
  expect(stage.server.sessions.size).toBe(0);
});

test('a holder that is known to be dead is cleared at once, without its lock-delay', async () => {
  const stage = new Stage();
  const dead = stage.heldByAnother();
  const leadership = await stage.during(
    stage.candidate({ judge: content => (content?.uid === 'v' ? 'dead' : 'alive') }).campaign(),
    200,
  );
  expect(stage.server.sessions.has(dead)).toBe(false);
  expect(leadership.fencingToken).toBeGreaterThan(41n);
});

test('what judge throws ends the campaign', async () => {
  const stage = new Stage();
  stage.heldByAnother();
  const judge = (): never => {
    throw new Error('what is this');
  };
  await expect(stage.during(stage.candidate({ judge }).campaign())).rejects.toThrow('what is this');
  expect(stage.server.everMade).toHaveLength(1);
});

test('who holds the lock is known while another does', async () => {
  const stage = new Stage();
  stage.heldByAnother();
  const candidate = stage.candidate();
  const campaign = candidate.campaign();
  await stage.pass(1000);
  expect(candidate.holder).toMatchObject({ holder: 'another', fencingToken: 41n });
  expect(stage.server.everMade).toHaveLength(1);
  stage.stop.abort();
  await expect(campaign).rejects.toMatchObject({ name: 'AbortedError' });
});

test('a leader whose work stands still gives up, and leads no more until it goes on', async () => {
  const stage = new Stage();
  let stuck: string | undefined;
  const candidate = stage.candidate({ progress: () => stuck });
  const leadership = await stage.during(candidate.campaign());
  stuck = 'no turn has ended for 60 s';
  await stage.pass(5000);
  expect(leadership.signal.reason).toMatchObject({ message: expect.stringContaining(stuck) as string });
  const again = candidate.campaign();
  await stage.pass(60_000);
  expect(stage.session).toBeUndefined();
  stuck = undefined;
  expect((await stage.during(again, 20_000)).session).toBe(stage.session);
});

test('a failure is told once, and once that it is over', async () => {
  const stage = new Stage();
  const told = () => stage.news.filter(({ what }) => what === 'failing' || what === 'recovered');
  stage.process.network = 'refused';
  const campaign = stage.candidate().campaign();
  await stage.pass(120_000);
  expect(told()).toMatchObject([
    { what: 'failing', operation: 'watch', error: { code: 'CONSUL_UNREACHABLE' } },
  ]);
  stage.process.network = 'good';
  await stage.during(campaign, 40_000);
  expect(told().slice(1)).toEqual([{ what: 'recovered', operation: 'watch' }]);
  expect(stage.news.map(({ what }) => what)).toEqual([
    'watching',
    'failing',
    'recovered',
    'opening',
    'campaigning',
    'leading',
  ]);
});

test('what stood in the way of a campaign is over with it, however the lock was won', async () => {
  const stage = new Stage();
  const consul = consulFor(stage.process, stage.server, stage.world);
  const lost = consulError('CONSUL_TIMEOUT', 'the answer was lost', { outcomeUnknown: true });
  const submit: typeof consul.txn.submit = async (operations, options) => {
    const outcome = await consul.txn.submit(operations, options);
    // That of the acquisition alone: the key is made by one operation.
    if (operations.length > 1) throw lost;
    return outcome;
  };
  await stage.during(stage.candidate({ consul: { ...consul, txn: { submit } } }).campaign());
  expect(stage.news.filter(({ what }) => what === 'failing' || what === 'recovered')).toEqual([
    { what: 'failing', operation: 'acquire', error: lost },
    { what: 'recovered', operation: 'acquire' },
  ]);
});

describe('one that resigns before its campaign has begun is not elected', () => {
  test('in the same turn', async () => {
    const stage = new Stage();
    const candidate = stage.candidate();
    const campaign = candidate.campaign();
    void candidate.resign();
    await expect(stage.during(campaign)).rejects.toMatchObject({ name: 'AbortedError' });
    expect(stage.server.everMade).toEqual([]);
  });

  test('while what it had is still given back', async () => {
    const stage = new Stage();
    const candidate = stage.candidate();
    await stage.during(candidate.campaign());
    void candidate.resign();
    const campaign = candidate.campaign();
    void candidate.resign();
    await expect(stage.during(campaign)).rejects.toMatchObject({ name: 'AbortedError' });
    await stage.pass(5000);
    expect(stage.server.everMade).toHaveLength(1);
    expect(stage.session).toBeUndefined();
  });

  test('and may campaign again', async () => {
    const stage = new Stage();
    const candidate = stage.candidate();
    void candidate.resign();
    const campaign = candidate.campaign();
    expect((await stage.during(campaign)).session).toBe(stage.session);
  });
});

describe('after a crash right after a renewal the next one leads', () => {
  const TTL_MS = 10_000;
  const seeds = Array.from({ length: 10 }, (_, n) => n + 1);
  const cases = [
    { lockDelays: 'the same', theirs: 5, ours: 5, lateMs: 50 },
    { lockDelays: 'shorter', theirs: 2, ours: 5, lateMs: 1300 },
    { lockDelays: 'longer', theirs: 5, ours: 2, lateMs: 250 },
  ].flatMap(change => seeds.map(seed => ({ ...change, seed })));
  test.each(cases)(
    'within 2 × TTL, the lock-delay and $lateMs ms, when the lock-delay of the crashed one was $lockDelays (seed $seed)',
    async ({ theirs, ours, lateMs, seed }) => {
      const stage = new Stage();
      const timing = (lockDelaySeconds: number) =>
        leaseTiming({ ttlSeconds: TTL_MS / 1000, lockDelaySeconds });
      await stage.during(stage.candidate({ timing: timing(theirs) }).campaign());
      const clock = new Process(stage.world, randomFrom(seed));
      const consul = consulFor(clock, stage.server, stage.world);
      const next = { led: false };
      void stage
        .candidate({ consul, clock, random: randomFrom(seed), timing: timing(ours) })
        .campaign()
        .then(() => (next.led = true));
      const expiry = (): number => stage.server.nextExpiryMs;
      for (const before = expiry(); expiry() === before; ) await stage.pass(1);
      stage.process.pause();
      stage.process.network = 'cut';
      const crashedAtMs = stage.world.monotonic();
      while (!next.led) await stage.pass(10);
      const tookMs = stage.world.monotonic() - crashedAtMs;
      expect(tookMs).toBeGreaterThanOrEqual(2 * TTL_MS + theirs * 1000 - 10);
      expect(tookMs).toBeLessThan(2 * TTL_MS + theirs * 1000 + lateMs);
    },
  );
});

describe('nothing comes of trying on', () => {
  test.each<[string, Partial<CandidateOptions>]>([
    ['a value that cannot be written', { value: () => ({ holder: '', uid: 'u' }) }],
    ['a session that Consul refuses for good', { node: 'refused' }],
  ])('with %s: the campaign ends, and leaves nothing', async (_, change) => {
    const stage = new Stage();
    const consul = consulFor(stage.process, stage.server, stage.world);
    const create: typeof consul.sessions.create = async (session, options) => {
      if (session.node === 'refused') throw consulError('CONSUL_INVALID', 'no such node name');
      return await consul.sessions.create(session, options);
    };
    const given = { ...consul, sessions: { ...consul.sessions, create } };
    const campaign = stage.candidate({ consul: given, ...change }).campaign();
    await expect(stage.during(campaign)).rejects.toThrow(/holder|no such node name/);
    await stage.pass(1000);
    expect(stage.server.sessions.size).toBe(0);
  });

  test('with a key that cannot be read', async () => {
    const stage = new Stage();
    const consul = consulFor(stage.process, stage.server, stage.world);
    const get = (): never => {
      throw new TypeError('no key');
    };
    const campaign = stage.candidate({ consul: { ...consul, kv: { ...consul.kv, get } } }).campaign();
    await expect(stage.during(campaign)).rejects.toThrow('no key');
  });
});

test('what a listener throws costs nothing, and is told as a warning', async () => {
  const stage = new Stage();
  const warned = once(process, 'warning');
  const onStep = (): never => {
    throw new Error('the log is full');
  };
  const candidate = stage.candidate({ onStep });
  const leadership = await stage.during(candidate.campaign());
  expect(isHeld(leadership)).toBe(true);
  await stage.during(candidate.resign(), 100);
  expect(stage.server.sessions.size).toBe(0);
  expect(await warned).toEqual([expect.objectContaining({ message: 'the log is full' })]);
});

test('a stopped candidate does not go on trying to end its session', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  await stage.during(candidate.campaign());
  stage.process.network = 'refused';
  await stage.during(candidate.resign(), 3000);
  expect(stage.world.timerCount).toBeGreaterThan(0);
  stage.stop.abort();
  await settled();
  expect(stage.world.timerCount).toBe(0);
});

test('a candidate at rest holds on to none of the signals it was given', async () => {
  const stage = new Stage();
  const candidate = stage.candidate();
  await stage.during(candidate.campaign());
  expect(getEventListeners(stage.stop.signal, 'abort').length).toBeGreaterThan(0);
  const { signal } = new AbortController();
  await stage.during(candidate.resign(signal));
  expect(getEventListeners(stage.stop.signal, 'abort')).toEqual([]);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test.each(['9999999999999999999', String(2n ** 63n - 1n)])(
  'a token of %s, which no tenure can have had, does not close the lock',
  async fencingToken => {
    const stage = new Stage();
    const value = JSON.stringify({ holder: 'a hand', uid: 'x', fencingToken, acquiredTime: 't' });
    const Value = Buffer.from(value).toString('base64');
    stage.server.transact([{ Verb: 'cas', Key: LOCK, Index: 0, Flags: Number(LOCK_FLAGS), Value }]);
    const leadership = await stage.during(stage.candidate().campaign());
    expect(leadership.fencingToken).toBeLessThan(1000n);
    expect(stage.session).toBe(leadership.session);
  },
);
