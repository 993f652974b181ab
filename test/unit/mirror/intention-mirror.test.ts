import { beforeEach, describe, expect, test } from 'vitest';
import type { ConfigEntry, ConfigEntryReadOptions } from '../../../src/consul/config-entry.ts';
import type { Answer, ModifyIndex } from '../../../src/consul/types.ts';
import { RetryableError } from '../../../src/core/errors.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { IntentionMirror } from '../../../src/mirror/intention-mirror.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';

const ref = (name: string): ResourceRef => ({ kind: 'ConsulIntention', namespace: 'shop', name });
const [A, B, C] = [ref('a'), ref('b'), ref('c')] as const;

const body = (name: string, source: string) => ({
  Kind: 'service-intentions',
  Name: name,
  Sources: [{ Name: source, Action: 'allow' }],
});
const entry = (name: string, index: number, source = 'web'): ConfigEntry => ({
  kind: 'service-intentions',
  name,
  createIndex: 1,
  modifyIndex: index as ModifyIndex,
  body: body(name, source),
});

interface Asked<T> {
  readonly options: ConfigEntryReadOptions;
  readonly name?: string;
  isPending: boolean;
  answer(value: T, index: number, more?: Partial<Answer<T>>): Promise<void>;
  fail(error: Error): Promise<void>;
}

let gets: Asked<ConfigEntry | undefined>[];
let lists: Asked<readonly ConfigEntry[]>[];
let watches: Asked<readonly ConfigEntry[]>[];
let told: string[][];
let fell: number;
let onIndexFell: () => Promise<void>;
let clock: FakeClock;
let ending: AbortController;
let mirror: IntentionMirror;

function ask<T>(queue: Asked<T>[], options: ConfigEntryReadOptions, name?: string): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    options.signal.addEventListener('abort', () => reject(new Error('aborted')));
    const whole = { filteredByAcl: false, knownLeader: true, elapsedMs: 1 };
    const asked: Asked<T> = {
      options,
      ...(name !== undefined && { name }),
      isPending: true,
      answer: async (value, index, more) => {
        asked.isPending = false;
        resolve({ ...whole, value, index, ...more });
        await settled();
      },
      fail: async error => {
        reject(error);
        await settled();
      },
    };
    queue.push(asked);
  });
}

beforeEach(() => {
  [gets, lists, watches, told, fell] = [[], [], [], [], 0];
  onIndexFell = () => Promise.resolve();
  clock = new FakeClock();
  ending = new AbortController();
  mirror = new IntentionMirror({
    consul: {
      configEntries: {
        get: ({ name }, options) => ask(gets, options, name),
        list: (_kind, options) => ask(options.block === undefined ? lists : watches, options),
      },
    },
    datacenter: () => 'dc1',
    clock,
    random: () => 0.5,
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never,
    signal: ending.signal,
    onIndexFell: async () => {
      fell += 1;
      await onIndexFell();
    },
  });
  mirror.onChange(refs => told.push(refs.map(({ name }) => name)));
});

const { signal } = new AbortController();
const last = <T>(queue: readonly Asked<T>[]): Asked<T> => {
  const asked = queue.at(-1);
  if (asked === undefined) throw new Error('nothing was asked');
  return asked;
};
const sources = (seen: { entry: ConfigEntry | undefined } | undefined) =>
  (seen?.entry?.body['Sources'] as { Name: string }[] | undefined)?.map(({ Name }) => Name);

/** Follows, and knows `orders` at index 10, which A and B have to do with, and `pay`, which C has to do with. */
async function followed(): Promise<void> {
  mirror.track(A, 'orders');
  mirror.track(B, 'orders');
  mirror.track(C, 'pay');
  mirror.open();
  const loaded = mirror.load([]);
  await last(lists).answer([entry('orders', 10), entry('pay', 9)], 10);
  await loaded;
  await settled();
  await last(watches).answer([entry('orders', 10), entry('pay', 9)], 10);
  clock.advance(100);
  await settled();
  told = [];
}

describe('what stands at a destination', () => {
  test('is read consistently, in the datacenter given, until it is followed', async () => {
    mirror.track(A, 'orders');
    for (const _ of [1, 2]) {
      const asked = mirror.current('orders', { signal });
      expect(last(gets).options).toMatchObject({ consistency: 'consistent', datacenter: 'dc1' });
      await last(gets).answer(entry('orders', 10), 10);
      expect((await asked).entry?.modifyIndex).toBe(10);
    }
    expect(gets).toHaveLength(2);
    expect(mirror.seen('orders')).toBeUndefined();
  });

  test('is known once it is followed and has been read, present or absent', async () => {
    await followed();
    expect((await mirror.current('orders', { signal })).entry?.modifyIndex).toBe(10);
    mirror.track(A, 'new');
    const asked = mirror.current('new', { signal });
    await last(gets).answer(undefined, 12);
    expect((await asked).entry).toBeUndefined();
    expect(await mirror.current('new', { signal })).toEqual({ entry: undefined, asOf: 12 });
    expect(gets).toHaveLength(1);
  });

  test('is not concluded from a list alone when it has never been read', async () => {
    await followed();
    mirror.track(A, 'new');
    await last(watches).answer([], 11);
    expect(mirror.seen('new')).toBeUndefined();
  });

  test('is one and the same in upper and lower case', async () => {
    await followed();
    await last(watches).answer([entry('Orders', 11), entry('pay', 9)], 11);
    expect(mirror.seen('orders')?.entry?.modifyIndex).toBe(11);
    expect(mirror.concernedBy(['ORDERS'])).toEqual([A, B]);
  });

  test('is read anew when that is asked for, or when it is doubted', async () => {
    await followed();
    const fresh = mirror.current('orders', { signal, fresh: true });
    await last(gets).answer(entry('orders', 10), 11);
    expect((await fresh).asOf).toBe(11);
    mirror.doubt('orders');
    expect(mirror.seen('orders')).toBeUndefined();
    const doubted = mirror.current('orders', { signal });
    await last(gets).answer(entry('orders', 10), 11);
    await doubted;
    await mirror.current('orders', { signal });
    expect(gets).toHaveLength(2);
  });

  test('is not answered by a read that was under way when it was doubted', async () => {
    await followed();
    const early = mirror.current('orders', { signal, fresh: true });
    mirror.doubt('orders');
    await last(gets).answer(entry('orders', 10), 10);
    expect(gets).toHaveLength(2);
    await last(gets).answer(entry('orders', 12), 12);
    expect((await early).entry?.modifyIndex).toBe(12);
  });

  test('is read without being kept where nobody tracks it', async () => {
    await followed();
    const asked = mirror.current('other', { signal });
    await last(gets).answer(entry('other', 4), 12);
    expect((await asked).entry?.name).toBe('other');
    expect(mirror.seen('other')).toBeUndefined();
  });

  test('an error of the read is that of the caller', async () => {
    await followed();
    const asked = mirror.current('orders', { signal, fresh: true });
    const denied = new RetryableError('no', { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
    void last(gets).fail(denied);
    await expect(asked).rejects.toBe(denied);
  });
});

describe('the watch', () => {
  beforeEach(followed);

  test('tells exactly those who have to do with what moved, also when it was deleted', async () => {
    await last(watches).answer([entry('orders', 11), entry('pay', 9), entry('foreign', 11)], 11);
    clock.advance(100);
    await settled();
    expect(told).toEqual([['a', 'b']]);
    await last(watches).answer([entry('orders', 11)], 12);
    expect(told).toEqual([['a', 'b'], ['c']]);
    expect(mirror.seen('pay')).toEqual({ entry: undefined, asOf: 12 });
  });

  test('tells nobody when nothing of theirs moved', async () => {
    await last(watches).answer([entry('orders', 10), entry('pay', 9), entry('foreign', 11)], 11);
    expect(told).toEqual([]);
  });

  test('is one request, however many destinations there are', () => {
    expect(watches.filter(({ isPending, options }) => isPending && !options.signal.aborted)).toHaveLength(1);
    expect(gets).toHaveLength(0);
  });

  test('never overtakes what was read since', async () => {
    const fresh = mirror.current('orders', { signal, fresh: true, reader: A });
    await last(gets).answer(entry('orders', 20), 20);
    await fresh;
    expect(told).toEqual([['b']]);
    await last(watches).answer([entry('orders', 15), entry('pay', 9)], 15);
    expect(mirror.seen('orders')?.entry?.modifyIndex).toBe(20);
    expect(told).toEqual([['b']]);
  });

  test('asks again only after a pause, which is longer the more entries there are', async () => {
    const many = Array.from({ length: 5000 }, (_, number) => entry(`d${number}`, 9));
    const asked = watches.length;
    await last(watches).answer(many, 11);
    clock.advance(999);
    await settled();
    expect(watches).toHaveLength(asked);
    clock.advance(1);
    await settled();
    expect(watches).toHaveLength(asked + 1);
  });

  test('opened twice is opened once', async () => {
    const asked = watches.length;
    mirror.open();
    await settled();
    expect(watches).toHaveLength(asked);
  });

  test('tells nobody who has gone elsewhere', async () => {
    mirror.track(A, 'pay');
    mirror.track(B, undefined);
    await last(watches).answer([entry('orders', 11), entry('pay', 9)], 11);
    expect(told).toEqual([]);
    expect(mirror.seen('orders')).toBeUndefined();
    expect(mirror.concernedBy(['pay', 'orders'])).toEqual([C, A]);
  });
});

describe('a list that an ACL filtered', () => {
  beforeEach(followed);

  test('tells what it shows, and never that something is gone', async () => {
    await last(watches).answer([entry('orders', 11)], 11, { filteredByAcl: true });
    expect(mirror.seen('orders')?.entry?.modifyIndex).toBe(11);
    expect(mirror.seen('pay')).toBeUndefined();
    expect(told).toEqual([['a', 'b', 'c']]);
    const asked = mirror.current('pay', { signal });
    await last(gets).answer(undefined, 11);
    expect((await asked).entry).toBeUndefined();
  });

  test('tells once of what is missing, not each time', async () => {
    await last(watches).answer([entry('orders', 10)], 11, { filteredByAcl: true });
    clock.advance(100);
    await settled();
    await last(watches).answer([entry('orders', 10)], 12, { filteredByAcl: true });
    expect(told).toEqual([['c']]);
  });

  test('says nothing of what was written after it', async () => {
    const fresh = mirror.current('pay', { signal, fresh: true, reader: C });
    await last(gets).answer(entry('pay', 20), 20);
    await fresh;
    await last(watches).answer([entry('orders', 10)], 15, { filteredByAcl: true });
    expect(mirror.seen('pay')?.entry?.modifyIndex).toBe(20);
    expect(told).toEqual([]);
  });
});

describe('an own write', () => {
  beforeEach(followed);
  const write = (send: () => Promise<{ applied: boolean }>, source = 'own') =>
    mirror.write('orders', { writer: A, sent: body('orders', source), send, signal });

  test('is read back and told to nobody, even when the watch shows it first', async () => {
    const sent = Promise.withResolvers<{ applied: boolean }>();
    const written = write(() => sent.promise);
    await last(watches).answer([entry('orders', 11, 'own'), entry('pay', 9)], 11);
    sent.resolve({ applied: true });
    await settled();
    await last(gets).answer(entry('orders', 11, 'own'), 11);
    expect(await written).toMatchObject({ applied: true, asSent: true, seen: { asOf: 11 } });
    expect(told).toEqual([]);
    expect(sources(mirror.seen('orders'))).toEqual(['own']);
    clock.advance(100);
    await settled();
    await last(watches).answer([entry('orders', 11, 'own'), entry('pay', 9)], 12);
    expect(told).toEqual([]);
  });

  test('over which somebody wrote is told to the others', async () => {
    const written = write(() => Promise.resolve({ applied: true }));
    await settled();
    await last(gets).answer(entry('orders', 12, 'theirs'), 12);
    expect(await written).toMatchObject({ applied: true, asSent: false });
    expect(told).toEqual([['b']]);
  });

  test('that was not applied is read back too, and what moved is told to the others', async () => {
    const written = write(() => Promise.resolve({ applied: false }));
    await settled();
    await last(gets).answer(entry('orders', 12, 'own'), 12);
    expect(await written).toMatchObject({ applied: false, asSent: false });
    expect(told).toEqual([['b']]);
  });

  test('that failed leaves the destination doubted, and what the watch showed meanwhile is told', async () => {
    const sent = Promise.withResolvers<{ applied: boolean }>();
    const written = write(() => sent.promise);
    await last(watches).answer([entry('orders', 11, 'theirs'), entry('pay', 9)], 11);
    expect(told).toEqual([]);
    sent.reject(new Error('broken'));
    await expect(written).rejects.toThrow('broken');
    expect(told).toEqual([['b']]);
    expect(mirror.seen('orders')).toBeUndefined();
  });

  test('of a destination has no other beside it', async () => {
    void write(() => new Promise(() => {}));
    await expect(write(() => Promise.resolve({ applied: true }))).rejects.toThrow(TypeError);
    await expect(
      mirror.write('nobodys', { writer: A, sent: undefined, send: () => Promise.reject(), signal }),
    ).rejects.toThrow(TypeError);
  });

  test('that deletes stands as sent when nothing stands', async () => {
    const written = mirror.write('orders', {
      writer: A,
      sent: undefined,
      send: () => Promise.resolve({ applied: true }),
      signal,
    });
    await settled();
    await last(gets).answer(undefined, 13);
    expect(await written).toMatchObject({ asSent: true, seen: { entry: undefined } });
    expect(mirror.seen('orders')).toEqual({ entry: undefined, asOf: 13 });
    expect(told).toEqual([]);
  });
});

describe('another history', () => {
  beforeEach(followed);

  test('seen by the watch is told once, and everything is doubted and read anew', async () => {
    await last(watches).answer([entry('orders', 3), entry('pay', 2)], 3);
    clock.advance(100);
    await settled();
    await last(watches).answer([entry('orders', 3), entry('pay', 2)], 3);
    expect(fell).toBe(1);
    expect(mirror.seen('orders')).toBeUndefined();
    expect(told).toEqual([['a', 'b', 'c']]);
    const asked = mirror.current('orders', { signal });
    await last(gets).answer(entry('orders', 3), 3);
    expect((await asked).entry?.modifyIndex).toBe(3);
  });

  test('between two queries is seen by the look every 10 s, and the query of the old one is given up', async () => {
    const old = last(watches);
    clock.advance(10_000);
    await settled();
    await last(gets).answer(entry('orders', 3), 3);
    expect(fell).toBe(1);
    expect(old.options.signal.aborted).toBe(true);
    expect(last(watches).options.block?.index).toBe(0);
    expect(mirror.seen('pay')).toBeUndefined();
  });

  test('is seen by any consistent read, which is taken for the new one', async () => {
    const asked = mirror.current('orders', { signal, fresh: true });
    await last(gets).answer(entry('orders', 3), 3);
    expect(await asked).toMatchObject({ asOf: 3 });
    expect(fell).toBe(1);
    expect(mirror.seen('pay')).toBeUndefined();
  });

  test('is one, however many reads show it', async () => {
    const both = ['orders', 'pay'].map(name => mirror.current(name, { signal, fresh: true }));
    const [ofOrders, ofPay] = gets;
    await ofOrders?.answer(entry('orders', 3), 3);
    await ofPay?.answer(entry('pay', 2), 3);
    await last(gets).answer(entry('pay', 2), 3);
    expect((await Promise.all(both)).map(({ asOf }) => asOf)).toEqual([3, 3]);
    expect([fell, gets.length]).toEqual([1, 3]);
  });

  test('does not end in a circle when whoever is told looks at everything', async () => {
    onIndexFell = () => mirror.lookAtAll();
    const asked = mirror.current('orders', { signal, fresh: true });
    await last(gets).answer(entry('orders', 3), 3);
    await asked;
    await last(lists).answer([entry('orders', 3), entry('pay', 2)], 3);
    expect([fell, lists.length]).toEqual([1, 2]);
    expect(mirror.seen('pay')).toMatchObject({ asOf: 3 });
  });

  test('what was asked of the old one and answers late is dropped', async () => {
    const late = mirror.current('pay', { signal, fresh: true });
    const lateGet = last(gets);
    const asked = mirror.current('orders', { signal, fresh: true });
    await last(gets).answer(entry('orders', 3), 3);
    await asked;
    await lateGet.answer(entry('pay', 9), 10);
    await last(gets).answer(entry('pay', 2), 3);
    expect((await late).entry?.modifyIndex).toBe(2);
    expect(fell).toBe(1);
  });
});

test('in peace there is the blocking query, and one read of one entry every 10 s', async () => {
  await followed();
  const before = { gets: gets.length, lists: lists.length, watches: watches.length };
  for (const [round, name] of ['orders', 'pay', 'orders'].entries()) {
    clock.advance(10_000);
    await settled();
    expect(gets).toHaveLength(round + 1);
    expect(last(gets).name).toBe(name);
    await last(gets).answer(entry(name, name === 'pay' ? 9 : 10), 10);
  }
  expect(before).toEqual({ gets: 0, lists: lists.length, watches: watches.length });
  expect(told).toEqual([]);
});
