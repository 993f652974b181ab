import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../src/kube/index.ts';
import { priorityOf } from '../../../src/operator/triggers.ts';
import { PRIORITY } from '../../../src/runtime/queue.ts';

const aResource = (metadata: Partial<KubeObject['metadata']> = {}): KubeObject => ({
  metadata: { name: 'one', namespace: 'shop', uid: 'u', resourceVersion: '1', generation: 1, ...metadata },
});
const { deletion, specChange, resync } = PRIORITY;
const FINALIZERS = ['proconsul.dev/finalizer', 'other.dev/finalizer'];
const DELETED = { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: FINALIZERS };
const ASKED = { annotations: { 'proconsul.dev/reconcile-at': 'now' } };

describe('of the first list', () => {
  test.each([
    ['a resource is looked at, but nobody waits for it', aResource(), resync],
    ['one that is being deleted goes first', aResource(DELETED), deletion],
  ])('%s', (_, now, priority) => expect(priorityOf(now, undefined, true)).toBe(priority));
});

describe('later', () => {
  test.each<[what: string, now: KubeObject, previous: KubeObject | undefined, priority: number | undefined]>([
    ['a new resource is urgent', aResource(), undefined, specChange],
    ['another under the same name is urgent', aResource({ uid: 'v' }), aResource(), specChange],
    ['a changed spec is urgent', aResource({ generation: 2 }), aResource(), specChange],
    ['being asked for a look is urgent', aResource(ASKED), aResource(), specChange],
    ['a deletion goes before all', aResource({ ...DELETED, generation: 2 }), aResource(), deletion],
    ['a deletion is news once', aResource(DELETED), aResource(DELETED), undefined],
    ['a status is our own', { ...aResource(), status: {} }, aResource(), undefined],
    ['an annotation of others is not ours', aResource({ annotations: { a: 'b' } }), aResource(), undefined],
    [
      'a finalizer that was taken off is put back in time',
      aResource({ finalizers: FINALIZERS.slice(1) }),
      aResource({ finalizers: FINALIZERS }),
      resync,
    ],
    [
      'a finalizer of others is not ours',
      aResource({ finalizers: FINALIZERS.slice(1) }),
      aResource(),
      undefined,
    ],
  ])('%s', (_, now, previous, priority) => expect(priorityOf(now, previous, false)).toBe(priority));
});
