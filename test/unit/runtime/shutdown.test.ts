import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  installShutdown,
  type ShutdownLog,
  type ShutdownParts,
  type ShutdownStep,
  shutdownSteps,
} from '../../../src/runtime/shutdown.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

function aStep(name: string, run: ShutdownStep['run'] = () => {}, budgetMs = 1_000): ShutdownStep {
  return { name, budgetMs, run };
}

/** Does not even look at its signal. */
const hang = () => new Promise<void>(() => {});

function aProcess(steps: readonly ShutdownStep[]) {
  const clock = new FakeClock();
  const signals = new EventEmitter();
  const exits: number[] = [];
  const lines: string[] = [];
  const log: ShutdownLog = {
    began: cause => lines.push(`began ${cause}`),
    finished: (step, tookMs) => lines.push(`finished ${step} ${tookMs}`),
    cut: (step, budgetMs) => lines.push(`cut ${step} ${budgetMs}`),
    failed: (step, thrown) => lines.push(`failed ${step}: ${String(thrown)}`),
  };
  const shutdown = installShutdown({ steps, clock, log, signals, exit: code => exits.push(code) });
  return { clock, signals, exits, lines, shutdown };
}

describe('steps', () => {
  test('run one after the other, then the process exits with 0', async () => {
    const ran: string[] = [];
    const run = aProcess(
      ['first', 'second', 'third'].map(name =>
        aStep(name, async () => {
          await settled();
          ran.push(name);
        }),
      ),
    );
    run.signals.emit('SIGTERM', 'SIGTERM');
    await expect.poll(() => run.exits).toEqual([0]);
    expect(ran).toEqual(['first', 'second', 'third']);
    expect(run.lines).toEqual(['began SIGTERM', 'finished first 0', 'finished second 0', 'finished third 0']);
  });

  test('one that hangs is cut when its budget is spent, the rest still run, the exit code is 1', async () => {
    let hangs: AbortSignal | undefined;
    const run = aProcess([
      aStep('hangs', signal => {
        hangs = signal;
        return hang();
      }),
      aStep('runs'),
    ]);
    run.signals.emit('SIGINT', 'SIGINT');
    run.clock.advance(999);
    await settled();
    expect([run.exits, hangs?.aborted]).toEqual([[], false]);
    run.clock.advance(1);
    await settled();
    expect([run.exits, hangs?.aborted]).toEqual([[1], true]);
    expect(run.lines).toEqual(['began SIGINT', 'cut hangs 1000', 'finished runs 0']);
    expect(run.clock.timerCount).toBe(0);
  });

  test.each([
    ['rejects', () => Promise.reject(new Error('no route'))],
    [
      'throws',
      () => {
        throw new Error('no route');
      },
    ],
  ])('one that %s is logged, the rest still run, the exit code is 1', async (_, step) => {
    const run = aProcess([aStep('fails', step), aStep('runs')]);
    run.shutdown.begin('test');
    await settled();
    expect(run.exits).toEqual([1]);
    expect(run.lines).toEqual(['began test', 'failed fails: Error: no route', 'finished runs 0']);
  });
});

describe('signals', () => {
  test.each(['SIGTERM', 'SIGINT'])('a second one (%s) within 2 s counts as the first', async second => {
    const run = aProcess([aStep('drain', hang, 25_000), aStep('release lock')]);
    run.signals.emit('SIGTERM', 'SIGTERM');
    run.clock.advance(2_000);
    run.signals.emit(second, second);
    expect(run.exits).toEqual([]);
    run.clock.advance(23_000);
    await settled();
    expect(run.lines).toEqual(['began SIGTERM', 'cut drain 25000', 'finished release lock 0']);
  });

  test('a later one exits at once with 1', () => {
    const run = aProcess([aStep('drain', hang, 25_000)]);
    run.signals.emit('SIGTERM', 'SIGTERM');
    run.clock.advance(2_001);
    run.signals.emit('SIGTERM', 'SIGTERM');
    expect(run.exits).toEqual([1]);
  });

  test('a shutdown for another cause begins once and ends with the code asked for', async () => {
    const run = aProcess([aStep('only')]);
    run.shutdown.begin('the tenure would not end', 3);
    run.shutdown.begin('again', 4);
    run.signals.emit('SIGTERM', 'SIGTERM');
    await settled();
    expect(run.exits).toEqual([3]);
  });
});

describe('the order of a graceful exit', () => {
  function recordedParts(): { parts: ShutdownParts; calls: string[] } {
    const calls: string[] = [];
    const record = (name: string) => () => void calls.push(name);
    const recordAsync = (name: string) => async () => void calls.push(name);
    const parts = {
      unready: record('unready'),
      stopIntake: record('stop intake'),
      drain: recordAsync('drain'),
      abort: recordAsync('abort'),
      flush: recordAsync('flush'),
      releaseLock: recordAsync('release lock'),
    };
    return { parts, calls };
  }

  test('readiness first, then the work, then the lock, and only then what others may be slow to take', async () => {
    const { parts, calls } = recordedParts();
    const run = aProcess(shutdownSteps(parts));
    run.signals.emit('SIGTERM', 'SIGTERM');
    await settled();
    expect(calls).toEqual(['unready', 'stop intake', 'drain', 'abort', 'release lock', 'flush']);
    expect(run.exits).toEqual([0]);
  });

  test('even if every step hangs, the end comes within the 30 s that Kubernetes grants', async () => {
    const steps = shutdownSteps(recordedParts().parts).map(step => ({ ...step, run: hang }));
    const run = aProcess(steps);
    run.signals.emit('SIGTERM', 'SIGTERM');
    while (run.exits.length === 0) {
      run.clock.advance(run.clock.nextTimerMs);
      await settled();
    }
    expect(run.clock.monotonic()).toBeLessThan(30_000);
    expect(run.lines.filter(line => line.startsWith('cut'))).toHaveLength(steps.length);
  });
});
