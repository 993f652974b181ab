import { expect, test } from 'vitest';
import { inParallel } from '../../../../src/reconcilers/service/in-parallel.ts';

/** Work that goes on until it is told how it ends. */
function held() {
  const begun: number[] = [];
  const ends = new Map<number, { done: () => void; fail: (error: Error) => void }>();
  const work = (item: number): Promise<void> => {
    begun.push(item);
    return new Promise((done, fail) => void ends.set(item, { done, fail }));
  };
  return { begun, work, end: (item: number) => ends.get(item) };
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test('no more than so many are under way, and each is done once', async () => {
  const { begun, work, end } = held();
  const all = inParallel([1, 2, 3], 2, work);
  expect(begun).toEqual([1, 2]);
  end(2)?.done();
  await settled();
  expect(begun).toEqual([1, 2, 3]);
  end(1)?.done();
  end(3)?.done();
  await all;
  expect(begun).toEqual([1, 2, 3]);
});

test('after a failure nothing is begun, and what is under way is waited for', async () => {
  const { begun, work, end } = held();
  let ended = '';
  void inParallel([1, 2, 3, 4], 2, work).catch((error: Error) => {
    ended = error.message;
  });
  end(1)?.fail(new Error('first'));
  await settled();
  expect([begun, ended]).toEqual([[1, 2], '']);
  end(2)?.fail(new Error('second'));
  await settled();
  expect([begun, ended]).toEqual([[1, 2], 'first']);
});
