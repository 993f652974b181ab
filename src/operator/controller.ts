import type { Clock, Random } from '../core/clock.ts';
import { type ResourceRef, resourceKey } from '../core/resource.ts';
import { PRIORITY, type Priority, WorkQueue } from '../runtime/queue.ts';
import { runWorkers, type Turn, type Workers } from '../runtime/workers.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export interface ControllerOptions {
  /** As metrics name it. */
  readonly name: string;
  readonly concurrency: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** There is more or less to do than before: a batch may have been waiting for that. */
  readonly onChange: () => void;
}

/** One kind's queue and the workers that empty it, for as long as this process may work. */
export class Controller {
  readonly #options: ControllerOptions;
  readonly #queue: WorkQueue;
  #workers: Workers | undefined;

  constructor(options: ControllerOptions) {
    const { name, clock, random, metrics } = options;
    this.#options = options;
    this.#queue = new WorkQueue({ clock, random, metrics: metrics.queue(name) });
    this.#queue.onChange(options.onChange);
    metrics.queueProgress(name, this.#queue);
  }

  /** Turns under way, and those that will start without waiting for anything. */
  get turnsAhead(): number {
    return this.#workers === undefined ? 0 : this.#workers.activeCount + this.#workers.startableCount;
  }

  /** Turns that wait for nothing but a worker. */
  get readyCount(): number {
    return this.#workers === undefined ? 0 : this.#queue.readyCount;
  }

  get longestRunningMs(): number {
    return this.#queue.longestRunningMs;
  }

  /** Asks for a turn of each. A standby asks for none: whoever begins to work looks at everything. */
  look(refs: Iterable<ResourceRef>, priority: Priority = PRIORITY.specChange): void {
    if (this.#workers === undefined) return;
    for (const ref of refs) this.#queue.add(resourceKey(ref), { priority });
  }

  /** Works until `signal` aborts: then every turn is aborted and no other begins. */
  start(turn: Turn, signal: AbortSignal): void {
    const { clock, concurrency, logger, onChange } = this.#options;
    this.#workers = runWorkers({
      queue: this.#queue,
      turn,
      clock,
      signal,
      concurrency,
      observer: {
        panicked: (key, thrown) => logger.error({ key, err: thrown }, 'a reconcile threw, which is a defect'),
        timedOut: key => logger.warn({ key }, 'a reconcile passed its deadline'),
        stuck: (key, runningMs) => logger.error({ key, durationMs: runningMs }, 'a reconcile does not end'),
        activeChanged: onChange,
      },
    });
  }

  stopIntake(): void {
    this.#workers?.stop();
  }

  /** Waits until the last turn has ended, or `signal` aborts. Returns how many still run. */
  async drain(signal: AbortSignal): Promise<number> {
    const left = (await this.#workers?.drain(signal)) ?? 0;
    if (left === 0) this.#workers = undefined;
    return left;
  }
}
