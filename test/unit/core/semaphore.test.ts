import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { Semaphore } from '../../../src/core/semaphore.ts';
import { settled } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

test('lets in no more than it has places, in the order of arrival', async () => {
  const semaphore = new Semaphore(2);
  const entered: string[] = [];
  const leave = new Map<string, () => void>();
  for (const name of ['a', 'b', 'c', 'd']) {
    void semaphore.acquire(signal).then(release => {
      entered.push(name);
      leave.set(name, release);
    });
  }
  await settled();
  expect(entered).toEqual(['a', 'b']);
  leave.get('b')?.();
  await settled();
  expect(entered).toEqual(['a', 'b', 'c']);
  leave.get('a')?.();
  leave.get('c')?.();
  await settled();
  expect(entered).toEqual(['a', 'b', 'c', 'd']);
});

test('a place that is left goes to the first in line, not to who comes at that moment', async () => {
  const semaphore = new Semaphore(1);
  const entered: string[] = [];
  const leave = await semaphore.acquire(signal);
  void semaphore.acquire(signal).then(() => entered.push('first in line'));
  leave();
  void semaphore.acquire(signal).then(() => entered.push('newcomer'));
  await settled();
  expect(entered).toEqual(['first in line']);
});

test('who gives up waiting takes no place', async () => {
  const semaphore = new Semaphore(1);
  const leave = await semaphore.acquire(signal);
  const impatient = new AbortController();
  const refused = semaphore.acquire(impatient.signal).catch((error: unknown) => error);
  const next = semaphore.acquire(signal);
  impatient.abort(new Error('enough'));
  expect(await refused).toMatchObject({ code: 'ABORTED', cause: new Error('enough') });
  leave();
  (await next)();
  await expect(semaphore.acquire(signal)).resolves.toBeTypeOf('function');
});

test('who has waited and got a place is no longer listening: a signal may outlive many waits', async () => {
  const { signal: longLived } = new AbortController();
  const semaphore = new Semaphore(1);
  const leave = await semaphore.acquire(signal);
  const next = semaphore.acquire(longLived);
  expect(getEventListeners(longLived, 'abort')).toHaveLength(1);
  leave();
  await next;
  expect(getEventListeners(longLived, 'abort')).toEqual([]);
});

test('who has given up before does not enter at all', async () => {
  const semaphore = new Semaphore(1);
  await expect(semaphore.acquire(AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
  await expect(semaphore.acquire(signal)).resolves.toBeTypeOf('function');
});
