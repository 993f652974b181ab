import { expect, test } from 'vitest';
import { Recent } from '../../../src/kube/recent.ts';
import { FakeClock } from '../../support/fake-clock.ts';

function aCache(clock: FakeClock, capacity = 2) {
  const made: string[] = [];
  const cache = new Recent<string>(clock, { capacity, ttlMs: 1_000 });
  const use = (key: string): string =>
    cache.getOrCreate(key, () => {
      made.push(key);
      return key;
    });
  return { cache, made, use };
}

test('what was not used for longest makes room', () => {
  const { cache, made, use } = aCache(new FakeClock());
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) use(key);
  expect(made).toEqual(['a', 'b', 'c', 'b']);
  expect(cache.size).toBe(2);
});

test('each use makes an entry last for its time again', () => {
  const clock = new FakeClock();
  const { cache, made, use } = aCache(clock, 10);
  use('a');
  use('b');
  clock.advance(1_000);
  use('a');
  clock.advance(1);
  use('a');
  expect(cache.size).toBe(1);
  use('b');
  expect(made).toEqual(['a', 'b', 'b']);
});
