import { describe, expect, test } from 'vitest';
import { watch, type WatchParams } from '../../../src/consul/blocking-query.ts';
import { consulError } from '../../../src/consul/errors.ts';
import type { Answer } from '../../../src/consul/types.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

type Step = (params: WatchParams) => Answer<string> | Error;

const answered = (value: string, index: number, elapsedMs = 0): Answer<string> => ({
  value,
  index,
  elapsedMs,
  filteredByAcl: false,
  knownLeader: true,
});

const LOST = consulError('CONSUL_CONNECTION_LOST', 'cut');
const AWAY = consulError('CONSUL_UNREACHABLE', 'away');

/** A watch whose reads go as the steps say; after the last one it blocks for ever. */
class Rig {
  readonly clock = new FakeClock();
  readonly reads: { readonly index: number; readonly waitSeconds: number; readonly atMs: number }[] = [];
  readonly seen: [string, boolean][] = [];
  readonly failures: number[] = [];
  ended = false;
  readonly #abort = new AbortController();
  readonly #steps: Step[];

  constructor(...steps: Step[]) {
    this.#steps = steps;
    void this.#run();
  }

  get indexes(): readonly number[] {
    return this.reads.map(({ index }) => index);
  }

  async settle(ms = 0): Promise<void> {
    await settled();
    for (let left = ms; left > 0; left -= Math.min(left, 50)) {
      this.clock.advance(Math.min(left, 50));
      await settled();
    }
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await settled();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    const random = () => 0.999_999;
    const onFailure = (_: unknown, attempt: number): void => void this.failures.push(attempt);
    const read = (params: WatchParams) => this.#read(params);
    for await (const { value, reset } of watch({ read, signal, clock: this.clock, random, onFailure })) {
      this.seen.push([value.value, reset]);
    }
    this.ended = true;
  }

  async #read(params: WatchParams): Promise<Answer<string>> {
    const { index, waitSeconds, signal } = params;
    this.reads.push({ index, waitSeconds, atMs: this.clock.monotonic() });
    const step = this.#steps.shift();
    if (step === undefined) return await new Promise((_, reject) => signal.addEventListener('abort', reject));
    const outcome = step(params);
    if (outcome instanceof Error) throw outcome;
    return outcome;
  }
}

test('blocks on the index of the last answer', async () => {
  const rig = new Rig(
    () => answered('a', 5),
    () => answered('b', 9),
  );
  await rig.settle();
  expect(rig.indexes).toEqual([0, 5, 9]);
  expect(rig.seen).toEqual([
    ['a', false],
    ['b', false],
  ]);
  await rig.stop();
  expect(rig.ended).toBe(true);
});

test('yields what it gets when the whole wait brought nothing new', async () => {
  const rig = new Rig(
    () => answered('a', 5),
    () => answered('a', 5, 55_000),
  );
  await rig.settle();
  expect(rig.indexes).toEqual([0, 5, 5]);
  expect(rig.seen).toHaveLength(2);
  await rig.stop();
});

test('starts over when the index goes back, and says so with the new answer', async () => {
  const rig = new Rig(
    () => answered('before', 90),
    () => answered('after', 12),
    () => answered('after', 13),
    () => answered('later', 14),
  );
  await rig.settle();
  expect(rig.indexes).toEqual([0, 90, 0, 13, 14]);
  expect(rig.seen).toEqual([
    ['before', false],
    ['after', true],
    ['later', false],
  ]);
  await rig.stop();
});

test('starts over when the same index comes back early, as it does in a restore', async () => {
  const rig = new Rig(
    () => answered('before', 90),
    () => answered('before', 90, 52_000),
    () => answered('after', 90),
  );
  await rig.settle();
  expect(rig.indexes).toEqual([0, 90, 0, 90]);
  expect(rig.seen).toEqual([
    ['before', false],
    ['after', true],
  ]);
  await rig.stop();
});

test('never blocks on 0, which would not block', async () => {
  const rig = new Rig(
    () => answered('a', 0),
    () => answered('a', 5),
  );
  await rig.settle();
  expect(rig.indexes).toEqual([0, 1, 5]);
  await rig.stop();
});

describe('a server that sends us back again and again', () => {
  test.each([
    ['with the index 0', () => answered('x', 0)],
    ['with the same index at once', () => answered('x', 7)],
    ['with a falling index', (({ index }) => answered('x', index === 0 ? 9 : 8)) as Step],
  ])('%s is asked less and less', async (_, step) => {
    const rig = new Rig(...Array.from({ length: 1000 }, () => step));
    await rig.settle(60_000);
    expect(rig.reads.length).toBeLessThan(40);
    const lastTwo = rig.reads.filter(({ index }) => index === 0).slice(-2);
    expect((lastTwo[1]?.atMs ?? 0) - (lastTwo[0]?.atMs ?? 0)).toBeGreaterThan(10_000);
    await rig.stop();
  });
});

test('a key written in a loop is read at the pace of the bucket', async () => {
  let index = 0;
  const rig = new Rig(...Array.from({ length: 1000 }, () => () => answered('x', ++index)));
  await rig.settle();
  const burst = rig.reads.length;
  expect(burst).toBe(5);
  await rig.settle(1000);
  expect(rig.reads.length - burst).toBe(10);
  await rig.stop();
});

describe('after a failure', () => {
  test('asks without waiting, later each time, and goes on when there is news', async () => {
    const rig = new Rig(
      () => answered('a', 5),
      ...Array.from({ length: 12 }, () => () => AWAY),
      () => answered('b', 6),
    );
    await rig.settle(200_000);
    expect(rig.indexes).toEqual([0, 5, ...Array.from({ length: 12 }, () => 0), 6]);
    expect(rig.failures).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const pauses = rig.reads.slice(1, 14).map(({ atMs }, at, all) => atMs - (all[at - 1]?.atMs ?? atMs));
    expect(pauses.slice(1).every((pause, at) => pause >= (pauses[at] ?? 0))).toBe(true);
    expect(pauses.at(-1)).toBeGreaterThan(29_000);
    expect(pauses.at(-1)).toBeLessThanOrEqual(30_000);
    expect(rig.seen.at(-1)).toEqual(['b', false]);
    await rig.stop();
  });

  test('blocks on the last index again when there is none', async () => {
    const rig = new Rig(
      () => answered('a', 5),
      () => AWAY,
      () => answered('a', 5),
    );
    await rig.settle(1000);
    expect(rig.indexes).toEqual([0, 5, 0, 5]);
    expect(rig.seen).toEqual([['a', false]]);
    await rig.stop();
  });

  test('sees at once that Consul came back with another past', async () => {
    const rig = new Rig(
      () => answered('before', 50),
      () => AWAY,
      () => answered('after', 7),
      () => answered('after', 7),
    );
    await rig.settle(1000);
    expect(rig.seen).toEqual([
      ['before', false],
      ['after', true],
    ]);
    await rig.stop();
  });

  test('by connections cut at every wait asks for shorter ones, though Consul answers in between', async () => {
    const rounds = Array.from({ length: 3 }, () => [() => LOST, () => answered('a', 5)]).flat();
    const rig = new Rig(() => answered('a', 5), ...rounds);
    await rig.settle(10_000);
    expect(rig.reads.filter(({ index }) => index === 5).map(({ waitSeconds }) => waitSeconds)).toEqual([
      55, 55, 27, 13,
    ]);
    await rig.stop();
  });

  test('waits as long as the server asks', async () => {
    const rig = new Rig(() => consulError('CONSUL_RATE_LIMITED', 'busy', { retryAfterMs: 7000 }));
    await rig.settle(6950);
    expect(rig.reads).toHaveLength(1);
    await rig.settle(50);
    expect(rig.reads).toHaveLength(2);
    await rig.stop();
  });

  test('never gives up, whatever the error', async () => {
    const failures = [
      'CONSUL_BAD_REQUEST',
      'CONSUL_DENIED',
      'CONSUL_BAD_REPLY',
      'CONSUL_INVALID_SESSION',
    ] as const;
    const rig = new Rig(
      ...failures.map(code => () => consulError(code, 'no')),
      () => new TypeError('a defect'),
      () => answered('a', 5),
    );
    await rig.settle(20_000);
    expect(rig.seen).toEqual([['a', false]]);
    await rig.stop();
  });

  test('by connections cut short asks for shorter waits, down to five seconds', async () => {
    const rig = new Rig(...Array.from({ length: 8 }, () => () => LOST));
    await rig.settle(120_000);
    expect(rig.reads.map(({ waitSeconds }) => waitSeconds)).toEqual([55, 55, 27, 13, 6, 5, 5, 5, 5]);
    await rig.stop();
  });

  test('by one cut connection, as a restart makes, keeps its wait', async () => {
    const rig = new Rig(
      () => LOST,
      () => answered('a', 1),
      () => LOST,
      () => answered('b', 2),
    );
    await rig.settle(2000);
    expect(rig.reads.every(({ waitSeconds }) => waitSeconds === 55)).toBe(true);
    await rig.stop();
  });
});

describe('ends by its signal', () => {
  test.each([
    ['while it blocks', []],
    ['while it backs off', [() => AWAY]],
  ] as [string, Step[]][])('%s, and leaves no timer', async (_, steps) => {
    const rig = new Rig(...steps);
    await rig.settle();
    await rig.stop();
    expect(rig.ended).toBe(true);
    expect(rig.clock.timerCount).toBe(0);
  });
});
