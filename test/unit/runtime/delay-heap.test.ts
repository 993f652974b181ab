import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type DelayEntry, DelayHeap } from '../../../src/runtime/delay-heap.ts';

const operations = fc.array(
  // Mostly pushes: only a heap of some depth has subtrees to get wrong.
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('push' as const), dueAtMs: fc.nat(99) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), position: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('take' as const), nowMs: fc.nat(99) }) },
  ),
  { maxLength: 200, size: 'max' },
);

test('gives what a sorted list would, whatever is added, removed and taken in between', () => {
  fc.assert(
    fc.property(operations, steps => {
      const heap = new DelayHeap<number>();
      const list: DelayEntry<number>[] = [];
      const taken: unknown[] = [];
      const expected: unknown[] = [];
      for (const [step, operation] of steps.entries()) {
        list.sort((a, b) => a.dueAtMs - b.dueAtMs || a.value - b.value);
        if (operation.kind === 'push') list.push(heap.push(operation.dueAtMs, step));
        if (operation.kind === 'remove' && list.length > 0) {
          for (const entry of list.splice(operation.position % list.length, 1)) heap.remove(entry);
        }
        if (operation.kind === 'take') {
          const isDue = list[0] !== undefined && list[0].dueAtMs <= operation.nowMs;
          taken.push(heap.takeDue(operation.nowMs));
          expected.push(isDue ? list.shift()?.value : undefined);
        }
        expect(heap.earliestMs).toBe(list.length === 0 ? undefined : Math.min(...list.map(e => e.dueAtMs)));
      }
      expect(taken).toEqual(expected);
    }),
  );
});
