import { untilAborted } from '../core/pause.ts';
import type { Clock } from '../core/clock.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Priority } from '../runtime/queue.ts';
import type { Turn } from '../runtime/workers.ts';
import type { ServedKind } from './served-kind.ts';

/** A tenure that is over has this long to come to rest. */
const REST_MS = 5_000;

/** A kind, and what a worker does with one resource of it. */
export interface ServedKindWithTurn {
  readonly served: ServedKind;
  readonly turn: Turn;
  /** What else has to be read before anything of it is known, such as the objects it refers to. */
  readonly settled: Promise<unknown>;
  /** Why something beside its resources does not show the world as it is. */
  readonly problem: () => string | undefined;
  /** A tenure is over and no turn of it runs any more: ends what it began beside its turns. */
  readonly standDown?: () => Promise<void>;
}

/** All kinds together: who is asked for a turn, and when turns may be taken. */
export class Workforce {
  readonly #kinds: ReadonlyMap<string, ServedKindWithTurn>;
  #aborting = new AbortController();

  constructor(kinds: readonly ServedKindWithTurn[]) {
    this.#kinds = new Map(kinds.map(kind => [kind.served.type.kind, kind]));
  }

  get kinds(): readonly ServedKind[] {
    return [...this.#kinds.values()].map(({ served }) => served);
  }

  get settled(): Promise<unknown> {
    const kinds = [...this.#kinds.values()];
    return Promise.all(kinds.flatMap(({ served, settled }) => [served.settled, settled]));
  }

  get listed(): Promise<unknown> {
    return Promise.all(this.kinds.map(({ listed }) => listed));
  }

  get longestRunningMs(): number {
    return Math.max(0, ...this.kinds.map(({ controller }) => controller.longestRunningMs));
  }

  /**
   * Turns that could still bring a write: under way, or to begin without waiting for anything.
   * @param finishing of those under way, how many have written their last.
   */
  turnsAhead(finishing: number): number {
    const { ahead, ready } = this.kinds.reduce(
      (sum, { controller }) => ({
        ahead: sum.ahead + controller.turnsAhead,
        ready: sum.ready + controller.readyCount,
      }),
      { ahead: 0, ready: 0 },
    );
    // Who finishes makes room for the next.
    return ahead + Math.min(ready, finishing) - finishing;
  }

  problem(): string | undefined {
    for (const { served, problem } of this.#kinds.values()) {
      const found = served.problem() ?? problem();
      if (found !== undefined) return found;
    }
    return undefined;
  }

  exists({ kind, namespace, name }: ResourceRef): boolean {
    return this.#kinds.get(kind)?.served.resources.get(namespace, name) !== undefined;
  }

  /** False too for a kind that this version does not serve. */
  isAbsenceKnown({ kind, namespace }: ResourceRef): boolean {
    return this.#kinds.get(kind)?.served.isListed(namespace) ?? false;
  }

  look(refs: Iterable<ResourceRef>, priority: Priority): void {
    for (const ref of refs) this.#kinds.get(ref.kind)?.served.controller.look([ref], priority);
  }

  lookAtAll(): void {
    for (const kind of this.kinds) kind.lookAtAll();
  }

  /** Takes turns until `ended` aborts. */
  start(ended: AbortSignal): void {
    const signal = AbortSignal.any([ended, this.#aborting.signal]);
    for (const { served, turn } of this.#kinds.values()) served.controller.start(turn, signal);
  }

  /** Waits for the end, and until the last turn has ended then, with all that it began. False: one does not. */
  async rest(ended: AbortSignal, clock: Clock): Promise<boolean> {
    await untilAborted(ended);
    const enough = new AbortController();
    const cancel = clock.after(REST_MS, () => enough.abort());
    const left = await Promise.all(this.kinds.map(({ controller }) => controller.drain(enough.signal)));
    await this.#standDown(enough.signal);
    cancel();
    return left.every(count => count === 0);
  }

  stopIntake(): void {
    for (const { controller } of this.kinds) controller.stopIntake();
  }

  async drain(budget: AbortSignal): Promise<void> {
    await Promise.all(this.kinds.map(({ controller }) => controller.drain(budget)));
  }

  /** For good: the process ends. */
  async abort(budget: AbortSignal): Promise<void> {
    this.#aborting.abort();
    await this.drain(budget);
    await this.#standDown(budget);
  }

  /** Not longer than `enough` allows: what is left then writes nothing, for no turn does. */
  async #standDown(enough: AbortSignal): Promise<void> {
    const ended = [...this.#kinds.values()].flatMap(({ standDown }) => standDown?.() ?? []);
    await Promise.race([Promise.all(ended), untilAborted(enough)]);
  }
}
