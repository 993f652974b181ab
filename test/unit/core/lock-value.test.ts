import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeLockValue,
  foreignUse,
  GO_LOCK_FLAGS,
  GO_SEMAPHORE_FLAGS,
  LOCK_FLAGS,
  type LockValue,
  MAX_LOCK_VALUE_BYTES,
  nextFencingToken,
  parseLockValue,
} from '../../../src/core/lock-value.ts';

const VALUE: LockValue = {
  holder: 'orders-0',
  uid: 'u-1',
  fencingToken: 4711n,
  acquiredTime: '2026-01-01T00:00:00Z',
};

describe('the value of a lock', () => {
  test('is JSON that any language reads, its token in digits', () => {
    expect(encodeLockValue({ ...VALUE, extra: { cluster: 'c', process: { pid: 1 } } }).toString()).toBe(
      '{"cluster":"c","process":{"pid":1},"holder":"orders-0","uid":"u-1","fencingToken":"4711","acquiredTime":"2026-01-01T00:00:00Z"}',
    );
  });

  test('comes back as it was written, whatever else is in it', () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 });
    const own = new Set(['holder', 'uid', 'fencingToken', 'acquiredTime']);
    const extra = fc.dictionary(
      text.filter(name => !own.has(name)),
      fc.jsonValue({ maxDepth: 2 }),
      { minKeys: 1, maxKeys: 4 },
    );
    fc.assert(
      fc.property(text, text, fc.bigInt(0n, 2n ** 63n - 1n), extra, (holder, uid, fencingToken, extra) => {
        const value = { ...VALUE, holder, uid, fencingToken, extra };
        const back = parseLockValue(encodeLockValue(value));
        expect(back).toEqual({ ...value, extra: JSON.parse(JSON.stringify(extra)) as unknown });
      }),
    );
  });

  test('cannot be overruled by what is added to it', () => {
    const extra = { holder: 'another', fencingToken: '1' };
    expect(parseLockValue(encodeLockValue({ ...VALUE, extra }))).toEqual(VALUE);
  });

  const json = (change: object): string => JSON.stringify({ ...VALUE, fencingToken: '1', ...change });
  test.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['half an object', json({}).slice(0, -1)],
    ['an array', '[]'],
    ['null', 'null'],
    ['no holder', json({ holder: undefined })],
    ['an empty holder', json({ holder: '' })],
    ['a holder of more than 1024 characters', json({ holder: 'x'.repeat(1025) })],
    ['no uid', json({ uid: undefined })],
    ['no time', json({ acquiredTime: 5 })],
    ['a token that is a number', json({ fencingToken: 1 })],
    ['a negative token', json({ fencingToken: '-1' })],
    ['a token with a leading zero', json({ fencingToken: '01' })],
    ['a token over 19 digits', json({ fencingToken: '1'.repeat(20) })],
    ['a token over 63 bits', json({ fencingToken: String(2n ** 63n) })],
    ['too many bytes', json({ more: 'x'.repeat(MAX_LOCK_VALUE_BYTES) })],
    ['JSON nested too deep', `${'['.repeat(8000)}${']'.repeat(8000)}`],
  ])('is none: %s', (_, text) => {
    expect(parseLockValue(Buffer.from(text))).toBeUndefined();
  });

  test('of any bytes at all never throws', () => {
    fc.assert(fc.property(fc.uint8Array(), bytes => void parseLockValue(Buffer.from(bytes))));
  });

  test.each<[string, Partial<LockValue>]>([
    ['holder', { holder: '' }],
    ['uid', { uid: '' }],
    ['bytes', { extra: { more: 'x'.repeat(MAX_LOCK_VALUE_BYTES) } }],
    ['token', { fencingToken: 2n ** 63n }],
  ])('that could not be read back is not written for its %s', (what, change) => {
    expect(() => encodeLockValue({ ...VALUE, ...change })).toThrow(what);
  });
});

describe('a key', () => {
  const value = encodeLockValue(VALUE);
  const empty = Buffer.alloc(0);
  test.each([
    ['with our flags', { flags: LOCK_FLAGS, value }],
    ['with our flags and an edited value', { flags: LOCK_FLAGS, value: Buffer.from('edited') }],
    ['that an admin released with an empty value', { flags: 0n, value: empty }],
    ['that an admin released with its value', { flags: 0n, value }],
  ])('%s is ours', (_, entry) => {
    expect(foreignUse(entry)).toBeUndefined();
  });

  test.each([
    ['api.Lock', { flags: GO_LOCK_FLAGS, value: empty }],
    ['api.Lock', { flags: GO_LOCK_FLAGS, value }],
    ['api.Semaphore', { flags: GO_SEMAPHORE_FLAGS, value: empty }],
    ['data', { flags: 0n, value: Buffer.from('hello') }],
    ['flags 42', { flags: 42n, value: empty }],
  ])('is used for something else: %s', (what, entry) => {
    expect(foreignUse(entry)).toContain(what);
  });

  test('of ours has flags that every JSON reader gets right', () => {
    expect(BigInt(Number(LOCK_FLAGS))).toBe(LOCK_FLAGS);
    expect(Number.isSafeInteger(Number(LOCK_FLAGS))).toBe(true);
  });
});

test.each([
  [[], 0, 1n],
  [[0n], 7, 7n],
  [[6n], 7, 7n],
  [[7n], 7, 8n],
  [[100n, 3n], 7, 101n],
  [[2n ** 63n - 2n], 7, 2n ** 63n - 1n],
  [[2n ** 63n - 1n, 100n], 7, 101n],
])('after the tokens %s at index %d comes %s', (seen, index, next) => {
  expect(nextFencingToken(seen, index)).toBe(next);
});
