import { expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';

test('asks again after an error and after false, and resolves with the good answer', async () => {
  const answers = [() => expect.fail('early'), () => false, () => 'good'];
  expect(await eventually(() => answers.shift()?.(), { what: 'goodness' })).toBe('good');
});

test('an assertion that holds is a good answer', async () => {
  await eventually(() => expect(1).toBe(1), { what: 'one' });
});

test('says what it waited for and what it saw last', async () => {
  const waiting = eventually(() => Promise.reject(new Error('3 keys')), { what: 'no keys', timeoutMs: 1 });
  await expect(waiting).rejects.toThrow(/no keys\nlast seen: 3 keys/);
});
