import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CHANGING,
  claimName,
  claimPrefix,
  describeClaim,
  type IntentionClaim,
  markClaimed,
  parseClaimName,
  readClaimState,
} from '../../../src/core/intention-claims.ts';
import { keyProblem, prefixProblem } from '../../../src/core/keys.ts';

const part = fc.oneof(
  fc.string({ minLength: 1, unit: 'binary' }),
  fc.constantFrom('*', 'web', 'a/b', '%2F', '.', '..', '__proto__', 'source', 'jwt'),
);
const claim: fc.Arbitrary<IntentionClaim> = fc.oneof(
  fc.record({
    kind: fc.constant('source' as const),
    destination: part,
    peer: fc.oneof(fc.constant(''), part),
    source: part,
  }),
  fc.record({ kind: fc.constant('jwt' as const), destination: part }),
);

describe('names of claims', () => {
  test.each<[IntentionClaim, string, string]>([
    [
      { kind: 'source', destination: 'orders', peer: '', source: 'web' },
      '/intention/orders/source//web',
      'web',
    ],
    [
      { kind: 'source', destination: '*', peer: 'dc3', source: '*' },
      '/intention/*/source/dc3/*',
      '* of peer dc3',
    ],
    [{ kind: 'jwt', destination: 'orders' }, '/intention/orders/jwt', 'jwt'],
    [
      { kind: 'source', destination: 'a/b', peer: '', source: '50%\u202e' },
      '/intention/a%2Fb/source//50%25%E2%80%AE',
      '50%\\u{202e}',
    ],
  ])('%j', (claim, name, told) => {
    expect(claimName(claim)).toBe(name);
    expect(parseClaimName(name)).toEqual(claim);
    expect(describeClaim(name)).toBe(told);
  });

  test.each([
    '',
    'intention/orders/jwt',
    '/intention/',
    '/intention//jwt',
    '/intention/orders',
    '/intention/orders/',
    '/intention/orders/jwt/',
    '/intention/orders/jwt/x',
    '/intention/orders/source/',
    '/intention/orders/source/web',
    '/intention/orders/source//',
    '/intention/orders/source//web/',
    '/intention/orders/source/p/web/x',
    '/intention/orders/other//web',
    '/intention/orders/source//%77eb',
    '/intention/orders/source//a%2fb',
    '/intention/orders/source//a%',
    '/intention/orders/source//a b',
    '/intention/%6Frders/jwt',
    '/Intention/orders/jwt',
  ])('%j is none', name => {
    expect(parseClaimName(name)).toBeUndefined();
  });

  test('every claim has one name, and every name one claim', () => {
    fc.assert(
      fc.property(claim, claim, (one, other) => {
        expect(parseClaimName(claimName(one))).toEqual(one);
        const isSame =
          JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort());
        expect(claimName(one) === claimName(other)).toBe(isSame);
      }),
      { numRuns: 1000 },
    );
  });

  test('what can be parsed is written back as it was', () => {
    const text = fc.string({ unit: fc.constantFrom('/', '%', '2', 'F', 'a', 'jwt', 'source', '*') });
    fc.assert(
      fc.property(text, rest => {
        const name = `/intention/${rest}`;
        const parsed = parseClaimName(name);
        if (parsed !== undefined) expect(claimName(parsed)).toBe(name);
      }),
      { numRuns: 2000 },
    );
  });

  test('those of one destination share a prefix that those of others do not have', () => {
    fc.assert(
      fc.property(claim, part, (claim, destination) => {
        const isUnder = claimName(claim).startsWith(claimPrefix(destination));
        expect(isUnder).toBe(claim.destination === destination);
      }),
    );
  });

  test('none is a key, or below a prefix, that a ConsulKV could declare', () => {
    fc.assert(
      fc.property(claim, claim => {
        expect(claimName(claim)).toMatch(/^\//);
        expect(keyProblem(claimName(claim))).toBeDefined();
        expect(prefixProblem(claimPrefix(claim.destination))).toBeDefined();
      }),
    );
  });
});

describe('what a record says of a claim', () => {
  test.each([
    ['', { kind: 'claimed', intended: undefined }],
    [markClaimed('abc_-9'), { kind: 'claimed', intended: 'abc_-9' }],
    [CHANGING, { kind: 'changing' }],
    ['abc_-9', { kind: 'settled', fingerprint: 'abc_-9' }],
  ])('%j', (recorded, state) => {
    expect(readClaimState(recorded)).toEqual(state);
  });
});
