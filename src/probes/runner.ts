import type { Clock, Random } from '../core/clock.ts';
import { Places } from './places.ts';
import { type ProbeSurroundings, ScheduledProbe } from './scheduled-probe.ts';
import type { ProbeOutcome, Prober, ProbeResult, ProbeSpec } from './spec.ts';

export interface ProbeRunnerOptions {
  readonly probe: Prober;
  readonly clock: Clock;
  readonly random: Random;
  /** What the check says has changed, or was found for the first time. Must not throw. */
  readonly onResult: (id: string, result: ProbeResult) => void;
  /** A run that taught nothing, for a reason of our own: something to log. Must not throw. */
  readonly onUnknown: (id: string, why: string) => void;
  /** Every run that ended, by what it found. Must not throw. */
  readonly onRun?: (found: ProbeOutcome['status']) => void;
  /** Whose a check is: owners share the places fairly. Default: each check is by itself. */
  readonly ownerOf?: (id: string) => string;
  /** How many runs at once; each takes a socket. Default: 128. */
  readonly places?: number;
}

const PLACES = 128;

/**
 * Runs checks, each at once and then on a cadence of its own, and tells only what changes.
 *
 * A check never runs twice at a time, and no run takes longer than a minute. However many wait or hang, no more than `places`
 * run at once; targets that hang delay one another and, for as long as one run takes, those of other owners that were never
 * asked. A run that comes due while the one before is still under way is left out.
 */
export class ProbeRunner {
  readonly #options: ProbeRunnerOptions;
  readonly #surroundings: ProbeSurroundings;
  readonly #probes = new Map<string, ScheduledProbe>();
  #stopped = false;

  constructor(options: ProbeRunnerOptions) {
    this.#options = options;
    const { probe, clock, random, places = PLACES } = options;
    this.#surroundings = { probe, clock, random, places: new Places(places) };
  }

  /** How many checks there are. */
  get size(): number {
    return this.#probes.size;
  }

  /** How many checks are due and wait for a place. */
  get waiting(): number {
    return this.#surroundings.places.waiting;
  }

  /**
   * Adds a check, or changes it: what is the same as before goes on undisturbed. `initial` is what was stored of a
   * check that has found nothing here yet, as after a change of leader: it stands until the thresholds are crossed, or
   * something fresher is given. A check that never ran has none, though Consul may show it as critical: its first result
   * counts at once. Once a run has found something, `initial` is not looked at. Does nothing after `stop`.
   *
   * @throws RangeError for an interval or timeout below 1 ms.
   */
  set(id: string, spec: ProbeSpec, initial: ProbeResult | undefined): void {
    if (!(spec.intervalMs >= 1 && spec.timeoutMs >= 1))
      throw new RangeError('interval or timeout below 1 ms');
    if (this.#stopped) return;
    const known = this.#probes.get(id);
    if (known !== undefined) return known.change(spec, initial);
    const { onResult, onUnknown, onRun = () => {}, ownerOf = () => id } = this.#options;
    const listener = {
      onRun,
      onResult: (result: ProbeResult) => onResult(id, result),
      onUnknown: (why: string) => onUnknown(id, why),
    };
    this.#probes.set(
      id,
      new ScheduledProbe(this.#surroundings, { spec, initial, owner: () => ownerOf(id) }, listener),
    );
  }

  /** What a check says now: told last, or stored before. Undefined before its first run, and for an unknown id. */
  verdict(id: string): ProbeResult | undefined {
    return this.#probes.get(id)?.verdict;
  }

  /** Whether a run here has found something: until then a check says what was stored. */
  hasRun(id: string): boolean {
    return this.#probes.get(id)?.hasRun ?? false;
  }

  /** Ends a check, its run under way included; nothing is told of it from here on. */
  remove(id: string): void {
    void this.#probes.get(id)?.end();
    this.#probes.delete(id);
  }

  /** Ends all checks for good; nothing is told from here on. Resolves when no run is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const ended = [...this.#probes.values()].map(probe => probe.end());
    this.#probes.clear();
    await Promise.all(ended);
  }
}
