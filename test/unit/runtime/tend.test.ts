import { describe, expect, test } from 'vitest';
import { parseConsulKV } from '../../../src/api/v1alpha1/consulkv.ts';
import { resourceKey } from '../../../src/core/resource.ts';
import type { Kind, KindPlan, Receipt } from '../../../src/runtime/kind.ts';
import { ModelCluster } from '../../support/kv-process.ts';
import { modelTurn } from '../../support/model-turn.ts';

/** What goes on while a resource is suspended. */

const { signal } = new AbortController();
const TIDIED: Receipt = { kind: 'tidied' };
const REFUSED: Receipt = { kind: 'refused' };

const change = (what: string, tend?: string): KindPlan<string> => {
  return { kind: 'change', change: what, drifted: [], summary: what, equal: false, tend };
};
const NOTHING: KindPlan<string> = { kind: 'noop', drifted: [], againMs: 7_000 };
const TAKEN: KindPlan<string> = { kind: 'refuse', reason: 'AlreadyExists', message: 'taken' };

/** One turn of a kind that plans these, the last one from then on. */
async function turn(spec: object, plans: readonly KindPlan<string>[], receipt = TIDIED) {
  const cluster = new ModelCluster();
  const ref = cluster.apply('one', { key: 'k', value: 'v', ...spec });
  const applied: string[] = [];
  let planned = 0;
  const kind = {
    name: 'ConsulKV',
    parse: parseConsulKV,
    observe: () => Promise.resolve(undefined),
    plan: () => plans[Math.min(planned++, plans.length - 1)],
    apply: (_subject: unknown, what: string) => {
      applied.push(what);
      return Promise.resolve(receipt);
    },
    report: () => ({ message: 'equal', driftSeen: 'Watched', datacenter: 'dc1', status: {} }),
    owns: () => true,
    recorded: () => undefined,
    forget() {},
  } as unknown as Kind<object, object, undefined, string>;
  const next = await modelTurn(kind, cluster)(resourceKey(ref), signal);
  return { applied, next, told: cluster.condition(ref), finalizers: cluster.finalizerWrites };
}

const SUSPENDED = { suspend: true };

describe('a suspended resource', () => {
  test('gets what is tended, and is told what is withheld', async () => {
    const plans = [change('write', 'tend 1'), change('write', 'tend 2'), change('write')];
    expect(await turn(SUSPENDED, plans)).toEqual({
      applied: ['tend 1', 'tend 2'],
      next: { kind: 'done' },
      told: 'False Suspended: suspended: would write',
      finalizers: 0,
    });
  });

  test('is Ready when nothing but that was left to do', async () => {
    const { applied, told, next } = await turn(SUSPENDED, [change('tend', 'tend'), NOTHING]);
    expect(applied).toEqual(['tend']);
    expect(told).toBe('True Suspended: equal');
    expect(next).toEqual({ kind: 'requeue', afterMs: 7_000 });
  });

  test('tells an obstacle after that', async () => {
    const { applied, told } = await turn(SUSPENDED, [change('tend', 'tend'), TAKEN]);
    expect([applied, told]).toEqual([['tend'], 'False Suspended: suspended: taken']);
  });

  test('does not tend for ever what is refused each time', async () => {
    const { applied, next } = await turn(SUSPENDED, [change('write', 'tend')], REFUSED);
    expect([applied.length, next]).toEqual([6, { kind: 'retry', capMs: 30_000 }]);
  });
});

test('a resource that is not suspended gets the change itself', async () => {
  const { applied } = await turn({}, [change('write', 'tend'), NOTHING]);
  expect(applied).toEqual(['write']);
});
