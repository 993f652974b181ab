import { expect, test } from 'vitest';
import { Lanes } from '../../../src/core/lanes.ts';
import { settled } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

test('one at a time in a lane, in the order of arrival; lanes do not wait for each other', async () => {
  const lanes = new Lanes();
  const entered: string[] = [];
  const leave = new Map<string, () => void>();
  for (const name of ['a1', 'a2', 'b1', 'a3']) {
    void lanes.enter(name.slice(0, 1), signal).then(release => {
      entered.push(name);
      leave.set(name, release);
    });
  }
  await settled();
  expect(entered).toEqual(['a1', 'b1']);
  leave.get('a1')?.();
  await settled();
  expect(entered).toEqual(['a1', 'b1', 'a2']);
  leave.get('a2')?.();
  await settled();
  expect(entered).toEqual(['a1', 'b1', 'a2', 'a3']);
});

test('who gives up waiting leaves the lane to those behind', async () => {
  const lanes = new Lanes();
  const giving = new AbortController();
  const leave = await lanes.enter('a', signal);
  const given = lanes.enter('a', giving.signal);
  const behind = lanes.enter('a', signal);
  giving.abort(new Error('the turn ends'));
  await expect(given).rejects.toMatchObject({ code: 'ABORTED' });
  leave();
  (await behind)();
  expect(lanes.size).toBe(0);
});

test('nothing is remembered of a lane that nobody is in', async () => {
  const lanes = new Lanes();
  (await lanes.enter('a', signal))();
  await expect(lanes.enter('a', AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
  expect(lanes.size).toBe(0);
});
