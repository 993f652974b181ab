import type { Clock } from '../core/clock.ts';

/** A repeated signal this soon after the first counts as the first: npm and terminals send it twice. */
const SAME_SIGNAL_MS = 2_000;

export interface ShutdownStep {
  readonly name: string;
  /** The step is cut after this: its signal aborts and the next one begins, whether it settled or not. */
  readonly budgetMs: number;
  run(signal: AbortSignal): void | Promise<void>;
}

/** The parts of the process that must stop in order. Each may be called once; each may throw. */
export interface ShutdownParts {
  /** `/readyz` answers 503 from here on. */
  unready(): void;
  /** No new turn starts. */
  stopIntake(): void;
  /** Waits for the turns under way. */
  drain(signal: AbortSignal): Promise<void>;
  /** Aborts the turns that are left and waits for them to settle. */
  abort(signal: AbortSignal): Promise<void>;
  /** Lets the next leader in. Not before: until here a write may have been under way. */
  releaseLock(signal: AbortSignal): Promise<void>;
  /** Sends the Events and spans that are still held; nobody should wait for the lock because of a slow collector. */
  flush(signal: AbortSignal): Promise<void>;
}

/** The order of a graceful exit. The budgets sum to less than the 30 s Kubernetes grants. */
export function shutdownSteps(parts: ShutdownParts): readonly ShutdownStep[] {
  return [
    { name: 'unready', budgetMs: 100, run: () => parts.unready() },
    { name: 'stop intake', budgetMs: 100, run: () => parts.stopIntake() },
    { name: 'drain', budgetMs: 25_000, run: signal => parts.drain(signal) },
    { name: 'abort', budgetMs: 1_000, run: signal => parts.abort(signal) },
    { name: 'release lock', budgetMs: 1_000, run: signal => parts.releaseLock(signal) },
    { name: 'flush', budgetMs: 2_000, run: signal => parts.flush(signal) },
  ];
}

export interface ShutdownLog {
  began(cause: string): void;
  finished(step: string, tookMs: number): void;
  /** The step used up its budget and was left behind. */
  cut(step: string, budgetMs: number): void;
  failed(step: string, thrown: unknown): void;
}

type StopSignal = 'SIGTERM' | 'SIGINT';

export interface ShutdownOptions {
  readonly steps: readonly ShutdownStep[];
  readonly clock: Clock;
  readonly log: ShutdownLog;
  /** `process`, as far as it is needed. */
  readonly signals: { on(signal: StopSignal, listener: (signal: StopSignal) => void): unknown };
  readonly exit: (code: number) => void;
}

export interface Shutdown {
  /** Begins the shutdown for another cause than a signal; no effect when it is under way. */
  begin(cause: string, exitCode?: number): void;
}

/**
 * From here on SIGTERM and SIGINT end the process gracefully: the steps in order, each within its budget, then
 * exit 0, or 1 when a step failed or was cut. A signal later than 2 s after the first exits at once with 1.
 */
export function installShutdown(options: ShutdownOptions): Shutdown {
  const { clock, log, signals, exit } = options;
  let beganAtMs: number | undefined;

  function begin(cause: string, exitCode = 0): void {
    if (beganAtMs !== undefined) return;
    beganAtMs = clock.monotonic();
    log.began(cause);
    // Our timers are unref'd: without this, a step that waits for nothing but them would end the process early.
    const keepAlive = setInterval(() => {}, 60_000);
    void runSteps(options).then(clean => {
      clearInterval(keepAlive);
      exit(clean ? exitCode : 1);
    });
  }

  function onSignal(signal: StopSignal): void {
    const isLater = beganAtMs !== undefined && clock.monotonic() - beganAtMs > SAME_SIGNAL_MS;
    if (isLater) exit(1);
    else begin(signal);
  }

  signals.on('SIGTERM', onSignal);
  signals.on('SIGINT', onSignal);
  return { begin };
}

/** True when every step finished within its budget. Never rejects. */
async function runSteps({ steps, clock, log }: ShutdownOptions): Promise<boolean> {
  let clean = true;
  for (const step of steps) {
    const startedAtMs = clock.monotonic();
    const end = await runStep(step, clock);
    if (end.kind === 'finished') log.finished(step.name, clock.monotonic() - startedAtMs);
    if (end.kind === 'cut') log.cut(step.name, step.budgetMs);
    if (end.kind === 'failed') log.failed(step.name, end.thrown);
    clean &&= end.kind === 'finished';
  }
  return clean;
}

type StepEnd = { kind: 'finished' } | { kind: 'cut' } | { kind: 'failed'; thrown: unknown };

async function runStep(step: ShutdownStep, clock: Clock): Promise<StepEnd> {
  const budget = new AbortController();
  const { promise: cut, resolve } = Promise.withResolvers<StepEnd>();
  const cancel = clock.after(step.budgetMs, () => {
    budget.abort();
    resolve({ kind: 'cut' });
  });
  try {
    return await Promise.race([cut, finish(step, budget.signal)]);
  } finally {
    cancel();
  }
}

async function finish(step: ShutdownStep, signal: AbortSignal): Promise<StepEnd> {
  try {
    await step.run(signal);
    return { kind: 'finished' };
  } catch (thrown) {
    return { kind: 'failed', thrown };
  }
}
