import { describe, expect, test } from 'vitest';
import { markOut } from '../../../../src/core/instance-names.ts';
import {
  readyMessage,
  receiptFor,
  serviceStatus,
  summarize,
} from '../../../../src/reconcilers/service/report.ts';
import type { Cause, InstanceChange, ServiceChange } from '../../../../src/reconcilers/service/types.ts';
import {
  aCheckOf,
  anInstance,
  aRecord,
  aRow,
  aSidecar,
  CRITICAL,
  draining,
  factsOf,
  INSTALL,
  NOW_MS,
  planOf,
  type Situation,
  standing,
  withChecks,
  withService,
} from './plan-builders.ts';

const A = anInstance({ id: 'a', probe: true });
const B = anInstance({ id: 'b', probe: true });
const SIDE = aSidecar({ id: 'a', probe: true });
const WARNING = { status: 'warning', output: '' } as const;
const listed = (...wished: readonly (typeof A)[]) =>
  Object.fromEntries(wished.map(({ name, fingerprint }) => [name, fingerprint]));

describe('status.instances', () => {
  const both = listed(A, B);
  const up = { [A.name]: standing(A), [B.name]: standing(B) };
  const unmarked = withService(standing(A), { meta: new Map() });
  const counts = { registered: 0, passing: 0, warning: 0, critical: 0, removed: 0, summary: '0/0' };
  test.each<[what: string, situation: Situation, counts: Partial<typeof counts>]>([
    ['nothing', {}, {}],
    ['two that pass', { record: both, stands: up }, { registered: 2, passing: 2, summary: '2/2' }],
    [
      'one without checks passes',
      { record: both, stands: { [A.name]: { ...standing(A), checks: [] } } },
      { registered: 1, passing: 1, summary: '1/1' },
    ],
    [
      'one of each',
      {
        record: both,
        stands: { [A.name]: standing(A, { http: WARNING }), [B.name]: standing(B, { http: CRITICAL }) },
      },
      { registered: 2, warning: 1, critical: 1, summary: '0/2' },
    ],
    [
      'one is drained',
      { record: listed(A), stands: { [A.name]: draining(standing(A), NOW_MS) } },
      { registered: 1, critical: 1, summary: '0/1' },
    ],
    [
      'a check of others counts',
      {
        record: listed(A),
        stands: {
          [A.name]: withChecks(
            standing(A),
            aRow(aCheckOf(A.service, 'x'), { status: 'maintenance', output: '' }),
          ),
        },
      },
      { registered: 1, critical: 1, summary: '0/1' },
    ],
    [
      'a check of the node counts',
      {
        record: listed(A),
        stands: up,
        nodes: { vm: { checks: [aRow(aCheckOf(A.service, 'disk'), WARNING)] } },
      },
      { registered: 1, warning: 1, summary: '0/1' },
    ],
    [
      'sidecars do not',
      { record: listed(A, SIDE), stands: { [A.name]: standing(A), [SIDE.name]: standing(SIDE) } },
      { registered: 1, passing: 1, summary: '1/1' },
    ],
    ['one was taken out', { record: { [A.name]: markOut(A.fingerprint) } }, { removed: 1 }],
    [
      'one was taken out and brought back',
      { record: { [A.name]: markOut(A.fingerprint) }, stands: up },
      { registered: 1, passing: 1, summary: '1/1' },
    ],
    [
      'one is claimed and ours',
      { record: { [A.name]: '~' }, stands: up },
      { registered: 1, passing: 1, summary: '1/1' },
    ],
    ['one is claimed and not ours', { record: { [A.name]: '~' }, stands: { [A.name]: unmarked } }, {}],
    [
      'one has gone',
      { record: both, stands: { [B.name]: standing(B) } },
      { registered: 1, passing: 1, summary: '1/1' },
    ],
  ])('%s', (_what, situation, expected) => {
    expect(serviceStatus(factsOf(situation), INSTALL)).toEqual({ instances: { ...counts, ...expected } });
  });
});

describe('what Ready says', () => {
  const say = (wished: readonly (typeof A)[], situation: Situation = {}): string =>
    readyMessage(
      { instances: new Map(wished.map(one => [one.name, one])), missing: undefined },
      factsOf(situation),
    );
  test.each<[said: string, wished: readonly (typeof A)[], situation: Situation]>([
    ['no instances are declared', [], {}],
    ['1 instance in Consul equals the spec', [A], {}],
    ['1 instance in Consul equals the spec', [A, SIDE], {}],
    ['2 instances in Consul equal the spec', [A, B], { record: listed(A, B) }],
    [
      '1 instance in Consul equals the spec; taken out for having been critical too long: b on vm',
      [A, B],
      { record: { ...listed(A), [B.name]: markOut(B.fingerprint) } },
    ],
    [
      '0 instances in Consul equal the spec; taken out for having been critical too long: a on vm',
      [A],
      { record: { [A.name]: markOut(A.fingerprint) } },
    ],
    [
      '1 instance in Consul equals the spec; without checks of the operator, for consul-esm runs those of the node: vm',
      [A],
      { nodes: { vm: { isOfEsm: true } } },
    ],
  ])('%s', (said, wished, situation) => {
    expect(say(wished, situation)).toBe(said);
  });

  test('that instances stay, though critical for too long, because so much is critical at once', () => {
    const [X, Y, Z] = ['x', 'y', 'z'].map(id => anInstance({ id, probe: { deregisterAfterMs: 60_000 } }));
    const wished = [X, Y, Z].filter(one => one !== undefined);
    const situation: Situation = {
      record: listed(...wished),
      stands: Object.fromEntries(wished.slice(0, 2).map(one => [one.name, standing(one)])),
      criticalForMs: { 'service:x:http': 60_000, 'service:y:http': 59_999, 'service:z:http': 60_000 },
    };
    const heldReaps = { critical: 31, total: 100 };
    expect(say(wished, situation)).toBe('3 instances in Consul equal the spec');
    expect(say(wished, { ...situation, heldReaps })).toBe(
      '3 instances in Consul equal the spec; not taken out though critical for too long: 1, for 31 of 100 checks that may take an instance out are critical at once',
    );
  });
});

describe('the Event of a step', () => {
  const at = (id: string): string => `/service/vm/${id}`;
  const GET = { realm: 'catalog', verb: 'service-get', node: 'vm', id: 'a', name: 'web' } as never;
  const NODE = { realm: 'catalog', verb: 'node-create', node: A.node } as const;
  const one = (
    cause: Cause,
    to?: string,
    operations: InstanceChange['operations'] = [GET],
    id = 'a',
  ): InstanceChange => ({
    name: at(id),
    cause,
    record: to === undefined ? undefined : { to },
    operations,
  });
  const commit = (...instances: InstanceChange[]): ServiceChange => ({
    step: 'commit',
    instances,
    head: undefined,
    adopts: false,
  });
  const tell = (
    change: ServiceChange,
    record = listed(A),
    deleting = false,
    done = change.step === 'commit' ? change.instances : [],
  ) => {
    const receipt = receiptFor(change, done, { record: aRecord(record), deleting });
    return receipt.kind === 'applied'
      ? `${receipt.event} ${receipt.corrected}: ${receipt.note}`
      : receipt.kind;
  };
  test.each<[told: string, change: ServiceChange]>([
    ['Updated 0: register a on vm', commit(one('update', 'f'))],
    ['Updated 0: register a on vm', commit(one('return', 'f'))],
    ['Updated 0: remove a on vm', commit({ ...one('remove'), record: { to: undefined } })],
    ['Updated 0: let go of a on vm', commit({ ...one('remove', undefined, []), record: { to: undefined } })],
    ['Updated 0: take out for having been critical too long a on vm', commit(one('reap', '!f'))],
    ['DriftCorrected 1: put back a on vm', commit(one('correct'))],
    [
      'DriftCorrected 2: put back a on vm, b on vm',
      commit(one('correct'), one('correct', undefined, [GET], 'b')),
    ],
    [
      'Adopted 0: take over a on vm; register b on vm',
      commit(one('adopt', 'f'), one('create', 'f', [GET], 'b')),
    ],
    ['Updated 0: update the owner record', commit(one('record', 'f', []))],
    ['Updated 0: update the owner record', commit()],
    ['Updated 0: register b on vm', commit(one('health'), one('create', 'f', [GET], 'b'))],
    ['tidied', commit(one('health'))],
    ['tidied', commit(one('drain'))],
    ['tidied', commit(one('create', '~f', []))],
    ['tidied', commit(one('create', '~f', [NODE]))],
    ['tidied', commit(one('correct', undefined, [NODE]))],
  ])('%s', (told, change) => {
    expect(tell(change)).toBe(told);
  });

  test('is Created while there is nothing but claims', () => {
    const create = commit(one('create', 'f'));
    expect(
      receiptFor(create, create.step === 'commit' ? create.instances : [], {
        record: undefined,
        deleting: false,
      }),
    ).toMatchObject({ event: 'Created' });
    expect(tell(create, { [at('a')]: '~f' })).toBe('Created 0: register a on vm');
    expect(tell(create, { [at('a')]: '~f', [at('b')]: 'f' })).toBe('Updated 0: register a on vm');
    expect(tell(create, {})).toBe('Updated 0: register a on vm');
  });

  test('of a registration tells what was registered', () => {
    const plan = planOf({
      wish: [anInstance({ id: 'a', native: true })],
      record: { [at('a')]: '~' },
      head: { phase: 'claiming' },
    });
    if (plan.kind !== 'change' || plan.change.step !== 'register') throw new Error('nothing is registered');
    const receipt = receiptFor(plan.change, plan.change.instances, {
      record: aRecord({ [at('a')]: '~' }),
      deleting: false,
    });
    expect(receipt).toEqual({ kind: 'applied', event: 'Created', note: 'register a on vm', corrected: 0 });
    expect(summarize(plan.change)).toBe('register a on vm');
  });

  test('of a deletion tells what is gone', () => {
    const gone = (id: string, operations: InstanceChange['operations']) => ({
      ...one('remove', undefined, operations, id),
      record: { to: undefined },
    });
    expect(tell(commit(gone('a', [GET]), gone('b', [])), listed(A), true)).toBe('Deleted 0: removed a on vm');
    expect(tell(commit(gone('a', [])), listed(A), true)).toBe(
      'Deleted 0: let go of what the resource owned; nothing was removed',
    );
    expect(tell(commit(one('drain')), listed(A), true)).toBe('tidied');
  });

  test('of a part is that of the whole, with what was done', () => {
    const change = commit(one('create', 'f'), one('adopt', 'f', [GET], 'b'));
    expect(tell(change, listed(A), false, [one('create', 'f')])).toBe('Adopted 0: register a on vm');
  });

  test('of an agent tells what it was given', () => {
    const writes = [
      { verb: 'deregister', name: '/agent/host/a', cause: 'remove', id: A.service.id },
      { verb: 'maintain', name: '/agent/host/b', cause: 'drain', id: A.service.id, reason: 'draining' },
    ] as const;
    const receipt = receiptFor({ step: 'agent', writes }, writes, {
      record: aRecord(listed(A)),
      deleting: false,
    });
    expect(receipt).toMatchObject({ event: 'Updated', note: 'remove a on host' });
  });
});
