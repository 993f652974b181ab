import { describe, expect, test } from 'vitest';
import { markClaimed, markOut } from '../../../../src/core/instance-names.ts';
import {
  aCheckOf,
  anInstance,
  aRow,
  aSidecar,
  CRITICAL,
  draining,
  INSTALL,
  NOW_MS,
  PASSING,
  planOf,
  REF,
  type Situation,
  standing,
  told,
  toldChange,
  withChecks,
  withService,
} from './plan-builders.ts';
import { marked } from '../../../../src/reconcilers/service/marks.ts';

const A = anInstance({ id: 'a', probe: true });
const CHANGED = anInstance({ id: 'a', probe: true, port: 81 });
const NATIVE = anInstance({ id: 'a', native: true });
const RETAGGED = anInstance({ id: 'a', probe: true, tags: ['blue'] });
const { name } = A;

/** As somebody else would have registered the same. */
const UNMARKED = withService(standing(A), { meta: new Map([['team', 'shop']]) });
const EDITED = withService(standing(A), { port: 9 });
const BY_HAND = withService(EDITED, { meta: new Map() });
const NOTHING_AT_ALL = { stands: {}, nodes: { vm: undefined } };

type Row = [what: string, situation: Situation, plan: string];

describe('one wished instance: wish, record, Consul', () => {
  test.each<Row>([
    [
      'nothing anywhere, not even the node',
      { wish: [A], ...NOTHING_AT_ALL },
      'create a [+node vm, +service, +http critical] =',
    ],
    ['nothing but the node', { wish: [A] }, 'create a [+service, +http critical] ='],
    [
      'claimed, and nothing stands',
      { wish: [A], record: { [name]: '' } },
      'create a [+service, +http critical] =',
    ],
    [
      'claimed, and our mark stands',
      { wish: [A], record: { [name]: '' }, stands: { [name]: standing(A) } },
      'record a =',
    ],
    [
      'claimed, and our mark stands otherwise',
      { wish: [A], record: { [name]: '~x' }, stands: { [name]: EDITED } },
      'update a [service] =',
    ],
    [
      'claimed, and somebody was faster',
      { wish: [A], record: { [name]: '' }, stands: { [name]: UNMARKED } },
      'adopt a [service] =; adopting',
    ],
    [
      'as wished and recorded',
      { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: standing(A) } },
      'nothing',
    ],
    [
      'edited',
      { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: EDITED } },
      'correct a [service] (drifted: a on vm)',
    ],
    [
      'without our mark',
      { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: UNMARKED } },
      'correct a [service] (drifted: a on vm)',
    ],
    [
      'gone',
      { wish: [A], record: { [name]: A.fingerprint } },
      'correct a [+service, +http critical] (drifted: a on vm)',
    ],
    [
      'gone with its node',
      { wish: [A], record: { [name]: A.fingerprint }, ...NOTHING_AT_ALL },
      'correct a [+node vm, +service, +http critical] (drifted: a on vm)',
    ],
    [
      'of another kind',
      {
        wish: [A],
        record: { [name]: A.fingerprint },
        stands: { [name]: withService(standing(A), {}, 'mesh-gateway') },
      },
      'correct a [service] (drifted: a on vm)',
    ],
    [
      'in capitals',
      {
        wish: [A],
        record: { [name]: A.fingerprint },
        stands: { [name]: withService(standing(A), { id: 'A' as never }) },
      },
      'correct a [service] (drifted: a on vm)',
    ],
    [
      'another wish',
      { wish: [CHANGED], record: { [name]: A.fingerprint }, stands: { [name]: standing(A) } },
      'update a [service] =',
    ],
    [
      'another wish, and gone',
      { wish: [CHANGED], record: { [name]: A.fingerprint } },
      'update a [+service, +http critical] =',
    ],
    [
      'another wish, and somebody made the same edit',
      { wish: [CHANGED], record: { [name]: A.fingerprint }, stands: { [name]: standing(CHANGED) } },
      'record a =',
    ],
    ['nothing wished, nothing recorded', { wish: [] }, 'nothing'],
    [
      'another policy',
      {
        wish: [A],
        record: { [name]: A.fingerprint },
        stands: { [name]: standing(A) },
        declarer: { onDelete: 'Retain' },
      },
      'head',
    ],
    [
      'a change that was cut short',
      {
        wish: [A],
        record: { [name]: A.fingerprint },
        stands: { [name]: standing(A) },
        head: { phase: 'claiming' },
      },
      'head',
    ],
    [
      'another resource of the name',
      { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: EDITED }, head: { uid: 'u-0' } },
      'update a [service]',
    ],
    [
      'another resource of the name, as wished',
      { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: standing(A) }, head: { uid: 'u-0' } },
      'head',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('two that need a node make it once', () => {
    const b = anInstance({ id: 'b' });
    const plan = planOf({ wish: [A, b], ...NOTHING_AT_ALL });
    expect(told(plan)).toBe('create a [+node vm, +service, +http critical] =; create b [+service] =');
  });
});

describe('what stands without an owner', () => {
  const OTHERS_MARK = marked(new Map(), INSTALL, { ...REF, name: 'other' });
  const at = (seen: typeof UNMARKED): Situation => ({ wish: [A], stands: { [name]: seen } });
  const taken = 'adopt a [service] =; adopting';
  const left = (policy: string) =>
    `AlreadyExists: in Consul already, without an owner, and adoptionPolicy ${policy} does not take them: a on vm`;
  const inCapitals = withService(UNMARKED, { id: 'A' as never });
  const notNoted = {
    ...UNMARKED,
    checks: UNMARKED.checks.map(row => aRow({ ...row.check, notes: 'mine' }, PASSING)),
  };
  const surplus = withChecks(UNMARKED, aRow(aCheckOf(A.service, 'old', 'Checked by Proconsul.'), PASSING));
  test.each<[what: string, policy: 'Never' | 'IfEqual' | 'Always', seen: typeof UNMARKED, plan: string]>([
    ['equal', 'Never', UNMARKED, left('Never')],
    ['equal', 'IfEqual', UNMARKED, taken],
    ['equal, with notes of their own', 'IfEqual', notNoted, 'adopt a [service, http passing] =; adopting'],
    ['equal, with a mark of ours', 'Never', standing(A), taken],
    ['another port, with the mark of the resource', 'Never', EDITED, taken],
    [
      'another port, with that of another resource',
      'IfEqual',
      withService(EDITED, { meta: OTHERS_MARK }),
      left('IfEqual'),
    ],
    ['another port', 'IfEqual', BY_HAND, left('IfEqual')],
    ['a check is missing', 'IfEqual', { ...UNMARKED, checks: [] }, left('IfEqual')],
    ['a check of ours too many', 'IfEqual', surplus, left('IfEqual')],
    ['a check of theirs', 'IfEqual', withChecks(UNMARKED, aRow(aCheckOf(A.service, 'x'), PASSING)), taken],
    ['another port', 'Always', BY_HAND, taken],
    [
      'a check is missing',
      'Always',
      { ...UNMARKED, checks: [] },
      'adopt a [service, +http critical] =; adopting',
    ],
    ['in capitals', 'Always', inCapitals, `${left('Always')} (there as A)`],
  ])('%s, under %s', (_what, adoptionPolicy, seen, plan) => {
    expect(told(planOf({ ...at(seen), declarer: { adoptionPolicy } }))).toBe(plan);
  });

  test('is taken from nobody whose claims are not shown', () => {
    expect(told(planOf({ ...at(UNMARKED), claimsComplete: false }))).toMatch(/^ConsulDenied: .*key_prefix/);
  });

  test('keeps one instance from being registered, and with it all', () => {
    const b = anInstance({ id: 'b' });
    expect(told(planOf({ wish: [b, A], stands: { [name]: BY_HAND } }))).toBe(left('IfEqual'));
  });
});

describe('what is edited from outside', () => {
  const gone = { wish: [A], record: { [name]: A.fingerprint } };
  const edited = { ...gone, stands: { [name]: EDITED } };
  const off = { ...gone, stands: { [name]: { ...standing(A), checks: [] } } };
  const old = aRow(aCheckOf(A.service, 'old', 'Checked by Proconsul.'), PASSING);
  const surplus = { ...gone, stands: { [name]: withChecks(standing(A), old) } };
  const redefined = { ...standing(A), checks: [aRow(aCheckOf(A.service, 'http'), PASSING)] };
  const drifted = ' (drifted: a on vm)';
  test.each<[what: string, situation: Situation, correct: string]>([
    ['the instance', edited, `correct a [service]${drifted}`],
    ['that it stands', gone, `correct a [+service, +http critical]${drifted}`],
    ['that its check stands', off, `correct a [get, +http critical]${drifted}`],
    ['its check', { ...gone, stands: { [name]: redefined } }, `correct a [http passing]${drifted}`],
    ['a check of ours too many', surplus, `correct a [-old]${drifted}`],
  ])('%s: put back, or reported, or not looked for', (_what, situation, correct) => {
    const under = (driftPolicy: 'Correct' | 'Report' | 'Ignore') =>
      told(planOf({ ...situation, declarer: { driftPolicy } }));
    expect([under('Correct'), under('Report'), under('Ignore')]).toEqual([
      correct,
      `nothing${drifted}`,
      'nothing',
    ]);
  });

  test.each<[what: string, rows: Parameters<typeof withChecks>[1]]>([
    ['another one added', aRow(aCheckOf(A.service, 'theirs'), CRITICAL)],
    [
      'one added with our notes and an id that we would not write',
      aRow({ ...aCheckOf(A.service, 'x', 'Checked by Proconsul.'), id: 'Not/Ours' as never }, PASSING),
    ],
  ])('a check that is %s is left alone', (_what, row) => {
    const stands = { [name]: withChecks(standing(A), row) };
    expect(told(planOf({ wish: [A], record: { [name]: A.fingerprint }, stands }))).toBe('nothing');
  });

  test('is no reason to leave a new wish unwritten', () => {
    for (const driftPolicy of ['Report', 'Ignore'] as const) {
      const plan = planOf({ ...edited, wish: [CHANGED], declarer: { driftPolicy } });
      expect(told(plan)).toBe('update a [service] =');
    }
  });
});

describe('tags that others may change', () => {
  const open = (tags: readonly string[], port = 80) =>
    anInstance({ id: 'a', enableTagOverride: true, tags, port });
  const standsWith = (tags: readonly string[], of = open(['v1'])) => ({
    [name]: withService(standing(of), { tags }),
  });
  const tagsWritten = (situation: Situation): unknown => {
    const plan = planOf(situation);
    if (plan.kind !== 'change' || plan.change.step === 'agent') return plan.kind;
    const [first] = plan.change.instances;
    if (first !== undefined && 'service' in first) return first.service.tags;
    const write = first?.operations.find(({ verb }) => verb === 'service-cas');
    return write?.verb === 'service-cas' ? write.service.tags : undefined;
  };
  const record = { [name]: open(['v1']).fingerprint };

  test('stay, and are no drift', () => {
    expect(told(planOf({ wish: [open(['v1'])], record, stands: standsWith(['v1', 'hot']) }))).toBe('nothing');
  });

  test('are kept when something else is written', () => {
    expect(tagsWritten({ wish: [open(['v1'], 81)], record, stands: standsWith(['hot']) })).toEqual(['hot']);
  });

  test('are written when other ones are declared', () => {
    expect(tagsWritten({ wish: [open(['v2'])], record, stands: standsWith(['hot']) })).toEqual(['v2']);
  });

  test('are written when there is nothing to be kept', () => {
    expect(tagsWritten({ wish: [open(['v1'])], record })).toEqual(['v1']);
  });

  test('are compared where the instance is not yet ours', () => {
    const stands = { [name]: withService(standing(open(['v1'])), { tags: ['hot'], meta: new Map() }) };
    expect(told(planOf({ wish: [open(['v1'])], stands }))).toMatch(/^AlreadyExists/);
  });

  test('are nobody’s to keep where another was faster', () => {
    const record = { [name]: markClaimed(open(['v1']).fingerprint) };
    const seen = withService(standing(open(['v1'])), { tags: ['hot'], meta: new Map() });
    const declarer = { adoptionPolicy: 'Always' } as const;
    expect(tagsWritten({ wish: [open(['v1'])], record, stands: { [name]: seen }, declarer })).toEqual(['v1']);
  });

  test('are drift elsewhere', () => {
    const stands = { [name]: withService(standing(A), { tags: ['hot'] }) };
    expect(told(planOf({ wish: [A], record: { [name]: A.fingerprint }, stands }))).toMatch(/^correct/);
    expect(told(planOf({ wish: [RETAGGED], record: { [name]: A.fingerprint }, stands }))).toBe(
      'update a [service] =',
    );
  });

  test('are kept, and written, when the service takes a request of its own', () => {
    const native = (tags: readonly string[], port = 80) =>
      anInstance({ id: 'a', native: true, enableTagOverride: true, tags, port });
    const before = native(['v1']);
    const stands = { [name]: withService(standing(before), { tags: ['hot'] }) };
    for (const [wished, tags] of [
      [native(['v1'], 81), ['hot']],
      [native(['v2']), ['v2']],
    ] as const) {
      const claim = planOf({ wish: [wished], record: { [name]: before.fingerprint }, stands });
      if (claim.kind !== 'change' || claim.change.step !== 'commit') throw new Error(told(claim));
      const to = claim.change.instances[0]?.record?.to ?? '';
      const situation: Situation = {
        wish: [wished],
        record: { [name]: to },
        stands,
        head: { phase: 'claiming' },
      };
      expect(told(planOf(situation))).toBe('register update a at 10');
      expect(tagsWritten(situation)).toEqual(tags);
    }
  });
});

describe('a service that no transaction carries', () => {
  const claimed = { [name]: markClaimed(NATIVE.fingerprint) };
  const settled = { [name]: NATIVE.fingerprint };
  const claiming = { phase: 'claiming' } as const;
  const PROBED = anInstance({ id: 'a', native: true, probe: true });
  const half = { ...standing(PROBED), checks: [] };
  const edited = withService(standing(NATIVE), { port: 9 });
  const unmarked = withService(edited, { meta: new Map() });
  const SIMPLE = anInstance({ id: 'a' });
  test.each<Row>([
    ['is announced first', { wish: [NATIVE] }, 'create a ~; claiming; adopting'],
    [
      'is announced with its node',
      { wish: [NATIVE], ...NOTHING_AT_ALL },
      'create a [+node vm] ~; claiming; adopting',
    ],
    ['is registered then', { wish: [NATIVE], record: claimed, head: claiming }, 'register create a at 0'],
    [
      'gets its node first, if that has gone meanwhile',
      { wish: [NATIVE], record: claimed, head: claiming, ...NOTHING_AT_ALL },
      'create a [+node vm]; claiming',
    ],
    [
      'is settled then',
      { wish: [NATIVE], record: claimed, head: claiming, stands: { [name]: standing(NATIVE) } },
      'record a =',
    ],
    [
      'is settled with its checks',
      { wish: [PROBED], record: { [name]: '~x' }, head: claiming, stands: { [name]: half } },
      'update a [get, +http critical] =',
    ],
    ['and stands', { wish: [NATIVE], record: settled, stands: { [name]: standing(NATIVE) } }, 'nothing'],
    [
      'is announced when the wish changes',
      { wish: [NATIVE], record: { [name]: SIMPLE.fingerprint }, stands: { [name]: standing(SIMPLE) } },
      'update a ~; claiming',
    ],
    [
      'but not where only its check changes',
      { wish: [PROBED], record: settled, stands: { [name]: half }, verdicts: { 'service:a:http': CRITICAL } },
      'update a [get, +http critical] =',
    ],
    [
      'is put back without',
      { wish: [NATIVE], record: settled, stands: { [name]: edited } },
      'register correct a at 10 (drifted: a on vm)',
    ],
    [
      'is written without, where its mark is lost',
      { wish: [NATIVE], record: { [name]: 'old.t' }, stands: { [name]: unmarked }, head: claiming },
      'register update a at 10',
    ],
    [
      'is announced before it is taken over',
      { wish: [NATIVE], stands: { [name]: unmarked }, declarer: { adoptionPolicy: 'Always' } },
      'adopt a ~; claiming; adopting',
    ],
    [
      'is taken over then',
      {
        wish: [NATIVE],
        record: claimed,
        head: claiming,
        stands: { [name]: unmarked },
        declarer: { adoptionPolicy: 'Always' },
      },
      'register adopt a at 10',
    ],
    [
      'becomes a simple one by transaction',
      { wish: [SIMPLE], record: settled, stands: { [name]: standing(NATIVE) } },
      'update a [service] =',
    ],
    [
      'is let go of when it cannot be taken any more',
      { wish: [NATIVE], record: claimed, head: claiming, stands: { [name]: unmarked } },
      'remove a -; claiming',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('comes after what transactions do', () => {
    const b = anInstance({ id: 'b' });
    expect(told(planOf({ wish: [NATIVE, b] }))).toBe('create b [+service] =; create a ~; claiming; adopting');
  });
});

describe('the sidecar of an instance', () => {
  const MAIN = anInstance({ id: 'a', probe: true });
  const SIDE = aSidecar({ id: 'a', probe: true });
  const WATCHED = anInstance({ id: 'a', probe: { deregisterAfterMs: 60_000 } });
  const old = aRow(aCheckOf(MAIN.service, 'old', 'Checked by Proconsul.'), CRITICAL);
  const wish = [MAIN, SIDE];
  const both = { [MAIN.name]: MAIN.fingerprint, [SIDE.name]: SIDE.fingerprint };
  const side = (status: 'passing' | 'critical') =>
    standing(SIDE, { 'proconsul-instance': { status, output: '' } });
  const http = 'service:a:http';
  test.each<Row>([
    [
      'is announced with it',
      { wish },
      'create a [+service, +http critical] =; create a-sidecar-proxy ~; claiming; adopting',
    ],
    [
      'is as healthy as it',
      { wish, record: both, stands: { [MAIN.name]: standing(MAIN), [SIDE.name]: side('passing') } },
      'nothing',
    ],
    [
      'becomes so with it',
      {
        wish,
        record: both,
        stands: { [MAIN.name]: standing(MAIN), [SIDE.name]: side('passing') },
        verdicts: { [http]: CRITICAL },
      },
      'health a [http critical]; health a-sidecar-proxy [proconsul-instance critical]',
    ],
    [
      'counts the checks of others',
      {
        wish,
        record: both,
        stands: {
          [MAIN.name]: withChecks(standing(MAIN), aRow(aCheckOf(MAIN.service, 'x'), CRITICAL)),
          [SIDE.name]: side('passing'),
        },
      },
      'health a-sidecar-proxy [proconsul-instance critical]',
    ],
    [
      'is critical without it',
      { wish, record: both, stands: { [SIDE.name]: side('passing') }, declarer: { driftPolicy: 'Ignore' } },
      'health a-sidecar-proxy [proconsul-instance critical]',
    ],
    [
      'is what it will be when it comes back',
      { wish, record: both, stands: { [SIDE.name]: side('passing') }, verdicts: { [http]: PASSING } },
      'correct a [+service, +http passing] (drifted: a on vm)',
    ],
    [
      'gets its check when both stand',
      {
        wish,
        record: { ...both, [SIDE.name]: '~' },
        head: { phase: 'claiming' },
        stands: { [MAIN.name]: standing(MAIN), [SIDE.name]: { ...side('passing'), checks: [] } },
      },
      'update a-sidecar-proxy [get, +proconsul-instance passing] =',
    ],
    [
      'goes down with it when it comes back so',
      { wish, record: both, stands: { [SIDE.name]: side('passing') }, verdicts: { [http]: CRITICAL } },
      'correct a [+service, +http critical]; health a-sidecar-proxy [proconsul-instance critical] (drifted: a on vm)',
    ],
    [
      'comes up with it',
      {
        wish,
        record: both,
        stands: { [MAIN.name]: standing(MAIN, { http: CRITICAL }), [SIDE.name]: side('critical') },
        verdicts: { [http]: PASSING },
      },
      'health a [http passing]; health a-sidecar-proxy [proconsul-instance passing]',
    ],
    [
      'comes up with one that is drained no more',
      {
        wish,
        record: both,
        stands: { [MAIN.name]: draining(standing(MAIN), NOW_MS), [SIDE.name]: side('critical') },
      },
      'health a [-proconsul-draining]; health a-sidecar-proxy [proconsul-instance passing]',
    ],
    [
      'does not count a check that goes',
      {
        wish,
        record: both,
        stands: { [MAIN.name]: withChecks(standing(MAIN), old), [SIDE.name]: side('passing') },
      },
      'correct a [-old] (drifted: a on vm)',
    ],
    [
      'counts one that should go and stays',
      {
        wish,
        record: both,
        stands: { [MAIN.name]: withChecks(standing(MAIN), old), [SIDE.name]: side('passing') },
        declarer: { driftPolicy: 'Report' },
      },
      'health a-sidecar-proxy [proconsul-instance critical] (drifted: a on vm)',
    ],
    [
      'is as healthy as one of which only the record changes',
      {
        wish,
        record: { ...both, [MAIN.name]: 'old.t' },
        stands: { [MAIN.name]: standing(MAIN), [SIDE.name]: side('critical') },
      },
      'record a =; health a-sidecar-proxy [proconsul-instance passing]',
    ],
    [
      'goes down with it when it is taken out again',
      {
        wish: [WATCHED, SIDE],
        record: { ...both, [MAIN.name]: markOut(WATCHED.fingerprint) },
        stands: { [MAIN.name]: standing(WATCHED), [SIDE.name]: side('passing') },
      },
      'correct a [-service]; health a-sidecar-proxy [proconsul-instance critical] (drifted: a on vm)',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });
});

describe('what keeps all from being written', () => {
  const b = anInstance({ id: 'b', node: 'vm-2' });
  test.each<Row>([
    [
      'another resource owns one',
      { wish: [b, A], rivals: [name] },
      'Conflict: a on vm belongs to ConsulService shop/rival',
    ],
    [
      'also where the record lists it',
      { wish: [A], record: { [name]: '' }, rivals: [name] },
      'Conflict: a on vm belongs to ConsulService shop/rival',
    ],
    [
      'an agent stands behind a node',
      { wish: [b, A], nodes: { 'vm-2': { hasAgent: true } } },
      'InvalidSpec: spec.instances: node vm-2 has a Consul agent, which takes out what others register there: name a node without one, or none',
    ],
    [
      'an instance is too large',
      { wish: [anInstance({ id: 'a', tags: ['x'.repeat(400_000)] })] },
      'TooLarge: a on vm does not fit into a transaction of Consul with its checks: shorten tags, meta or the paths of checks',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('an agent on a node where nothing is to stand any more keeps nothing', () => {
    const record = { [b.name]: b.fingerprint };
    const plan = planOf({
      wish: [A],
      record,
      stands: { [b.name]: standing(b) },
      nodes: { 'vm-2': { hasAgent: true } },
    });
    expect(told(plan)).toBe('create a [+service, +http critical] =; remove b [-service] -');
  });
});

test.each([
  { of: 'another service', serviceId: 'theirs', words: 'of theirs' },
  { of: 'the node', serviceId: '', words: 'of the node' },
])('a check of $of in the place of a declared one is in the way, and stays', ({ serviceId, words }) => {
  const [row] = standing(A).checks;
  if (row === undefined) throw new Error('without checks');
  const check = (id: string) => (id === row.id ? { ...row, serviceId } : undefined);
  const said = told(planOf({ wish: [A], nodes: { vm: { check } } }));
  expect(said).toBe(
    `AlreadyExists: in Consul already, and not with the instance that they are declared for: check ${row.id} ${words}`,
  );
  expect(told(planOf({ wish: [A], nodes: { vm: { check: () => row } } }))).toMatch(/^create a/);
});

test('what is registered already is not let go of when something else is in the way', () => {
  const b = anInstance({ id: 'b' });
  const situation: Situation = {
    wish: [NATIVE, b],
    record: { [name]: '~' },
    stands: { [name]: standing(NATIVE), [b.name]: withService(standing(b), { port: 9, meta: new Map() }) },
  };
  expect(told(planOf(situation))).toMatch(/^AlreadyExists: .* b on vm$/);
});

describe('a source that is missing', () => {
  const missing = 'Service orders does not exist';
  test('is waited for when nothing is left to do', () => {
    expect(told(planOf({ missing }))).toBe(`SourceNotFound: ${missing}`);
    const record = { [name]: A.fingerprint };
    expect(told(planOf({ wish: [A], record, stands: { [name]: standing(A) }, missing }))).toBe(
      `SourceNotFound: ${missing}`,
    );
  });

  test('does not keep the rest from being written', () => {
    expect(told(planOf({ wish: [A], missing }))).toBe('create a [+service, +http critical] =');
  });
});

describe('a node of consul-esm', () => {
  const nodes = { vm: { isOfEsm: true } };
  test('gets instances without checks', () => {
    expect(told(planOf({ wish: [A], nodes }))).toBe('create a [+service] =');
    const record = { [name]: A.fingerprint };
    const bare = { ...standing(A), checks: [] };
    expect(told(planOf({ wish: [A], record, nodes, stands: { [name]: bare } }))).toBe('nothing');
  });

  test('loses those that stand there', () => {
    const record = { [name]: A.fingerprint };
    const plan = planOf({
      wish: [A],
      record,
      nodes,
      stands: { [name]: standing(A) },
      verdicts: { 'service:a:http': CRITICAL },
    });
    expect(told(plan)).toBe('correct a [-http] (drifted: a on vm)');
  });
});

describe('for a suspended resource', () => {
  const equal = (situation: Situation): unknown => {
    const plan = planOf(situation);
    return plan.kind === 'change' ? [plan.equal, plan.summary] : plan.kind;
  };
  const record = { [name]: A.fingerprint };
  const stands = { [name]: standing(A) };
  test.each<[what: string, situation: Situation, equal: boolean, summary: string]>([
    ['a new instance', { wish: [A] }, false, 'register a on vm'],
    [
      'an announced one',
      { wish: [NATIVE], record: { [name]: '~' }, head: { phase: 'claiming' } },
      false,
      'register a on vm',
    ],
    ['one that is taken over as it is', { wish: [A], stands }, true, 'take over a on vm'],
    [
      'one that is taken over otherwise',
      { wish: [A], stands: { [name]: BY_HAND }, declarer: { adoptionPolicy: 'Always' } },
      false,
      'take over a on vm',
    ],
    [
      'the record alone',
      { wish: [CHANGED], record, stands: { [name]: standing(CHANGED) } },
      true,
      'update the owner record',
    ],
    ['an edit', { wish: [A], record, stands: { [name]: EDITED } }, false, 'put back a on vm'],
    ['one that goes', { wish: [], record, stands }, false, 'remove a on vm'],
    ['one that has gone', { wish: [], record }, true, 'let go of a on vm'],
    [
      'what a check says',
      { wish: [A], record, stands, verdicts: { 'service:a:http': CRITICAL } },
      true,
      'write the health of a on vm',
    ],
  ])('%s: whether Consul equals the spec, and what would be done', (_what, situation, isEqual, summary) => {
    expect(equal(situation)).toEqual([isEqual, summary]);
  });
});

describe('an endpoint that has gone, where nothing may be removed', () => {
  const POD = anInstance({ id: 'k8s:shop:orders:p', ready: true });
  const VM = anInstance({ id: 'vm' });
  const record = { [POD.name]: POD.fingerprint, [VM.name]: VM.fingerprint };
  const stands = { [POD.name]: standing(POD), [VM.name]: standing(VM) };
  const drains = ({ id }: { id: string }) => `drain ${id} [get, +proconsul-draining critical]`;
  const tended = (situation: Situation): string => {
    const plan = planOf(situation);
    return plan.kind === 'change' && plan.tend !== undefined ? toldChange(plan.tend) : 'nothing';
  };

  test.each<[what: string, obstacle: Situation]>([
    ['another resource owns an instance', { wish: [A], rivals: [A.name] }],
    ['one stands already', { wish: [A], stands: { ...stands, [A.name]: BY_HAND } }],
    ['one is too large', { wish: [anInstance({ id: 'a', tags: ['x'.repeat(400_000)] })] }],
    [
      'no time is to pass first',
      { wish: [A], rivals: [A.name], declarer: { drainMs: { instances: 0, kubernetes: 0 } } },
    ],
  ])('begins to drain, and so does what is declared no more: %s', (_what, obstacle) => {
    const situation = { record, stands, ...obstacle };
    expect(told(planOf(situation))).toBe(`${drains(POD.service)}; ${drains(VM.service)}`);
    expect(tended(situation)).toBe(drains(POD.service));
  });

  test('is not drained twice, nor removed', () => {
    const drained = { [POD.name]: draining(standing(POD), 0), [VM.name]: draining(standing(VM), 0) };
    const plan = planOf({ record, stands: drained, wish: [A], rivals: [A.name] });
    expect(told(plan)).toMatch(/^Conflict: /);
  });

  test('begins to drain in a suspended resource, and nothing else does', () => {
    expect(tended({ record, stands, wish: [] })).toBe(drains(POD.service));
  });

  test.each<[what: string, situation: Situation]>([
    [
      'it moves to another node',
      { wish: [anInstance({ id: POD.service.id, node: 'vm-2' })], record: { [POD.name]: POD.fingerprint } },
    ],
    [
      'another resource owns it by now',
      { wish: [], record: { [POD.name]: POD.fingerprint }, rivals: [POD.name] },
    ],
    ['another resource of the name left it', { wish: [], head: { uid: 'u-0', onDelete: 'Retain' } }],
    [
      'an agent stands beside it',
      { wish: [], record: { [POD.name]: POD.fingerprint }, nodes: { vm: { hasAgent: true } } },
    ],
    [
      'somebody else was faster',
      {
        wish: [],
        record: { [POD.name]: '~' },
        stands: { [POD.name]: withService(standing(POD), { meta: new Map() }) },
      },
    ],
  ])('stays as it is when %s', (_what, situation) => {
    expect(tended({ record, stands, ...situation })).toBe('nothing');
  });
});

test('the head says who wrote last', () => {
  const plan = planOf({ wish: [A], declarer: { generation: 7, epoch: 3, onDelete: 'Retain' } });
  if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error('nothing is committed');
  expect(plan.change.head).toEqual({
    uid: 'u-1',
    generation: 7,
    epoch: 3,
    onDelete: 'Retain',
    phase: 'settled',
  });
  expect(plan.change.instances[0]?.record).toEqual({ to: A.fingerprint });
});

test('what was taken out for having been critical is marked so', () => {
  const WATCHED = anInstance({ id: 'a', probe: { deregisterAfterMs: 60_000 } });
  const plan = planOf({
    wish: [WATCHED],
    record: { [name]: WATCHED.fingerprint },
    stands: { [name]: standing(WATCHED) },
    criticalForMs: { 'service:a:http': 60_000 },
  });
  if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error('nothing is committed');
  expect(plan.change.instances).toMatchObject([
    { cause: 'reap', record: { to: markOut(WATCHED.fingerprint) } },
  ]);
});
