import { expect, test } from 'vitest';
import { FINALIZER } from '../../../src/api/v1alpha1/common.ts';
import { parseConsulKV } from '../../../src/api/v1alpha1/consulkv.ts';
import { resourceKey } from '../../../src/core/resource.ts';
import type { Kind, KindPlan } from '../../../src/runtime/kind.ts';
import { ModelCluster } from '../../support/kv-process.ts';
import { modelTurn } from '../../support/model-turn.ts';

type Plan = KindPlan<never>;

const WAIT: Plan = {
  kind: 'wait',
  reason: 'DependencyNotReady',
  message: 'the other thing does not exist',
  againMs: 60_000,
};
const DRAINING: Plan = {
  kind: 'wait',
  reason: 'Progressing',
  message: 'draining 2 instances',
  againMs: 5_000,
};
const REFUSE: Plan = { kind: 'refuse', reason: 'UnsupportedByConsul', message: 'it cannot be taken out' };
const DONE: Plan = { kind: 'noop', drifted: [] };

/** A kind that owns something and has this to say of letting go of it. */
function aKind(plan: () => Plan): Kind<object, object, undefined, never> {
  const report = { message: '', driftSeen: 'Watched', datacenter: 'dc1', status: {} } as const;
  return {
    name: 'ConsulKV',
    parse: parseConsulKV as never,
    observe: () => Promise.resolve(undefined),
    plan,
    apply: () => Promise.reject(new Error('there is nothing to apply')),
    report: () => report,
    owns: () => true,
    recorded: () => undefined,
    forget() {},
  } as unknown as Kind<object, object, undefined, never>;
}

const { signal } = new AbortController();

test.each<[what: string, plan: Plan, told: string, next: object]>([
  [
    'waited for',
    WAIT,
    'False DeletionBlocked: the other thing does not exist',
    { kind: 'requeue', afterMs: 60_000 },
  ],
  [
    'only a matter of time',
    DRAINING,
    'False Progressing: draining 2 instances',
    { kind: 'requeue', afterMs: 5_000 },
  ],
  ['refused', REFUSE, 'False DeletionBlocked: it cannot be taken out', { kind: 'requeue', afterMs: 300_000 }],
])('a deletion that is %s holds the resource, and lets go of it later', async (_, plan, told, next) => {
  const cluster = new ModelCluster();
  const ref = cluster.apply('held', { key: 'k', value: 'v' });
  const object = await cluster.lookUp(ref);
  if (object !== undefined) await cluster.addFinalizer(object);
  cluster.delete(ref);
  let says = plan;
  const turn = modelTurn(
    aKind(() => says),
    cluster,
  );
  expect(await turn(resourceKey(ref), signal)).toEqual(next);
  expect(cluster.get(ref)?.metadata.finalizers).toEqual([FINALIZER]);
  expect(cluster.condition(ref)).toBe(told);
  says = DONE;
  expect(await turn(resourceKey(ref), signal)).toEqual({ kind: 'done' });
  expect(cluster.get(ref)).toBeUndefined();
});

test('what a resource without a finalizer left behind is looked at again, too', async () => {
  const cluster = new ModelCluster();
  const ref = cluster.apply('gone', { key: 'k', value: 'v' });
  cluster.delete(ref);
  const turn = modelTurn(
    aKind(() => WAIT),
    cluster,
  );
  expect(await turn(resourceKey(ref), signal)).toEqual({ kind: 'requeue', afterMs: 60_000 });
});
