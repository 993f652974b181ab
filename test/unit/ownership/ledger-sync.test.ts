import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CLAIMS_KEY } from '../../../src/commit/operations.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import { Ledger } from '../../../src/ownership/ledger.ts';
import { LedgerSync } from '../../../src/ownership/ledger-sync.ts';
import {
  EMPTY_SHARD,
  encodeHead,
  encodeShard,
  listedNames,
  type OwnerRecord,
  shardKey,
} from '../../../src/ownership/record.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';
import { HEAD, ref } from './records.ts';

let consul: ModelConsul;
let ledger: Ledger;
let clock: FakeClock;
let sync: LedgerSync;
let life: AbortController;
let highest: number;
let tampered: string[];

beforeEach(() => {
  consul = new ModelConsul();
  ledger = new Ledger();
  clock = new FakeClock();
  life = new AbortController();
  highest = 0;
  tampered = [];
  sync = new LedgerSync({
    consul: consul.asReads,
    ledger,
    installId: 'here',
    clock,
    random: () => 0.5,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    signal: life.signal,
    highestIndex: () => highest,
    onIndexFell: async () => {},
    onTampered: each => tampered.push(each.name),
  });
});

afterEach(() => life.abort());

/** Puts a record into Consul, of one shard for each list of names. */
function record(install: string, name: string, ...shards: readonly (readonly string[])[]): void {
  for (const [number, names] of (shards.length === 0 ? [[]] : shards).entries()) {
    const listed = new Map(names.map(each => [each, 'fp']));
    const value = number === 0 ? encodeHead(HEAD, listed) : encodeShard(listed);
    consul.store.put(shardKey(install, ref(name), number), value);
  }
}

/** The same content, written anew. */
function rewrite(key: string): void {
  const { value = '' } = consul.store.get(key) ?? {};
  consul.store.delete(key);
  consul.store.put(key, value);
}

function hide(name: string): void {
  record('here', name, ['q']);
  consul.hidden.add(shardKey('here', ref(name), 0));
}

function deleteNeighbours(): void {
  consul.store.put('proconsul/here/other', 'theirs');
  consul.store.delete('proconsul/here/other');
  consul.store.collectTombstones();
}

const names = (found: OwnerRecord | undefined) => [...(found === undefined ? [] : listedNames(found).keys())];
const owner = (name: string) => ledger.rivalFor(name, ref('nobody'));
/** Lets the follower act: its pauses pass. */
async function follow(times = 3): Promise<void> {
  for (let time = 0; time < times; time++) {
    for (let turn = 0; turn < 20; turn++) await settled();
    clock.advance(1000);
  }
}

describe('loading', () => {
  test('takes in the records of all installs, and the claims key', async () => {
    record('here', 'a', ['x'], ['y']);
    record('there', 'z', ['w']);
    consul.store.put(CLAIMS_KEY, '{}');
    highest = 42;
    await sync.load();
    expect(names(ledger.record(ref('a')))).toEqual(['x', 'y']);
    expect(owner('w')).toMatchObject({ kind: 'install', install: 'there' });
    const { modifyIndex: index } = consul.store.get(CLAIMS_KEY) ?? {};
    expect(ledger.claims).toEqual({ index, asOf: 42, complete: true });
  });

  test('forgets what is not there any more', async () => {
    record('here', 'a', ['x']);
    record('there', 'z', ['w']);
    await sync.load();
    for (const { key } of consul.store.under('proconsul/')) consul.store.delete(key);
    await sync.load();
    expect([ledger.size, ledger.foreignInstalls(), owner('x'), owner('w')]).toEqual([
      0,
      [],
      undefined,
      undefined,
    ]);
    expect(ledger.claims.index).toBe(0);
  });

  test('goes on without the claims of others, but not without the records of its own', async () => {
    record('here', 'a', ['x']);
    record('there', 'z', ['w']);
    consul.hidden.add('proconsul/there/');
    await sync.load();
    expect(ledger.claims.complete).toBe(false);
    consul.hidden.add('proconsul/here/owners/ConsulKV/shop/');
    await expect(sync.load()).rejects.toMatchObject({
      code: 'RECORDS_HIDDEN',
      reason: 'ConsulDenied',
      message: expect.stringContaining('key_prefix "proconsul/here/" { policy = "write" }'),
    });
    expect(ledger.size).toBe(1);
  });

  test('does not undo own writes that were made meanwhile', async () => {
    record('here', 'a', ['old']);
    await sync.load();
    const before = ledger.record(ref('a')) as OwnerRecord;
    consul.afterRead = () => {
      const shard = { index: 99 as ModifyIndex, names: new Map([['new', 'fp']]) };
      ledger.committed(ref('a'), { ...before, shards: new Map([[0, shard]]) }, new Map());
    };
    await sync.load();
    expect(names(ledger.record(ref('a')))).toEqual(['new']);
  });
});

describe('the view of claims', () => {
  const lists = () => consul.reads.filter(path => path === '/v1/kv/proconsul%2F').length;

  test('is read again only when it is older than what was seen', async () => {
    highest = 10;
    await sync.load();
    await sync.refreshClaims(10);
    expect(lists()).toBe(1);
    await sync.refreshClaims(11);
    expect([lists(), ledger.claims.asOf]).toEqual([2, 11]);
    await sync.refreshClaims(11);
    expect(lists()).toBe(2);
  });

  test('is read again when it is mistrusted, or was not complete', async () => {
    await sync.load();
    ledger.mistrustClaims();
    await sync.refreshClaims(0);
    expect(lists()).toBe(2);
    record('there', 'z', ['w']);
    consul.hidden.add('proconsul/there/');
    await sync.refreshClaims(50);
    consul.hidden.clear();
    await sync.refreshClaims(1);
    expect([lists(), ledger.claims.complete]).toEqual([4, true]);
  });

  test('is read once for all who wait for it, but anew for who has seen something newer', async () => {
    await Promise.all([
      sync.refreshClaims(5),
      sync.refreshClaims(5),
      sync.refreshClaims(4),
      sync.refreshClaims(6),
    ]);
    expect(lists()).toBe(2);
    expect(ledger.claims.asOf).toBe(6);
  });

  test('that could not be read is read again by the next who asks', async () => {
    consul.afterRead = () => {
      consul.afterRead = () => {};
      throw new Error('lost');
    };
    await expect(sync.refreshClaims(5)).rejects.toThrow('lost');
    await sync.refreshClaims(5);
    expect(ledger.claims.asOf).toBe(5);
  });

  test('is never replaced by one that was read earlier and arrives later', async () => {
    const arrivals: (() => void)[] = [];
    consul.afterRead = () => new Promise(resolve => arrivals.push(resolve));
    const first = sync.refreshClaims(5);
    await settled();
    record('there', 'z', ['w']);
    consul.store.put(CLAIMS_KEY, '{}');
    const second = sync.refreshClaims(6);
    await settled();
    arrivals[1]?.();
    await second;
    arrivals[0]?.();
    await first;
    expect(owner('w')).toMatchObject({ install: 'there' });
    expect(ledger.claims).toMatchObject({ index: consul.store.get(CLAIMS_KEY)?.modifyIndex, asOf: 6 });
  });

  test('keeps what is known of an install that is hidden now', async () => {
    record('there', 'z', ['w']);
    await sync.load();
    consul.hidden.add('proconsul/there/');
    await sync.refreshClaims(50);
    expect(owner('w')).toMatchObject({ install: 'there' });
    expect(ledger.claims.complete).toBe(false);
  });
});

describe('all own records', () => {
  const first = () => shardKey('here', ref('a'), 0);
  let restore: () => void;
  beforeEach(async () => {
    record('here', 'a', ['x'], ['y']);
    record('here', 'b', ['z']);
    record('there', 'z', ['w']);
    restore = consul.store.snapshot();
  });

  test.each<[what: string, act: () => void, stand: boolean]>([
    ['nobody touched', () => {}, true],
    ['whose neighbours were deleted, tombstones and all', deleteNeighbours, true],
    ['beside those of other installs that were set back', () => (record('there', 'z'), restore()), true],
    ['that were wiped', () => consul.store.under('').forEach(({ key }) => consul.store.delete(key)), false],
    ['one of which was removed', () => consul.store.delete(shardKey('here', ref('b'), 0)), false],
    ['one of which lost a shard', () => consul.store.delete(shardKey('here', ref('a'), 1)), false],
    ['one of which got a shard', () => consul.store.put(shardKey('here', ref('b'), 1), '{}'), false],
    ['one of which was written', () => consul.store.put(first(), '{}'), false],
    ['one of which was removed and written again', () => rewrite(first()), false],
    ['beside one that is not known', () => record('here', 'c', ['q']), false],
    ['beside what is hidden', () => hide('c'), false],
  ])('%s: they stand as known, or not', async (_, act, stand) => {
    await sync.load();
    act();
    expect(await sync.standsAsKnown()).toBe(stand);
  });

  test.each<[what: string, act: () => void]>([
    ['an old one is back', () => record('here', 'a', ['x', 'more'], ['y'])],
    ['a removed one is back', () => consul.store.delete(shardKey('here', ref('b'), 0))],
    ['a new one is gone', () => record('here', 'c', ['q'])],
  ])('after a restore do not stand as known: %s', async (_, act) => {
    act();
    await sync.load();
    expect(await sync.standsAsKnown()).toBe(true);
    restore();
    expect(await sync.standsAsKnown()).toBe(false);
  });

  test('say nothing while there are none', async () => {
    for (const { key } of consul.store.under('proconsul/here/')) consul.store.delete(key);
    await sync.load();
    expect(await sync.standsAsKnown()).toBe(false);
  });

  test('that are written meanwhile are left out, and the others decide', async () => {
    await sync.load();
    const before = ledger.record(ref('b')) as OwnerRecord;
    ledger.reserve(ref('a'), { names: [], exclusive: undefined });
    record('here', 'a', ['x', 'more'], ['y']);
    expect(await sync.standsAsKnown()).toBe(true);
    consul.afterRead = () => ledger.committed(ref('b'), undefined, new Map());
    expect(await sync.standsAsKnown()).toBe(false);
    consul.afterRead = () => {};
    ledger.put(ref('b'), {
      ...before,
      shards: new Map([[0, { ...EMPTY_SHARD, index: 9_999 as ModifyIndex }]]),
    });
    expect(await sync.standsAsKnown()).toBe(false);
  });
});

describe('one record', () => {
  test('is read again as it stands, and is trusted again', async () => {
    record('here', 'a', ['x']);
    ledger.mistrust(ref('a'));
    expect(names(await sync.refreshRecord(ref('a')))).toEqual(['x']);
    expect([ledger.trusts(ref('a')), owner('x')]).toMatchObject([true, { ref: { name: 'a' } }]);
    consul.store.delete(shardKey('here', ref('a'), 0));
    expect(await sync.refreshRecord(ref('a'))).toBeUndefined();
    expect(owner('x')).toBeUndefined();
  });

  test('is not mixed up with one whose name begins the same', async () => {
    record('here', 'a', ['x'], ['y']);
    record('here', 'a-b', ['z']);
    expect(names(await sync.refreshRecord(ref('a')))).toEqual(['x', 'y']);
  });

  test('torn by a write between its halves has the older head, on which no write can build', async () => {
    record('here', 'a', ['x'], ['y']);
    const headBefore = consul.store.get(shardKey('here', ref('a'), 0))?.modifyIndex;
    consul.afterRead = () => {
      consul.afterRead = () => {};
      record('here', 'a', ['x', 'more'], ['y', 'more-y']);
    };
    const torn = await sync.refreshRecord(ref('a'));
    expect(torn?.shards.get(0)?.index).toBe(headBefore);
    expect(names(torn)).toContain('more-y');
  });

  test('that is hidden is not taken for absent', async () => {
    record('here', 'a', ['x'], ['y']);
    await sync.load();
    consul.hidden.add(shardKey('here', ref('a'), 1));
    await expect(sync.refreshRecord(ref('a'))).rejects.toMatchObject({ code: 'RECORDS_HIDDEN' });
    expect(names(ledger.record(ref('a')))).toEqual(['x', 'y']);
  });
});

describe('following', () => {
  beforeEach(async () => {
    record('here', 'a', ['x']);
    record('there', 'z', ['w']);
    await sync.load();
    void sync.follow();
    await follow();
  });

  test('hears of what other installs claim and let go of', async () => {
    const released: string[] = [];
    ledger.onRelease(names => released.push(...names));
    record('there', 'z', ['w2']);
    record('elsewhere', 'y', ['v']);
    await follow();
    expect([owner('w'), owner('w2'), owner('v')]).toMatchObject([
      undefined,
      { install: 'there' },
      { install: 'elsewhere' },
    ]);
    expect(released).toEqual(['w']);
    consul.store.delete(shardKey('elsewhere', ref('y'), 0));
    await follow();
    expect(released).toEqual(['w', 'v']);
  });

  test('forgets nothing of what it is not shown any more, and adopts nothing on that', async () => {
    consul.hidden.add('proconsul/there/');
    record('elsewhere', 'y', ['v']);
    await follow();
    expect(owner('w')).toMatchObject({ install: 'there' });
    expect(ledger.claims.asOf).toBe(-1);
    await sync.refreshClaims(0);
    expect(ledger.claims.complete).toBe(false);
  });

  test('takes in nothing older than what was read in between', async () => {
    const owners = '/v1/kv/proconsul%2Fthere%2Fowners%2F';
    let arrive = (): void => {};
    consul.afterRead = path =>
      path === owners ? new Promise<void>(resolve => (arrive = resolve)) : undefined;
    record('there', 'z', ['w', 'soon']);
    await follow(1);
    record('there', 'z', ['w', 'later']);
    consul.afterRead = () => {};
    await sync.refreshClaims(1_000);
    arrive();
    await settled();
    await settled();
    expect([owner('later'), owner('soon')]).toMatchObject([{ install: 'there' }, undefined]);
  });

  test('tells of own records that somebody else changed or removed, and of no others', async () => {
    record('here', 'b', ['y']);
    await sync.refreshRecord(ref('b'));
    await follow();
    expect(tampered).toEqual([]);
    record('here', 'a', ['x', 'forged']);
    await follow();
    expect(new Set(tampered)).toEqual(new Set(['a']));
    await sync.refreshRecord(ref('a'));
    tampered.length = 0;
    consul.store.delete(shardKey('here', ref('b'), 0));
    await follow();
    expect(new Set(tampered)).toEqual(new Set(['b']));
  });

  test('does not take own writes that are newer than its look for the work of others', async () => {
    const owners = '/v1/kv/proconsul%2Fhere%2Fowners%2F';
    let arrive = (): void => {};
    consul.afterRead = path =>
      path === owners ? new Promise<void>(resolve => (arrive = resolve)) : undefined;
    record('here', 'c', ['q']);
    await follow(1);
    record('here', 'a', ['x', 'own']);
    await consul.kv.get(CLAIMS_KEY, { signal: life.signal });
    const { modifyIndex } = consul.store.get(shardKey('here', ref('a'), 0)) ?? {};
    const shard = {
      index: modifyIndex as ModifyIndex,
      names: new Map([
        ['x', 'fp'],
        ['own', 'fp'],
      ]),
    };
    ledger.committed(ref('a'), { ref: ref('a'), head: HEAD, shards: new Map([[0, shard]]) }, new Map());
    arrive();
    await settled();
    await settled();
    expect(tampered).toEqual([]);
  });

  test('ends with its signal, and leaves nothing behind', async () => {
    life.abort();
    await follow();
    expect(clock.timerCount).toBe(0);
  });
});
