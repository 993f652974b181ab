import { expect, test } from 'vitest';
import { FinishingTurns } from '../../../src/operator/finishing-turns.ts';
import type { Objects, StoredObject } from '../../../src/runtime/objects.ts';
import { settled } from '../../support/fake-clock.ts';

const object: StoredObject = { metadata: { name: 'a', namespace: 'shop', uid: '1', resourceVersion: '1' } };
const signal = new AbortController().signal;

/** An API server that answers when it is told to. */
function slowObjects() {
  const answer = Promise.withResolvers<StoredObject>();
  const objects: Objects<StoredObject> = {
    get: () => object,
    lookUp: async () => object,
    writeStatus: () => answer.promise,
    addFinalizer: () => answer.promise,
    removeFinalizer: () => answer.promise,
    notify() {},
  };
  return { objects, answer };
}

function watched() {
  const { objects, answer } = slowObjects();
  const seen: number[] = [];
  const finishing: FinishingTurns = new FinishingTurns(() => seen.push(finishing.count));
  return { finishing, objects: finishing.watch(objects), answer, seen };
}

test('a turn that writes its status or lets the object go has written its last to Consul', async () => {
  const { finishing, objects, answer, seen } = watched();
  const ends = [objects.writeStatus(object, {}, signal), objects.removeFinalizer(object, signal)];
  expect(seen).toEqual([1, 2]);
  answer.resolve(object);
  expect(await Promise.all(ends)).toEqual([object, object]);
  expect(finishing.count).toBe(0);
});

test('one that puts the finalizer on has its writes before it', async () => {
  const { finishing, objects, answer } = watched();
  const end = objects.addFinalizer(object, signal);
  await settled();
  expect(finishing.count).toBe(0);
  answer.resolve(object);
  expect(await end).toBe(object);
});

test('one that fails at it is finishing no more', async () => {
  const { finishing, objects, answer } = watched();
  const end = objects.writeStatus(object, {}, signal);
  answer.reject(new Error('no'));
  await expect(end).rejects.toThrow('no');
  expect(finishing.count).toBe(0);
});
