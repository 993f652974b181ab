import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import type { KubeObject } from './kube-api.ts';
import type { Operator } from './operator.ts';
import { parsePrometheusText } from './prometheus-text.ts';
import { unique, type World } from './world.ts';

type Spec = Readonly<Record<string, unknown>>;

/** How a resource stands: the reason of Ready, and which of the conditions that come and go are there. */
export interface Standing {
  readonly ready: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly reconciling?: boolean;
  readonly stalled?: boolean;
  readonly drifted?: boolean;
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
}

export interface Event {
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  /** Times it was told, as far as the series says. */
  readonly count: number;
}

/** The resources of one kind in one world: declared, changed, and waited for. Names are those of resources. */
export class Resources {
  readonly #world: World;
  readonly #kind: string;

  constructor(world: World, kind: string) {
    this.#world = world;
    this.#kind = kind;
  }

  object(name: string, spec: Spec = {}): KubeObject {
    return this.#world.object('proconsul.dev/v1alpha1', this.#kind, name, { spec });
  }

  /** Makes the resource, or makes its spec exactly this. */
  async declare(name: string, spec: Spec): Promise<KubeObject> {
    return this.#world.kube.apply(this.object(name, spec));
  }

  /** Merge patch of the spec. */
  async change(name: string, spec: Spec): Promise<KubeObject> {
    return this.#world.kube.patch(this.object(name), { spec });
  }

  async get(name: string): Promise<KubeObject> {
    const found = await this.#world.kube.get(this.object(name));
    if (found === undefined) throw new Error(`there is no ${this.#kind} ${name}`);
    return found;
  }

  /** Declares it and waits until it is Ready. */
  async declareReady(name: string, spec: Spec): Promise<KubeObject> {
    await this.declare(name, spec);
    return this.ready(name);
  }

  async changeReady(name: string, spec: Spec): Promise<KubeObject> {
    await this.change(name, spec);
    return this.ready(name);
  }

  /** Resolves once it is Ready for the spec as it is now. */
  async ready(name: string): Promise<KubeObject> {
    return this.stands(name, { ready: 'True', reason: 'Applied' });
  }

  async stalled(name: string, reason: string): Promise<KubeObject> {
    return this.stands(name, { ready: 'False', reason, stalled: true });
  }

  async waiting(name: string, reason: string): Promise<KubeObject> {
    return this.stands(name, { ready: 'False', reason, reconciling: true });
  }

  async suspended(name: string, equalsSpec: boolean): Promise<KubeObject> {
    return this.stands(name, { ready: equalsSpec ? 'True' : 'False', reason: 'Suspended' });
  }

  async drifted(name: string): Promise<KubeObject> {
    return this.stands(name, { ready: 'True', reason: 'Applied', drifted: true });
  }

  /** Resolves once its status speaks of the spec as it is now and says exactly this. */
  async stands(name: string, standing: Standing, timeoutMs = 30_000): Promise<KubeObject> {
    const wanted = { reconciling: false, stalled: false, drifted: false, ...standing };
    return eventually(
      async () => {
        const found = await this.get(name);
        expect(standingOf(found)).toEqual(wanted);
        return found;
      },
      { what: `${name} is ${JSON.stringify(wanted)}`, timeoutMs },
    );
  }

  /** Asks for a look at Consul and resolves when it was taken: what happens not by then, does not happen. */
  async lookAgain(name: string): Promise<KubeObject> {
    const asked = unique('look');
    const annotations = { 'proconsul.dev/reconcile-at': asked };
    await this.#world.kube.patch(this.object(name), { metadata: { annotations } });
    return eventually(
      async () => {
        const found = await this.get(name);
        expect(found['status'].lastHandledReconcileAt).toBe(asked);
        return found;
      },
      { what: `${name} was looked at` },
    );
  }

  /** Deletes it; resolves when it is gone. */
  async remove(name: string): Promise<void> {
    await this.#world.kube.delete(this.object(name));
    await this.gone(name);
  }

  async gone(name: string): Promise<void> {
    const what = `${this.#kind} ${name} is gone`;
    await eventually(async () => (await this.#world.kube.get(this.object(name))) === undefined, { what });
  }

  /** The Events told of a resource so far, in no order. */
  async events(name: string): Promise<Event[]> {
    const { kube, namespace } = this.#world;
    const all = await kube.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' }, namespace);
    return all
      .filter(({ regarding }) => regarding?.kind === this.#kind && regarding.name === name)
      .map(({ type, reason, note, series }) => ({ type, reason, note, count: series?.count ?? 1 }));
  }

  /** Resolves with the Event of this reason, once there is one. */
  async event(name: string, reason: string): Promise<Event> {
    const told = async () => (await this.events(name)).find(event => event.reason === reason) ?? false;
    return (await eventually(told, { what: `an Event ${reason} of ${name}` })) as Event;
  }
}

/** Turns an operator has made so far, however they ended. */
export async function turnsOf(operator: Operator): Promise<number> {
  const family = parsePrometheusText(await operator.metrics()).get('controller_runtime_reconcile_total');
  return (family?.samples ?? []).reduce((sum, { value }) => sum + value, 0);
}

export function conditionsOf(object: KubeObject): Readonly<Record<string, Condition>> {
  const conditions: readonly Condition[] = object['status']?.conditions ?? [];
  return Object.fromEntries(conditions.map(condition => [condition.type, condition]));
}

/** @throws Error when the status speaks of an older spec, or breaks a rule that holds for every status. */
export function standingOf(object: KubeObject): Standing {
  const { generation } = object.metadata;
  const conditions = conditionsOf(object);
  const { Ready, Drifted, Stalled, Reconciling } = conditions;
  const generations = [
    object['status']?.observedGeneration,
    ...Object.values(conditions).map(c => c.observedGeneration),
  ];
  if (generations.some(observed => observed !== generation) || !Ready || !Drifted) {
    throw new Error(`generation ${generation} not observed: ${JSON.stringify(object['status'])}`);
  }
  return {
    ready: Ready.status as Standing['ready'],
    reason: Ready.reason,
    reconciling: Reconciling?.status === 'True',
    stalled: Stalled?.status === 'True',
    drifted: Drifted.status === 'True',
  };
}
