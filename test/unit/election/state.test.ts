import { describe, expect, test } from 'vitest';
import { encodeLockValue, GO_LOCK_FLAGS, LOCK_FLAGS } from '../../../src/core/lock-value.ts';
import { type ModifyIndex, parseSessionId, type SessionId } from '../../../src/consul/types.ts';
import type { Context, Effect, ElectionEvent, Sight, State } from '../../../src/election/model.ts';
import { seenLock, type Verdict } from '../../../src/election/seen-lock.ts';
import { IDLE, nextTimeMs, step } from '../../../src/election/state.ts';
import { leaseTiming } from '../../../src/election/timing.ts';

const MINE = parseSessionId('00000000-0000-0000-0000-00000000000a');
const THEIRS = parseSessionId('00000000-0000-0000-0000-00000000000b');
const timing = leaseTiming({ ttlSeconds: 20, lockDelaySeconds: 5 });
const context = (change: Partial<Context> = {}): Context => ({
  lockKey: 'l',
  timing,
  at: 0,
  stuck: undefined,
  patient: true,
  ...change,
});

const content = encodeLockValue({ holder: 'h', uid: 'u', fencingToken: 7n, acquiredTime: 't' });
const entryAt = (index: number, session?: SessionId, change: object = {}) => ({
  key: 'l',
  value: content,
  flags: LOCK_FLAGS,
  createIndex: 1,
  modifyIndex: index as ModifyIndex,
  lockIndex: 1,
  session,
  ...change,
});
const sight = (value: ReturnType<typeof entryAt> | undefined, index: number, verdict: Verdict = 'alive') =>
  ({ lock: seenLock({ value, index }), verdict, since: 0 }) satisfies Sight;
const absent = (index: number) => sight(undefined, index);
const free = (index: number) => sight(entryAt(index), index);
const held = (index: number, verdict: Verdict = 'alive') => sight(entryAt(index, THEIRS), index, verdict);
const ours = (index: number) => sight(entryAt(index, MINE), index);
const used = (index: number) => sight(entryAt(index, undefined, { flags: GO_LOCK_FLAGS }), index);

const seen = (what: Sight, reset = false): ElectionEvent => ({ kind: 'seen', sight: what, reset });
const looked = (what: Sight, acquiredAt?: number): ElectionEvent => ({
  kind: 'looked',
  session: MINE,
  sight: what,
  acquiredAt,
});
const acquired: ElectionEvent = { kind: 'acquired', session: MINE, fencingToken: 8n, index: 12 };
const hopeless: ElectionEvent = { kind: 'hopeless', error: new Error('refused for good') };
const refused = (why: 'held' | 'moved' | 'lock-delay' | 'invalid-session'): ElectionEvent => ({
  kind: 'refused',
  session: MINE,
  why,
});

const kept = { id: MINE, renewedAt: 0, isRenewing: false };
const watching: State = { kind: 'watching', sight: undefined, failures: 0 };
const opening: State = { kind: 'opening', sight: free(10), failures: 0 };
const acquiring: State = {
  kind: 'campaigning',
  kept,
  sight: free(10),
  asking: 'acquiring',
  askedAt: 10,
  failures: 0,
};
const waiting: State = { ...acquiring, asking: 'not' };
const unclear: State = { ...acquiring, asking: 'unclear' };
const leading: State = { kind: 'leading', kept, fencingToken: 8n, acquiredAt: 12 };

const destroyMine: Effect = { do: 'destroy', session: MINE };
const acquire = (what: Sight): Effect => ({ do: 'acquire', session: MINE, lock: what.lock });
const lead = (fencingToken: bigint): Effect => ({ do: 'lead', session: MINE, fencingToken });
const ended = (why: unknown): unknown => ({ do: 'end', session: MINE, why });
const retry = (failures: number): Effect => ({ do: 'retry', failures });

interface Row {
  readonly when: string;
  readonly from: State;
  readonly event: ElectionEvent;
  readonly context?: Partial<Context>;
  readonly to: State['kind'];
  readonly effects: readonly unknown[];
}

const ROWS: readonly Row[] = [
  { when: 'a campaign begins', from: IDLE, event: { kind: 'campaign' }, to: 'watching', effects: [] },
  {
    when: 'the key is not there',
    from: watching,
    event: seen(absent(9)),
    to: 'opening',
    effects: [{ do: 'open' }],
  },
  {
    when: 'the lock is free',
    from: watching,
    event: seen(free(10)),
    to: 'opening',
    effects: [{ do: 'open' }],
  },
  { when: 'the lock is held', from: watching, event: seen(held(10)), to: 'watching', effects: [] },
  {
    when: 'the holder is dead',
    from: watching,
    event: seen(held(10, 'dead')),
    to: 'watching',
    effects: [{ do: 'clear', session: THEIRS, lock: held(10).lock }],
  },
  {
    when: 'a session of our own past holds it, it is only destroyed',
    from: watching,
    event: seen(held(10, 'own')),
    to: 'watching',
    effects: [{ do: 'destroy', session: THEIRS }],
  },
  {
    when: 'the key is used for something else',
    from: watching,
    event: seen(used(10)),
    to: 'idle',
    effects: [{ do: 'fail', error: expect.objectContaining({ code: 'LOCK_CONFLICT' }) }],
  },
  {
    when: 'the holder must not be there',
    from: watching,
    event: seen(held(10, new Error('another install'))),
    to: 'idle',
    effects: [{ do: 'fail', error: new Error('another install') }],
  },
  {
    when: 'the lock is held and the candidate does not wait',
    from: watching,
    event: seen(held(10)),
    context: { patient: false },
    to: 'idle',
    effects: [{ do: 'fail', error: expect.objectContaining({ code: 'LOCK_TAKEN' }) }],
  },
  {
    when: 'the lock is free and the work is stuck',
    from: watching,
    event: seen(free(10)),
    context: { stuck: 'why' },
    to: 'watching',
    effects: [retry(0)],
  },
  { when: 'resigned', from: watching, event: { kind: 'resign' }, to: 'idle', effects: [] },

  {
    when: 'the session is there',
    from: opening,
    event: { kind: 'opened', session: MINE, sentAt: 0 },
    to: 'campaigning',
    effects: [acquire(free(10))],
  },
  {
    when: 'the session is there, and another was faster',
    from: { kind: 'opening', sight: held(11), failures: 0 },
    event: { kind: 'opened', session: MINE, sentAt: 0 },
    to: 'watching',
    effects: [destroyMine],
  },
  {
    when: 'no session could be made',
    from: opening,
    event: { kind: 'not-opened' },
    to: 'watching',
    effects: [retry(0)],
  },
  {
    when: 'a session was made for a campaign that is over',
    from: IDLE,
    event: { kind: 'opened', session: MINE, sentAt: 0 },
    to: 'idle',
    effects: [destroyMine],
  },
  {
    when: 'a second session was made',
    from: { ...leading, kept: { ...kept, id: THEIRS } },
    event: { kind: 'opened', session: MINE, sentAt: 0 },
    to: 'leading',
    effects: [destroyMine],
  },

  { when: 'the lock is taken', from: acquiring, event: acquired, to: 'leading', effects: [lead(8n)] },
  {
    when: 'the lock is taken, but the lease ran out meanwhile',
    from: acquiring,
    event: acquired,
    context: { at: 17_000 },
    to: 'watching',
    effects: [destroyMine, retry(0)],
  },
  {
    when: 'the lock is taken, but is known to have been lost since',
    from: { ...acquiring, sight: held(13) },
    event: acquired,
    to: 'watching',
    effects: [destroyMine, retry(0)],
  },
  {
    when: 'the watch says it first',
    from: acquiring,
    event: seen(ours(12)),
    to: 'leading',
    effects: [lead(7n)],
  },
  {
    when: 'the race is lost, and the watch has yet to say so',
    from: acquiring,
    event: refused('moved'),
    to: 'watching',
    effects: [destroyMine],
  },
  {
    when: 'the race is lost, and another holds the lock',
    from: { ...acquiring, sight: held(11) },
    event: refused('held'),
    to: 'watching',
    effects: [destroyMine],
  },
  {
    when: 'the key has moved and is free',
    from: { ...acquiring, sight: free(11) },
    event: refused('moved'),
    to: 'campaigning',
    effects: [acquire(free(11))],
  },
  {
    when: 'the lock-delay runs, the session is kept',
    from: acquiring,
    event: refused('lock-delay'),
    to: 'campaigning',
    effects: [{ do: 'await-lock-delay', forMs: 5000 }],
  },
  {
    when: 'the lock-delay runs since the lock was seen to be free',
    from: acquiring,
    event: refused('lock-delay'),
    context: { at: 7000 },
    to: 'campaigning',
    effects: [{ do: 'await-lock-delay', forMs: -2000 }],
  },
  {
    when: 'the lock-delay runs and the candidate does not wait',
    from: acquiring,
    event: refused('lock-delay'),
    context: { patient: false },
    to: 'idle',
    effects: [destroyMine, { do: 'fail', error: expect.objectContaining({ code: 'LOCK_TAKEN' }) }],
  },
  {
    when: 'the session is gone by then',
    from: acquiring,
    event: refused('invalid-session'),
    to: 'watching',
    effects: [destroyMine, retry(0)],
  },
  {
    when: 'nobody knows whether the lock was taken',
    from: acquiring,
    event: { kind: 'acquire-failed', session: MINE, outcomeUnknown: true },
    to: 'campaigning',
    effects: [{ do: 'look', session: MINE, acquiredAt: undefined }],
  },
  {
    when: 'the lock was certainly not taken',
    from: acquiring,
    event: { kind: 'acquire-failed', session: MINE, outcomeUnknown: false },
    to: 'campaigning',
    effects: [retry(0)],
  },
  {
    when: 'a look shows that it was',
    from: unclear,
    event: looked(ours(12)),
    to: 'leading',
    effects: [lead(7n)],
  },
  {
    when: 'a look shows that it is free',
    from: unclear,
    event: looked(free(10)),
    to: 'campaigning',
    effects: [acquire(free(10))],
  },
  {
    when: 'a look shows another',
    from: unclear,
    event: looked(held(12)),
    to: 'watching',
    effects: [destroyMine],
  },
  {
    when: 'the look failed',
    from: unclear,
    event: { kind: 'look-failed', session: MINE },
    to: 'campaigning',
    effects: [retry(0)],
  },
  {
    when: 'it is time for another look',
    from: unclear,
    event: { kind: 'retry' },
    to: 'campaigning',
    effects: [{ do: 'look', session: MINE, acquiredAt: undefined }],
  },
  {
    when: 'it is time to ask again',
    from: waiting,
    event: { kind: 'retry' },
    to: 'campaigning',
    effects: [acquire(free(10))],
  },
  {
    when: 'an answer is due, nothing is asked twice',
    from: acquiring,
    event: { kind: 'retry' },
    to: 'campaigning',
    effects: [],
  },
  {
    when: 'another takes the lock meanwhile',
    from: waiting,
    event: seen(held(11)),
    to: 'watching',
    effects: [destroyMine],
  },
  {
    when: 'a dead one holds it by now',
    from: waiting,
    event: seen(held(11, 'dead')),
    to: 'watching',
    effects: [destroyMine, { do: 'clear', session: THEIRS, lock: held(11).lock }],
  },
  {
    when: 'the index goes back',
    from: waiting,
    event: seen(free(5), true),
    to: 'watching',
    effects: [destroyMine, retry(0)],
  },
  {
    when: 'the key turns out to be used',
    from: waiting,
    event: seen(used(11)),
    to: 'idle',
    effects: [destroyMine, { do: 'fail', error: expect.objectContaining({ code: 'LOCK_CONFLICT' }) }],
  },
  ...[watching, opening].map(from => ({
    when: 'nothing comes of trying on',
    from,
    event: hopeless,
    to: 'idle' as const,
    effects: [{ do: 'fail', error: new Error('refused for good') }],
  })),
  {
    when: 'nothing comes of trying on',
    from: acquiring,
    event: hopeless,
    to: 'idle',
    effects: [destroyMine, { do: 'fail', error: new Error('refused for good') }],
  },
  {
    when: 'what is in vain is so for others than the leader',
    from: leading,
    event: hopeless,
    to: 'leading',
    effects: [],
  },
  {
    when: 'resigned while nobody knows whether the lock was taken',
    from: unclear,
    event: { kind: 'resign' },
    to: 'idle',
    effects: [{ do: 'release', session: MINE }],
  },
  {
    when: 'the session was not renewed in time',
    from: waiting,
    event: { kind: 'time' },
    context: { at: 17_000 },
    to: 'watching',
    effects: [destroyMine, retry(0)],
  },

  { when: 'the lock is still ours', from: leading, event: seen(ours(12)), to: 'leading', effects: [] },
  { when: 'its value was edited', from: leading, event: seen(ours(20)), to: 'leading', effects: [] },
  { when: 'something older is seen', from: leading, event: seen(free(10)), to: 'leading', effects: [] },
  {
    when: 'the lock was released',
    from: leading,
    event: seen(free(13)),
    to: 'idle',
    effects: [ended(expect.stringContaining('released')), destroyMine],
  },
  {
    when: 'the key was deleted',
    from: leading,
    event: seen(absent(13)),
    to: 'idle',
    effects: [ended(expect.stringContaining('deleted')), destroyMine],
  },
  {
    when: 'another holds the lock',
    from: leading,
    event: seen(held(14)),
    to: 'idle',
    effects: [ended(expect.stringContaining('another session')), destroyMine],
  },
  {
    when: 'the index went back',
    from: leading,
    event: seen(ours(12), true),
    to: 'idle',
    effects: [ended(expect.stringContaining('went back')), destroyMine],
  },
  {
    when: 'a look after the acquisition shows what was before it',
    from: leading,
    event: looked(free(10), 12),
    to: 'idle',
    effects: [ended(expect.stringContaining('restored')), destroyMine],
  },
  {
    when: 'a look that was asked for before the acquisition says so',
    from: leading,
    event: looked(free(10)),
    to: 'leading',
    effects: [],
  },
  {
    when: 'the session is gone',
    from: leading,
    event: { kind: 'session-gone', session: MINE },
    to: 'idle',
    effects: [ended(expect.stringContaining('gone')), destroyMine],
  },
  {
    when: 'the fence is lost',
    from: leading,
    event: { kind: 'revoked', session: MINE, why: 'the fence is lost' },
    to: 'idle',
    effects: [ended('the fence is lost'), destroyMine],
  },
  {
    when: 'resigned: released first, and without a lock-delay',
    from: leading,
    event: { kind: 'resign' },
    to: 'idle',
    effects: [ended('resigned'), { do: 'release', session: MINE }],
  },
  {
    when: 'stopped',
    from: leading,
    event: { kind: 'stop', why: 'the end' },
    to: 'idle',
    effects: [ended('the end'), destroyMine],
  },
  {
    when: 'it is not yet time to renew',
    from: leading,
    event: { kind: 'time' },
    context: { at: 4999 },
    to: 'leading',
    effects: [],
  },
  {
    when: 'it is time to renew',
    from: leading,
    event: { kind: 'time' },
    context: { at: 5000 },
    to: 'leading',
    effects: [{ do: 'renew', session: MINE }],
  },
  {
    when: 'a renewal is under way',
    from: { ...leading, kept: { ...kept, isRenewing: true } },
    event: { kind: 'time' },
    context: { at: 6000 },
    to: 'leading',
    effects: [],
  },
  {
    when: 'it is time to renew and the work is stuck',
    from: leading,
    event: { kind: 'time' },
    context: { at: 5000, stuck: 'a turn takes for ever' },
    to: 'idle',
    effects: [ended(expect.stringContaining('a turn takes for ever')), destroyMine],
  },
  {
    when: 'the lease has run out',
    from: leading,
    event: { kind: 'time' },
    context: { at: 17_000 },
    to: 'idle',
    effects: [ended(expect.stringContaining('ran out')), destroyMine],
  },
  {
    when: 'it was renewed, the lock is looked at as well',
    from: leading,
    event: { kind: 'renewed', session: MINE, sentAt: 5000 },
    context: { at: 5100 },
    to: 'leading',
    effects: [{ do: 'look', session: MINE, acquiredAt: 12 }],
  },
  {
    when: 'it was renewed, but the answer came after the lease had run out',
    from: leading,
    event: { kind: 'renewed', session: MINE, sentAt: 5000 },
    context: { at: 17_000 },
    to: 'idle',
    effects: [ended(expect.stringContaining('ran out')), destroyMine],
  },
];

const named = ROWS.map(row => [`${row.from.kind}: ${row.when}`, row] as const);

describe('what a candidate does', () => {
  test.each(named)('%s', (_, row) => {
    const { state, effects } = step(row.from, row.event, context(row.context));
    expect(state.kind).toBe(row.to);
    expect(effects).toEqual(row.effects);
  });

  test.each([watching, opening, acquiring, waiting, unclear, leading])(
    'answers for a session that was given up change nothing: $kind',
    state => {
      const of = { session: THEIRS };
      const late: ElectionEvent[] = [
        { ...acquired, ...of },
        { ...refused('held'), ...of } as ElectionEvent,
        { kind: 'acquire-failed', outcomeUnknown: true, ...of },
        { kind: 'renewed', sentAt: 9000, ...of },
        { kind: 'renew-failed', ...of },
        { kind: 'session-gone', ...of },
        { kind: 'revoked', why: 'late', ...of },
        { ...looked(held(99)), ...of } as ElectionEvent,
      ];
      for (const event of late) expect(step(state, event, context())).toEqual({ state, effects: [] });
    },
  );

  test('a tenure that ended has no way back: no event of its session leads again', () => {
    for (const event of [
      acquired,
      looked(ours(12)),
      seen(ours(12)),
      { kind: 'renewed', session: MINE, sentAt: 1 },
    ])
      expect(step(IDLE, event as ElectionEvent, context())).toEqual({ state: IDLE, effects: [] });
  });
});

describe('when to look at the time again', () => {
  test.each<[string, State, number, number | undefined]>([
    ['never without a session', watching, 0, undefined],
    ['when it is to be renewed', leading, 1000, 4000],
    ['at once when that is overdue', leading, 6000, 0],
    [
      'when the lease runs out, while a renewal is under way',
      { ...leading, kept: { ...kept, isRenewing: true } },
      6000,
      11_000,
    ],
    [
      'half a second after a renewal that failed',
      step(leading, { kind: 'renew-failed', session: MINE }, context({ at: 7000 })).state,
      7000,
      500,
    ],
    [
      'when the lease runs out, if that is sooner',
      step(leading, { kind: 'renew-failed', session: MINE }, context({ at: 16_900 })).state,
      16_900,
      100,
    ],
    [
      'a renewal counts from its sending',
      step(leading, { kind: 'renewed', session: MINE, sentAt: 5000 }, context({ at: 7000 })).state,
      7000,
      3000,
    ],
  ])('%s', (_, state, at, expected) => {
    expect(nextTimeMs(state, context({ at }))).toBe(expected);
  });
});
