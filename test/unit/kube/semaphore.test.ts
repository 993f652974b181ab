import { expect, test } from 'vitest';
import { Semaphore } from '../../../src/kube/semaphore.ts';
import { settled } from '../../support/fake-clock.ts';

const never = new AbortController().signal;

/** Tasks that run until the test lets them go. */
function heldTasks() {
  const started: string[] = [];
  const releases = new Map<string, () => void>();
  const task = (name: string) => (): Promise<void> => {
    started.push(name);
    return new Promise(resolve => releases.set(name, resolve));
  };
  return { started, task, release: (name: string) => releases.get(name)?.() };
}

test('no more tasks run at once than there are places, and the others follow in their order', async () => {
  const semaphore = new Semaphore(2);
  const { started, task, release } = heldTasks();
  const all = ['a', 'b', 'c', 'd'].map(name => semaphore.run(never, task(name)));
  await settled();
  expect(started).toEqual(['a', 'b']);
  release('b');
  await all[1];
  await settled();
  expect(started).toEqual(['a', 'b', 'c']);
  release('a');
  await all[0];
  await settled();
  expect(started).toEqual(['a', 'b', 'c', 'd']);
});

test('a task that fails gives its place back', async () => {
  const semaphore = new Semaphore(1);
  await expect(semaphore.run(never, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  expect(await semaphore.run(never, () => Promise.resolve('next'))).toBe('next');
});

test('who gives up waiting leaves the line and holds up nobody', async () => {
  const semaphore = new Semaphore(1);
  const { started, task, release } = heldTasks();
  const first = semaphore.run(never, task('first'));
  const impatient = new AbortController();
  const second = semaphore.run(impatient.signal, task('second'));
  const third = semaphore.run(never, task('third'));
  impatient.abort();
  await expect(second).rejects.toMatchObject({ code: 'ABORTED' });
  release('first');
  await first;
  await settled();
  expect(started).toEqual(['first', 'third']);
  release('third');
  await third;
});

test('an aborted caller never starts', async () => {
  await expect(new Semaphore(1).run(AbortSignal.abort(), () => Promise.resolve())).rejects.toMatchObject({
    code: 'ABORTED',
  });
});
