import type { CommonSpec, CommonStatus } from '../api/v1alpha1/common.ts';
import type { ResourceRef } from '../core/resource.ts';
import { type KubeObject, type ResourceType, Store } from '../kube/index.ts';
import type { Kind } from '../runtime/kind.ts';
import { PRIORITY } from '../runtime/queue.ts';
import { createTurn } from '../runtime/turn.ts';
import type { Turn } from '../runtime/workers.ts';
import { withReconcileSpan } from '../telemetry/tracing.ts';
import type { Base } from './base.ts';
import { Controller } from './controller.ts';
import { guardedClient } from './guarded-client.ts';
import { KubeObjects } from './objects.ts';
import { priorityOf, refOf } from './triggers.ts';
import { controllerName, countTurn } from './turn-metrics.ts';
import { isListed, openWatches, watchProblem, type Watches } from './watches.ts';

export interface ServedKindOptions {
  readonly type: ResourceType;
  /** Turns at a time. */
  readonly concurrency: number;
  readonly indexes?: Readonly<Record<string, (object: KubeObject) => readonly string[]>>;
  /** There is a resource of this kind, or it changed. */
  readonly onPresent?: (object: KubeObject) => void;
}

/** One kind as this process serves it: its resources, what asks for turns of them, and who takes the turns. */
export class ServedKind {
  readonly type: ResourceType;
  readonly resources: Store;
  readonly controller: Controller;
  readonly #base: Base;
  readonly #watches: Watches;
  readonly #concurrency: number;

  constructor(base: Base, { type, concurrency, indexes = {}, onPresent }: ServedKindOptions) {
    const { clock, random, logger, metrics, removals, config, onWorkChanged } = base;
    this.#base = base;
    this.type = type;
    this.#concurrency = concurrency;
    this.controller = new Controller({
      name: controllerName(type.kind),
      concurrency,
      clock,
      random,
      logger,
      metrics,
      onChange: onWorkChanged,
    });
    this.resources = new Store({
      indexes,
      handlers: {
        onUpsert: (object, previous, { initial }) => {
          const ref = this.refOf(object);
          removals.sawPresent(ref);
          onPresent?.(object);
          const priority = priorityOf(object, previous, initial);
          if (priority !== undefined) this.controller.look([ref], priority);
        },
        onDelete: (object, { inferred }) => {
          const ref = this.refOf(object);
          if (!inferred) removals.sawDeleted(ref);
          this.controller.look([ref], PRIORITY.deletion);
        },
        onError: reportDefect(base),
      },
    });
    this.#watches = openWatches(base, type, this.resources, { scope: config.namespaces });
  }

  refOf(object: KubeObject): ResourceRef {
    return refOf(this.type, object);
  }

  /** Every watch has read its first list, or has been told that it may not. */
  get settled(): Promise<unknown> {
    return Promise.all([...this.#watches.values()].map(({ settled }) => settled));
  }

  /** The resources have been listed, which may come long after: the CRD or a right may be missing at first. */
  get listed(): Promise<unknown> {
    return Promise.all([...this.#watches.values()].map(({ synced }) => synced));
  }

  /** Whether a resource that is not in the store does not exist. */
  isListed(namespace: string): boolean {
    return isListed(this.#watches, namespace);
  }

  /** Why the watches do not show the world as it is. */
  problem(): string | undefined {
    return watchProblem(this.#watches);
  }

  lookAtAll(): void {
    const { resources, controller } = this;
    for (const object of resources.values()) controller.look([this.refOf(object)], PRIORITY.resync);
  }

  /** What a worker does with one resource of this kind. */
  turnWith<Spec extends CommonSpec, Status extends CommonStatus, Observed, Change>(
    kind: Kind<Spec, Status, Observed, Change>,
  ): Turn {
    const { clock, logger, metrics, config, consulAway, removals, client, events, finishing } = this.#base;
    const { rightToWrite, rightToTell } = this.#base;
    const reconciles = metrics.controller(controllerName(this.type.kind), {
      workers: this.#concurrency,
      monotonic: () => clock.monotonic(),
    });
    const objects = new KubeObjects({
      client: guardedClient(client, rightToWrite),
      telling: guardedClient(client, rightToTell),
      type: this.type,
      store: this.resources,
      events,
    });
    let turns = 0;
    return createTurn({
      kind,
      objects: finishing.watch(objects),
      clock,
      logger,
      dryRun: config.dryRun,
      consulAway,
      mayRemove: ref => removals.mayRemove(ref),
      span: (object, ref, run) => {
        const { generation = 0, annotations } = object?.metadata ?? {};
        return withReconcileSpan({ ref, generation, turn: String(++turns), annotations }, run);
      },
      observe: () => countTurn(reconciles),
    });
  }
}

/** A handler of a store threw. */
export function reportDefect({ logger }: Pick<Base, 'logger'>) {
  return (error: unknown, { metadata: { namespace, name } }: KubeObject): void =>
    logger.error({ namespace, name, err: error }, 'a watch handler threw, which is a defect');
}
