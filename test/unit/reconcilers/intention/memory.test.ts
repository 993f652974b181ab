import { beforeEach, expect, test } from 'vitest';
import { TerminalError } from '../../../../src/core/errors.ts';
import {
  type RefusedEntry,
  REFUSED_MS,
  RefusalMemory,
} from '../../../../src/reconcilers/intention/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const REF = { kind: 'ConsulIntention', namespace: 'shop', name: 'orders' };
const error = new TerminalError('it cannot be', { code: 'CONSUL_INVALID', reason: 'InvalidSpec' });
const refused = (generation: number): RefusedEntry => ({ kind: 'never', generation, error });

let clock: FakeClock;
let memory: RefusalMemory;

beforeEach(() => {
  clock = new FakeClock();
  memory = new RefusalMemory(clock);
});

test('what Consul refused is remembered for a minute, of that resource', () => {
  memory.note(REF, refused(1));
  clock.advance(REFUSED_MS - 1);
  expect(memory.of(REF, 1)).toEqual(refused(1));
  expect(memory.of({ ...REF, name: 'payments' }, 1)).toBeUndefined();
  clock.advance(1);
  expect(memory.of(REF, 1)).toBeUndefined();
});

test('but not for another spec, and not against the will of who asks again', () => {
  memory.note(REF, refused(1));
  expect(memory.of(REF, 2)).toBeUndefined();
  expect(memory.of(REF, 1)).toBeUndefined();
  memory.note(REF, refused(2));
  memory.forget(REF);
  expect(memory.of(REF, 2)).toBeUndefined();
});

test('a later refusal counts from its own time', () => {
  memory.note(REF, refused(1));
  clock.advance(REFUSED_MS - 1);
  memory.note(REF, refused(1));
  clock.advance(REFUSED_MS - 1);
  expect(memory.of(REF, 1)).toEqual(refused(1));
});
