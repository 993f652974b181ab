import { describe, expect, test } from 'vitest';
import type { Ending } from '../../../src/runtime/ending.ts';
import { nextFor } from '../../../src/runtime/requeue.ts';
import type { TurnResult } from '../../../src/runtime/workers.ts';
import {
  conflict,
  converged,
  denied,
  failed,
  refused,
  released,
  terminal,
  throttled,
  unreachable,
  waiting,
  withheld,
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
