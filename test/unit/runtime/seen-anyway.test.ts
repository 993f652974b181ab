import { describe, expect, test } from 'vitest';
import { parseConsulKV } from '../../../src/api/v1alpha1/consulkv.ts';
import { RetryableError } from '../../../src/core/errors.ts';
import { resourceKey } from '../../../src/core/resource.ts';
import type { Kind, KindPlan, Receipt, Subject } from '../../../src/runtime/kind.ts';
import { ModelCluster } from '../../support/kv-process.ts';
import { modelTurn } from '../../support/model-turn.ts';

/** What the status tells although the turn did not get where it should. */

const CHANGE: KindPlan<string> = { kind: 'change', change: 'x', drifted: [], summary: 'x', equal: true };
const UNREADABLE: KindPlan<string> = { kind: 'refuse', reason: 'InvalidSpec', message: 'no spec' };
const TIDIED: Receipt = { kind: 'tidied' };

const { signal } = new AbortController();

interface Script {
  /** One for each time that is planned; the last one from then on. */
  readonly plans: readonly KindPlan<string>[];
  readonly receipt?: Receipt;
  readonly tends?: boolean;
  readonly owns?: boolean;
}

/** A kind that tells in the status whom it saw, and remembers what it was asked to do. */
function play(spec: object, { plans, receipt = TIDIED, tends = true, owns = true }: Script) {
  const cluster = new ModelCluster();
  const ref = cluster.apply('one', spec);
  const subjects: Pick<Subject<object, object>, 'resource' | 'deleting'>[] = [];
  let applied = 0;
  const kind = {
    name: 'ConsulKV',
    parse: parseConsulKV,
    ...(tends ? { tendsUnreadable: true } : {}),
    observe: (subject: Subject<object, object>) => {
      subjects.push({ resource: subject.resource, deleting: subject.deleting });
      return Promise.resolve(undefined);
    },
    plan: () => plans[Math.min(subjects.length, plans.length) - 1],
    apply: () => {
      applied += 1;
      return Promise.resolve(receipt);
    },
    report: () => ({ message: '', driftSeen: 'Watched', datacenter: 'dc1', status: { seen: 'b' } }),
    owns: () => owns,
    recorded: () => undefined,
    forget() {},
  } as unknown as Kind<object, object, undefined, string>;
  const turn = modelTurn(kind, cluster);
  return {
    turn: () => turn(resourceKey(ref), signal),
    told: () => cluster.condition(ref),
    seen: () => (cluster.get(ref)?.status as { seen?: string } | undefined)?.seen,
    subjects,
    applied: () => applied,
  };
}

describe('a write that failed, behind one that was seen to be done', () => {
  test('is tried again with backoff, and what was seen is told at once', async () => {
    const error = new RetryableError('a webhook failed', {
      code: 'KUBE_SERVER_ERROR',
      reason: 'Progressing',
    });
    const one = play({ key: 'k', value: 'v' }, { plans: [CHANGE], receipt: { kind: 'failed', error } });
    expect(await one.turn()).toEqual({ kind: 'retry' });
    expect(one.told()).toBe('False Progressing: a webhook failed');
    expect(one.seen()).toBe('b');
    expect(one.applied()).toBe(1);
  });
});

describe('a spec that cannot be read', () => {
  const BAD = { value: 'v' };

  test('of a kind that tends such a resource: what it holds is kept right, and told', async () => {
    const one = play(BAD, { plans: [CHANGE, UNREADABLE] });
    expect(await one.turn()).toEqual({ kind: 'requeue', afterMs: 300_000 });
    expect(one.told()).toMatch(/^False InvalidSpec: spec/);
    expect(one.seen()).toBe('b');
    expect(one.applied()).toBe(1);
    const unread = { resource: undefined, deleting: false };
    expect(one.subjects).toEqual([unread, unread]);
  });

  test('is left as it is while it says that it is suspended', async () => {
    const one = play({ ...BAD, suspend: true }, { plans: [CHANGE] });
    await one.turn();
    expect([one.applied(), one.told()]).toEqual([0, expect.stringMatching(/^False InvalidSpec/)]);
  });

  test.each<[when: string, script: Script]>([
    ['which left nothing', { plans: [CHANGE], owns: false }],
    ['of any other kind', { plans: [CHANGE], tends: false }],
  ])('%s is not looked into', async (_, script) => {
    const one = play(BAD, script);
    await one.turn();
    expect([one.subjects, one.told()]).toEqual([[], expect.stringMatching(/^False InvalidSpec/)]);
  });
});
