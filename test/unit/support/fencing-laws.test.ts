import { expect, test } from 'vitest';
import { type Evidence, fencingProblems, marksOf } from '../../support/fencing-laws.ts';
import type { RecordedRequest } from '../../support/fault-rules.ts';
import { LockHistory } from '../../support/lock-history.ts';
import { WriteRecorder, type WrittenTransaction } from '../../support/write-recorder.ts';

const LOCK = 'proconsul/an-install/leader';
const RECORD = 'proconsul/an-install/owners/ConsulKV/shop/a';
const [FIRST, SECOND] = ['session-1', 'session-2'];

/** The first has the lock from 5 on, the second from 20 on. */
const history = new LockHistory();
history.note({ index: 20, session: SECOND });
history.note({ index: 5, session: FIRST });

interface Write {
  readonly session?: string;
  readonly index?: number;
  readonly epoch?: number;
  readonly status?: number;
  /** What the write believes to stand at `a`. */
  readonly replaces?: number;
  readonly deletes?: boolean;
  /** Of the operation on the lock that comes first. */
  readonly verb?: string;
  /** Whose Consul found the lock to be, if not the writer's. */
  readonly lockThen?: string;
}

function aTransaction(write: Write): WrittenTransaction {
  const { session, index = 10, epoch = 1, replaces = 0, deletes = false, lockThen = session, verb } = write;
  const check = { KV: { Verb: verb ?? 'check-session', Key: LOCK, Session: session } };
  const keys = ['a', RECORD];
  const writes = keys.map(Key => {
    const content = { Value: base64({ epoch }), Index: Key === 'a' ? replaces : 0 };
    return { KV: deletes ? { Verb: 'delete-cas', Key, Index: 0 } : { Verb: 'cas', Key, ...content } };
  });
  const lock = { KV: { Key: LOCK, ModifyIndex: session === FIRST ? 5 : 20, Session: lockThen } };
  const results = deletes ? [lock] : [lock, ...keys.map(Key => ({ KV: { Key, ModifyIndex: index } }))];
  return recorded(session === undefined ? writes : [check, ...writes], results, write.status);
}

function aGrant({ key = LOCK, session, token, index }: Grant): WrittenTransaction {
  const lock = {
    KV: { Verb: 'lock', Key: key, Session: session, Value: base64({ fencingToken: `${token}` }) },
  };
  const check = { KV: { Verb: 'check-session', Key: LOCK, Session: history.holderAt(index) } };
  return recorded(key === LOCK ? [lock] : [check, lock], [{ KV: { Key: key, ModifyIndex: index } }]);
}

interface Grant {
  readonly key?: string;
  readonly session: string;
  readonly token: number;
  readonly index: number;
}

function recorded(body: readonly object[], results: readonly object[], status = 200): WrittenTransaction {
  const request: RecordedRequest = {
    n: 1,
    method: 'PUT',
    path: '/v1/txn',
    query: new URLSearchParams(),
    headers: {},
    body: JSON.stringify(body),
    at: 0,
    upstreamStatus: status,
    reply: JSON.stringify(status === 200 ? { Results: results } : {}),
    status,
    finished: true,
  };
  return new WriteRecorder(LOCK).transactions([request])[0] as WrittenTransaction;
}

function base64(content: object): string {
  return Buffer.from(JSON.stringify(content)).toString('base64');
}

function problemsOf(transactions: readonly WrittenTransaction[], seen: Partial<Evidence> = {}): string {
  const least = { epoch: 0, tokens: new Map() };
  const nothing = { sightings: [], removals: [] };
  return fencingProblems({ transactions, history, lockKey: LOCK, least, ...nothing, ...seen }).join('\n');
}

const problems = (writes: readonly Write[], seen: Partial<Evidence> = {}): string =>
  problemsOf(writes.map(aTransaction), seen);

const lawful: readonly Write[] = [
  { session: FIRST, index: 10, epoch: 1 },
  { session: FIRST, index: 19, epoch: 1, replaces: 10 },
  { session: SECOND, index: 21, epoch: 2, replaces: 19 },
  { session: SECOND, deletes: true },
];

test('two tenures, one after the other, are lawful, and what was refused does not count', () => {
  expect(problems([...lawful, { session: FIRST, index: 22, status: 409 }])).toBe('');
});

test.each<[string, readonly Write[], string]>([
  ['without a fence', [{ index: 10 }], 'carries no session'],
  [
    'that names a session and does not check it',
    [{ session: FIRST, verb: 'get-or-empty' }],
    'carries session-1 and does not check it',
  ],
  [
    'with the fence of one who does not hold the lock any more',
    [{ session: FIRST, index: 21 }],
    'carries session-1 while session-2 had the lock',
  ],
  [
    'with the fence of one who does not hold it yet',
    [{ session: SECOND, index: 19 }],
    'carries session-2 while session-1 had the lock',
  ],
  [
    'for which Consul found the lock with another session',
    [{ session: FIRST, index: 10, lockThen: SECOND }],
    'and Consul found the lock with session-2',
  ],
  ['with an older epoch', [...lawful, { session: SECOND, index: 22, epoch: 1 }], 'is 1, and not 2 or more'],
  ['with the epoch of another', [...lawful, { session: FIRST, index: 19, epoch: 2 }], 'the epoch 2 is of'],
  [
    'that replaced what nobody is known to have written',
    [{ session: FIRST, replaces: 8 }],
    'the version of a at 8, which was replaced, was written by nobody who is known',
  ],
  ['in no case', [], 'nothing was written at all'],
])('a commit %s is told', (_, writes, problem) => {
  expect(problems(writes)).toContain(problem);
});

const unclear: Write = { session: FIRST, status: 500 };

test('a transaction whose answer was lost counts where its value is seen', () => {
  const seen = { key: 'a', index: 21, value: base64({ epoch: 1 }), session: undefined };
  const record = { ...seen, key: RECORD };

  expect(problems([...lawful, unclear])).toBe('');
  expect(problems([...lawful, unclear], { sightings: [seen, record] })).toBe('');
  const late = { sightings: [{ ...seen, index: 25 }] };
  expect(problems([...lawful, unclear], late)).toContain('carries session-1 while session-2 had the lock');
});

test('a transaction whose answer was lost counts where another one has replaced it', () => {
  const next = { session: SECOND, index: 26, epoch: 2, replaces: 25 };

  expect(problems([...lawful, unclear, next])).toContain('carries session-1 while session-2 had the lock');
});

test('what stands there and nobody is known to have written is told', () => {
  const sightings = [{ key: 'a', index: 15, value: 'b3RoZXI=', session: undefined }];
  expect(problems(lawful, { sightings })).toContain('the version of a at 15 was written by nobody');
});

test('what is gone and nobody is known to have deleted is told', () => {
  const removals = [{ key: 'a', after: 20, until: 22 }];
  expect(problems(lawful, { removals })).toBe('');
  expect(problems(lawful.slice(0, 3), { removals })).toContain('a was deleted after 20, by 22, by nobody');
});

test('a deletion whose answer was lost is told when its session had no lock at any index in question', () => {
  const deletion = { session: FIRST, deletes: true, status: 500 };
  const goneAt = (after: number, until: number) => ({ removals: [{ key: 'a', after, until }] });

  expect(problems([...lawful.slice(0, 3), deletion], goneAt(12, 14))).toBe('');
  expect(problems([...lawful.slice(0, 3), deletion], goneAt(12, 25))).toBe('');
  expect(problems([...lawful.slice(0, 3), deletion], goneAt(21, 25))).toContain(
    '(between 21 and 25) carries session-1 while session-2 had the lock',
  );
});

test('an epoch that does not go on from an earlier Consul is told', () => {
  expect(problems(lawful, { least: { epoch: 2, tokens: new Map() } })).toContain('is 1, and not 2 or more');
});

test.each<[string, readonly Grant[], string]>([
  ['falls', [grant(FIRST, 5, 5), grant(SECOND, 3, 20)], 'is 3 for session-2, after 5 for session-1'],
  ['repeats', [grant(FIRST, 5, 5), grant(SECOND, 5, 20)], 'is 5 for session-2, after 5 for session-1'],
  ['falls in the hand of one holder', [grant(FIRST, 5, 5), grant(FIRST, 4, 6)], 'is 4 for session-1'],
])('a token that %s is told', (_, grants, problem) => {
  for (const key of [LOCK, 'leases/a']) {
    const granted = grants.map(one => aGrant({ ...one, key }));
    expect(problemsOf([...lawful.map(aTransaction), ...granted])).toContain(problem);
  }
});

test('a holder that writes its token again, and the tokens of another lock, are lawful', () => {
  const granted = [grant(FIRST, 5, 5), grant(FIRST, 5, 6), { ...grant(SECOND, 5, 7), key: 'leases/a' }];
  expect(problemsOf([...lawful.map(aTransaction), ...granted.map(aGrant)])).toBe('');
});

test('a token that does not go on from an earlier Consul is told', () => {
  const earlier = [...lawful.map(aTransaction), aGrant(grant(FIRST, 5, 5))];
  const least = marksOf({ transactions: earlier, least: { epoch: 0, tokens: new Map() } });

  expect(least).toEqual({ epoch: 2, tokens: new Map([[LOCK, 5n]]) });
  const later = [aTransaction({ session: FIRST, epoch: 3 }), aGrant(grant(FIRST, 5, 5))];
  expect(problemsOf(later, { least })).toContain('is 5 for session-1, after 5 for an earlier Consul');
});

function grant(session: string, token: number, index: number): Grant {
  return { session, token, index };
}
