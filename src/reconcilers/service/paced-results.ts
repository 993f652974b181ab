import type { CheckResult } from '../../consul/registration.ts';
import type { CheckPlace } from '../../consul/service-ids.ts';
import type { Clock } from '../../core/clock.ts';

/** Each change is written to Consul, which wakes all that watch the service. */
const PAUSE_MS = 5_000;

interface Shown {
  readonly result: CheckResult;
  readonly atMs: number;
  /** Ends the wait for the time at which another one may be shown. */
  cancel: (() => void) | undefined;
}

/**
 * What checks have found, shown at once where it has been the same for a while, and otherwise as it is when that time has passed:
 * however fast a target goes up and down, others hear of it once in 5 s at most.
 */
export class PacedResults {
  readonly #clock: Clock;
  readonly #onShown: (place: CheckPlace) => void;
  readonly #shown = new Map<CheckPlace, Shown>();
  readonly #found = new Map<CheckPlace, CheckResult>();

  /** @param onShown Must not throw. */
  constructor(clock: Clock, onShown: (place: CheckPlace) => void) {
    this.#clock = clock;
    this.#onShown = onShown;
  }

  /** Undefined: nothing has been found yet. */
  get(place: CheckPlace): CheckResult | undefined {
    return this.#shown.get(place)?.result;
  }

  take(place: CheckPlace, result: CheckResult): void {
    this.#found.set(place, result);
    const shown = this.#shown.get(place);
    const waitMs = shown === undefined ? 0 : shown.atMs + PAUSE_MS - this.#clock.monotonic();
    if (shown === undefined || waitMs <= 0) return this.#show(place);
    shown.cancel ??= this.#clock.after(waitMs, () => this.#show(place));
  }

  drop(place: CheckPlace): void {
    this.#shown.get(place)?.cancel?.();
    this.#shown.delete(place);
    this.#found.delete(place);
  }

  clear(): void {
    for (const place of this.#shown.keys()) this.drop(place);
  }

  #show(place: CheckPlace): void {
    const [shown, result] = [this.#shown.get(place), this.#found.get(place)];
    shown?.cancel?.();
    if (shown !== undefined) shown.cancel = undefined;
    // It came back meanwhile to what it was.
    if (result === undefined || result.status === shown?.result.status) return;
    this.#shown.set(place, { result, atMs: this.#clock.monotonic(), cancel: undefined });
    this.#onShown(place);
  }
}
