import { expect, test } from 'vitest';
import { keyProblem } from '../../../src/core/keys.ts';
import {
  defaultLeaseKey,
  isSlotKey,
  MAX_HOLDERS,
  MAX_SLOT_SUFFIX_BYTES,
  slotKeys,
} from '../../../src/core/lease-keys.ts';
import { NAMES_PER_SHARD } from '../../../src/ownership/record.ts';

test('one holder has the key itself, more have a slot each', () => {
  expect(slotKeys('a', 1)).toEqual(['a']);
  expect(slotKeys('a', 3)).toEqual(['a/0', 'a/1', 'a/2']);
});

test('the key of every slot is known for one, and no other key is', () => {
  for (const holders of [1, 2, MAX_HOLDERS]) {
    expect(slotKeys('a', holders).filter(key => !isSlotKey('a', key))).toEqual([]);
  }
  const others = [
    '',
    'b',
    'a/',
    'a/x',
    'a/01',
    'a/-1',
    'a/1/2',
    'ab/1',
    `a/${MAX_HOLDERS}`,
    'a/1e1',
    'a/100',
  ];
  expect(others.filter(key => isSlotKey('a', key))).toEqual([]);
});

test('the longest suffix is that of the last slot', () => {
  expect(slotKeys('a', MAX_HOLDERS).at(-1)).toHaveLength(1 + MAX_SLOT_SUFFIX_BYTES);
});

test('the default is out of reach of what users declare, and of other leases', () => {
  expect(keyProblem(defaultLeaseKey('install-1', 'shop', 'orders'))).toContain('belongs to the operator');
  const keys = [
    defaultLeaseKey('i', 'a', 'b'),
    defaultLeaseKey('i', 'a', 'b.c'),
    defaultLeaseKey('i', 'a-b', 'c'),
  ];
  expect(new Set(keys.flatMap(key => [...slotKeys(key, 1), ...slotKeys(key, 32)])).size).toBe(3 * 33);
});

test('the keys of one and of the most holders fit into one owner record without shards', () => {
  expect(slotKeys('a', 1).length + MAX_HOLDERS).toBeLessThanOrEqual(NAMES_PER_SHARD);
});
