import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ResourceKey } from '../../../src/core/resource.ts';
import { Holdings } from '../../../src/ownership/holdings.ts';

const KEYS = ['x', 'y', 'z'] as ResourceKey[];
const [X, Y, Z] = KEYS as [ResourceKey, ResourceKey, ResourceKey];

test('whoever came first holds it; those who came later inherit in turn', () => {
  const held = new Holdings();
  for (const key of [X, Y, X, Z]) held.take('a', key);
  expect(held.holderOf('a')).toBe(X);
  expect(held.letGo('a', Z)).toBe(false);
  expect(held.letGo('a', X)).toBe(true);
  expect(held.holderOf('a')).toBe(Y);
  expect(held.letGo('a', Y)).toBe(true);
  expect([...held.entries()]).toEqual([]);
});

test('has a holder exactly as long as somebody has taken it and not let go', () => {
  const steps = fc.array(
    fc.record({ take: fc.boolean(), what: fc.constantFrom('a', 'b'), key: fc.constantFrom(...KEYS) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(steps, all => {
      const held = new Holdings();
      const model = new Map<string, ResourceKey[]>();
      for (const { take, what, key } of all) {
        const before = model.get(what) ?? [];
        const wasHolder = before[0] === key;
        if (take) held.take(what, key);
        else expect(held.letGo(what, key)).toBe(wasHolder);
        const others = before.filter(each => each !== key);
        model.set(what, take ? (before.includes(key) ? before : [...before, key]) : others);
      }
      for (const [what, [holder]] of model) expect(held.holderOf(what)).toBe(holder);
      expect([...held.entries()]).toHaveLength([...model.values()].filter(keys => keys.length > 0).length);
    }),
  );
});
