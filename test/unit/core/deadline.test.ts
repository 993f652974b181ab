import { getEventListeners } from 'node:events';
import { beforeEach, expect, test } from 'vitest';
import { Deadline } from '../../../src/core/deadline.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let clock: FakeClock;
let caller: AbortController;
let closing: AbortController;
beforeEach(() => {
  clock = new FakeClock();
  caller = new AbortController();
  closing = new AbortController();
});

const aDeadline = () => new Deadline(clock, 1000, [caller.signal, closing.signal]);

test('expires when the time is up, not before', () => {
  const deadline = aDeadline();
  clock.advance(999);
  expect(deadline.signal.aborted).toBe(false);
  clock.advance(1);
  expect(deadline).toMatchObject({ expired: true, abortedByCaller: false });
  expect(deadline.signal.aborted).toBe(true);
});

test.each([
  ['the caller', () => caller],
  ['whoever closes the client', () => closing],
])('follows %s, whose reason is the cause', (_, whose) => {
  const deadline = aDeadline();
  whose().abort(new Error('enough'));
  expect(deadline).toMatchObject({ expired: false, abortedByCaller: true });
  expect(deadline.signal.reason).toBeInstanceOf(AbortedError);
  expect(deadline.signal.reason).toMatchObject({ cause: new Error('enough') });
});

test('is aborted from the start when a caller is', () => {
  closing.abort();
  expect(aDeadline()).toMatchObject({ expired: false, abortedByCaller: true });
});

test('what comes first counts: the time', () => {
  const deadline = aDeadline();
  clock.advance(1000);
  caller.abort();
  expect(deadline).toMatchObject({ expired: true, abortedByCaller: false });
});

test('what comes first counts: the caller', () => {
  const deadline = aDeadline();
  caller.abort();
  clock.advance(1000);
  expect(deadline).toMatchObject({ expired: false, abortedByCaller: true });
});

test('without its timer it never expires, and still follows', () => {
  const deadline = aDeadline();
  deadline.stopTimer();
  clock.advance(1000);
  expect(deadline.signal.aborted).toBe(false);
  caller.abort();
  expect(deadline.abortedByCaller).toBe(true);
});

test('leaves neither a timer nor a listener behind', () => {
  {
    using deadline = aDeadline();
    expect(deadline.ms).toBe(1000);
    expect(clock.timerCount).toBe(1);
  }
  expect(clock.timerCount).toBe(0);
  expect([caller, closing].map(({ signal }) => getEventListeners(signal, 'abort'))).toEqual([[], []]);
});
