import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planDeletion } from '../../../../src/reconcilers/kv/plan.ts';
import {
  aStranger,
  type Contents,
  INDEX,
  observed,
  planOf,
  RIVAL,
  type Situation,
  told,
} from './plan-builders.ts';

const DRIFT = ['Correct', 'Report', 'Ignore'] as const;
const ADOPTION = ['Never', 'IfEqual', 'Always'] as const;

describe('wish, record and Consul, name by name', () => {
  test.each<
    [record: string | undefined, consul: string | undefined, plans: Record<(typeof DRIFT)[number], string>]
  >([
    [undefined, undefined, { Correct: 'create put a', Report: 'create put a', Ignore: 'create put a' }],
    ['', undefined, { Correct: 'create put a', Report: 'create put a', Ignore: 'create put a' }],
    ['wish', 'wish', { Correct: 'nothing', Report: 'nothing', Ignore: 'nothing' }],
    [
      'wish',
      'other',
      {
        Correct: 'correct put a (drifted: a)',
        Report: 'nothing (drifted: a)',
        Ignore: 'nothing',
      },
    ],
    [
      'wish',
      undefined,
      {
        Correct: 'correct put a (drifted: a)',
        Report: 'nothing (drifted: a)',
        Ignore: 'nothing',
      },
    ],
    ['old', 'wish', { Correct: 'record none a', Report: 'record none a', Ignore: 'record none a' }],
    ['old', 'old', { Correct: 'update put a', Report: 'update put a', Ignore: 'update put a' }],
    ['old', 'other', { Correct: 'update put a', Report: 'update put a', Ignore: 'update put a' }],
    ['old', undefined, { Correct: 'update put a', Report: 'update put a', Ignore: 'update put a' }],
  ])('record %j, Consul %j', (record, consul, plans) => {
    for (const driftPolicy of DRIFT) {
      const plan = planOf({
        wish: { a: 'wish' },
        record: record === undefined ? undefined : { a: record },
        consul: consul === undefined ? {} : { a: consul },
        policies: { driftPolicy },
      });
      expect([driftPolicy, told(plan)]).toEqual([driftPolicy, plans[driftPolicy]]);
    }
  });

  test.each<[record: string | undefined, consul: string, plans: Record<(typeof ADOPTION)[number], string>]>([
    [undefined, 'wish', { Never: 'AlreadyExists', IfEqual: 'adopt check a', Always: 'adopt check a' }],
    [undefined, 'other', { Never: 'AlreadyExists', IfEqual: 'AlreadyExists', Always: 'adopt put a' }],
    ['', 'wish', { Never: 'AlreadyExists', IfEqual: 'adopt check a', Always: 'adopt check a' }],
    ['', 'other', { Never: 'AlreadyExists', IfEqual: 'AlreadyExists', Always: 'adopt put a' }],
  ])('unowned: record %j, Consul %j', (record, consul, plans) => {
    for (const adoptionPolicy of ADOPTION) {
      const plan = planOf({
        wish: { a: 'wish' },
        record: record === undefined ? undefined : { a: record },
        consul: { a: consul },
        policies: { adoptionPolicy },
      });
      expect([adoptionPolicy, told(plan).split(':')[0]]).toEqual([adoptionPolicy, plans[adoptionPolicy]]);
    }
  });

  test('a write believes what was seen, a creation that nothing stands there', () => {
    const plan = planOf({ wish: { a: 'x', b: 'x' }, record: { a: 'w' }, consul: { a: 'w' } });
    expect(plan).toMatchObject({
      changes: [
        { name: 'a', write: { verb: 'put', index: INDEX } },
        { name: 'b', write: { verb: 'put', index: 0 } },
      ],
    });
  });

  test.each(ADOPTION)('a key on which somebody holds a lock is not adopted under %s', adoptionPolicy => {
    const plan = planOf({
      wish: { a: 'x' },
      consul: { a: 'x' },
      locked: ['a'],
      policies: { adoptionPolicy },
    });
    expect(told(plan)).toMatch(/^AlreadyExists: .*: a \(a lock is held there\)$/);
  });

  test('an own key on which somebody holds a lock is kept as declared', () => {
    const plan = planOf({ wish: { a: 'x' }, record: { a: 'x' }, consul: { a: 'y' }, locked: ['a'] });
    expect(told(plan)).toBe('correct put a (drifted: a)');
  });

  test('what is in the way is named, the first ten of it', () => {
    const wish = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`k${n}`, 'x']));
    const plan = planOf({ wish, consul: wish, policies: { adoptionPolicy: 'Never' } });
    expect(told(plan)).toBe(
      'AlreadyExists: in Consul already, without an owner, and adoptionPolicy Never does not take them: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more',
    );
  });

  test('nothing is adopted while some claims cannot be read', () => {
    const plan = planOf({ wish: { a: 'x' }, consul: { a: 'x' }, claimsComplete: false });
    expect(told(plan)).toMatch(/^ConsulDenied: .*key_prefix "proconsul\/"/);
    expect(told(planOf({ wish: { a: 'x' }, claimsComplete: false }))).toBe('create put a');
  });
});

describe('a name taken out of the spec', () => {
  test.each<[what: string, situation: Situation, plan: string]>([
    ['goes', { record: { a: 'x' }, consul: { a: 'x' } }, 'remove delete a'],
    ['goes whatever was done to it', { record: { a: 'x' }, consul: { a: 'y' } }, 'remove delete a'],
    [
      'goes under Retain, too',
      {
        record: { a: 'x' },
        consul: { a: 'x' },
        head: { onDelete: 'Retain' },
        policies: { onDelete: 'Retain' },
      },
      'remove delete a',
    ],
    [
      'goes when drift is ignored, too',
      { record: { a: 'x' }, consul: { a: 'y' }, policies: { driftPolicy: 'Ignore' } },
      'remove delete a',
    ],
    ['that is gone already leaves the record', { record: { a: 'x' } }, 'remove none a'],
    [
      'that was never written leaves the record',
      { record: { a: '' }, consul: { a: 'theirs' } },
      'remove none a',
    ],
    [
      'that turned out to be of somebody else leaves the record',
      { record: { a: 'x' }, consul: { a: 'x' }, rivals: ['a'] },
      'remove none a',
    ],
    [
      'of another resource of this name goes as that one would have',
      { record: { a: 'x' }, consul: { a: 'x' }, policies: { uid: 'u-2' } },
      'remove delete a',
    ],
    [
      'of another resource of this name that was to retain it stays',
      { record: { a: 'x' }, consul: { a: 'x' }, head: { onDelete: 'Retain' }, policies: { uid: 'u-2' } },
      'remove none a',
    ],
  ])('%s', (_, situation, plan) => {
    expect(
      told(
        planOf({
          wish: { other: 'w' },
          ...situation,
          record: { other: 'w', ...situation.record },
          consul: { other: 'w', ...situation.consul },
        }),
      ),
    ).toBe(plan);
  });
});

describe('deleting', () => {
  test.each<[onDelete: 'Delete' | 'Retain', situation: Situation, plan: string]>([
    [
      'Delete',
      { record: { a: 'x', b: '', c: 'x' }, consul: { a: 'y', b: 'theirs' } },
      'remove delete a, remove none b, remove none c',
    ],
    ['Retain', { record: { a: 'x', b: 'x' }, consul: { a: 'x', b: 'x' } }, 'remove none a, remove none b'],
    ['Delete', { record: { a: 'x' }, consul: { a: 'x' }, rivals: ['a'] }, 'remove none a'],
    ['Delete', { record: {} }, 'record only'],
    ['Delete', {}, 'nothing'],
  ])('under %s with %j', (onDelete, situation, plan) => {
    const planned = planDeletion(observed(situation), onDelete);
    expect(told(planned)).toBe(plan);
    if (planned.kind === 'change') expect(planned.head).toBeUndefined();
  });
});

describe('what others own', () => {
  test.each<[what: string, situation: Situation, message: string]>([
    ['a key', { wish: { b: 'x', a: 'x' }, rivals: ['a'] }, 'key a belongs to ConsulKV shop/rival'],
    [
      'a key of another install',
      {
        wish: { a: 'x' },
        desired: { exclusive: 'a/' },
        prefixRival: { kind: 'install', install: 'there', ref: RIVAL.ref },
      },
      'prefix a/ overlaps what is exclusive to install there',
    ],
    [
      'a key below the exclusive prefix',
      { wish: { 'a/x': 'x' }, desired: { exclusive: 'a/' }, rivals: ['a/y'] },
      'key a/y below the exclusive prefix belongs to ConsulKV shop/rival',
    ],
  ])('stops all of it: %s', (_, situation, message) => {
    for (const adoptionPolicy of ADOPTION) {
      const plan = planOf({
        record: { old: 'x' },
        consul: { old: 'x' },
        ...situation,
        policies: { adoptionPolicy },
      });
      expect(told(plan)).toBe(`Conflict: ${message}`);
    }
  });

  test('is told before what merely exists', () => {
    const situation = { wish: { a: 'x', b: 'x' }, consul: { a: 'other' }, rivals: ['b'] };
    expect(told(planOf(situation))).toMatch(/^Conflict/);
  });
});

describe('strangers below an exclusive prefix', () => {
  const strangers = [aStranger('p/s')];
  const desired = { exclusive: 'p/' };

  test.each(['Never', 'IfEqual'] as const)('stop the first claim under %s', adoptionPolicy => {
    const plan = planOf({ wish: { 'p/a': 'x' }, desired, strangers, policies: { adoptionPolicy } });
    expect(told(plan)).toMatch(/^AlreadyExists: .*: p\/s$/);
  });

  test.each(DRIFT)(
    'are removed by the first claim under Always, also when drift is to be %s',
    driftPolicy => {
      const policies = { adoptionPolicy: 'Always', driftPolicy } as const;
      expect(told(planOf({ wish: { 'p/a': 'x' }, desired, strangers, policies }))).toBe(
        'create put p/a, stranger delete p/s',
      );
    },
  );

  test.each(DRIFT)(
    'are removed while the first claim is carried out, also when drift is to be %s',
    driftPolicy => {
      const head = { exclusive: 'p/', phase: 'claiming', clearing: true } as const;
      const policies = { driftPolicy } as const;
      const plan = planOf({ wish: {}, record: {}, head, desired, strangers, policies });
      expect(told(plan)).toBe('stranger delete p/s');
    },
  );

  test.each([
    ['Correct', 'stranger delete p/s (drifted: p/s)'],
    ['Report', 'nothing (drifted: p/s)'],
    ['Ignore', 'nothing'],
  ] as const)('are drift afterwards: %s', (driftPolicy, plan) => {
    const situation = { wish: {}, record: {}, head: { exclusive: 'p/' }, desired, strangers };
    expect(told(planOf({ ...situation, policies: { driftPolicy } }))).toBe(plan);
  });

  test.each(['Report', 'Ignore'] as const)(
    'are drift during a later change of many transactions: %s',
    driftPolicy => {
      const head = { exclusive: 'p/', phase: 'claiming' } as const;
      const plan = planOf({ wish: {}, record: {}, head, desired, strangers, policies: { driftPolicy } });
      expect(plan.kind === 'change' && plan.changes).toEqual([]);
    },
  );

  test.each([
    ['hold a session', aStranger('p/s', { session: true })],
    ['cannot be addressed', aStranger('p//s', { addressable: false, index: 0 as never })],
  ])('that %s are never removed, and told', (_, stranger) => {
    const claimed = { wish: {}, record: {}, head: { exclusive: 'p/' }, desired, strangers: [stranger] };
    expect(told(planOf(claimed))).toBe(`nothing (drifted: ${stranger.key})`);
    const first = {
      wish: {},
      desired,
      strangers: [stranger],
      policies: { adoptionPolicy: 'Always' } as const,
    };
    expect(told(planOf(first))).toBe(`record only (drifted: ${stranger.key})`);
  });

  test('the prefix is claimed even when nothing is declared below it, and let go of when it is not exclusive any more', () => {
    expect(planOf({ desired })).toMatchObject({ kind: 'change', head: { exclusive: 'p/' } });
    const plan = planOf({
      wish: { 'p/a': 'x' },
      record: { 'p/a': 'x' },
      consul: { 'p/a': 'x' },
      head: { exclusive: 'p/' },
    });
    expect(plan).toMatchObject({ kind: 'change', changes: [], head: { phase: 'settled' } });
    expect(plan.kind === 'change' && plan.head && 'exclusive' in plan.head).toBe(false);
  });

  test('the prefix is not claimed while some claims cannot be read', () => {
    expect(told(planOf({ desired, claimsComplete: false }))).toMatch(/^ConsulDenied/);
    const claimed = { record: {}, head: { exclusive: 'p/' }, desired, claimsComplete: false };
    expect(told(planOf(claimed))).toBe('nothing');
    expect(told(planOf({ ...claimed, strangers }))).toMatch(/^ConsulDenied/);
  });
});

describe('the record alone', () => {
  const there = { wish: { a: 'x' }, record: { a: 'x' }, consul: { a: 'x' } };
  test.each<[what: string, situation: Situation, plan: string]>([
    ['nothing differs', {}, 'nothing'],
    [
      'a newer generation or epoch is no reason to write',
      { policies: { generation: 9, epoch: 4 } },
      'nothing',
    ],
    ['another uid', { policies: { uid: 'u-2' } }, 'record only'],
    ['another deletionPolicy', { policies: { onDelete: 'Retain' } }, 'record only'],
    ['a change that was not finished', { head: { phase: 'claiming' } }, 'record only'],
    ['strangers that were being cleared', { head: { clearing: true } }, 'record only'],
  ])('%s', (_, situation, plan) => {
    expect(told(planOf({ ...there, ...situation }))).toBe(plan);
  });

  test('who owns nothing and declares nothing has none; who owned something keeps an empty one', () => {
    expect(told(planOf({}))).toBe('nothing');
    expect(told(planOf({ record: { a: 'x' }, consul: { a: 'x' } }))).toBe('remove delete a');
    expect(told(planOf({ record: {} }))).toBe('nothing');
  });
});

describe('atomic', () => {
  const tree = (count: number, bytes = 1): Contents =>
    Object.fromEntries(
      Array.from({ length: count }, (_, n) => [`k${String(n).padStart(3, '0')}`, 'x'.repeat(bytes)]),
    );
  const atomic = (situation: Situation) => planOf({ ...situation, desired: { atomic: true } });

  test('allows 110 keys and 350,000 bytes of keys and values, not one more', () => {
    expect(atomic({ wish: tree(110) })).toMatchObject({ kind: 'change', atomic: true });
    expect(told(atomic({ wish: tree(111) }))).toBe(
      'TooLarge: atomic allows 110 keys and 350000 bytes in one transaction; declared are 111 keys and 555 bytes: shorten keys or values, split the tree over several resources, or set atomic: false',
    );
    expect(atomic({ wish: tree(2, 174_996) })).toMatchObject({ kind: 'change' });
    expect(told(atomic({ wish: { ...tree(2, 174_996), é: '' } }))).toMatch(/^TooLarge/);
  });

  test('is judged from the wish, whatever stands in Consul', () => {
    const wish = tree(111);
    expect(told(atomic({ wish, record: wish, consul: wish }))).toMatch(/^TooLarge/);
  });

  test('allows a change of 110 names', () => {
    const old = Object.fromEntries(Object.keys(tree(60)).map(name => [`old-${name}`, 'x']));
    const situation = (count: number) => ({ wish: tree(count), record: old, consul: old });
    expect(atomic(situation(50))).toMatchObject({ kind: 'change' });
    expect(told(atomic(situation(51)))).toMatch(/^TooLarge: the change touches 111 keys; atomic allows 110/);
  });
});

test('after a plan was carried out there is nothing left to plan, and no key that is not listed was touched', () => {
  const contents = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('1', '2'), {
    noNullPrototype: true,
  });
  const situations = fc.record({
    wish: contents,
    record: fc.option(contents, { nil: undefined }),
    consul: contents,
    driftPolicy: fc.constantFrom(...DRIFT),
    adoptionPolicy: fc.constantFrom(...ADOPTION),
  });
  fc.assert(
    fc.property(situations, ({ wish, record, consul, driftPolicy, adoptionPolicy }) => {
      const policies = { driftPolicy, adoptionPolicy };
      const plan = planOf({ wish, record, consul, policies });
      if (plan.kind !== 'change') return;
      const after: Record<string, string> = { ...consul };
      const listed: Record<string, string> = { ...record };
      for (const { name, to, write } of plan.changes) {
        if (write.verb === 'put') after[name] = to as string;
        if (write.verb === 'delete') delete after[name];
        if (to === undefined) delete listed[name];
        else listed[name] = to;
        expect(name in wish || name in (record ?? {})).toBe(true);
      }
      expect(listed).toEqual(wish);
      const again = planOf({ wish, record: listed, consul: after, policies });
      expect(again.kind).toBe('noop');
    }),
  );
});
