import { describe, expect, test } from 'vitest';
import { parseDurationMs } from '../../../src/core/duration.ts';

describe('a duration', () => {
  test.each([
    ['15s', 15_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['1.001s', 1001],
    ['0.0000015s', 0.0015],
    ['250ms', 250],
    ['0s', 0],
    ['24h', 86_400_000],
    ['1m5ms', 60_005],
  ])('%s has its milliseconds', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  test.each([
    '',
    '15',
    's',
    '-5s',
    '1 s',
    '1d',
    '5S',
    '1s ',
    '1e3s',
    '.5s',
    '1.s',
    '9'.repeat(40) + 's',
    'ms5',
  ])('%j is none', text => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});
