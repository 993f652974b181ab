import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import type { FaultProxy } from './fault-proxy.ts';
import type { Fault, RecordedRequest, Rule } from './fault-rules.ts';
import type { Operator } from './operator.ts';
import { isConsulWrite, isKubernetesWrite, isTransaction } from './traffic.ts';
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
  /** Makes the next run start where this one did. Resolves when the operator knows that, too. */
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

/** What a step may cost above what was learned without any crash: a write whose precondition was just overtaken. */
const OVERTAKEN = 1;

/**
 * Transactions of one step that may be refused, which change nothing: others claim places in the same Consul meanwhile.
 * A turn that loses so often gives up for a while, and there are two processes.
 */
const REFUSED = 2 * 5;

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
    let [crashes, least] = [0, 0];
    for (const [at, { writes }] of this.#learned.entries()) {
      if (this.#workload.steps[at]?.undisturbed) continue;
      least += (writes.length - 1) * points.length;
      for (let nth = 1; nth <= writes.length; nth += 1) {
        for (const point of points) {
          if (await this.#runWithCrash({ at, nth, point })) crashes += 1;
        }
      }
    }
    expect(crashes, 'crashes that came about').toBeGreaterThanOrEqual(least);
    return crashes;
  }

  /** False when the step came to its end before its n-th write, which now and then is one fewer. */
  async #runWithCrash({ at, nth, point }: { at: number; nth: number; point: Point }): Promise<boolean> {
    const trap = new Trap(this.#world, FAULT_AT[point]);
    for (const [number, step] of this.#workload.steps.entries()) {
      const footprint = this.#learned[number] as Footprint;
      const isHit = number === at;
      const what = isHit
        ? `${step.name}, killed with ${footprint.writes[nth - 1]} (#${nth}) ${point}`
        : step.name;
      if (isHit) trap.arm(nth);
      const run = isHit
        ? this.#withCrash(step, footprint, { trap, point })
        : this.#run(step, footprint, OVERTAKEN);
      await run.catch((error: unknown) => {
        const { toConsul, toKube } = this.#world;
        const traffic = [toConsul.summary(12), toKube.summary(12), this.#operator?.tail(12)].join('\n');
        throw new Error(`${what}: ${String(error)}\n${traffic}`, { cause: error });
      });
    }
    await this.#workload.cleanUp();
    trap.disarm();
    return trap.isSprung;
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
    const made = withoutEvents(this.#writesSince(from));
    const bound = done(withoutEvents(writes)).length + extraWrites;
    expect(done(made).length, ['writes:', ...made].join('\n')).toBeLessThanOrEqual(bound);
    expect(made.length - done(made).length, ['refused among:', ...made].join('\n')).toBeLessThanOrEqual(
      REFUSED,
    );
  }

  async #withCrash(
    step: Step,
    footprint: Footprint,
    { trap, point }: { readonly trap: Trap; readonly point: Point },
  ): Promise<void> {
    const crash = async (): Promise<void> => {
      await Promise.race([trap.sprung, step.settled()]);
      // A write of the next step is none of this one's.
      if (!trap.isSprung) return trap.disarm();
      await trap.caught(point);
      await this.#replaceOperator(trap, point);
    };
    const late = async (): Promise<void> => {
      if (trap.isSprung && point === 'late') await trap.letThrough();
    };
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
    return writes
      .sort((one, other) => one.at - other.at)
      .map(request => `${request.method} ${request.path}${isRefused(request) ? REFUSAL : ''}`);
  }
}

const REFUSAL = ' (refused)';

/** Of transactions alone: what Kubernetes refuses counts like any other write. */
function isRefused(request: RecordedRequest): boolean {
  return isTransaction(request) && request.upstreamStatus === 409;
}

/** Without those that were refused. */
function done(writes: readonly string[]): string[] {
  return writes.filter(write => !write.endsWith(REFUSAL));
}

/** How many Events tell of a change depends on whether the first was sent before the crash. */
function withoutEvents(writes: readonly string[]): string[] {
  return writes.filter(write => !write.includes('/apis/events.k8s.io/'));
}

/** Does something to one write, whichever server it is for. */
class Trap {
  readonly #world: World;
  readonly #fault: Fault;
  readonly #sprung = Promise.withResolvers<void>();
  #rules: readonly Rule[] = [];
  #caught: RecordedRequest | undefined;

  constructor(world: World, fault: Fault) {
    this.#world = world;
    this.#fault = fault;
  }

  /** Resolves when the write has reached the network. */
  get sprung(): Promise<void> {
    return this.#sprung.promise;
  }

  get isSprung(): boolean {
    return this.#caught !== undefined;
  }

  /** For the n-th write from now on. */
  arm(nth: number): void {
    let seen = 0;
    const set = (proxy: FaultProxy, isWrite: (request: RecordedRequest) => boolean): Rule =>
      proxy.when(
        request => {
          if (!isWrite(request)) return false;
          seen += 1;
          if (seen === nth) this.#catch(request);
          return seen === nth;
        },
        this.#fault,
        { times: 1 },
      );
    this.#rules = [set(this.#world.toConsul, isConsulWrite), set(this.#world.toKube, isKubernetesWrite)];
  }

  /** Resolves when the write is where the crash is to find it. */
  async caught(point: Point): Promise<void> {
    const what = 'the write to crash at';
    const arrived = (): boolean => this.#caught?.upstreamStatus !== undefined;
    if (point === 'unanswered') await eventually(arrived, { what, pollMs: 1 });
    if (point === 'answered') await eventually(() => this.#caught?.finished === true, { what, pollMs: 1 });
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

  #catch(request: RecordedRequest): void {
    this.#caught = request;
    this.#sprung.resolve();
  }
}
