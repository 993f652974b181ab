import { expect, test } from 'vitest';
import { type ServedKindWithTurn, Workforce } from '../../../src/operator/workforce.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

/** A kind with one turn under way that ends when the test says so. */
function aKind() {
  const order: string[] = [];
  let endTurn = (): void => {};
  const turn = new Promise<void>(resolve => {
    endTurn = resolve;
  });
  const controller = {
    drain: async (signal: AbortSignal) => {
      const cut = new Promise<boolean>(resolve => {
        signal.addEventListener('abort', () => resolve(true));
      });
      const isCut = await Promise.race([turn.then(() => false), cut]);
      order.push(isCut ? 'turn left' : 'turn ended');
      return isCut ? 1 : 0;
    },
  };
  const kind = {
    served: { type: { kind: 'ConsulService' }, controller },
    standDown: async () => void order.push('stood down'),
  } as unknown as ServedKindWithTurn;
  return { kind, order, endTurn };
}

test('what a tenure began beside its turns ends after the last of them, and before it is called over', async () => {
  const { kind, order, endTurn } = aKind();
  const ending = new AbortController();
  const rest = new Workforce([kind]).rest(ending.signal, new FakeClock());
  await settled();
  expect(order).toEqual([]);
  ending.abort();
  await settled();
  expect(order).toEqual([]);
  endTurn();
  expect(await rest).toBe(true);
  expect(order).toEqual(['turn ended', 'stood down']);
});

test('it ends as well when the process does', async () => {
  const { kind, order, endTurn } = aKind();
  endTurn();
  await new Workforce([kind]).abort(new AbortController().signal);
  expect(order).toEqual(['turn ended', 'stood down']);
});

test('a turn that does not end is told, and does not keep the rest from ending', async () => {
  const { kind, order } = aKind();
  const clock = new FakeClock();
  const ending = new AbortController();
  ending.abort();
  const rest = new Workforce([kind]).rest(ending.signal, clock);
  await settled();
  clock.advance(5_000);
  expect(await rest).toBe(false);
  expect(order).toEqual(['turn left', 'stood down']);
});
