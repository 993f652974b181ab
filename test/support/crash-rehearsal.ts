import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import type { FaultProxy } from './fault-proxy.ts';
import type { Fault, RecordedRequest, Rule } from './fault-rules.ts';
import type { Operator } from './operator.ts';
import { isConsulWrite, isKubernetesWrite } from './traffic.ts';
import type { World } from './world.ts';

/** One thing a user does. */
export interface Step {
  readonly name: string;
  /** Only a way to the next step, or covered elsewhere: never the one that is crashed. */
  readonly undisturbed?: boolean;
  make(): Promise<unknown>;
  /** Resolves when the operator is done with it. */
  settled(): Promise<unknown>;
}

/** When the operator dies, seen from one of its writes. `late`: the write arrives after the next process is done. */
export const POINTS = ['unsent', 'unanswered', 'answered', 'late'] as const;
export type Point = (typeof POINTS)[number];

export interface Workload {
  readonly steps: readonly Step[];
  /** An empty folder. */
  readonly compileCache: string;
  /** What both servers hold, without what may differ between two runs. */
  snapshot(): Promise<unknown>;
  /** Makes the next run start where this one did. */
  cleanUp(): Promise<void>;
}

/** What a step left behind, and the writes that it took. */
interface Footprint {
  readonly state: unknown;
  readonly writes: readonly string[];
}

const FAULT_AT: Readonly<Record<Point, Fault>> = {
  unsent: { kind: 'hang' },
  unanswered: { kind: 'holdReply' },
  answered: { kind: 'forward' },
  late: { kind: 'hold' },
};

/**
 * Writes above those of an undisturbed run that one crash may cost: the one that was interrupted is repeated, and a
 * late one arrives beside its repetition.
 */
const EXTRA_WRITES = 2;

/**
 * Crash anywhere, after Sieve (OSDI '22): a workload runs undisturbed and its writes are learned; then it runs again
 * for each of them with the operator killed there, and every step must end as it did undisturbed.
 */
export class CrashRehearsal {
  readonly #world: World;
  readonly #workload: Workload;
  #operator: Operator | undefined;
  #learned: readonly Footprint[] = [];

  constructor(world: World, workload: Workload) {
    this.#world = world;
    this.#workload = workload;
  }

  /** Runs undisturbed. Resolves with the writes of each step. */
  async learn(): Promise<ReadonlyMap<string, readonly string[]>> {
    this.#operator = await this.#start();
    const learned: Footprint[] = [];
    for (const step of this.#workload.steps) {
      const from = this.#counts();
      await step.make();
      await step.settled();
      learned.push({ state: await this.#workload.snapshot(), writes: this.#writesSince(from) });
    }
    await this.#workload.cleanUp();
    this.#learned = learned;
    return new Map(learned.map(({ writes }, at) => [this.#workload.steps[at]?.name ?? '', writes]));
  }

  /** Runs once for every write and point. Resolves with the number of crashes. */
  async crashEverywhere(points: readonly Point[]): Promise<number> {
    let crashes = 0;
    for (const [at, { writes }] of this.#learned.entries()) {
      if (this.#workload.steps[at]?.undisturbed) continue;
      for (let nth = 1; nth <= writes.length; nth += 1) {
        for (const point of points) {
          await this.#runWithCrash({ at, nth, point });
          crashes += 1;
        }
      }
    }
    return crashes;
  }

  async #runWithCrash({ at, nth, point }: { at: number; nth: number; point: Point }): Promise<void> {
    for (const [number, step] of this.#workload.steps.entries()) {
      const footprint = this.#learned[number] as Footprint;
      const isHit = number === at;
      const what = isHit
        ? `${step.name}, killed with ${footprint.writes[nth - 1]} (#${nth}) ${point}`
        : step.name;
      const run = isHit ? this.#withCrash(step, { nth, point, footprint }) : this.#run(step, footprint, 0);
      await run.catch((error: unknown) => {
        const { toConsul, toKube } = this.#world;
        const traffic = [toConsul.summary(12), toKube.summary(12), this.#operator?.tail(12)].join('\n');
        throw new Error(`${what}: ${String(error)}\n${traffic}`, { cause: error });
      });
    }
    await this.#workload.cleanUp();
  }

  async #run(
    step: Step,
    { state, writes }: Footprint,
    extraWrites: number,
    meanwhile = async (): Promise<void> => {},
    afterwards = async (): Promise<void> => {},
  ): Promise<void> {
    const from = this.#counts();
    await step.make();
    await meanwhile();
    await step.settled();
    await afterwards();
    const isAsUndisturbed = async (): Promise<void> => expect(await this.#workload.snapshot()).toEqual(state);
    await eventually(isAsUndisturbed, { what: 'the end state of the undisturbed run' });
    expect(this.#writesSince(from).length, 'writes').toBeLessThanOrEqual(writes.length + extraWrites);
  }

  async #withCrash(
    step: Step,
    { nth, point, footprint }: { readonly nth: number; readonly point: Point; readonly footprint: Footprint },
  ): Promise<void> {
    const trap = new Trap(this.#world, { nth, fault: FAULT_AT[point] });
    const crash = async (): Promise<void> => {
      await trap.caught(point);
      await this.#replaceOperator(trap, point);
    };
    const late = (): Promise<void> => (point === 'late' ? trap.letThrough() : Promise.resolve());
    await this.#run(step, footprint, EXTRA_WRITES, crash, late);
  }

  async #replaceOperator(trap: Trap, point: Point): Promise<void> {
    await this.#operator?.crash();
    if (point !== 'late') trap.disarm();
    this.#operator = await this.#start();
  }

  /** Compiled code is kept from one process to the next, which halves what a start costs. */
  #start(): Promise<Operator> {
    return this.#world.startOperator({ NODE_COMPILE_CACHE: this.#workload.compileCache });
  }

  #counts(): { readonly consul: number; readonly kube: number } {
    return { consul: this.#world.toConsul.requests.length, kube: this.#world.toKube.requests.length };
  }

  #writesSince(from: { readonly consul: number; readonly kube: number }): string[] {
    const { toConsul, toKube } = this.#world;
    const writes = [
      ...toConsul.requests.slice(from.consul).filter(isConsulWrite),
      ...toKube.requests.slice(from.kube).filter(isKubernetesWrite),
    ];
    return writes.sort((one, other) => one.at - other.at).map(({ method, path }) => `${method} ${path}`);
  }
}

/** Does something to the n-th write from now on, whichever server it is for. */
class Trap {
  readonly #rules: readonly Rule[];
  readonly #sprung = Promise.withResolvers<RecordedRequest>();
  #caught: RecordedRequest | undefined;

  constructor({ toConsul, toKube }: World, { nth, fault }: { readonly nth: number; readonly fault: Fault }) {
    let seen = 0;
    const arm = (proxy: FaultProxy, isWrite: (request: RecordedRequest) => boolean): Rule =>
      proxy.when(
        request => {
          if (!isWrite(request)) return false;
          seen += 1;
          if (seen === nth) this.#sprung.resolve(request);
          return seen === nth;
        },
        fault,
        { times: 1 },
      );
    this.#rules = [arm(toConsul, isConsulWrite), arm(toKube, isKubernetesWrite)];
  }

  /** Resolves when the write is where the crash is to find it. */
  async caught(point: Point): Promise<void> {
    const what = 'the write to crash at';
    const timeout = setTimeout(() => this.#sprung.reject(new Error(`never came: ${what}`)), 15_000);
    const request = await this.#sprung.promise.finally(() => clearTimeout(timeout));
    this.#caught = request;
    if (point === 'unanswered')
      await eventually(() => request.upstreamStatus !== undefined, { what, pollMs: 1 });
    if (point === 'answered') await eventually(() => request.finished, { what, pollMs: 1 });
  }

  /** The held write goes on its way now; resolves when the server has judged it. */
  async letThrough(): Promise<void> {
    this.disarm();
    await eventually(() => this.#caught?.upstreamStatus !== undefined, { what: 'the late write arrived' });
  }

  disarm(): void {
    for (const rule of this.#rules) {
      rule.remove();
      rule.release();
    }
  }
}
