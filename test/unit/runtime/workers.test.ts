import { describe, expect, test } from 'vitest';
import { AbortedError, RetryableError } from '../../../src/core/errors.ts';
import type { ResourceKey } from '../../../src/core/resource.ts';
import { PRIORITY, type Priority } from '../../../src/runtime/queue.ts';
import {
  runWorkers,
  type TurnResult,
  type WorkerObserver,
  type WorkerOptions,
} from '../../../src/runtime/workers.ts';
import { settled } from '../../support/fake-clock.ts';
import { aKey, aQueue, getNow } from './queue-harness.ts';

const [a, b, c] = [aKey('a'), aKey('b'), aKey('c')];

/** A turn that has begun and ends when the test says so. */
interface OpenTurn {
  readonly key: ResourceKey;
  readonly signal: AbortSignal;
  end(result: TurnResult): void;
  fail(thrown: unknown): void;
}

class RecordingObserver implements WorkerObserver {
  readonly reports: string[] = [];
  active = 0;

  panicked(key: ResourceKey, thrown: unknown): void {
    this.reports.push(`panicked ${key}: ${String(thrown)}`);
  }

  timedOut(key: ResourceKey): void {
    this.reports.push(`timed out ${key}`);
  }

  stuck(key: ResourceKey, runningMs: number): void {
    this.reports.push(`stuck ${key} ${runningMs}`);
  }

  activeChanged(active: number): void {
    this.active = active;
  }
}

/** A pool whose turns stay open until the test ends them. */
function aPool(options: Partial<WorkerOptions> = {}) {
  const rig = aQueue();
  const observer = new RecordingObserver();
  const stopping = new AbortController();
  const open: OpenTurn[] = [];
  const workers = runWorkers({
    queue: rig.queue,
    clock: rig.clock,
    observer,
    signal: stopping.signal,
    turn: (key, signal) =>
      new Promise((end, fail) => {
        open.push({ key, signal, end, fail });
      }),
    ...options,
  });
  return { ...rig, observer, stopping, open, workers };
}

type Pool = ReturnType<typeof aPool>;

/** Adds `key` and waits until its turn has begun. */
async function begin(pool: Pool, key: ResourceKey, priority?: Priority): Promise<OpenTurn> {
  pool.queue.add(key, priority === undefined ? {} : { priority });
  await settled();
  const turn = pool.open.at(-1);
  if (turn?.key !== key) throw new Error(`no turn began for ${key}`);
  return turn;
}

describe('what a turn wants next', () => {
  test('done: the key rests and its failures are forgotten', async () => {
    const pool = aPool();
    pool.queue.retry(a);
    const turn = await begin(pool, a);
    turn.end({ kind: 'done' });
    await settled();
    expect([pool.queue.attempts(a), pool.queue.runningCount, pool.clock.timerCount]).toEqual([0, 0, 0]);
  });

  test('requeue: the key has another turn after the time, without counting as failed', async () => {
    const pool = aPool();
    pool.queue.retry(a);
    const turn = await begin(pool, a);
    turn.end({ kind: 'requeue', afterMs: 1_000 });
    await settled();
    pool.clock.advance(999);
    await settled();
    expect(pool.open).toHaveLength(1);
    pool.clock.advance(1);
    await settled();
    expect(pool.open).toHaveLength(2);
    expect(pool.queue.attempts(a)).toBe(0);
  });

  test.each([
    { title: 'with the priority of a resync', result: { kind: 'requeue', afterMs: 0 }, first: b },
    { title: 'or the one it names', result: { kind: 'requeue', afterMs: 0, priority: 100 }, first: a },
  ] as const)('requeue: $title', async ({ result, first }) => {
    const pool = aPool({ concurrency: 1 });
    const turn = await begin(pool, a);
    pool.queue.add(b, { priority: PRIORITY.resync });
    turn.end(result);
    await settled();
    expect(pool.open[1]?.key).toBe(first);
  });

  test('retry: the key has another turn after its backoff', async () => {
    const pool = aPool();
    (await begin(pool, a)).end({ kind: 'retry' });
    await settled();
    expect([pool.queue.attempts(a), pool.clock.nextTimerMs]).toEqual([1, 200]);
  });

  test('retry: within the bounds it names', async () => {
    const pool = aPool();
    (await begin(pool, a)).end({ kind: 'retry', minMs: 7_000, capMs: 30_000 });
    await settled();
    expect(pool.clock.nextTimerMs).toBe(7_000);
  });

  test('retry: with the priority under which the key ran', async () => {
    const pool = aPool({ concurrency: 1 });
    const turn = await begin(pool, a, PRIORITY.deletion);
    turn.end({ kind: 'retry' });
    await settled();
    const busy = await begin(pool, b);
    pool.queue.add(c);
    pool.clock.advance(200);
    busy.end({ kind: 'done' });
    await settled();
    expect(pool.open.at(-1)?.key).toBe(a);
  });

  test('a key added during its turn has exactly one more, whatever the turn wants', async () => {
    const pool = aPool();
    const turn = await begin(pool, a);
    pool.queue.add(a);
    pool.queue.add(a);
    turn.end({ kind: 'retry' });
    await settled();
    pool.open[1]?.end({ kind: 'done' });
    await settled();
    expect(pool.open).toHaveLength(2);
    expect(pool.clock.timerCount).toBe(0);
  });
});

describe('a turn that throws is a bug', () => {
  test('it is reported and the key is retried with backoff', async () => {
    const pool = aPool();
    (await begin(pool, a)).fail(new TypeError('x is undefined'));
    await settled();
    expect(pool.observer.reports).toEqual([`panicked ${a}: TypeError: x is undefined`]);
    expect([pool.queue.attempts(a), pool.clock.nextTimerMs, pool.observer.active]).toEqual([1, 200, 0]);
  });

  test('also when it throws before it returns a promise, and the next key has its turn', async () => {
    const seen: ResourceKey[] = [];
    const pool = aPool({
      turn: key => {
        seen.push(key);
        throw new Error('thrown at once');
      },
    });
    pool.queue.add(a);
    pool.queue.add(b);
    await settled();
    expect(seen).toEqual([a, b]);
    expect(pool.observer.reports).toHaveLength(2);
  });

  test('an AbortedError is not: the tenure ended before the pool heard of it', async () => {
    const pool = aPool();
    (await begin(pool, a)).fail(new AbortedError());
    await settled();
    expect(pool.observer.reports).toEqual([]);
    expect(pool.queue.attempts(a)).toBe(1);
  });
});

describe('workers', () => {
  test('no more turns at a time than there are workers, and every key has its turn', async () => {
    const pool = aPool({ concurrency: 3 });
    const keys = Array.from({ length: 10 }, (_, n) => aKey(`k${n}`));
    for (const key of keys) pool.queue.add(key);
    for (let ended = 0; ended < keys.length; ended++) {
      await settled();
      expect(pool.observer.active).toBe(Math.min(3, keys.length - ended));
      pool.open[ended]?.end({ kind: 'done' });
    }
    await settled();
    expect(pool.open.map(turn => turn.key)).toEqual(keys);
    expect(pool.observer.active).toBe(0);
  });

  test.each([
    { concurrency: 4, seen: [1, 2, 3, 3, 3, 3] },
    { concurrency: 2, seen: [1, 2, 2, 2, 2] },
  ])('with $concurrency of them, what runs or starts at once never dips while 3 keys are taken', async at => {
    const pool = aPool({ concurrency: at.concurrency });
    const seen: number[] = [];
    pool.queue.onChange(() => seen.push(pool.workers.activeCount + pool.workers.startableCount));
    for (const key of [a, b, c]) pool.queue.add(key);
    await settled();
    expect(seen).toEqual(at.seen);
  });
});

describe('the deadline', () => {
  test('aborts the turn with a RetryableError and the key is retried', async () => {
    const pool = aPool({ deadlineMs: 60_000 });
    const turn = await begin(pool, a);
    pool.clock.advance(59_999);
    expect(turn.signal.aborted).toBe(false);
    pool.clock.advance(1);
    expect(turn.signal.reason).toBeInstanceOf(RetryableError);
    turn.fail(turn.signal.reason);
    await settled();
    expect(pool.observer.reports).toEqual([`timed out ${a}`]);
    expect(pool.queue.attempts(a)).toBe(1);
  });

  test('a turn that ignores it is reported once as stuck, and keeps its key', async () => {
    const pool = aPool({ deadlineMs: 60_000, graceMs: 10_000 });
    await begin(pool, a);
    pool.queue.add(a);
    pool.clock.advance(600_000);
    expect(pool.observer.reports).toEqual([`timed out ${a}`, `stuck ${a} 70000`]);
    expect(pool.open).toHaveLength(1);
    expect(pool.queue.longestRunningMs).toBe(600_000);
  });

  test('a stuck turn that settles after all gives its key back', async () => {
    const pool = aPool();
    const turn = await begin(pool, a);
    pool.queue.add(a);
    pool.clock.advance(600_000);
    turn.end({ kind: 'done' });
    await settled();
    expect(pool.open).toHaveLength(2);
  });

  test('a turn that ends within the grace period is not reported as stuck', async () => {
    const pool = aPool({ deadlineMs: 60_000, graceMs: 10_000 });
    const turn = await begin(pool, a);
    pool.clock.advance(69_999);
    turn.end({ kind: 'done' });
    await settled();
    pool.clock.advance(600_000);
    expect(pool.observer.reports).toEqual([`timed out ${a}`]);
  });

  test('a turn that ends in time leaves no timer', async () => {
    const pool = aPool();
    (await begin(pool, a)).end({ kind: 'done' });
    await settled();
    expect(pool.clock.timerCount).toBe(0);
  });
});

describe('the end', () => {
  test('stop: no turn begins any more, those under way go on, keys stay in the queue', async () => {
    const pool = aPool();
    const turn = await begin(pool, a);
    pool.workers.stop();
    pool.queue.add(b);
    await settled();
    expect([pool.open.length, turn.signal.aborted, pool.workers.startableCount]).toEqual([1, false, 0]);
    expect(await getNow(pool.queue)).toBe(b);
  });

  test('drain waits for the last turn', async () => {
    const pool = aPool();
    const turns = [await begin(pool, a), await begin(pool, b)];
    const left = pool.workers.drain(new AbortController().signal);
    turns[0]?.end({ kind: 'done' });
    expect(await Promise.race([left, settled().then(() => 'still waiting')])).toBe('still waiting');
    turns[1]?.end({ kind: 'done' });
    expect(await left).toBe(0);
  });

  test('drain waits for turns even when every worker is taken and keys are ready', async () => {
    const pool = aPool({ concurrency: 1 });
    const turn = await begin(pool, a);
    pool.queue.add(b);
    const left = pool.workers.drain(new AbortController().signal);
    turn.end({ kind: 'done' });
    expect(await left).toBe(0);
    expect(pool.open).toHaveLength(1);
  });

  test('drain gives up when its time is over and tells how many are left', async () => {
    const pool = aPool();
    await begin(pool, a);
    await begin(pool, b);
    const patience = new AbortController();
    const left = pool.workers.drain(patience.signal);
    patience.abort();
    expect(await left).toBe(2);
  });

  test('abort: every turn is aborted with the reason, its key is put back and nothing counts as failed', async () => {
    const pool = aPool();
    const turns = [await begin(pool, a), await begin(pool, b)];
    const reason = new AbortedError('the lead is lost');
    pool.stopping.abort(reason);
    expect(turns.map(turn => turn.signal.reason)).toEqual([reason, reason]);
    turns[0]?.fail(reason);
    turns[1]?.fail(new AbortedError());
    pool.queue.add(c);
    await settled();
    expect(pool.open).toHaveLength(2);
    expect([pool.observer.reports, pool.queue.attempts(a), pool.queue.readyCount]).toEqual([[], 0, 3]);
  });

  test('a bug that shows only during the abort is still reported', async () => {
    const pool = aPool();
    const turn = await begin(pool, a);
    pool.stopping.abort(new AbortedError());
    turn.fail(new TypeError('not a function'));
    await settled();
    expect(pool.observer.reports).toHaveLength(1);
  });

  test('a pool whose signal is aborted already begins nothing', async () => {
    const pool = aPool({ signal: AbortSignal.abort() });
    pool.queue.add(a);
    await settled();
    expect(pool.open).toHaveLength(0);
    expect(await pool.workers.drain(new AbortController().signal)).toBe(0);
  });
});
