import { pause } from '../../../src/core/pause.ts';
import { ProbeRunner } from '../../../src/probes/runner.ts';
import type { ProbeOutcome, ProbeResult, ProbeSpec } from '../../../src/probes/spec.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

/**
 * What a target does when it is asked: answers after some time, or hangs until nobody waits any more. `regardless`: it
 * has answered even if nobody waits any more, as by a status line whose body stalls.
 */
export type Behaviour =
  | { readonly afterMs: number; readonly outcome: ProbeOutcome; readonly regardless?: boolean }
  | 'hangs';

export interface Run {
  readonly host: string;
  readonly atMs: number;
}

/**
 * A runner on a fake clock, whose targets behave as told. A check's id is the host of its target, unless it says
 * otherwise.
 */
export class ProbeWorld {
  readonly clock = new FakeClock();
  readonly runner: ProbeRunner;
  readonly runs: Run[] = [];
  readonly results: { readonly id: string; readonly result: ProbeResult }[] = [];
  readonly unknown: { readonly id: string; readonly why: string }[] = [];
  readonly running = new Map<string, number>();
  peak = 0;
  behaviour: (host: string) => Behaviour = () => ({
    afterMs: 0,
    outcome: { status: 'passing', output: 'ok' },
  });

  constructor(
    options: {
      readonly places?: number;
      readonly random?: () => number;
      readonly ownerOf?: (id: string) => string;
    } = {},
  ) {
    this.runner = new ProbeRunner({
      probe: ({ host }, signal) => this.#answer(host, signal),
      clock: this.clock,
      random: options.random ?? (() => 0),
      onResult: (id, result) => void this.results.push({ id, result }),
      onUnknown: (id, why) => void this.unknown.push({ id, why }),
      ...(options.places !== undefined && { places: options.places }),
      ...(options.ownerOf && { ownerOf: options.ownerOf }),
    });
  }

  get runningNow(): number {
    return [...this.running.values()].reduce((sum, count) => sum + count, 0);
  }

  runsOf(host: string): readonly number[] {
    return this.runs.filter(run => run.host === host).map(({ atMs }) => atMs);
  }

  /** Lets time pass, with everything that happens in it. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.clock.monotonic() + ms;
    await settled();
    while (this.clock.timerCount > 0 && this.clock.monotonic() + this.clock.nextTimerMs <= untilMs) {
      this.clock.advance(this.clock.nextTimerMs);
      await settled();
    }
    this.clock.advance(untilMs - this.clock.monotonic());
  }

  async #answer(host: string, signal: AbortSignal): Promise<ProbeOutcome> {
    this.runs.push({ host, atMs: this.clock.monotonic() });
    this.running.set(host, (this.running.get(host) ?? 0) + 1);
    this.peak = Math.max(this.peak, this.runningNow);
    const behaviour = this.behaviour(host);
    if (behaviour === 'hangs') await untilAborted(signal);
    else await pause(this.clock, behaviour.afterMs, signal);
    this.running.set(host, (this.running.get(host) ?? 0) - 1);
    if (behaviour === 'hangs' || !behaviour.regardless) signal.throwIfAborted();
    if (behaviour === 'hangs') throw new Error('hung, and was not aborted');
    return behaviour.outcome;
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

export function aSpec(host: string, spec: Partial<ProbeSpec> = {}): ProbeSpec {
  return {
    target: { kind: 'tcp', host, port: 80 },
    intervalMs: 1_000,
    timeoutMs: 500,
    thresholds: { successBeforePassing: 1, failuresBeforeCritical: 1 },
    ...spec,
  };
}
