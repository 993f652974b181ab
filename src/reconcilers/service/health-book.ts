import { isDeepStrictEqual } from 'node:util';
import type { CheckResult } from '../../consul/registration.ts';
import type { CheckPlace } from '../../consul/service-ids.ts';
import type { Clock, Random } from '../../core/clock.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../../core/resource.ts';
import { ProbeRunner } from '../../probes/runner.ts';
import type { ProbeOutcome, Prober, ProbeSpec } from '../../probes/spec.ts';
import { CriticalChecks } from './critical-checks.ts';
import { PacedResults } from './paced-results.ts';
import type { HealthView, HeldReaps } from './types.ts';

/** A check that is to run here. */
export interface BookedCheck {
  readonly place: CheckPlace;
  readonly spec: ProbeSpec;
  /** What Consul shows of it; undefined: it never ran, so that its first result counts at once. */
  readonly stored: CheckResult | undefined;
  /** How long it may be critical before its instance is taken out; undefined: for ever, or it has been. */
  readonly reapAfterMs: number | undefined;
}

/** A place is run for one resource: the one that was synced last. */
interface Booking extends Pick<BookedCheck, 'spec' | 'reapAfterMs'> {
  readonly owner: ResourceKey;
}

export interface HealthBookOptions {
  readonly probe: Prober;
  readonly clock: Clock;
  readonly random: Random;
  /** Every run that ended, by what it found. Must not throw. */
  readonly onRun: (found: ProbeOutcome['status']) => void;
  /** A run taught nothing, for a reason of our own. Must not throw. */
  readonly onUnknown: (ref: ResourceRef, place: CheckPlace, why: string) => void;
  /** From now on no instance is taken out. Must not throw. */
  readonly onHeld: (held: HeldReaps) => void;
}

/**
 * The checks that this process runs, by the resources that declare them, and what they say. Only a leader has any business
 * here: what they say is written by turns, and changes for them once in 5 s at most.
 */
export class HealthBook implements HealthView {
  readonly #options: HealthBookOptions;
  #runner: ProbeRunner;
  readonly #bookings = new Map<CheckPlace, Booking>();
  readonly #places = new Map<ResourceKey, ReadonlySet<CheckPlace>>();
  readonly #results: PacedResults;
  readonly #critical = new CriticalChecks();
  #isHeld = false;
  #listener: (ref: ResourceRef) => void = () => {};

  constructor(options: HealthBookOptions) {
    this.#options = options;
    this.#results = new PacedResults(options.clock, place => {
      const owner = this.#bookings.get(place)?.owner;
      if (owner !== undefined) this.#listener(resourceRef(owner));
    });
    this.#runner = this.#newRunner();
  }

  /** Called when what a check says has changed, or was found for the first time. Must not throw. */
  onChange(listener: (ref: ResourceRef) => void): void {
    this.#listener = listener;
  }

  /** How many checks there are. */
  get size(): number {
    return this.#runner.size;
  }

  /** How many of them are due and wait for others to end. */
  get waiting(): number {
    return this.#runner.waiting;
  }

  /** From now on these are the checks of the resource: new ones begin, the others end, and what is the same goes on undisturbed. */
  sync(ref: ResourceRef, checks: readonly BookedCheck[]): void {
    const key = resourceKey(ref);
    const wanted = new Set(checks.map(({ place }) => place));
    for (const place of this.#places.get(key) ?? []) if (!wanted.has(place)) this.#end(place, key);
    if (wanted.size === 0) this.#places.delete(key);
    else this.#places.set(key, wanted);
    for (const check of checks) this.#begin(check, key);
    this.#lookWhetherHeld();
  }

  /** The resource has no checks any more. */
  forget(ref: ResourceRef): void {
    this.sync(ref, []);
  }

  /** Ends all checks and forgets what they said, for others will run them. Resolves when no run is under way any more. */
  async stop(): Promise<void> {
    const ended = this.#runner;
    this.#runner = this.#newRunner();
    for (const all of [this.#bookings, this.#places, this.#results, this.#critical]) all.clear();
    this.#isHeld = false;
    await ended.stop();
  }

  verdict(place: CheckPlace): CheckResult | undefined {
    return this.#results.get(place) ?? this.#runner.verdict(place);
  }

  criticalForMs(place: CheckPlace): number | undefined {
    const sinceMs = this.#critical.sinceMs(place);
    return sinceMs === undefined ? undefined : this.#options.clock.monotonic() - sinceMs;
  }

  get heldReaps(): HeldReaps | undefined {
    return this.#critical.held;
  }

  #begin({ place, spec, stored, reapAfterMs }: BookedCheck, owner: ResourceKey): void {
    const nowMs = this.#options.clock.monotonic();
    const before = this.#bookings.get(place);
    this.#bookings.set(place, { owner, spec, reapAfterMs });
    this.#critical.setReaping(place, reapAfterMs !== undefined);
    // What a check said under another declaration, or of what was taken out since, is no reason to take this out.
    if (before !== undefined && !isSameBooking(before, { spec, reapAfterMs }))
      this.#critical.restart(place, nowMs);
    if (stored !== undefined && !this.#runner.hasRun(place)) this.#critical.note(place, stored.status, nowMs);
    this.#runner.set(place, spec, stored);
  }

  #end(place: CheckPlace, owner: ResourceKey): void {
    if (this.#bookings.get(place)?.owner !== owner) return;
    this.#bookings.delete(place);
    this.#critical.forget(place);
    this.#results.drop(place);
    this.#runner.remove(place);
  }

  #lookWhetherHeld(): void {
    const { held } = this.#critical;
    if (held !== undefined && !this.#isHeld) this.#options.onHeld(held);
    this.#isHeld = held !== undefined;
  }

  #newRunner(): ProbeRunner {
    const { onUnknown, clock } = this.#options;
    const ownerOf = (id: string) => this.#bookings.get(id as CheckPlace)?.owner;
    return new ProbeRunner({
      ...this.#options,
      ownerOf: id => ownerOf(id) ?? id,
      onResult: (id, result) => {
        this.#critical.note(id as CheckPlace, result.status, clock.monotonic());
        this.#lookWhetherHeld();
        this.#results.take(id as CheckPlace, result);
      },
      onUnknown: (id, why) => {
        const owner = ownerOf(id);
        if (owner !== undefined) onUnknown(resourceRef(owner), id as CheckPlace, why);
      },
    });
  }
}

function isSameBooking(
  one: Pick<Booking, 'spec' | 'reapAfterMs'>,
  { spec, reapAfterMs }: Pick<Booking, 'spec' | 'reapAfterMs'>,
): boolean {
  // To be taken out, or never to be, is no new beginning.
  return (reapAfterMs === undefined || one.reapAfterMs === reapAfterMs) && isDeepStrictEqual(one.spec, spec);
}
