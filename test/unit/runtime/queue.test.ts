import { describe, expect, test, vi } from 'vitest';
import { PRIORITY } from '../../../src/runtime/queue.ts';
import { settled } from '../../support/fake-clock.ts';
import { aKey, aQueue, drainReady, getNow } from './queue-harness.ts';

const [a, b, c] = [aKey('a'), aKey('b'), aKey('c')];
const forever = new AbortController().signal;

describe('one entry a key', () => {
  test('a key added three times is handed out once', async () => {
    const { queue } = aQueue();
    for (let times = 0; times < 3; times++) queue.add(a);
    expect(await drainReady(queue)).toEqual([a]);
  });

  test('a key that runs is not handed out again, however often it is added', async () => {
    const { queue } = aQueue();
    queue.add(a);
    await getNow(queue);
    queue.add(a);
    queue.add(a);
    expect(await getNow(queue)).toBeUndefined();
    expect(queue.readyCount).toBe(0);
  });

  test('a key added while it runs has exactly one more run afterwards', async () => {
    const { queue } = aQueue();
    queue.add(a);
    await getNow(queue);
    queue.add(a);
    queue.add(a);
    queue.done(a);
    expect(await drainReady(queue)).toEqual([a]);
  });

  test('a key added while it runs keeps the highest priority asked for', async () => {
    const { queue } = aQueue();
    queue.add(a);
    await getNow(queue);
    queue.add(a, { priority: PRIORITY.resync });
    queue.add(a, { priority: PRIORITY.deletion });
    queue.add(a, { priority: PRIORITY.specChange });
    queue.add(b);
    queue.done(a);
    expect(await drainReady(queue)).toEqual([a, b]);
  });

  test('a delayed key that comes due while it runs waits for done', async () => {
    const { queue, clock } = aQueue();
    queue.add(a);
    await getNow(queue);
    queue.add(a, { afterMs: 10 });
    clock.advance(10);
    expect(await getNow(queue)).toBeUndefined();
    queue.done(a);
    expect(await getNow(queue)).toBe(a);
  });

  test('done for a key that does not run changes nothing', async () => {
    const { queue, metrics } = aQueue();
    queue.add(a);
    queue.done(a);
    expect(await drainReady(queue)).toEqual([a]);
    expect(metrics.workedMs).toHaveLength(1);
  });
});

describe('order', () => {
  test('deletion goes before spec change before resync', async () => {
    const { queue } = aQueue();
    queue.add(a, { priority: PRIORITY.resync });
    queue.add(b);
    queue.add(c, { priority: PRIORITY.deletion });
    expect(await drainReady(queue)).toEqual([c, b, a]);
  });

  test('within a priority and a namespace, first come is first served', async () => {
    const { queue } = aQueue();
    for (const key of [c, a, b, a]) queue.add(key);
    expect(await drainReady(queue)).toEqual([c, a, b]);
  });

  test('a waiting key is raised to a higher priority and never lowered', async () => {
    const { queue } = aQueue();
    queue.add(a, { priority: PRIORITY.resync });
    queue.add(b);
    queue.add(a, { priority: PRIORITY.deletion });
    queue.add(a, { priority: PRIORITY.resync });
    expect(await drainReady(queue)).toEqual([a, b]);
  });

  test('a namespace with 5,000 keys delays the only key of another by one hand-out', async () => {
    const { queue } = aQueue();
    for (let n = 0; n < 5_000; n++) queue.add(aKey(`bulk-${n}`, 'bulk'));
    queue.add(aKey('only', 'small'));
    const order = await drainReady(queue);
    expect(order.indexOf(aKey('only', 'small'))).toBe(1);
    expect(order).toHaveLength(5_001);
  });

  test('namespaces take turns', async () => {
    const { queue } = aQueue();
    for (const name of ['1', '2', '3']) queue.add(aKey(name, 'x'));
    for (const name of ['1', '2']) queue.add(aKey(name, 'y'));
    queue.add(aKey('1', 'z'));
    expect(await drainReady(queue)).toEqual(
      ['x/1', 'y/1', 'z/1', 'x/2', 'y/2', 'x/3'].map(key => `ConsulKV/${key}`),
    );
  });
});

describe('delays', () => {
  test('a delayed key is handed out when its time has come and not before', async () => {
    const { queue, clock } = aQueue();
    queue.add(a, { afterMs: 100 });
    clock.advance(99);
    expect(await getNow(queue)).toBeUndefined();
    clock.advance(1);
    expect(await getNow(queue)).toBe(a);
  });

  test.each([
    { title: 'the earlier of two', first: 100, second: 50, dueAfterMs: 50 },
    { title: 'the earlier of two, added first', first: 50, second: 100, dueAfterMs: 50 },
    { title: 'at once rather than later', first: 100, second: 0, dueAfterMs: 0 },
    { title: 'at once rather than later, added first', first: 0, second: 100, dueAfterMs: 0 },
  ])('of two wishes for a key the earlier time wins: $title', async ({ first, second, dueAfterMs }) => {
    const { queue, clock } = aQueue();
    queue.add(a, { afterMs: first });
    queue.add(a, { afterMs: second });
    clock.advance(dueAfterMs - 1);
    expect(queue.readyCount).toBe(dueAfterMs === 0 ? 1 : 0);
    clock.advance(1);
    expect(await drainReady(queue)).toEqual([a]);
    clock.advance(1_000);
    expect(queue.readyCount).toBe(0);
  });

  test('10,000 delayed keys need one timer, and come out in the order of their times', async () => {
    const { queue, clock } = aQueue();
    const inOrder = Array.from({ length: 10_000 }, (_, n) => aKey(`k${n}`));
    for (const [n] of inOrder.entries()) {
      const afterMs = 1 + ((n * 7_919) % 10_000);
      queue.add(aKey(`k${afterMs - 1}`), { afterMs });
    }
    expect(clock.timerCount).toBe(1);
    clock.advance(10_000);
    expect(await drainReady(queue)).toEqual(inOrder);
    expect(clock.timerCount).toBe(0);
  });

  test('a key due later than another leaves the timer alone', () => {
    const { queue, clock } = aQueue();
    const set = vi.spyOn(clock, 'after');
    for (let n = 1; n <= 1_000; n++) queue.add(aKey(`k${n}`), { afterMs: n });
    expect(set).toHaveBeenCalledTimes(1);
  });

  test.each([
    { afterMs: Number.NaN, dueAfterMs: 0 },
    { afterMs: -5, dueAfterMs: 0 },
    { afterMs: Number.POSITIVE_INFINITY, dueAfterMs: 86_400_000 },
    { afterMs: 1e15, dueAfterMs: 86_400_000 },
  ])('a delay of $afterMs ms loses no key: due after $dueAfterMs ms', async ({ afterMs, dueAfterMs }) => {
    const { queue, clock } = aQueue();
    queue.add(a, { afterMs });
    clock.advance(dueAfterMs);
    expect(await getNow(queue)).toBe(a);
  });
});

describe('backoff', () => {
  test('doubles from 200 ms to 5 min with each failure in a row', () => {
    const rig = aQueue();
    const delays = Array.from({ length: 13 }, () => failOnce(rig));
    expect(delays.slice(0, 4)).toEqual([200, 400, 800, 1_600]);
    expect(delays.slice(-2)).toEqual([300_000, 300_000]);
    expect(rig.queue.attempts(a)).toBe(13);
  });

  test.each([
    { title: 'a cap for an outage', failures: 20, options: { capMs: 30_000 }, afterMs: 30_000 },
    { title: 'a wait the server asked for', failures: 0, options: { minMs: 5_000 }, afterMs: 5_000 },
    { title: 'a wait shorter than the backoff', failures: 3, options: { minMs: 5 }, afterMs: 1_600 },
    { title: 'an absurd wait', failures: 0, options: { minMs: 1e12 }, afterMs: 300_000 },
    { title: 'an absurd cap', failures: 20, options: { capMs: 1e12 }, afterMs: 300_000 },
  ])('respects $title', ({ failures, options, afterMs }) => {
    const rig = aQueue();
    for (let failure = 0; failure < failures; failure++) failOnce(rig);
    rig.queue.retry(a, options);
    expect(advanceUntilReady(rig)).toBe(afterMs);
  });

  test('starts over after forget', () => {
    const rig = aQueue();
    failOnce(rig);
    failOnce(rig);
    rig.queue.forget(a);
    expect(rig.queue.attempts(a)).toBe(0);
    expect(failOnce(rig)).toBe(200);
  });

  test('is spread: a small draw waits less, but never under a tenth of the bound', () => {
    expect(failOnce(aQueue({ random: 0 }))).toBe(20);
  });

  test('an event during the backoff runs the key at once and keeps the failures', async () => {
    const { queue } = aQueue();
    queue.retry(a);
    queue.add(a);
    expect(await getNow(queue)).toBe(a);
    expect(queue.attempts(a)).toBe(1);
  });

  test('a retry keeps the priority under which the key ran', async () => {
    const { queue, clock } = aQueue();
    queue.add(a, { priority: PRIORITY.deletion });
    await getNow(queue);
    queue.retry(a);
    queue.done(a);
    queue.add(b);
    clock.advance(200);
    expect(await drainReady(queue)).toEqual([a, b]);
  });
});

describe('get', () => {
  test('waits for a key', async () => {
    const { queue } = aQueue();
    const got = queue.get(forever);
    queue.add(a);
    expect(await got).toBe(a);
  });

  test('takes the most urgent of several keys that were added in one go', async () => {
    const { queue } = aQueue();
    const got = queue.get(forever);
    queue.add(a, { priority: PRIORITY.resync });
    queue.add(b, { priority: PRIORITY.deletion });
    expect(await got).toBe(b);
  });

  test('several waiters each get another key', async () => {
    const { queue } = aQueue();
    const got = [queue.get(forever), queue.get(forever), queue.get(forever)];
    for (const key of [a, b, c]) queue.add(key);
    expect(new Set(await Promise.all(got))).toEqual(new Set([a, b, c]));
  });

  test('a waiter that is aborted as a key arrives does not take the wake-up with it', async () => {
    const { queue } = aQueue();
    const impatience = new AbortController();
    const aborted = queue.get(impatience.signal);
    const patient = queue.get(forever);
    queue.add(a);
    impatience.abort();
    expect(await aborted).toBeUndefined();
    expect(await patient).toBe(a);
  });

  test('ends when the queue is shut down, and what waited is dropped', async () => {
    const { queue, clock, metrics } = aQueue();
    const got = queue.get(forever);
    queue.shutDown();
    expect(await got).toBeUndefined();
    queue.add(a);
    queue.add(b, { afterMs: 10 });
    expect(await queue.get(forever)).toBeUndefined();
    expect([queue.readyCount, clock.timerCount, metrics.addedCount]).toEqual([0, 0, 0]);
  });

  test('a shut-down queue still takes back what it handed out', async () => {
    const { queue, metrics } = aQueue();
    queue.add(a);
    queue.add(b);
    await getNow(queue);
    queue.add(a);
    queue.shutDown();
    queue.done(a);
    expect([queue.readyCount, queue.runningCount]).toEqual([0, 0]);
    expect([...metrics.depth.values()]).toEqual([0]);
  });

  test('leaves no listener behind on a signal that lives long', async () => {
    const { queue } = aQueue();
    const signal = new AbortController().signal;
    const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
    for (let n = 0; n < 20; n++) {
      const got = queue.get(signal);
      queue.add(a);
      await got;
      queue.done(a);
    }
    expect(added).toHaveBeenCalledTimes(20);
    expect(removed).toHaveBeenCalledTimes(20);
  });
});

describe('what others see', () => {
  test('listeners hear of every change of what is ready or running, with the queue in its new state', async () => {
    const { queue, clock } = aQueue();
    const seen: string[] = [];
    const stop = queue.onChange(() => seen.push(`${queue.readyCount} ready, ${queue.runningCount} running`));
    queue.add(a);
    queue.add(a);
    queue.add(b, { afterMs: 5 });
    await getNow(queue);
    clock.advance(5);
    queue.done(a);
    stop();
    queue.add(c);
    expect(seen).toEqual([
      '1 ready, 0 running',
      '0 ready, 1 running',
      '1 ready, 1 running',
      '1 ready, 0 running',
    ]);
  });

  test('the age of the longest run and of all runs together', async () => {
    const { queue, clock } = aQueue();
    expect([queue.longestRunningMs, queue.unfinishedWorkMs]).toEqual([0, 0]);
    queue.add(a);
    queue.add(b);
    await getNow(queue);
    clock.advance(30);
    await getNow(queue);
    clock.advance(10);
    expect([queue.longestRunningMs, queue.unfinishedWorkMs]).toEqual([40, 50]);
    queue.done(a);
    expect([queue.longestRunningMs, queue.unfinishedWorkMs]).toEqual([10, 10]);
  });

  test('metrics: adds, delays, depth by priority, time waited and worked', async () => {
    const { queue, clock, metrics } = aQueue();
    queue.add(a);
    queue.add(a);
    queue.add(b, { afterMs: 10, priority: PRIORITY.resync });
    expect(metrics.depth.get(PRIORITY.resync)).toBeUndefined();
    clock.advance(12);
    queue.add(b, { priority: PRIORITY.deletion });
    expect([...metrics.depth]).toEqual([
      [PRIORITY.specChange, 1],
      [PRIORITY.resync, 0],
      [PRIORITY.deletion, 1],
    ]);
    await getNow(queue);
    clock.advance(3);
    queue.done(b);
    await settled();
    expect(metrics).toMatchObject({ addedCount: 2, delayedCount: 1, waitedMs: [2], workedMs: [3] });
  });
});

type Rig = ReturnType<typeof aQueue>;

/** Moves the clock on until a key is ready and returns how far that was. */
function advanceUntilReady({ queue, clock }: Rig): number {
  const startedAtMs = clock.monotonic();
  while (queue.readyCount === 0) clock.advance(clock.nextTimerMs);
  return clock.monotonic() - startedAtMs;
}

/** Key a fails, waits and runs again; returns how long it waited. */
function failOnce(rig: Rig): number {
  rig.queue.retry(a);
  const waitedMs = advanceUntilReady(rig);
  void getNow(rig.queue);
  rig.queue.done(a);
  return waitedMs;
}
