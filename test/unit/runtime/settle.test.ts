import { describe, expect, test } from 'vitest';
import type { CommonStatus } from '../../../src/api/v1alpha1/common.ts';
import type { Condition } from '../../../src/core/conditions.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import type { Ending } from '../../../src/runtime/ending.ts';
import {
  describeEnding,
  isWorthTelling,
  nextFor,
  noticesFor,
  saysTheSame,
} from '../../../src/runtime/settle.ts';
import type { TurnResult } from '../../../src/runtime/workers.ts';
import {
  aCondition,
  conflict,
  converged,
  denied,
  failed,
  refused,
  released,
  REPORT,
  terminal,
  throttled,
  unreachable,
  waiting,
  withheld,
  WORK,
} from './endings.ts';

const LATER: TurnResult = { kind: 'requeue', afterMs: 300_000 };

describe('what the queue is told', () => {
  test.each<[what: string, ending: Ending, next: TurnResult]>([
    ['converged', converged(), { kind: 'done' }],
    ['withheld', withheld('DryRun'), { kind: 'done' }],
    ['released', released(), { kind: 'done' }],
    ['waiting', waiting(), LATER],
    ['refused for good', refused('Conflict'), LATER],
    ['refused for now', refused('ConsulDenied'), { kind: 'retry' }],
    ['Consul away', failed(unreachable()), { kind: 'retry', capMs: 30_000 }],
    [
      'Consul away, with a wish when to come back',
      failed(unreachable(7000)),
      { kind: 'retry', capMs: 30_000, minMs: 7000 },
    ],
    ['denied', failed(denied()), { kind: 'retry' }],
    ['throttled', failed(throttled(4000)), { kind: 'retry', minMs: 4000 }],
    ['a lost race', failed(conflict()), { kind: 'retry', capMs: 30_000 }],
    ['what repeating cannot help', failed(terminal()), LATER],
    ['a defect', failed(new TypeError('x')), { kind: 'retry' }],
    ['Consul away for all, for a moment', failed(unreachable(), 4000), { kind: 'requeue', afterMs: 6000 }],
    ['Consul away for all, for long: woken when it is back', failed(unreachable(), 10_000), { kind: 'done' }],
  ])('%s', (_, ending, next) => expect(nextFor(ending)).toEqual(next));
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
    ['released: nobody is there to be told', released(WORK), false, false],
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

describe('Events', () => {
  const ready = (reason: string, message = '', status: Condition['status'] = 'False') =>
    aCondition('Ready', status, reason, message);
  const applied = ready('Applied', 'well', 'True');
  const told = (ending: Ending, before: readonly Condition[], after: readonly Condition[]) =>
    noticesFor(ending, before, after).map(
      ({ type, reason, action, note }) => `${type} ${reason} (${action}): ${note}`,
    );

  test.each<[what: string, ending: Ending, before: Condition[], after: Condition[], events: string[]]>([
    [
      'what was written',
      converged({ applied: WORK }),
      [],
      [applied],
      ['Normal Created (Reconcile): write a, b'],
    ],
    [
      'what was removed',
      released({ ...WORK, event: 'Deleted', note: 'removed a' }),
      [],
      [],
      ['Normal Deleted (Delete): removed a'],
    ],
    ['nothing when nothing was done', converged(), [applied], [applied], []],
    ['nothing when nothing was left to remove', released(), [applied], [applied], []],
    [
      'a conflict',
      refused('Conflict', 'theirs'),
      [applied],
      [ready('Conflict', 'theirs')],
      ['Warning Conflict (Reconcile): theirs'],
    ],
    [
      'the same conflict no second time',
      refused('Conflict', 'theirs'),
      [ready('Conflict', 'theirs')],
      [ready('Conflict', 'theirs')],
      [],
    ],
    [
      'another conflict',
      refused('Conflict', 'hers'),
      [ready('Conflict', 'theirs')],
      [ready('Conflict', 'hers')],
      ['Warning Conflict (Reconcile): hers'],
    ],
    [
      'what stalls otherwise',
      refused('TooLarge', 'long'),
      [],
      [ready('TooLarge', 'long')],
      ['Warning Stalled (Reconcile): long'],
    ],
    [
      'a deletion that is blocked',
      failed(denied()),
      [applied],
      [ready('DeletionBlocked', 'no right')],
      ['Warning DeletionBlocked (Reconcile): no right'],
    ],
    [
      'nothing of what passes by itself',
      failed(unreachable()),
      [applied],
      [ready('ConsulUnreachable', 'away', 'Unknown')],
      [],
    ],
    ['nothing of waiting', waiting(), [applied], [ready('SourceNotFound', 'no source')], []],
    [
      'resuming',
      converged({ applied: WORK }),
      [ready('Suspended')],
      [applied],
      ['Normal Created (Reconcile): write a, b', 'Normal Resumed (Reconcile): spec.suspend was taken back'],
    ],
    [
      'resuming with nothing to do',
      converged(),
      [ready('Suspended', 'well', 'True')],
      [applied],
      ['Normal Resumed (Reconcile): spec.suspend was taken back'],
    ],
    [
      'resuming into a conflict',
      refused('Conflict', 'theirs'),
      [ready('Suspended')],
      [ready('Conflict', 'theirs')],
      ['Normal Resumed (Reconcile): spec.suspend was taken back', 'Warning Conflict (Reconcile): theirs'],
    ],
    [
      'nothing of being suspended',
      withheld('Suspended', REPORT),
      [applied],
      [ready('Suspended', 'would write')],
      [],
    ],
    [
      'drift that is only reported',
      converged({ drifted: ['k'] }),
      [applied, aCondition('Drifted', 'False', 'Applied')],
      [applied, aCondition('Drifted', 'True', 'DriftDetected', 'changed: k')],
      ['Warning DriftDetected (Reconcile): changed: k'],
    ],
    [
      'drift of other keys',
      converged({ drifted: ['k', 'l'] }),
      [applied, aCondition('Drifted', 'True', 'DriftDetected', 'changed: k')],
      [applied, aCondition('Drifted', 'True', 'DriftDetected', 'changed: k, l')],
      ['Warning DriftDetected (Reconcile): changed: k, l'],
    ],
    [
      'the same drift no second time, nor its end',
      converged(),
      [applied, aCondition('Drifted', 'True', 'DriftDetected', 'changed: k')],
      [applied, aCondition('Drifted', 'False', 'Applied')],
      [],
    ],
  ])('tell %s', (_, ending, before, after, events) => expect(told(ending, before, after)).toEqual(events));
});

test('an ending in one line', () => {
  const endings = [
    converged(),
    released(),
    waiting(),
    refused(),
    withheld('DryRun'),
    failed(denied()),
    failed('text'),
  ];
  expect(endings.map(describeEnding)).toEqual([
    'converged',
    'released',
    'waiting: no source',
    'refused: not ours',
    'withheld: DryRun says why',
    'failed: no right',
    'failed: text',
  ]);
});
