import { describe, expect, test } from 'vitest';
import type { KvEntry, ModifyIndex } from '../../../../src/consul/types.ts';
import { GO_LOCK_FLAGS } from '../../../../src/core/lock-value.ts';
import {
  type LeasePlan,
  type LeaseWish,
  planLease,
  planLeaseEnd,
  planLettingGo,
} from '../../../../src/reconcilers/lease/plan.ts';
import { readSessionName, sessionName, sessionsOf } from '../../../../src/reconcilers/lease/sessions.ts';
import { type LeaseStep, recordAfter } from '../../../../src/reconcilers/lease/steps.ts';
import {
  ACQUIRED,
  aRecord,
  anEntry,
  aWish,
  heldBy,
  KEY,
  LABEL,
  lockValue,
  observed,
  podRef,
  sessionId,
  type Situation,
} from './builders.ts';

const THREE = ['0', '1', '2'].map(slot => `${KEY}/${slot}`);
const [ZERO, ONE, TWO] = THREE as [string, string, string];
const at = (index: number) => ({ modifyIndex: index as ModifyIndex });

/** A plan in one line: what is done, in order; or why not. */
function told(plan: LeasePlan): string {
  if (plan.kind === 'noop') return 'nothing';
  if (plan.kind !== 'change') return `${plan.reason}: ${plan.message}`;
  return plan.steps.map(tell).join(', ');
}

function tell(step: LeaseStep): string {
  const number = (session: string | undefined) =>
    session === undefined ? '' : ` #${Number(session.slice(-12))}`;
  const slot = 'key' in step ? step.key.replace(KEY, '') || '/' : '';
  switch (step.kind) {
    case 'vacate':
      return `${step.how} ${slot} of ${step.pod.name}${number(step.session)} @${step.index}`;
    case 'drop':
      return `drop ${slot}${number(step.session)} @${step.index}`;
    case 'rewrite':
      return `rewrite ${slot} for ${step.pod.name}${number(step.session)} token ${step.token} @${step.index}`;
    case 'grant':
      return `grant ${slot} to ${step.pod.name}${number(step.session)} token ${step.token} @${step.index}`;
    case 'discard':
      return `discard${number(step.session)}`;
    case 'record':
    case 'end':
      return step.kind;
  }
}

const planned = (candidates: readonly string[], situation: Situation, more: Partial<LeaseWish> = {}) =>
  told(planLease(aWish(candidates, more), observed(situation)));

const HELD: Situation = {
  slots: { [KEY]: heldBy(1, 'a', 7n) },
  sessions: { 1: 'a' },
  record: { [KEY]: '7' },
};
const FREE: Situation = { slots: { [KEY]: anEntry({ value: lockValue('a', 7n) }) }, record: { [KEY]: '7' } };

describe('a lease with one holder', () => {
  test.each<[says: string, candidates: readonly string[], situation: Situation, plan: string]>([
    ['goes to the first candidate', ['a', 'b'], {}, 'grant / to a token 20 @0'],
    ['stays with its holder, whoever else is there', ['b', 'a'], HELD, 'nothing'],
    ['is taken from who may not lead any more', ['b'], HELD, 'release / of a #1 @10'],
    ['is taken without another candidate, too', [], HELD, 'release / of a #1 @10'],
    ['waits for a candidate', [], FREE, 'NoCandidates: no Ready Pod matches the selector'],
    ['goes on to the next', ['b'], FREE, 'grant / to b token 20 @10'],
    ['goes to the same again, with a new token', ['a'], FREE, 'grant / to a token 20 @10'],
    [
      'that an admin released goes on',
      ['b'],
      { slots: { [KEY]: anEntry({ flags: 0n }) }, record: { [KEY]: '7' } },
      'grant / to b token 20 @10',
    ],
    ['of which the key was deleted goes on', ['b'], { record: { [KEY]: '7' } }, 'grant / to b token 20 @0'],
  ])('%s', (_, candidates, situation, plan) => {
    expect(planned(candidates, situation)).toBe(plan);
  });

  test('goes through its lock-delay, where that is wanted', () => {
    const handover = 'AfterLockDelay';
    expect(planned(['b'], HELD, { handover })).toBe('destroy / of a #1 @10');
    expect(planned(['a'], HELD, { handover })).toBe('nothing');
  });

  test('keeps what stands at the key when it is released', () => {
    const plan = planLease(aWish([]), observed(HELD));
    expect(plan.kind === 'change' && plan.steps).toMatchObject([
      { kind: 'vacate', value: lockValue('a', 7n) },
    ]);
  });
});

describe('a fencing token', () => {
  const tokenOf = (situation: Situation) => /token (\d+)/.exec(planned(['b'], situation))?.[1];

  test.each<[than: string, situation: Situation, token: string]>([
    ['the index read', { readIndex: 99 }, '99'],
    ['the token at the key', { ...FREE, slots: { [KEY]: anEntry({ value: lockValue('a', 50n) }) } }, '51'],
    ['the token of the record', { ...FREE, head: { lease: { token: '60', transitions: 0 } } }, '61'],
    [
      'a token of a slot in the record',
      { record: { [KEY]: '70' }, head: { lease: { token: '1', transitions: 0 } } },
      '71',
    ],
    ['the token of the status, when all else is lost', { told: { highest: 80n } }, '81'],
    [
      'one beyond 2^53',
      { ...FREE, head: { lease: { token: '9007199254740993', transitions: 0 } } },
      '9007199254740994',
    ],
  ])('is not lower than %s', (_, situation, token) => {
    expect(tokenOf(situation)).toBe(token);
  });

  test('is not led astray by one that nobody can have granted', () => {
    const last = 2n ** 63n - 1n;
    const slots = { [KEY]: anEntry({ value: lockValue('a', last) }) };
    expect(tokenOf({ ...FREE, slots })).toBe('20');
    const recorded = (token: string): Situation => ({
      record: { [KEY]: token },
      head: { lease: { token, transitions: 0 } },
    });
    expect(tokenOf(recorded('damaged'))).toBe('20');
    expect(tokenOf(recorded('9999999999999999999'))).toBe('20');
    expect(tokenOf(recorded(last.toString()))).toBe('20');
    const held = { ...HELD, slots: { [KEY]: heldBy(1, 'a', last) } };
    expect(planned(['a'], held)).toBe('rewrite / for a #1 token 20 @10');
  });

  test('is another one for each slot', () => {
    expect(planned(['a', 'b', 'c'], {}, { keys: THREE })).toBe(
      'grant /0 to a token 20 @0, grant /1 to b token 21 @0, grant /2 to c token 22 @0',
    );
  });
});

describe('a lease with several holders', () => {
  const two: Situation = {
    slots: { [ZERO]: heldBy(1, 'a', 7n), [ONE]: heldBy(2, 'b', 8n, at(11)) },
    sessions: { 1: 'a', 2: 'b' },
    record: { [ZERO]: '7', [ONE]: '8', [TWO]: '' },
  };

  test.each<
    [says: string, candidates: readonly string[], situation: Situation, keys: readonly string[], plan: string]
  >([
    ['fills what is free', ['c', 'a', 'b'], two, THREE, 'grant /2 to c token 20 @0'],
    ['leaves free what nobody can fill', ['a', 'b'], two, THREE, 'nothing'],
    [
      'takes before it gives, and gives only what was free',
      ['b', 'c', 'd'],
      two,
      THREE,
      'release /0 of a #1 @10, grant /2 to c token 20 @0',
    ],
    ['drops the slots of a lowered number', ['a', 'b'], two, [ZERO], 'drop /1 #2 @11, drop /2 @0'],
    ['moves from one key to many', ['a', 'b'], HELD, THREE, 'drop / #1 @10, grant /0 to b token 20 @0'],
    [
      'gives nothing before it has moved from many keys to one',
      ['a', 'b'],
      two,
      [KEY],
      'drop /0 #1 @10, drop /1 #2 @11, drop /2 @0',
    ],
    [
      'gives nothing to others before that, either',
      ['a', 'b', 'c'],
      two,
      [KEY],
      'drop /0 #1 @10, drop /1 #2 @11, drop /2 @0',
    ],
    [
      'lets a Pod hold one slot, not two',
      ['a', 'b'],
      { ...two, sessions: { 1: 'a', 2: 'a' }, slots: { ...two.slots, [ONE]: heldBy(2, 'a', 8n, at(11)) } },
      THREE,
      'release /1 of a #2 @11, grant /2 to b token 20 @0',
    ],
  ])('%s', (_, candidates, situation, keys, plan) => {
    expect(planned(candidates, situation, { keys })).toBe(plan);
  });
});

describe('what was edited at the key of a holder is put right', () => {
  const edited = (more: Partial<KvEntry>): Situation => ({
    ...HELD,
    slots: { [KEY]: { ...heldBy(1, 'a', 7n), ...more } },
  });

  test.each<[says: string, more: Partial<KvEntry>, token: number]>([
    ['no value at all', { value: Buffer.alloc(0) }, 7],
    ['another holder', { value: lockValue('b', 7n) }, 7],
    ['another flag', { flags: 0n }, 7],
    ['a lower token', { value: lockValue('a', 6n) }, 7],
    ['a higher token, which is not taken back', { value: lockValue('a', 30n) }, 31],
  ])('%s', (_, more, token) => {
    expect(planned(['a'], edited(more))).toBe(`rewrite / for a #1 token ${token} @10`);
  });

  test('with the time that the status tells, else what is left of it', () => {
    const told = { acquired: new Map([[sessionId(1), '2026-01-01T01:00:00Z']]) };
    const timeOf = (situation: Situation) => {
      const plan = planLease(aWish(['a']), observed(situation));
      return plan.kind === 'change' && plan.steps.map(step => step.kind === 'rewrite' && step.acquiredTime);
    };
    expect(timeOf({ ...edited({ value: Buffer.alloc(0) }), told })).toEqual(['2026-01-01T01:00:00Z']);
    expect(timeOf(edited({ flags: 0n }))).toEqual([ACQUIRED]);
    expect(timeOf(edited({ value: lockValue('b', 7n) }))).toEqual([undefined]);
  });

  test('with a new token when the record was lost, and it is recorded again', () => {
    const { record: _, ...lost } = HELD;
    expect(planned(['a'], lost)).toBe('rewrite / for a #1 token 20 @10');
  });

  test('with a new token when Consul was set back behind one that was told, as if nobody had led since', () => {
    expect(planned(['a'], { ...HELD, told: { highest: 40n } })).toBe('rewrite / for a #1 token 41 @10');
    expect(planned(['a'], { ...HELD, told: { highest: 7n } })).toBe('nothing');
  });

  test('further members of the value are no edit', () => {
    const value = Buffer.from(JSON.stringify({ ...JSON.parse(lockValue('a', 7n).toString()), note: 'x' }));
    expect(planned(['a'], edited({ value }))).toBe('nothing');
  });

  test('each with a token of its own', () => {
    const slots = { [ZERO]: heldBy(1, 'a', 30n), [ONE]: heldBy(2, 'b', 31n) };
    const situation = { slots, sessions: { 1: 'a', 2: 'b' }, record: { [ZERO]: '7', [ONE]: '8' } };
    expect(planned(['a', 'b', 'c'], situation, { keys: THREE })).toBe(
      'rewrite /0 for a #1 token 32 @10, rewrite /1 for b #2 token 33 @10, grant /2 to c token 34 @0',
    );
  });
});

describe('what is not ours', () => {
  const inUse = (use: string) =>
    `AlreadyExists: key ${KEY} is in use: ${use}. Free it in Consul, or make a lease with another key`;

  test.each<[what: string, entry: KvEntry, use: string]>([
    [
      "a lock of Go's api.Lock",
      anEntry({ flags: GO_LOCK_FLAGS }),
      "a lock of Go's api.Lock or `consul lock`",
    ],
    ['data', anEntry({ flags: 0n, value: Buffer.from('x') }), 'data'],
    ['an empty key', anEntry({ flags: 0n }), 'data'],
    ['data with our flags', anEntry({ value: Buffer.from('x') }), 'data'],
    ['data with flags', anEntry({ flags: 1n }), 'data with flags 1 of another program'],
    [
      'a lock that is held',
      heldBy(9, 'x', 1n),
      `a lock that session ${sessionId(9)} (their\\u{202e}s) holds`,
    ],
  ])('is left alone: %s', (_, entry, use) => {
    const situation = { slots: { [KEY]: entry }, strangers: { 9: 'their\u202es' } };
    expect(planned(['a'], situation)).toBe(inUse(use));
    expect(planned(['a'], { ...situation, record: { [KEY]: '' } })).toBe(inUse(use));
  });

  test('is left alone where a slot of ours was', () => {
    expect(planned(['a'], { ...FREE, slots: { [KEY]: anEntry({ flags: GO_LOCK_FLAGS }) } })).toMatch(
      /^AlreadyExists/,
    );
    const held = { ...FREE, slots: { [KEY]: heldBy(9, 'x', 8n) }, strangers: { 9: 'theirs' } };
    expect(planned(['a'], held)).toMatch(/^AlreadyExists/);
  });

  test('keeps a lease with several slots from being given, and takes it from who may not lead', () => {
    const slots = { [ZERO]: heldBy(1, 'a', 7n), [ONE]: anEntry({ flags: 1n }) };
    const situation = { slots, sessions: { 1: 'a', 5: 'b' }, record: { [ZERO]: '7', [KEY]: '3' } };
    const more = { keys: THREE };
    expect(planned(['b'], situation, more)).toBe('release /0 of a #1 @10, drop / @0, discard #5');
    const tidied = { slots, sessions: { 1: 'a' }, record: { [ZERO]: '7' } };
    expect(planned(['a', 'b'], tidied, more)).toMatch(/^AlreadyExists/);
    const edited = { ...tidied, slots: { ...slots, [ZERO]: heldBy(1, 'x', 7n) } };
    expect(planned(['a', 'b'], edited, more)).toMatch(/^AlreadyExists/);
  });

  test('does not write the key when the session of one who died is ended at it', () => {
    expect(planned([], { ...HELD, rivals: [KEY] })).toBe('destroy / of a #1 @10');
  });

  test('may be anything else, too: a dead holder goes, and nobody follows', () => {
    const obstacle = { kind: 'refuse', reason: 'AlreadyExists', message: 'a Service' } as const;
    expect(planned(['b'], HELD, { obstacle })).toBe('release / of a #1 @10');
    expect(planned(['b'], FREE, { obstacle })).toBe('AlreadyExists: a Service');
    expect(planned(['a'], HELD, { obstacle })).toBe('AlreadyExists: a Service');
    const inherited = { ...HELD, head: { uid: 'u-0' } };
    expect(planned(['a'], inherited, { obstacle })).toBe('AlreadyExists: a Service');
  });

  test('is a lock of a session that the ACL token may not see', () => {
    const slots = { [KEY]: heldBy(9, 'x', 1n) };
    const use = `a lock that session ${sessionId(9)} (which the ACL token may not see) holds`;
    expect(planned(['a'], { slots, strangers: { 9: undefined } })).toBe(inUse(use));
    const surplus = { slots, strangers: { 9: undefined }, record: { [KEY]: '1' } };
    expect(planned(['a'], surplus, { keys: THREE })).toBe('drop / @0, grant /0 to a token 20 @0');
  });

  test('is what another resource declares, free or not', () => {
    const message = `Conflict: key ${KEY} belongs to ConsulKV shop/rival`;
    expect(planned(['a'], { rivals: [KEY] })).toBe(message);
    expect(planned(['a'], { ...HELD, rivals: [KEY] })).toBe(message);
  });

  test('a free lock of this kind that nobody owns is taken over, if all owners can be seen', () => {
    const slots = { [KEY]: anEntry({ value: lockValue('x', 40n) }) };
    expect(planned(['a'], { slots })).toBe('grant / to a token 41 @10');
    expect(planned(['a'], { slots, claimsComplete: false })).toMatch(/^ConsulDenied/);
    expect(planned(['a'], { claimsComplete: false })).toBe('grant / to a token 20 @0');
    expect(planned(['b'], { ...FREE, claimsComplete: false })).toBe('grant / to b token 20 @10');
  });
});

describe('what is not known', () => {
  const notRead = 'Progressing: not all locks and sessions of this lease have been read yet';

  test.each<[what: string, situation: Situation]>([
    ['a slot nobody has looked at', { slots: { [KEY]: 'unknown' } }],
    ['a session nobody has asked about', { slots: { [KEY]: heldBy(9, 'x', 7n) }, record: { [KEY]: '7' } }],
    ['all sessions', { ...HELD, sessions: undefined }],
    ['all sessions, of a lease that is free', { ...FREE, sessions: undefined }],
  ])('is waited for: %s', (_, situation) => {
    expect(planned(['a', 'b'], situation)).toBe(notRead);
    expect(planned([], situation)).toBe(notRead);
  });

  test('keeps other slots from being given, not from being taken', () => {
    const slots = { [ZERO]: heldBy(1, 'a', 7n), [ONE]: 'unknown' as const };
    const situation = { slots, sessions: { 1: 'a', 5: 'c' }, record: { [ZERO]: '7' } };
    expect(planned(['b'], situation, { keys: THREE })).toBe('release /0 of a #1 @10');
    expect(planned(['a', 'b'], situation, { keys: THREE })).toBe(notRead);
  });

  test('is said also of a slot that is not wanted any more', () => {
    const situation: Situation = { slots: { [KEY]: 'unknown' }, record: { [KEY]: '7' } };
    expect(planned(['a'], situation, { keys: THREE })).toBe(notRead);
  });
});

describe('sessions that hold nothing', () => {
  test('go', () => {
    expect(planned(['a'], { ...HELD, sessions: { 1: 'a', 2: 'a', 3: 'b' } })).toBe('discard #2, discard #3');
  });

  test('stay while the slots were not read since they were made', () => {
    const situation = { ...HELD, sessions: { 1: 'a', 3: 'b' }, createIndex: 25 };
    expect(planned(['a'], { ...situation, readIndex: 24 })).toBe('nothing');
    expect(planned(['a'], { ...situation, readIndex: 25 })).toBe('discard #3');
  });

  test('serve their Pod if they were made after the last grant: then they cannot have served before', () => {
    const made = (createIndex: number, more: Situation = FREE) =>
      planned(['b'], { ...more, sessions: { 3: 'b' }, createIndex, recordIndex: 10 });
    expect(made(11)).toBe('grant / to b #3 token 20 @10');
    expect(made(10)).toBe('discard #3, grant / to b token 20 @10');
    expect(made(11, { record: { [KEY]: '7' } })).toBe('grant / to b #3 token 20 @0');
    expect(made(11, {})).toBe('discard #3, grant / to b token 20 @0');
    const ofOthers = { ...FREE, sessions: { 3: 'b', 4: 'c' }, createIndex: 11 };
    expect(planned(['b'], ofOthers)).toBe('discard #4, grant / to b #3 token 20 @10');
  });

  test('do not serve at another slot than they held', () => {
    // Session 3 held /0, which an admin released; /1 was last written long before that.
    const slots = {
      [ZERO]: anEntry({ ...at(30), value: lockValue('p', 8n) }),
      [ONE]: anEntry({ ...at(10), value: lockValue('o', 7n) }),
    };
    const situation = {
      slots,
      sessions: { 3: 'p' },
      createIndex: 25,
      record: { [ZERO]: '26', [ONE]: '7' },
      recordIndex: 26,
      readIndex: 40,
    };
    expect(planned(['q', 'p'], situation, { keys: [ZERO, ONE] })).toBe(
      'discard #3, grant /0 to q token 40 @30, grant /1 to p token 41 @10',
    );
  });

  test('are told from those of other leases by their names', () => {
    const lease = { namespace: 'shop', name: 'orders' };
    const name = sessionName(lease, podRef('a'), 'x1');
    expect(readSessionName(name)).toEqual({ lease, pod: podRef('a') });
    const session = { id: sessionId(1), name, node: 'n', ttl: '15s', behavior: 'release', createIndex: 3 };
    const of = (other: typeof lease) => sessionsOf(other, [session]);
    expect(of(lease)).toEqual([{ id: sessionId(1), pod: podRef('a'), createIndex: 3 }]);
    expect(of({ ...lease, name: 'order' })).toEqual([]);
    expect(of({ ...lease, namespace: 'sho' })).toEqual([]);
    for (const text of ['', 'leader', 'lease/shop/orders/a', `${name}/y`, name.replace('lease', 'other')]) {
      expect(readSessionName(text)).toBeUndefined();
    }
  });
});

describe('the record', () => {
  test('of an earlier resource of this name is taken over, and so is one that was let go of', () => {
    expect(planned(['a'], { ...HELD, head: { uid: 'u-0' } })).toBe('record');
    expect(planned(['a'], { ...HELD, head: { onDelete: 'Retain' } })).toBe('record');
  });

  const wish = { ...aWish([], { keys: THREE }), told: { highest: 0n, transitions: 0 } };
  const step = (more: object) => more as LeaseStep;
  const after = (one: object, record = aRecord({ [ZERO]: '7' }, { lease: { token: '9', transitions: 4 } })) =>
    recordAfter(step(one), record, wish);

  test('lists all slots from the first grant on, each with its token', () => {
    expect(recordAfter(step({ kind: 'grant', key: ONE, token: 20n }), undefined, wish)).toEqual({
      head: { uid: 'u-1', onDelete: 'Delete', lease: { token: '20', transitions: 0, label: LABEL } },
      names: new Map([
        [ZERO, ''],
        [ONE, '20'],
        [TWO, ''],
      ]),
    });
  });

  test('counts the grants of a slot after the first', () => {
    expect(after({ kind: 'grant', key: ZERO, token: 20n })?.head.lease).toMatchObject({ transitions: 5 });
    expect(after({ kind: 'grant', key: ONE, token: 20n })?.head.lease).toMatchObject({ transitions: 4 });
  });

  test('never lets go of the highest token', () => {
    expect(after({ kind: 'rewrite', key: ZERO, token: 7n })?.head.lease).toMatchObject({ token: '9' });
    expect(after({ kind: 'drop', key: ZERO })).toEqual({
      head: { uid: 'u-1', onDelete: 'Delete', lease: { token: '9', transitions: 4 } },
      names: new Map(),
    });
  });

  test('goes on from what was told, where it is lost or fell back', () => {
    const told = { highest: 40n, transitions: 6 };
    const grant = step({ kind: 'grant', key: ZERO, token: 41n });
    expect(recordAfter(grant, undefined, { ...wish, told })?.head.lease).toMatchObject({ transitions: 6 });
    const fallen = aRecord({ [ZERO]: '7' }, { lease: { token: '9', transitions: 4 } });
    expect(recordAfter(grant, fallen, { ...wish, told })?.head.lease).toMatchObject({ transitions: 7 });
    expect(recordAfter(step({ kind: 'record' }), undefined, { ...wish, told })).toEqual({
      head: { uid: 'u-1', onDelete: 'Delete', lease: { token: '40', transitions: 6, label: LABEL } },
      names: new Map(),
    });
  });

  test('keeps naming a label until it says on purpose that another takes its place', () => {
    const record = aRecord({ [ZERO]: '7' }, { lease: { token: '9', transitions: 4, label: 'old' } });
    const labelAfter = (one: object) => after(one, record)?.head.lease?.label;
    expect(labelAfter({ kind: 'grant', key: ZERO, token: 20n })).toBe('old');
    expect(labelAfter({ kind: 'rewrite', key: ZERO, token: 20n })).toBe('old');
    expect(labelAfter({ kind: 'record' })).toBe(LABEL);
  });

  test('is not changed by what concerns sessions alone, and goes in the end', () => {
    const record = aRecord({ [ZERO]: '7' });
    expect(after({ kind: 'vacate', key: ZERO }, record)).toBe(record);
    expect(after({ kind: 'discard' }, record)).toBe(record);
    expect(after({ kind: 'end' }, record)).toBeUndefined();
  });
});

describe('the end of a lease', () => {
  const ended = (situation: Situation, onDelete: 'Delete' | 'Retain' = 'Delete') =>
    told(planLeaseEnd(observed(situation), onDelete));
  const slots = {
    [ZERO]: heldBy(1, 'a', 7n),
    [ONE]: anEntry({ ...at(11), value: lockValue('b', 8n) }),
    [TWO]: anEntry({ flags: GO_LOCK_FLAGS }),
  };
  const record = { [ZERO]: '7', [ONE]: '8', [TWO]: '9', [KEY]: '' };

  test('removes what is ours, leaves what is not, and the record goes last', () => {
    const situation = { slots, record, sessions: { 1: 'a', 2: 'b' } };
    expect(ended(situation)).toBe('drop /0 #1 @10, drop /1 @11, drop /2 @0, drop / @0, discard #2, end');
  });

  test('leaves what belongs to another', () => {
    expect(ended({ ...HELD, rivals: [KEY] })).toBe('drop / @0, end');
  });

  test('is nothing without a record, but for sessions that were left behind', () => {
    expect(ended({})).toBe('nothing');
    expect(ended({ slots })).toBe('nothing');
    expect(ended({ sessions: { 3: 'a' } })).toBe('discard #3');
  });

  test('removes nothing under Retain', () => {
    expect(ended({ slots, record, sessions: { 1: 'a' } }, 'Retain')).toBe('end');
    expect(ended({ sessions: { 1: 'a' } }, 'Retain')).toBe('nothing');
  });

  test('leaves a lock whose session is none of ours, and all of ours are known', () => {
    const situation = { slots: { [KEY]: heldBy(9, 'x', 7n) }, record: { [KEY]: '7' } };
    expect(ended(situation)).toBe('drop / @0, end');
  });

  test('waits until all is known', () => {
    expect(ended({ slots: { [KEY]: 'unknown' }, record: { [KEY]: '7' } })).toMatch(/^Progressing/);
    expect(ended({ ...HELD, sessions: undefined })).toMatch(/^Progressing/);
  });
});

describe('a lease that applications take from now on', () => {
  const letGo = (situation: Situation, more: Partial<LeaseWish> = {}) =>
    told(planLettingGo(aWish([], more), observed(situation)));

  test('gives up what the operator held, and keeps its record', () => {
    expect(letGo({ ...HELD, sessions: { 1: 'a', 2: 'b' } })).toBe('drop / #1 @10, discard #2');
    expect(letGo({ record: {} })).toBe('nothing');
    expect(letGo({})).toBe('nothing');
  });

  test('puts the record right, also while it is refused', () => {
    const obstacle = { kind: 'refuse', reason: 'AlreadyExists', message: 'a Service' } as const;
    expect(letGo({ record: {}, head: { onDelete: 'Retain' } })).toBe('record');
    expect(letGo({ ...HELD }, { obstacle })).toBe('drop / #1 @10');
    expect(letGo({ record: {} }, { obstacle })).toBe('AlreadyExists: a Service');
  });
});
