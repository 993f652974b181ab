import { describe, expect, test } from 'vitest';
import { markOut } from '../../../../src/core/instance-names.ts';
import { CHECK_NOTES } from '../../../../src/reconcilers/service/checks.ts';
import type { ServicePlan, WishedCheck, WishedInstance } from '../../../../src/reconcilers/service/types.ts';
import {
  aCheckOf,
  anInstance,
  aSidecar,
  aRow,
  CRITICAL,
  PASSING,
  planOf,
  type Situation,
  standing,
  told,
  toldChange,
  withChecks,
  withService,
} from './plan-builders.ts';

/** With one of its own. */
function withFingerprint(wished: WishedInstance): WishedInstance {
  return { ...wished, fingerprint: `${wished.checks.map(({ check }) => check.name).join('+')}.tags` };
}

const A = anInstance({ id: 'a', probe: true });
const { name } = A;
const HTTP = 'service:a:http';
const WARNING = { status: 'warning', output: '429' } as const;
const stable: Situation = { wish: [A], record: { [name]: A.fingerprint }, stands: { [name]: standing(A) } };
const failing: Situation = { ...stable, verdicts: { [HTTP]: CRITICAL } };
const found = 'health a [http critical]';

type Row = [what: string, situation: Situation, plan: string];

describe('what a check says', () => {
  const stood = (status: string, output: string): Situation => ({
    ...stable,
    stands: { [name]: { ...standing(A), checks: [aRow(A.checks[0]?.check as never, { status, output })] } },
  });
  const endpoint = (isReady: boolean, status: 'passing' | 'critical'): Situation => {
    const wished = anInstance({ id: 'a', ready: isReady });
    const says = { 'proconsul-readiness': { status, output: '' } };
    return {
      wish: [wished],
      record: { [name]: wished.fingerprint },
      stands: { [name]: standing(wished, says) },
    };
  };
  test.each<Row>([
    ['is written when it changes', failing, found],
    ['is written when it warns', { ...stable, verdicts: { [HTTP]: WARNING } }, 'health a [http warning]'],
    [
      'is not written when it is the same in other words',
      { ...stable, verdicts: { [HTTP]: { ...PASSING, output: 'new' } } },
      'nothing',
    ],
    [
      'is written when it is bad from the first run on, to say why',
      { ...stood('critical', 'not run yet'), verdicts: { [HTTP]: CRITICAL } },
      found,
    ],
    ['is left as stored while it has not run here', stood('critical', 'before'), 'nothing'],
    ['is not run yet', stood('critical', 'not run yet'), 'nothing'],
    [
      'is written when its first run is bad',
      { ...stood('critical', 'not run yet'), verdicts: { [HTTP]: CRITICAL } },
      found,
    ],
    ['is not yet run, where something is stored that is none', stood('maintenance', ''), found],
    ['follows Kubernetes: ready', endpoint(true, 'critical'), 'health a [proconsul-readiness passing]'],
    ['follows Kubernetes: not ready', endpoint(false, 'passing'), 'health a [proconsul-readiness critical]'],
    ['stays', endpoint(true, 'passing'), 'nothing'],
    [
      'is nothing to be written of what does not stand',
      { ...failing, stands: {}, declarer: { driftPolicy: 'Ignore' } },
      'nothing',
    ],
    [
      'is nothing to be written beside an agent',
      { ...failing, nodes: { vm: { hasAgent: true } } },
      'InvalidSpec: spec.instances: node vm has a Consul agent, which takes out what others register there: name a node without one, or none',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('is written with its output, and leaves the record as it is', () => {
    const plan = planOf({ ...failing, declarer: { onDelete: 'Retain' } });
    expect(tendOf(plan)).toMatchObject({ step: 'commit', head: { onDelete: 'Delete' }, adopts: false });
    expect(told(plan)).toBe(found);
    if (plan.kind !== 'change' || plan.change.step !== 'commit') throw new Error(told(plan));
    expect(plan.change.head).toMatchObject({ onDelete: 'Retain' });
    expect(plan.change.instances[0]?.operations).toMatchObject([{ result: CRITICAL, index: 11 }]);
  });

  test('takes the place of "not run yet" in the first registration', () => {
    expect(told(planOf({ wish: [A] }))).toBe('create a [+service, +http critical] =');
    expect(told(planOf({ wish: [A], verdicts: { [HTTP]: WARNING } }))).toBe(
      'create a [+service, +http warning] =',
    );
  });

  test('goes along with what else is written, and keeps what is stored', () => {
    const slower = anInstance({ id: 'a', probe: { intervalMs: 60_000 } });
    expect(told(planOf({ ...stable, wish: [slower] }))).toBe('update a [http passing] =');
    expect(told(planOf({ ...failing, wish: [slower] }))).toBe('update a [http critical] =');
    const moved = anInstance({ id: 'a', probe: true, port: 81 });
    expect(told(planOf({ ...failing, wish: [moved] }))).toBe('update a [service, http critical] =');
  });
});

function tendOf(plan: ServicePlan): unknown {
  return plan.kind === 'change' ? plan.tend : undefined;
}

function tendTold(plan: ServicePlan): string {
  if (plan.kind !== 'change') return plan.kind;
  return plan.tend === undefined ? 'no tend' : toldChange(plan.tend);
}

describe('health is tended whatever else is planned', () => {
  const b = anInstance({ id: 'b' });
  const edited = withService(standing(A), { port: 9 });
  const other = anInstance({ id: 'a', probe: { intervalMs: 60_000 } });
  test.each<[what: string, situation: Situation]>([
    ['nothing', {}],
    ['a wait', { missing: 'no Service' }],
    ['a conflict', { wish: [A, b], rivals: [b.name] }],
    [
      'something in the way',
      { wish: [A, b], stands: { ...stable.stands, [b.name]: withService(standing(b), { port: 9 }) } },
    ],
    ['a new instance', { wish: [A, b] }],
    ['a new declaration', { wish: [other] }],
    ['drift', { stands: { [name]: edited } }],
    ['drift that is reported', { stands: { [name]: edited }, declarer: { driftPolicy: 'Report' } }],
    ['drift that is not looked for', { stands: { [name]: edited }, declarer: { driftPolicy: 'Ignore' } }],
    ['a claim', { record: { [name]: '~' } }],
  ])('%s', (_what, situation) => {
    expect(tendTold(planOf({ ...failing, ...situation }))).toBe(found);
  });

  test('and nothing but health: the definition stays as it stands', () => {
    const plan = planOf({ ...failing, wish: [other] });
    expect(tendOf(plan)).toMatchObject({ instances: [{ operations: [{ check: A.checks[0]?.check }] }] });
  });

  test('but not when the same is written anyway, or nothing has changed', () => {
    expect(told(planOf({ ...failing, wish: [other] }))).toBe('update a [http critical] =');
    expect(tendTold(planOf({ ...stable, wish: [A, b] }))).toBe('no tend');
  });

  test('never of what is not ours', () => {
    const unmarked = withService(standing(A), { meta: new Map() });
    for (const record of [undefined, { [name]: '~' }, {}]) {
      const plan = planOf({
        ...failing,
        record,
        stands: { [name]: unmarked },
        declarer: { adoptionPolicy: 'Never' },
      });
      expect(tendTold(plan)).not.toBe(found);
    }
  });

  test('a check that stands under our id is ours, whatever its notes', () => {
    const check = aCheckOf(A.service, 'http', 'edited');
    const plan = planOf({
      ...failing,
      stands: { [name]: { ...standing(A), checks: [aRow(check, PASSING)] } },
    });
    expect(tendTold(plan)).toBe(found);
  });

  test('the checks of others are never written', () => {
    const theirs = aRow(aCheckOf(A.service, 'theirs'), PASSING);
    const plan = planOf({
      ...failing,
      stands: { [name]: withChecks(standing(A), theirs) },
      verdicts: { [HTTP]: CRITICAL, 'service:a:theirs': CRITICAL },
    });
    expect(told(plan)).toBe(found);
  });
});

describe('a check that is new on an instance that stands', () => {
  const more = aCheckOf(A.service, 'more', CHECK_NOTES);
  const two = withFingerprint({
    ...A,
    checks: [...A.checks, { ...(A.checks[0] as WishedCheck), check: more }],
  });
  const renamed = withFingerprint({ ...two, checks: two.checks.slice(1) });
  const asked: Situation = { ...stable, wish: [two] };
  const verdicts = { 'service:a:more': CRITICAL };
  const both = { ...stable, record: { [name]: two.fingerprint }, wish: [two] };

  test.each<Row>([
    ['is not written before it has run', asked, 'nothing'],
    [
      'is written with what it found first, and then the record says so',
      { ...asked, verdicts },
      'update a [get, +more critical] =',
    ],
    [
      'waits for its first run while the rest of the declaration is written',
      { ...asked, stands: { [name]: withService(standing(A), { port: 9 }) } },
      'update a [service]',
    ],
    ['replaces no other before it has run', { ...asked, wish: [renamed] }, 'nothing'],
    [
      'replaces another once it has run',
      { ...asked, wish: [renamed], verdicts },
      'update a [get, +more critical, -http] =',
    ],
    [
      'that somebody took out is put back, though it has not run here',
      { ...both, stands: { [name]: standing(A) } },
      'correct a [get, +more critical] (drifted: a on vm)',
    ],
    [
      'is critical on an instance that does not stand yet',
      { wish: [two] },
      'create a [+service, +http critical, +more critical] =',
    ],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('does not make the sidecar critical either', () => {
    const S = aSidecar({ id: 'a', probe: true });
    const situation: Situation = {
      wish: [two, S],
      record: { [name]: A.fingerprint, [S.name]: S.fingerprint },
      stands: { [name]: withService(standing(A), { port: 9 }), [S.name]: standing(S) },
    };
    expect(told(planOf(situation))).toBe('update a [service]');
  });
});

describe('an instance that is critical for too long', () => {
  const LIMIT_MS = 60_000;
  const W = anInstance({ id: 'a', probe: { deregisterAfterMs: LIMIT_MS } });
  const down = standing(W, { http: CRITICAL });
  const settled: Situation = { wish: [W], record: { [name]: W.fingerprint }, stands: { [name]: down } };
  const critical = (ms: number): Situation => ({
    ...settled,
    verdicts: { [HTTP]: CRITICAL },
    criticalForMs: { [HTTP]: ms },
  });
  const reaped = 'reap a [-service] !';
  const out: Situation = { wish: [W], record: { [name]: markOut(W.fingerprint) } };
  const changed = anInstance({ id: 'a', probe: { deregisterAfterMs: LIMIT_MS }, port: 81 });
  const returns = 'return a [+service, +http passing] =';
  test.each<Row>([
    ['stands until then', critical(LIMIT_MS - 1), 'nothing (again in 1)'],
    ['is taken out', critical(LIMIT_MS), reaped],
    [
      'stays while many are critical at once',
      { ...critical(LIMIT_MS), heldReaps: { critical: 31, total: 100 } },
      'nothing (again in 10000)',
    ],
    [
      'stays until then, however many are critical',
      { ...critical(LIMIT_MS - 1), heldReaps: { critical: 31, total: 100 } },
      'nothing (again in 1)',
    ],
    [
      'is taken out, edited or not',
      { ...critical(LIMIT_MS), stands: { [name]: withService(down, { port: 9 }) } },
      reaped,
    ],
    [
      'is taken out under every policy',
      { ...critical(LIMIT_MS), declarer: { driftPolicy: 'Report' } },
      reaped,
    ],
    ['is taken out though a source is missing', { ...critical(LIMIT_MS), missing: 'no Service' }, reaped],
    [
      'is not while another owns it',
      { ...critical(LIMIT_MS), rivals: [name] },
      'Conflict: a on vm belongs to ConsulService shop/rival',
    ],
    [
      'is not when it was never to be',
      { ...stable, criticalForMs: { [HTTP]: LIMIT_MS }, verdicts: { [HTTP]: PASSING } },
      'nothing',
    ],
    [
      'is given a chance with a new declaration',
      { ...critical(LIMIT_MS), wish: [changed] },
      'update a [service] =',
    ],
    [
      'that has gone already is put back first',
      { ...critical(LIMIT_MS), stands: {} },
      'correct a [+service, +http critical] (drifted: a on vm)',
    ],
    [
      'stays out while critical',
      { ...out, verdicts: { [HTTP]: CRITICAL }, criticalForMs: { [HTTP]: 1 } },
      'nothing',
    ],
    ['stays out while nobody knows', out, 'nothing'],
    [
      'returns when it warns',
      { ...out, verdicts: { [HTTP]: WARNING } },
      'return a [+service, +http warning] =',
    ],
    ['returns when it passes', { ...out, verdicts: { [HTTP]: PASSING } }, returns],
    [
      'returns with its node',
      { ...out, verdicts: { [HTTP]: PASSING }, nodes: { vm: undefined } },
      returns.replace('[', '[+node vm, '),
    ],
    [
      'returns with a new declaration',
      { ...out, wish: [changed], verdicts: { [HTTP]: CRITICAL } },
      'return a [+service, +http critical] =',
    ],
    [
      'returns for another resource of the name',
      { ...out, head: { uid: 'u-0' } },
      'return a [+service, +http critical] =',
    ],
    [
      'is taken out again when somebody brings it back',
      { ...out, stands: { [name]: down } },
      'correct a [-service] (drifted: a on vm)',
    ],
    [
      'is left as somebody brought it back',
      { ...out, stands: { [name]: down }, declarer: { driftPolicy: 'Report' } },
      'nothing (drifted: a on vm)',
    ],
    ['goes from the record when it is not wished any more', { ...out, wish: [] }, 'remove a -'],
  ])('%s', (_what, situation, plan) => {
    expect(told(planOf(situation))).toBe(plan);
  });

  test('says when the next one is due, and waits for a source no longer', () => {
    const missing = planOf({ ...critical(20_000), missing: 'no Service' });
    expect(told(missing)).toBe('SourceNotFound: no Service (again in 40000)');
  });

  test('a native one is announced when it returns', () => {
    const N = anInstance({ id: 'a', native: true, probe: { deregisterAfterMs: LIMIT_MS } });
    const record = { [name]: markOut(N.fingerprint) };
    const plan = planOf({ wish: [N], record, verdicts: { [HTTP]: PASSING } });
    expect(told(plan)).toBe('return a ~; claiming');
  });
});
