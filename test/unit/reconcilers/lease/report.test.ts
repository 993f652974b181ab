import { describe, expect, test } from 'vitest';
import { type LeaseHolder, leaseSettingsOf } from '../../../../src/api/v1alpha1/consulleaderlease.ts';
import { encodeLockValue, GO_LOCK_FLAGS } from '../../../../src/core/lock-value.ts';
import { slotsOf } from '../../../../src/reconcilers/lease/plan.ts';
import {
  applicationHolders,
  applicationWait,
  countsSeen,
  effectiveOf,
  holdersIn,
  receiptFor,
  reportLease,
  summarize,
  transitionsSeen,
} from '../../../../src/reconcilers/lease/report.ts';
import type { SlotSight } from '../../../../src/reconcilers/lease/slots.ts';
import type { LeaseStep } from '../../../../src/reconcilers/lease/steps.ts';
import {
  ACQUIRED,
  anEntry,
  heldBy,
  KEY,
  lockValue,
  observed,
  podRef,
  sessionId,
  type Situation,
} from './builders.ts';

const settings = leaseSettingsOf({ candidates: { selector: { matchLabels: { app: 'orders' } } } });
const aHolder = (name: string, more: Partial<LeaseHolder> = {}): LeaseHolder => ({ name, ...more });

describe('the holders of a lease that the operator grants', () => {
  const holdersOf = (entry: SlotSight, record?: Record<string, string>) => {
    const world = observed({ slots: { [KEY]: entry }, sessions: { 1: 'a' }, record });
    return holdersIn(slotsOf([KEY], world), world.record?.names);
  };
  const a = { name: 'a', uid: 'u-a', sessionID: sessionId(1) };

  test('are those whose sessions hold the slots', () => {
    const holder = { ...a, fencingToken: '7', acquiredTime: ACQUIRED };
    expect(holdersOf(heldBy(1, 'a', 7n), { [KEY]: '7' })).toEqual([holder]);
    expect(holdersOf(anEntry({ value: lockValue('a', 7n) }), { [KEY]: '7' })).toEqual([]);
    expect(holdersOf('absent')).toEqual([]);
  });

  test('are told by their sessions and the record, whatever was written at the key', () => {
    const record = { [KEY]: '7' };
    expect(holdersOf(heldBy(1, 'a', 7n, { value: Buffer.from('junk') }), record)).toEqual([
      { ...a, fencingToken: '7' },
    ]);
    const value = encodeLockValue({ holder: 'x', uid: 'y', fencingToken: 9n, acquiredTime: 'noon' });
    expect(holdersOf(heldBy(1, 'a', 7n, { value }), record)).toEqual([{ ...a, fencingToken: '7' }]);
  });
});

describe('the holders of a lease that applications take', () => {
  const holdersOf = (seen: SlotSight, names: Record<string, string | undefined> = {}) =>
    applicationHolders(
      [KEY],
      () => seen,
      id => (id in names ? { name: names[id] } : undefined),
    );
  const notRead = { reason: 'Progressing', message: 'the locks have not all been read yet' };
  const session = sessionId(9);

  test('are called as the value says', () => {
    expect(holdersOf(heldBy(9, 'a', 7n))).toEqual([
      { name: 'a', sessionID: session, uid: 'u-a', fencingToken: '7', acquiredTime: ACQUIRED },
    ]);
  });

  test("else as their session is called, whoever's lock it is", () => {
    const entry = anEntry({ session, flags: GO_LOCK_FLAGS, value: Buffer.from('junk') });
    expect(holdersOf(entry, { [session]: 'worker \u001b1' })).toEqual([
      { name: 'worker \\u{1b}1', sessionID: session },
    ]);
    expect(holdersOf(entry)).toEqual(notRead);
  });

  test('cannot be told where the ACL token may not see the session: the rule is named, and the value helps', () => {
    const hidden = { [session]: undefined };
    expect(holdersOf(anEntry({ session }), hidden)).toEqual({
      reason: 'ConsulDenied',
      message: expect.stringContaining('add session_prefix "" { policy = "read" }'),
    });
    expect(holdersOf(heldBy(9, 'a', 7n), hidden)).toMatchObject([{ name: 'a' }]);
  });

  test('are none while nobody holds the lock, and not known while nobody has looked', () => {
    expect(holdersOf('absent')).toEqual([]);
    expect(holdersOf(anEntry())).toEqual([]);
    expect(holdersOf('unknown')).toEqual(notRead);
  });

  test('are waited for', () => {
    expect(applicationWait([aHolder('a')], 0)).toBeUndefined();
    expect(applicationWait([], 1)).toMatchObject({ reason: 'Progressing' });
    expect(applicationWait([], 0)).toMatchObject({ reason: 'NoCandidates' });
    expect(applicationWait({ reason: 'Progressing', message: 'soon' }, 0)).toMatchObject({ againMs: 1_000 });
    expect(applicationWait({ reason: 'ConsulDenied', message: 'no' }, 1)).toMatchObject({
      reason: 'ConsulDenied',
      againMs: 10_000,
    });
  });

  test('are counted as they come', () => {
    const [one, two] = [aHolder('a', { sessionID: 's-1' }), aHolder('b', { sessionID: 's-2' })];
    expect(transitionsSeen([], {})).toBeUndefined();
    expect(transitionsSeen([one], {})).toBe(0);
    expect(transitionsSeen([one], { holders: [one], transitions: 3 })).toBe(3);
    expect(transitionsSeen([two], { holders: [one], transitions: 3 })).toBe(4);
    expect(transitionsSeen([], { holders: [one], transitions: 3 })).toBe(3);
    expect(transitionsSeen([one], { holders: [], transitions: 3 })).toBe(4);
  });
});

describe('what only ever grows', () => {
  const countsOf = (situation: Situation, previous: object | undefined, heldBy = settings.heldBy) => {
    const facts = observed(situation);
    return countsSeen({ settings: { heldBy }, holders: [], facts, previous });
  };
  const RECORD: Situation = {
    record: { [KEY]: '7' },
    head: { lease: { token: '9', transitions: 4 } },
  };

  test.each<[what: string, situation: Situation, previous: object, counts: object]>([
    ['the record', RECORD, {}, { transitions: 4, highestToken: 9n }],
    [
      'the status, when the record fell back or is lost',
      { ...RECORD, told: { highest: 40n } },
      { transitions: 6 },
      { transitions: 6, highestToken: 40n },
    ],
    [
      'the status, when nothing else is there',
      { told: { highest: 40n } },
      { transitions: 6 },
      { transitions: 6, highestToken: 40n },
    ],
    ['nothing', {}, {}, { transitions: undefined, highestToken: 0n }],
  ])('is told by %s', (_, situation, previous, counts) => {
    expect(countsOf(situation, previous)).toEqual(counts);
  });

  test('goes on when applications take the lease', () => {
    expect(countsOf(RECORD, { transitions: 6 }, 'Application')).toEqual({ transitions: 6, highestToken: 9n });
  });

  test('is not told where nobody knows what the status says', () => {
    expect(countsOf(RECORD, undefined)).toEqual({ transitions: undefined, highestToken: 0n });
  });
});

describe('the status', () => {
  const view = {
    settings,
    datacenter: 'dc1',
    driftSeen: 'Watched',
    transitions: 2,
    highestToken: 12n,
    problems: [],
  } as const;

  test('says who leads', () => {
    const holders = [aHolder('a')];
    expect(reportLease({ ...view, holders })).toEqual({
      message: 'held by a',
      driftSeen: 'Watched',
      datacenter: 'dc1',
      status: {
        holders,
        transitions: 2,
        highestFencingToken: '12',
      },
    });
  });

  test('says what is in effect, defaults filled in', () => {
    expect(effectiveOf({ settings, key: KEY })).toEqual({
      key: KEY,
      heldBy: 'Operator',
      handover: 'Immediate',
      holders: 1,
      ttl: '15s',
      lockDelay: '5s',
      leaderLabel: 'proconsul.dev/leader',
    });
  });

  test.each<[holders: number, of: number, problems: readonly string[], message: string]>([
    [1, 1, ['Pod a has no address yet'], 'held by p0; Pod a has no address yet'],
    [2, 3, [], '2 of 3 held by p0, p1'],
    [12, 12, [], '12 of 12 held by p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 2 more'],
  ])('of %i of %i holders with problems %j', (count, of, problems, message) => {
    const holders = Array.from({ length: count }, (_, n) => aHolder(`p${n}`));
    const { message: said } = reportLease({
      ...view,
      settings: { ...settings, holders: of },
      holders,
      problems,
    });
    expect(said).toBe(message);
  });
});

describe('an Event', () => {
  const vacate = { kind: 'vacate', pod: podRef('a') } as LeaseStep;
  const grant = { kind: 'grant', pod: podRef('b') } as LeaseStep;
  const rewrite = { kind: 'rewrite', pod: podRef('c') } as LeaseStep;
  const drop = { kind: 'drop', key: KEY } as LeaseStep;
  const discard = { kind: 'discard' } as LeaseStep;

  test.each<[steps: readonly LeaseStep[], isFirst: boolean, deleting: boolean, event: string | undefined]>([
    [[grant], true, false, 'Created'],
    [[vacate, grant], false, false, 'LeaderChanged'],
    [[vacate], false, false, 'LeaderChanged'],
    [[rewrite], false, false, 'DriftCorrected'],
    [[drop], false, false, 'Updated'],
    [[{ kind: 'record' }], false, false, undefined],
    [[drop], false, true, 'Deleted'],
    [[discard], false, false, undefined],
  ])('tells what %j did', (steps, isFirst, deleting, event) => {
    expect(receiptFor(steps, { isFirst, deleting })?.event).toBe(event);
  });

  test('counts what was put back, and says what was done', () => {
    const done = receiptFor([vacate, grant, rewrite, drop], { isFirst: false, deleting: false });
    expect(done?.corrected).toBe(1);
    expect(done?.note).toBe(
      'take the lease from a; give the lease to b; put right the lock of c; remove leases/orders',
    );
    expect(summarize([discard])).toBe('update the owner record and sessions');
  });
});
