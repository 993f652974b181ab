import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeResponse, encodeRequest } from '../../../src/probes/grpc-health.ts';

describe('a request', () => {
  test('for the server as a whole is empty', () => {
    expect(encodeRequest('')).toHaveLength(0);
  });
  test('names the service', () => {
    expect(encodeRequest('ab').toString('hex')).toBe('0a026162');
    expect(encodeRequest('x'.repeat(300)).subarray(0, 4).toString('hex')).toBe('0aac0278');
  });
});

describe('a response', () => {
  test.each([
    ['', 'UNKNOWN'],
    ['0801', 'SERVING'],
    ['0802', 'NOT_SERVING'],
    ['0803', 'SERVICE_UNKNOWN'],
    ['0809', '9'],
    ['08ffffffffffffffffff01', String(2 ** 64)],
    ['1201780801', 'SERVING'],
    ['18010801', 'SERVING'],
    ['1100000000000000000801', 'SERVING'],
    ['1d000000000801', 'SERVING'],
    ['08020801', 'SERVING'],
  ])('%s says %s', (hex, said) => {
    expect(decodeResponse(Buffer.from(hex, 'hex'))).toBe(said);
  });

  test.each(['08', '0880', '12ff', '12027a', '1100', '0b', '08ffffffffffffffffffff01'])('%s is none', hex => {
    expect(() => decodeResponse(Buffer.from(hex, 'hex'))).toThrow(RangeError);
  });

  test('any bytes are read to an end, or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
        try {
          expect(decodeResponse(Buffer.from(bytes))).toMatch(/^(\w+|[\d.e+]+)$/);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
