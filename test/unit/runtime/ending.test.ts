import { expect, test } from 'vitest';
import { TerminalError } from '../../../src/core/errors.ts';
import { describeEnding, type Ending, endingOf } from '../../../src/runtime/ending.ts';
import {
  conflict,
  converged,
  denied,
  failed,
  refused,
  released,
  terminal,
  unreachable,
  waiting,
  withheld,
} from './endings.ts';

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

const refusal = (reason: string) => new TerminalError('why', { code: 'KEY_INVALID', reason });

test.each<[what: string, error: unknown, ending: Ending]>([
  ['a dry run', refusal('DryRun'), { ...withheld('DryRun'), message: 'why' } as Ending],
  ['what repeating cannot help', refusal('InvalidSpec'), refused('InvalidSpec', 'why')],
])('%s is a state, not a failure', (_, error, ending) => expect(endingOf(error)).toEqual(ending));

test.each([unreachable(), conflict(), denied(), terminal(), new TypeError('x'), 'text'])(
  '%s is a failure',
  error => expect(endingOf(error)).toEqual(failed(error)),
);
