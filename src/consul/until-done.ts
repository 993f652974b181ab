import { type BackoffRange, backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { pause } from '../core/pause.ts';

export interface UntilDoneOptions {
  readonly range: BackoffRange;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly onFailure: (error: unknown) => void;
}

/** Tries until it succeeds or the signal aborts, with backoff between. Never rejects. */
export async function untilDone(
  attempt: () => Promise<void>,
  { range, clock, random, signal, onFailure }: UntilDoneOptions,
): Promise<void> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      return await attempt();
    } catch (error) {
      onFailure(error);
      await pause(clock, backoffMs(range, failures, random), signal);
    }
  }
}
