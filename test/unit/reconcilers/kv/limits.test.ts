import * as fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ResourceRef } from '../../../../src/core/resource.ts';
import { KvWorld } from '../../../support/kv-world.ts';

let world: KvWorld;
beforeEach(() => {
  world = new KvWorld();
});

/** An atomic tree of so many keys of one length, with values of one length. */
function declare({ count, keyBytes, valueBytes, adopts = false }: Shape): ResourceRef {
  const data = Array.from({ length: count }, (_, n) => {
    const name = String(n).padStart(keyBytes - 't/'.length, 'k');
    if (adopts) world.consul.store.put(`t/${name}`, 'theirs');
    return [name, 'x'.repeat(valueBytes)] as const;
  });
  world.cluster.configMap('source', Object.fromEntries(data));
  return world.cluster.apply('one', {
    prefix: 't/',
    dataFrom: [{ configMapRef: { name: 'source' } }],
    atomic: true,
    adoptionPolicy: 'Always',
  });
}

interface Shape {
  readonly count: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly adopts?: boolean;
}

describe('an atomic tree within 110 keys and 350,000 bytes', () => {
  test('that is more than one transaction is too large before anything is sent, and the message has the numbers', async () => {
    const operator = await world.start();
    const begun = world.consul.transactions.length;
    const ref = declare({ count: 110, keyBytes: 512, valueBytes: 2_669 });
    await operator.settle(ref);
    expect(world.cluster.condition(ref)).toMatch(
      /^False TooLarge: atomic needs the tree in one transaction of at most 499000 bytes, and it would have 53\d{4}: 110 keys of 56320 bytes, each carried twice, and 293590 bytes of values, a third more in base64. So shorten keys or values, split the tree over several resources, or set atomic: false$/,
    );
    expect(world.consul.transactions).toHaveLength(begun);
  });

  test('is written whole in one transaction, or is refused before any, wherever the line is', async () => {
    const verdicts = new Set<string | undefined>();
    const shapes = fc.record({
      count: fc.integer({ min: 1, max: 110 }),
      keyBytes: fc.integer({ min: 8, max: 512 }),
      // Around what just fits: the rest of the body that keys and records leave.
      spare: fc.integer({ min: -2_000, max: 2_000 }),
      adopts: fc.boolean(),
    });
    const runs = fc.asyncProperty(shapes, async ({ count, keyBytes, spare, adopts }) => {
      world = new KvWorld();
      const operator = await world.start();
      const begun = world.consul.transactions.length;
      const roomForValues = (499_000 - count * (126 + (keyBytes * 7) / 3) - 500) * 0.75;
      const valueBytes = Math.max(0, Math.min(350_000 - count * keyBytes, roomForValues + spare)) / count;
      const ref = declare({ count, keyBytes, valueBytes: Math.floor(valueBytes), adopts });
      await operator.settle(ref);
      const applied = world.consul.transactions.slice(begun).filter(each => each.applied);
      const [reason] = world.reasons(ref);
      verdicts.add(reason);
      expect([reason, applied.length]).toEqual(reason === 'Applied' ? ['Applied', 1] : ['TooLarge', 0]);
      expect(Object.keys(world.data('t/')).length).toBe(reason === 'Applied' || adopts ? count : 0);
    });
    await fc.assert(runs, { numRuns: 60 });
    expect(verdicts).toEqual(new Set(['Applied', 'TooLarge']));
  });
});

test('a change of an atomic tree that takes more operations than there are is refused before any is sent', async () => {
  const operator = await world.start();
  const names = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${String(n).padStart(4, '0')}`, 'x']));
  world.cluster.configMap('many', names(1_000));
  const dataFrom = [{ configMapRef: { name: 'many' } }];
  const ref = world.cluster.apply('one', { prefix: 't/', dataFrom });
  await operator.settle(ref);
  // Five names are left in each of twenty-two shards.
  const few = Object.entries(names(1_000)).filter((_, n) => n % 40 < 5 && n < 880);
  world.cluster.configMap('many', Object.fromEntries(few));
  await operator.settle(ref);
  world.cluster.configMap('many', Object.fromEntries(few.map(([name]) => [name, 'y'])));
  world.cluster.apply('one', { prefix: 't/', dataFrom, atomic: true });
  const begun = world.consul.transactions.length;
  await operator.settle(ref);
  expect(world.cluster.condition(ref)).toMatch(
    /^False TooLarge: atomic needs the change in one .* operations\. Change/,
  );
  expect(world.consul.transactions).toHaveLength(begun);
});
