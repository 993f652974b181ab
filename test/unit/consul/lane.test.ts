import { expect, test } from 'vitest';
import { Lane } from '../../../src/consul/lane.ts';
import { settled } from '../../support/fake-clock.ts';
import { signal } from '../../support/consul-client.ts';

test('lets in no more than its limit, in the order of arrival', async () => {
  const lane = new Lane(2);
  const entered: number[] = [];
  const leaves: (() => void)[] = [];
  for (let visitor = 0; visitor < 5; visitor += 1) {
    void lane.enter(signal).then(leave => {
      entered.push(visitor);
      leaves.push(leave);
    });
  }
  await settled();
  expect(entered).toEqual([0, 1]);
  leaves[0]?.();
  await settled();
  expect(entered).toEqual([0, 1, 2]);
  leaves[1]?.();
  leaves[2]?.();
  await settled();
  expect(entered).toEqual([0, 1, 2, 3, 4]);
});

test('who gives up waiting takes no place', async () => {
  const lane = new Lane(1);
  const leave = await lane.enter(signal);
  const impatient = new AbortController();
  const refused = lane.enter(impatient.signal).catch((reason: unknown) => reason);
  const next = lane.enter(signal);
  impatient.abort(new Error('enough'));
  expect(await refused).toEqual(new Error('enough'));
  leave();
  (await next)();
  await expect(lane.enter(signal)).resolves.toBeTypeOf('function');
});

test('who has given up before does not enter at all', async () => {
  const lane = new Lane(1);
  await expect(lane.enter(AbortSignal.abort(new Error('late')))).rejects.toThrow('late');
  await expect(lane.enter(signal)).resolves.toBeTypeOf('function');
});
