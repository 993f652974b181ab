import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CommonSpec, CommonStatus } from '../../../src/api/v1alpha1/common.ts';
import { REASONS, STALLING_REASONS } from '../../../src/api/v1alpha1/reasons.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import type { Ending } from '../../../src/runtime/ending.ts';
import { isWorthTelling, reasonOf, saysTheSame, statusFor } from '../../../src/runtime/status.ts';
import {
  aCondition,
  aContext,
  conflict,
  converged,
  denied,
  failed,
  NOW,
  refused,
  released,
  REPORT,
  terminal,
  THEN_TEXT,
  unreachable,
  waiting,
  withheld,
} from './endings.ts';

/** Conditions in short: `Ready=True Applied`, without Drifted=False. */
function told(status: CommonStatus): string[] {
  return (status.conditions ?? [])
    .filter(({ type, status }) => type !== 'Drifted' || status !== 'False')
    .map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

describe('the conditions of an ending', () => {
  test.each<[what: string, ending: Ending, conditions: string[], spec?: CommonSpec]>([
    ['converged', converged(), ['Ready=True Applied']],
    ['converged and suspended', converged(), ['Ready=True Suspended'], { suspend: true }],
    [
      'suspended with something to do',
      withheld('Suspended', REPORT),
      ['Ready=False Suspended'],
      { suspend: true },
    ],
    ['a dry run', withheld('DryRun'), ['Ready=False DryRun']],
    ['waiting', waiting(), ['Ready=False SourceNotFound', 'Reconciling=True SourceNotFound']],
    [
      'waiting for a right',
      waiting('SourceForbidden'),
      ['Ready=False SourceForbidden', 'Reconciling=True SourceForbidden'],
    ],
    ['refused', refused(), ['Ready=False Conflict', 'Stalled=True Conflict']],
    [
      'refused for want of a right',
      refused('ConsulDenied'),
      ['Ready=False ConsulDenied', 'Reconciling=True ConsulDenied'],
    ],
    [
      'Consul away',
      failed(unreachable()),
      ['Ready=Unknown ConsulUnreachable', 'Reconciling=True ConsulUnreachable'],
    ],
    ['denied', failed(denied()), ['Ready=False ConsulDenied', 'Reconciling=True ConsulDenied']],
    ['a lost race', failed(conflict()), ['Ready=False Progressing', 'Reconciling=True Progressing']],
    [
      'a defect',
      failed(new TypeError('x is not a function')),
      ['Ready=False Progressing', 'Reconciling=True Progressing'],
    ],
    [
      'something thrown that is no error',
      failed('text'),
      ['Ready=False Progressing', 'Reconciling=True Progressing'],
    ],
    ['released', released(), ['Ready=False Progressing']],
  ])('%s', (_, ending, conditions, spec = {}) => {
    expect(told(statusFor(ending, aContext({}, spec)))).toEqual(conditions);
  });

  test.each<[what: string, ending: Ending, conditions: string[]]>([
    ['refused', refused(), ['Ready=False DeletionBlocked', 'Reconciling=True DeletionBlocked']],
    [
      'Consul away',
      failed(unreachable()),
      ['Ready=Unknown DeletionBlocked', 'Reconciling=True DeletionBlocked'],
    ],
    ['denied', failed(denied()), ['Ready=False DeletionBlocked', 'Reconciling=True DeletionBlocked']],
    ['a dry run', withheld('DryRun'), ['Ready=False DryRun']],
  ])('of one that is being deleted: %s', (_, ending, conditions) => {
    expect(told(statusFor(ending, aContext({ deleting: true })))).toEqual(conditions);
  });

  test.each([...STALLING_REASONS])('%s stalls, and does not reconcile', reason => {
    expect(told(statusFor(refused(reason), aContext()))).toEqual([
      `Ready=False ${reason}`,
      `Stalled=True ${reason}`,
    ]);
  });

  test('carry the message of what happened', () => {
    const messages = [converged(), waiting(), refused(), failed(denied())].map(
      ending => statusFor(ending, aContext()).conditions?.[0]?.message,
    );
    expect(messages).toEqual(['2 keys in Consul equal the spec', 'no source', 'not ours', 'no right']);
  });
});

describe('Drifted', () => {
  const drifted = (count: number) => Array.from({ length: count }, (_, n) => `k${n}`);
  const conditionOf = (ending: Ending, context = aContext()) =>
    statusFor(ending, context).conditions?.find(({ type }) => type === 'Drifted');

  test('names what differs under Report, ten at most', () => {
    const report = aContext({}, { driftPolicy: 'Report' });
    expect(conditionOf(converged({ drifted: drifted(2) }), report)).toMatchObject({
      status: 'True',
      reason: 'DriftDetected',
      message: 'changed in Consul from outside: k0, k1',
    });
    expect(conditionOf(converged({ drifted: drifted(12) }), report)?.message).toBe(
      'changed in Consul from outside: k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more',
    );
    expect(conditionOf(converged(), report)?.status).toBe('False');
  });

  test('leaves Ready as it is', () => {
    const status = statusFor(converged({ drifted: ['k'] }), aContext({}, { driftPolicy: 'Report' }));
    expect(told(status)).toEqual(['Ready=True Applied', 'Drifted=True DriftDetected']);
  });

  test.each(['Correct', 'Ignore'] as const)('is False under %s', driftPolicy => {
    expect(conditionOf(converged({ drifted: ['k'] }), aContext({}, { driftPolicy }))?.status).toBe('False');
  });

  test.each<[string, Ending]>([
    ['failed', failed(unreachable())],
    ['waiting', waiting()],
    ['refused', refused()],
    ['withheld', withheld('Suspended', REPORT)],
  ])('is as it was after a turn that could not tell: %s', (_, ending) => {
    const previous = { conditions: [aCondition('Drifted', 'True', 'DriftDetected', 'k')] };
    expect(conditionOf(ending, aContext({ previous }))).toMatchObject({
      status: 'True',
      message: 'k',
      lastTransitionTime: THEN_TEXT,
    });
    expect(conditionOf(ending)?.status).toBe('False');
  });
});

describe('the other fields', () => {
  /** Of a turn before this one. */
  const APPLIED = NOW - 60_000;
  const APPLIED_TEXT = '2026-06-01T11:59:00Z';
  const spec: CommonSpec = { deletionPolicy: 'Retain' };
  const previous = {
    observedGeneration: 1,
    lastAppliedTime: THEN_TEXT,
    lastHandledReconcileAt: 'before',
    lastTraceID: 'trace',
    keys: 7,
    hash: 'old',
    effective: { deletionPolicy: 'Delete' as const, datacenter: 'dc1', drift: 'Swept' as const },
  };

  test('of a turn that got there are new', () => {
    const status = statusFor(
      converged(),
      aContext({ previous, reconcileAt: 'now', appliedAtMs: APPLIED }, spec),
    );
    expect(status).toMatchObject({
      observedGeneration: 5,
      lastAppliedTime: APPLIED_TEXT,
      lastHandledReconcileAt: 'now',
      keys: 2,
      hash: 'h',
      effective: {
        deletionPolicy: 'Retain',
        adoptionPolicy: 'IfEqual',
        driftPolicy: 'Correct',
        datacenter: 'dc1',
        drift: 'Watched',
      },
    });
    expect(status).not.toHaveProperty('lastTraceID');
  });

  test('of one that wrote nothing keep the time of the last write', () => {
    expect(statusFor(converged(), aContext({ previous }, spec)).lastAppliedTime).toBe(THEN_TEXT);
    expect(statusFor(converged(), aContext({}, spec))).not.toHaveProperty('lastAppliedTime');
  });

  test('tell when something was written, though the turn failed after that', () => {
    const status = statusFor(failed(denied()), aContext({ previous, appliedAtMs: APPLIED }, spec));
    expect(status).toMatchObject({ lastAppliedTime: APPLIED_TEXT, keys: 7 });
  });

  test('of one that did not get there are kept, but for the generation and the policies', () => {
    for (const ending of [failed(unreachable()), refused(), waiting(), withheld('DryRun')]) {
      const status = statusFor(ending, aContext({ previous }, spec));
      expect(status).toMatchObject({
        observedGeneration: 5,
        lastAppliedTime: THEN_TEXT,
        lastHandledReconcileAt: 'before',
        keys: 7,
        hash: 'old',
        effective: { deletionPolicy: 'Retain', datacenter: 'dc1', drift: 'Swept' },
      });
      expect(status).not.toHaveProperty('lastTraceID');
    }
  });

  test('of a spec that cannot be read keep the policies, too', () => {
    const status = statusFor(refused('InvalidSpec'), { ...aContext({ previous }), spec: undefined });
    expect(status.effective).toEqual(previous.effective);
    expect(statusFor(refused('InvalidSpec'), { ...aContext(), spec: undefined })).not.toHaveProperty(
      'effective',
    );
  });

  test('without an annotation nothing was asked for', () => {
    expect(statusFor(converged(), aContext())).not.toHaveProperty('lastHandledReconcileAt');
  });
});

describe('the user is told', () => {
  test.each<[what: string, ending: Ending, atOnce: boolean, afterTenSeconds: boolean]>([
    ['converged', converged(), true, true],
    ['withheld', withheld('Suspended'), true, true],
    ['waiting', waiting(), true, true],
    ['refused', refused(), true, true],
    ['denied', failed(denied()), true, true],
    ['an outage', failed(unreachable()), false, true],
    ['a lost race', failed(conflict()), false, true],
    ['a defect', failed(new Error('x')), false, true],
    ['released: nobody is there to be told', released(), false, false],
    ['cut short', failed(new AbortedError()), false, false],
  ])('of %s: at once %s, once it lasts %s', (_, ending, atOnce, afterTenSeconds) => {
    expect([isWorthTelling(ending, 9_999), isWorthTelling(ending, 10_000)]).toEqual([
      atOnce,
      afterTenSeconds,
    ]);
  });
});

describe('two statuses say the same', () => {
  const status: CommonStatus = {
    observedGeneration: 3,
    conditions: [aCondition('Ready', 'True', 'Applied', 'well')],
    lastAppliedTime: '2026-01-01T00:00:00Z',
    lastTraceID: 'one',
    effective: { deletionPolicy: 'Delete', datacenter: 'dc1', drift: 'Watched' },
  };
  const reordered = Object.fromEntries(Object.entries(status).toReversed());

  test.each<[what: string, present: unknown]>([
    ['another trace id', { ...status, lastTraceID: 'two' }],
    ['no trace id', Object.fromEntries(Object.entries(status).filter(([name]) => name !== 'lastTraceID'))],
    ['another way to see drift', { ...status, effective: { ...status.effective, drift: 'Swept' } }],
    ['another order of fields', reordered],
  ])('with %s', (_, present) => expect(saysTheSame(status, present)).toBe(true));

  test.each<[what: string, present: unknown]>([
    ['none', undefined],
    ['the one a resource is born with', { observedGeneration: -1 }],
    ['another generation', { ...status, observedGeneration: 4 }],
    ['another message', { ...status, conditions: [aCondition('Ready', 'True', 'Applied', 'better')] }],
    [
      'one condition more',
      { ...status, conditions: [...(status.conditions ?? []), aCondition('Stalled', 'True', 'X')] },
    ],
    ['another time of the last write', { ...status, lastAppliedTime: '2026-01-01T00:00:01Z' }],
    ['another reconcile handled', { ...status, lastHandledReconcileAt: 'now' }],
    ['another policy', { ...status, effective: { ...status.effective, deletionPolicy: 'Retain' } }],
    ['another datacenter', { ...status, effective: { ...status.effective, datacenter: 'dc2' } }],
    ["another of the kind's own fields", { ...status, keys: 3 }],
  ])('not with %s', (_, present) => {
    expect(saysTheSame(status, present)).toBe(false);
  });
});

test('the reason of an error is its own, where it has one', () => {
  expect([unreachable(), denied(), conflict(), terminal()].map(reasonOf)).toEqual([
    'ConsulUnreachable',
    'ConsulDenied',
    'Progressing',
    'Progressing',
  ]);
  expect(
    [new Error('x'), 'x', undefined, { reason: 'Forged' }, Object.assign(new Error('x'), { reason: 7 })].map(
      reasonOf,
    ),
  ).toEqual(Array.from({ length: 5 }, () => 'Progressing'));
});

describe('whatever ends, and whatever stood there before,', () => {
  const endings: fc.Arbitrary<Ending> = fc.oneof(
    fc.record({ drifted: fc.array(fc.constant('k'), { maxLength: 2 }) }).map(converged),
    fc.constantFrom(withheld('Suspended', REPORT), withheld('DryRun'), released()),
    fc.constantFrom(...Object.keys(REASONS)).map(reason => refused(reason)),
    fc.constantFrom('SourceNotFound', 'SourceForbidden', 'DependencyNotReady').map(waiting),
    fc.constantFrom(unreachable(), denied(), conflict(), new Error('defect')).map(error => failed(error)),
  );
  const conditions = fc.uniqueArray(
    fc
      .tuple(
        fc.constantFrom('Ready', 'Reconciling', 'Stalled', 'Drifted'),
        fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const),
      )
      .map(([type, status]) => aCondition(type, status, 'Before', 'before')),
    { selector: ({ type }) => type },
  );
  const contexts = fc.record({
    spec: fc.constantFrom<CommonSpec | undefined>(
      undefined,
      {},
      { suspend: true },
      { driftPolicy: 'Report' },
    ),
    deleting: fc.boolean(),
    appliedAtMs: fc.constantFrom(undefined, NOW),
    previous: conditions.map(each => ({ conditions: each })),
  });

  test('tools that know kstatus read it right', () => {
    fc.assert(
      fc.property(endings, contexts, (ending, context) => {
        const status = statusFor(ending, aContext(context));
        const by = new Map((status.conditions ?? []).map(condition => [condition.type, condition]));
        expect(by.size).toBe(status.conditions?.length);
        expect(by.has('Ready') && by.has('Drifted')).toBe(true);
        // Present only while True, and never both.
        for (const type of ['Reconciling', 'Stalled'])
          if (by.has(type)) expect(by.get(type)?.status).toBe('True');
        expect(by.has('Reconciling') && by.has('Stalled')).toBe(false);
        if (by.get('Ready')?.status === 'True')
          expect(by.has('Reconciling') || by.has('Stalled')).toBe(false);
        for (const { observedGeneration, reason } of by.values()) {
          expect(observedGeneration).toBe(5);
          expect(reason).toMatch(/^[A-Z][A-Za-z]+$/);
        }
        expect(status.observedGeneration).toBe(5);
      }),
      { numRuns: 300 },
    );
  });

  test('told twice it is told the same', () => {
    fc.assert(
      fc.property(endings, contexts, (ending, context) => {
        const once = statusFor(ending, aContext(context));
        expect(
          statusFor(ending, aContext({ ...context, previous: once, nowMs: Date.UTC(2030, 0, 1) })),
        ).toEqual(once);
      }),
      { numRuns: 300 },
    );
  });
});

test('a kind without policies tells its own settings, and what the report adds', () => {
  const effective = { key: 'leases/orders', holders: 3 };
  const status = statusFor(converged(), aContext({ effective }));
  const { datacenter, driftSeen: drift } = REPORT;
  expect(status.effective).toEqual({ ...effective, datacenter, drift });
});

test('what a halted turn has seen stands in the status; what it has not stays as it was', () => {
  const previous = { keys: 9 };
  const seen = statusFor(
    { ...waiting(), report: { ...REPORT, status: { keys: 0 } } } as Ending,
    aContext({ previous }),
  );
  expect(seen['keys']).toBe(0);
  expect(statusFor(waiting(), aContext({ previous }))['keys']).toBe(9);
});
