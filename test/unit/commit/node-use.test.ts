import { expect, test } from 'vitest';
import { NodeUse } from '../../../src/commit/node-use.ts';

/** Something that goes on until it is told to end. */
function lasting() {
  let end = (): void => {};
  const done = new Promise<void>(resolve => {
    end = resolve;
  });
  return { end, run: () => done };
}

const settled = () => new Promise(resolve => setImmediate(resolve));

test('a node is not removed while somebody writes on it, and is when the last has left', async () => {
  const use = new NodeUse();
  const [one, other] = [lasting(), lasting()];
  const writing = [use.write(['a', 'b'], one.run), use.write(['a'], other.run)];
  const remove = (name: string) => use.remove(name, async () => 'removed');
  expect(await remove('a')).toBeUndefined();
  expect(await remove('c')).toBe('removed');
  one.end();
  await settled();
  expect([await remove('a'), await remove('b')]).toEqual([undefined, 'removed']);
  other.end();
  await Promise.all(writing);
  expect(await remove('a')).toBe('removed');
});

test('who writes waits for the removal, also one that fails', async () => {
  const use = new NodeUse();
  const removal = lasting();
  const removing = use.remove('a', async () => {
    await removal.run();
    throw new Error('Consul is away');
  });
  const order: string[] = [];
  const writing = use.write(['b', 'a'], async () => void order.push('written'));
  await settled();
  order.push('removed');
  removal.end();
  await expect(removing).rejects.toThrow('Consul is away');
  await writing;
  expect(order).toEqual(['removed', 'written']);
});

test('a node is removed once at a time', async () => {
  const use = new NodeUse();
  const removal = lasting();
  const removing = use.remove('a', removal.run);
  expect(await use.remove('a', async () => 'again')).toBeUndefined();
  removal.end();
  await removing;
});

test('a write that throws has left', async () => {
  const use = new NodeUse();
  await expect(use.write(['a'], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await use.remove('a', async () => 'removed')).toBe('removed');
});
