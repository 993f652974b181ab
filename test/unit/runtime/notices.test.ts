import { expect, test } from 'vitest';
import type { Condition } from '../../../src/core/conditions.ts';
import { type Notice, noticeOfChange, noticesBetween } from '../../../src/runtime/notices.ts';
import { aCondition, WORK } from './endings.ts';

const ready = (reason: string, message = '', status: Condition['status'] = 'False') =>
  aCondition('Ready', status, reason, message);
const applied = ready('Applied', 'well', 'True');
const drifted = (message: string) => aCondition('Drifted', 'True', 'DriftDetected', message);
const notDrifted = aCondition('Drifted', 'False', 'Applied');
const inShort = ({ type, reason, action, note }: Notice) => `${type} ${reason} (${action}): ${note}`;

const RESUMED = 'Normal Resumed (Reconcile): spec.suspend was taken back';
const THEIRS = 'Warning Conflict (Reconcile): theirs';

test('a change is told as what it did', () => {
  expect(inShort(noticeOfChange(WORK, 'Reconcile'))).toBe('Normal Created (Reconcile): write a, b');
  const removal = { ...WORK, event: 'Deleted', note: 'removed a' } as const;
  expect(inShort(noticeOfChange(removal, 'Delete'))).toBe('Normal Deleted (Delete): removed a');
});

test.each<[what: string, before: Condition[], after: Condition[], events: string[]]>([
  ['a conflict', [applied], [ready('Conflict', 'theirs')], [THEIRS]],
  ['a conflict of a new resource', [], [ready('Conflict', 'theirs')], [THEIRS]],
  [
    'another conflict',
    [ready('Conflict', 'theirs')],
    [ready('Conflict', 'hers')],
    ['Warning Conflict (Reconcile): hers'],
  ],
  ['what stalls otherwise', [], [ready('TooLarge', 'long')], ['Warning Stalled (Reconcile): long']],
  [
    'a deletion that is blocked',
    [applied],
    [ready('DeletionBlocked', 'no right')],
    ['Warning DeletionBlocked (Reconcile): no right'],
  ],
  ['resuming', [ready('Suspended')], [applied], [RESUMED]],
  ['resuming with nothing to do', [ready('Suspended', 'well', 'True')], [applied], [RESUMED]],
  ['resuming into a conflict', [ready('Suspended')], [ready('Conflict', 'theirs')], [RESUMED, THEIRS]],
  [
    'drift that is only reported',
    [applied, notDrifted],
    [applied, drifted('changed: k')],
    ['Warning DriftDetected (Reconcile): changed: k'],
  ],
  [
    'drift of other keys',
    [applied, drifted('changed: k')],
    [applied, drifted('changed: k, l')],
    ['Warning DriftDetected (Reconcile): changed: k, l'],
  ],
])('Events tell %s', (_, before, after, events) => {
  expect(noticesBetween(before, after).map(inShort)).toEqual(events);
});

test.each<[what: string, before: Condition[], after: Condition[]]>([
  ['the same', [applied], [applied]],
  ['a first success', [], [applied, notDrifted]],
  ['the same conflict a second time', [ready('Conflict', 'theirs')], [ready('Conflict', 'theirs')]],
  ['what passes by itself', [applied], [ready('ConsulUnreachable', 'away', 'Unknown')]],
  ['waiting', [applied], [ready('SourceNotFound', 'no source')]],
  ['being suspended', [applied], [ready('Suspended', 'would write')]],
  ['the same drift', [applied, drifted('k')], [applied, drifted('k')]],
  ['the end of drift', [applied, drifted('k')], [applied, notDrifted]],
  ['nothing', [], []],
])('Events do not tell %s', (_, before, after) => expect(noticesBetween(before, after)).toEqual([]));
