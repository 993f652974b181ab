import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { IpRanges, parseIpAddress } from '../../../src/probes/ip-address.ts';

test.each([
  '127.1',
  '2130706433',
  '0x7f.0.0.1',
  '0177.0.0.1',
  '127.0.0.01',
  'fe80::1%eth0',
  '[::1]',
  '::1 ',
  '',
  'a',
])('%j is no address', text => {
  expect(parseIpAddress(text)).toBeUndefined();
});

const address4 = fc.nat({ max: 2 ** 32 - 1 });
const address6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).filter(
  // What wraps an IPv4 address is judged as that.
  bits => bits >> 32n !== 0xffffn && bits >> 32n !== 0x64ff9b_0000_0000_0000_0000n,
);

function text4(bits: number): string {
  return [24, 16, 8, 0].map(shift => (bits >>> shift) & 0xff).join('.');
}

function text6(bits: bigint): string {
  return Array.from({ length: 8 }, (_, group) =>
    ((bits >> BigInt(112 - 16 * group)) & 0xffffn).toString(16),
  ).join(':');
}

/** An address that shares about as many bits with `base` as a range has: near its edge, where mistakes are. */
function near(base: bigint, flipped: number): bigint {
  return base ^ (1n << BigInt(flipped));
}

test('an IPv4 range holds the addresses that share its bits, however they are written, and no others', () => {
  fc.assert(
    fc.property(address4, fc.integer({ min: 0, max: 32 }), fc.nat({ max: 31 }), (base, prefix, flipped) => {
      const ranges = new IpRanges([{ family: 'ipv4', address: text4(base), prefix }]);
      const other = Number(near(BigInt(base), flipped));
      const inside = flipped < 32 - prefix;
      const hex = `${(other >>> 16).toString(16)}:${(other & 0xffff).toString(16)}`;
      for (const text of [text4(other), `::ffff:${text4(other)}`, `::ffff:${hex}`, `64:ff9b::${hex}`]) {
        const address = parseIpAddress(text);
        expect(address).toEqual({ family: 'ipv4', address: text4(other) });
        expect(address && ranges.has(address), text).toBe(inside);
      }
    }),
  );
});

test('an IPv6 range holds the addresses that share its bits and no others', () => {
  fc.assert(
    fc.property(address6, fc.integer({ min: 0, max: 128 }), fc.nat({ max: 127 }), (base, prefix, flipped) => {
      const ranges = new IpRanges([{ family: 'ipv6', address: text6(base), prefix }]);
      const address = parseIpAddress(text6(near(base, flipped)));
      fc.pre(address?.family === 'ipv6');
      expect(ranges.has(address)).toBe(flipped < 128 - prefix);
    }),
  );
});

test('no IPv4 address is in an IPv6 range', () => {
  const everything = new IpRanges([{ family: 'ipv6', address: '::', prefix: 0 }]);
  fc.assert(
    fc.property(address4, bits => {
      expect(everything.has({ family: 'ipv4', address: text4(bits) })).toBe(false);
    }),
  );
});
