import { expect, test } from 'vitest';
import { Places } from '../../../src/probes/places.ts';
import { settled } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

function entrance(places: Places) {
  const entered: string[] = [];
  const leave = new Map<string, () => void>();
  const enter = (name: string, proven: boolean, until = signal, owner = name): void => {
    places.acquire({ owner, proven }, until).then(
      release => {
        entered.push(name);
        leave.set(name, release);
      },
      () => entered.push(`${name} gave up`),
    );
  };
  return { entered, leave: (name: string) => leave.get(name)?.(), enter };
}

test('who is not proven gets half of the places, who is proven any', async () => {
  const { entered, leave, enter } = entrance(new Places(4));
  for (const name of ['a', 'b', 'c']) enter(name, false);
  await settled();
  for (const name of ['A', 'B', 'C']) enter(name, true);
  await settled();
  expect(entered).toEqual(['a', 'b', 'A', 'B']);
  leave('a');
  await settled();
  expect(entered.slice(4)).toEqual(['C']);
  leave('b');
  await settled();
  expect(entered.slice(5)).toEqual(['c']);
});

test('who gives up gives back what it had', async () => {
  const { entered, leave, enter } = entrance(new Places(2));
  const impatient = new AbortController();
  enter('A', true);
  enter('B', true);
  enter('a', false, impatient.signal);
  await settled();
  impatient.abort();
  leave('A');
  enter('b', false);
  await settled();
  expect(entered).toEqual(['A', 'B', 'a gave up', 'b']);
});

test('who has not been asked waits behind nobody else s hanging targets: owners take turns', async () => {
  const { entered, leave, enter } = entrance(new Places(16));
  for (let n = 0; n < 100; n += 1) enter(`evil-${n}`, false, signal, 'evil');
  await settled();
  // A quarter of the half.
  expect(entered).toEqual(['evil-0', 'evil-1']);
  for (let n = 0; n < 3; n += 1)
    for (const owner of ['b', 'c', 'd']) enter(`${owner}-${n}`, false, signal, owner);
  await settled();
  expect(entered.slice(2)).toEqual(['b-0', 'c-0', 'd-0', 'b-1', 'c-1', 'd-1']);
  leave('evil-0');
  leave('b-0');
  await settled();
  expect(entered.slice(8)).toEqual(['evil-2', 'b-2']);
});

test('one owner, however many of its targets have answered before, leaves half of the places to others', async () => {
  const { entered, enter } = entrance(new Places(4));
  for (const name of ['a', 'b', 'c']) enter(name, true, signal, 'evil');
  for (const name of ['A', 'B', 'C']) enter(name, true, signal, 'good');
  await settled();
  expect(entered).toEqual(['a', 'b', 'A', 'B']);
});
