import { expect, test } from 'vitest';
import { fencingProblems } from '../../support/fencing-laws.ts';
import type { RecordedRequest } from '../../support/fault-rules.ts';
import { type WrittenTransaction, writtenTransactions } from '../../support/write-recorder.ts';

const LOCK = 'proconsul/an-install/leader';
const [FIRST, SECOND] = ['session-1', 'session-2'];
/** The second has the lock from 20 on. */
const history = { holderAt: (index: number) => (index < 20 ? FIRST : SECOND), tokens: [3n, 5n] };

interface Write {
  readonly session?: string;
  readonly index?: number;
  readonly epoch?: number;
  readonly status?: number;
}

function aTransaction({ session, index = 10, epoch = 1, status = 200 }: Write): WrittenTransaction {
  const record = Buffer.from(JSON.stringify({ epoch })).toString('base64');
  const check = { KV: { Verb: 'check-session', Key: LOCK, Session: session } };
  const keys = ['a', 'proconsul/an-install/owners/ConsulKV/shop/a'];
  const writes = keys.map(Key => ({ KV: { Verb: 'cas', Key, Value: record, Index: 0 } }));
  const results = [LOCK, ...keys].map(Key => ({ KV: { Key, ModifyIndex: Key === LOCK ? 99 : index } }));
  const request: RecordedRequest = {
    n: 1,
    method: 'PUT',
    path: '/v1/txn',
    query: new URLSearchParams(),
    headers: {},
    body: JSON.stringify(session === undefined ? writes : [check, ...writes]),
    at: 0,
    upstreamStatus: status,
    reply: JSON.stringify({ Results: results }),
    status,
    finished: true,
  };
  return writtenTransactions([request], LOCK)[0] as WrittenTransaction;
}

const problems = (writes: readonly Write[], leastEpoch = 0): string[] =>
  fencingProblems(writes.map(aTransaction), { history, leastEpoch });

const lawful: readonly Write[] = [
  { session: FIRST, index: 10, epoch: 1 },
  { session: FIRST, index: 19, epoch: 1 },
  { session: SECOND, index: 21, epoch: 2 },
];

test('two tenures, one after the other, are lawful, and what was refused does not count', () => {
  expect(problems([...lawful, { session: FIRST, index: 22, status: 409 }])).toEqual([]);
});

test.each<[string, readonly Write[], string]>([
  ['without a fence', [{ index: 10 }], 'carries no session'],
  [
    'with the fence of one who does not hold the lock any more',
    [{ session: FIRST, index: 21 }],
    'had the lock',
  ],
  ['with the fence of one who does not hold it yet', [{ session: SECOND, index: 19 }], 'had the lock'],
  ['with an older epoch', [...lawful, { session: SECOND, index: 22, epoch: 1 }], 'is 1, and not 2 or more'],
  ['with the epoch of another', [...lawful, { session: FIRST, index: 19, epoch: 2 }], 'the epoch 2 is of'],
  ['in no case', [], 'nothing was written at all'],
])('a commit %s is told', (_, writes, problem) => {
  expect(problems(writes).join('\n')).toContain(problem);
});

test('an epoch that does not go on from an earlier Consul is told', () => {
  expect(problems(lawful, 2).join('\n')).toContain('is 1, and not 2 or more');
});

test('a token that does not grow is told', () => {
  const falling = { ...history, tokens: [5n, 5n] };
  const transactions = lawful.map(aTransaction);
  expect(fencingProblems(transactions, { history: falling, leastEpoch: 0 })).toHaveLength(1);
});
