import { beforeEach, describe, expect, test } from 'vitest';
import type { Session } from '../../../src/consul/session.ts';
import { type Answer, parseSessionId, type ReadOptions } from '../../../src/consul/types.ts';
import { SessionMirror } from '../../../src/mirror/session-mirror.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const session = (number: number): Session => ({
  id: parseSessionId(`00000000-0000-4000-8000-${String(number).padStart(12, '0')}`),
  name: `s${number}`,
  node: 'node',
  ttl: '15s',
  behavior: 'release',
  createIndex: number,
});

type Reply = (answer: Partial<Answer<readonly Session[]>>) => void;

let reads: Reply[];
let watches: Reply[];
let moved: string[][];
let mirror: SessionMirror;
let ending: AbortController;

beforeEach(() => {
  reads = [];
  watches = [];
  moved = [];
  ending = new AbortController();
  const listNode = (_node: string, { block }: ReadOptions): Promise<Answer<readonly Session[]>> =>
    new Promise(resolve => {
      const whole = { value: [], index: 1, filteredByAcl: false, knownLeader: true, elapsedMs: 1 };
      (block === undefined ? reads : watches).push(answer => resolve({ ...whole, ...answer }));
    });
  mirror = new SessionMirror({
    consul: { sessions: { listNode, info: () => Promise.reject(new Error('not asked')) } },
    node: 'node',
    clock: new FakeClock(),
    random: () => 0.5,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never,
    signal: ending.signal,
  });
  mirror.subscribe((_all, changed) => moved.push(changed.map(({ name }) => name)));
});

const names = async (): Promise<string[]> => (await mirror.current()).sessions.map(({ name }) => name);

test('what has never been read is read, and then remembered', async () => {
  const first = names();
  await settled();
  reads[0]?.({ value: [session(1)], index: 5 });
  expect(await first).toEqual(['s1']);
  expect(await names()).toEqual(['s1']);
  expect(reads).toHaveLength(1);
  expect((await mirror.current()).index).toBe(5);
});

test('after an own write only what was begun after it counts', async () => {
  const before = names();
  await settled();
  mirror.doubt();
  const after = names();
  reads[0]?.({ value: [], index: 5 });
  expect(await before).toEqual([]);
  await settled();
  expect(reads).toHaveLength(2);
  reads[1]?.({ value: [session(1)], index: 6 });
  expect(await after).toEqual(['s1']);
});

test('calls at the same time share a read that begins after them', async () => {
  const first = mirror.refresh();
  await settled();
  const others = [mirror.refresh(), mirror.refresh(), mirror.refresh()];
  await settled();
  expect(reads).toHaveLength(1);
  reads[0]?.({});
  await first;
  await settled();
  expect(reads).toHaveLength(2);
  reads[1]?.({});
  await Promise.all(others);
  expect(reads).toHaveLength(2);
});

test('a list that an ACL filtered is none', async () => {
  const asked = names();
  await settled();
  reads[0]?.({ value: [], filteredByAcl: true });
  await expect(asked).rejects.toMatchObject({ code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
});

describe('the watch', () => {
  beforeEach(async () => {
    const known = names();
    await settled();
    reads[0]?.({ value: [session(1), session(2)], index: 10 });
    await known;
    void mirror.follow();
    await settled();
  });

  test('tells of those that came and went', async () => {
    watches[0]?.({ value: [session(2), session(3)], index: 11 });
    await settled();
    expect(moved).toEqual([
      ['s1', 's2'],
      ['s3', 's1'],
    ]);
    expect(await names()).toEqual(['s2', 's3']);
    expect(reads).toHaveLength(1);
  });

  test('does not take back what was read since', async () => {
    watches[0]?.({ value: [], index: 9 });
    await settled();
    expect(await names()).toEqual(['s1', 's2']);
  });

  test('shows another history once its index went back, and has it read anew before anything is planned', async () => {
    watches[0]?.({ value: [session(1), session(2)], index: 10 });
    await settled();
    watches[1]?.({ value: [session(9)], index: 3 });
    await settled();
    watches[2]?.({ value: [session(9)], index: 3 });
    await settled();
    const after = names();
    await settled();
    expect(reads).toHaveLength(2);
    reads[1]?.({ value: [session(9)], index: 3 });
    expect(await after).toEqual(['s9']);
    ending.abort();
  });

  test('takes no list that an ACL filtered', async () => {
    watches[0]?.({ value: [], index: 12, filteredByAcl: true });
    await settled();
    expect(await names()).toEqual(['s1', 's2']);
  });
});
