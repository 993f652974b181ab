import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fingerprinter } from '../../../src/ownership/fingerprint.ts';

const KEY = Buffer.alloc(32, 7);
const prints = new Fingerprinter(KEY);
const content = (value: string | Buffer, flags = 0n) => ({ value: Buffer.from(value), flags });

test('is 128 bits of an HMAC, and the same for the same content', () => {
  expect(prints.of('a', content('x'))).toBe(new Fingerprinter(Buffer.from(KEY)).of('a', content('x')));
  expect(Buffer.from(prints.of('a', content('x')), 'base64url')).toHaveLength(16);
});

test('differs by name, by flags, by bytes and by key', () => {
  const all = [
    prints.of('a', content('x')),
    prints.of('b', content('x')),
    prints.of('a', content('y')),
    prints.of('a', content('')),
    prints.of('a', content('x', 1n)),
    prints.of('a', content('x', 2n ** 64n - 1n)),
    new Fingerprinter(Buffer.alloc(32, 8)).of('a', content('x')),
  ];
  expect(new Set(all).size).toBe(all.length);
});

test('tells where a name, the flags and the value begin', () => {
  const contents = fc.record({
    name: fc.constantFrom('a', 'a0', 'a1', '1'),
    flags: fc.constantFrom(0n, 1n, 10n),
    value: fc.constantFrom('', '0', '1', '\u0000', '0\u0000'),
  });
  fc.assert(
    fc.property(contents, contents, (one, other) => {
      const [first, second] = [one, other].map(({ name, flags, value }) =>
        prints.of(name, content(value, flags)),
      );
      const isSame = one.name === other.name && one.flags === other.flags && one.value === other.value;
      expect(first === second).toBe(isSame);
    }),
  );
});

test('of a set does not depend on its order', () => {
  const entries: [string, string][] = [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ];
  const forward = prints.ofAll(new Map(entries));
  expect(prints.ofAll(new Map(entries.toReversed()))).toBe(forward);
  expect(prints.ofAll(new Map(entries.slice(1)))).not.toBe(forward);
  expect(prints.ofAll(new Map([...entries.slice(0, 2), ['c', '4']]))).not.toBe(forward);
  expect(prints.ofAll(new Map())).toHaveLength(22);
});

test('needs a key, and takes the one it is given last', () => {
  const empty = new Fingerprinter();
  expect(empty.key).toBeUndefined();
  expect(() => empty.of('a', content('x'))).toThrow('private key');
  empty.use(KEY);
  expect(empty.of('a', content('x'))).toBe(prints.of('a', content('x')));
});
