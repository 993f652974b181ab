import { describe, expect, test } from 'vitest';
import { leaseSettingsOf, parseConsulLeaderLease } from '../../../src/api/v1alpha1/consulleaderlease.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from './consulkv-keys.ts';
import { LARGEST_LEASE, LEASE_CASES, LEASE_SCHEMA_CASES, lease } from './consulleaderlease-cases.ts';

const metadata = { name: 'orders', namespace: 'shop', uid: 'u-1', resourceVersion: '7', generation: 3 };
const parsed = (spec: unknown, more: object = {}) => parseConsulLeaderLease({ metadata, spec, ...more });
const problemOf = (spec: unknown) => {
  const result = parsed(spec);
  return result.ok ? undefined : result.problem;
};
const settingsOf = (spec: unknown) => {
  const result = parsed(spec);
  if (!result.ok) throw new Error(result.problem);
  return leaseSettingsOf(result.value.spec);
};

describe('the rules of the CRD, in code', () => {
  test.each(LEASE_CASES)('$says', ({ kept, broken, field }) => {
    expect(problemOf(kept)).toBeUndefined();
    expect(problemOf(broken)?.startsWith(field.replace(/\.matchLabels$/, ''))).toBe(true);
  });

  test.each(LEASE_SCHEMA_CASES)('refuses $says', ({ broken, field }) => {
    expect(problemOf(broken)).toContain(field.replace(/\.app$/, ''));
  });

  test('the largest lease there can be is one', () => {
    expect(problemOf(LARGEST_LEASE)).toBeUndefined();
  });

  test.each(GOOD_KEYS)('%j may be the key of a lease', key => {
    expect(problemOf(lease({ key }))).toBeUndefined();
  });

  test.each([...BAD_KEYS, ...UNPRINTED_KEYS])('%j may not', key => {
    expect(problemOf(lease({ key }))).toMatch(/^spec\.key/);
  });

  test('a selector is not taken in by what every JavaScript object has', () => {
    const spec = lease({ leaderLabel: 'constructor' });
    expect(problemOf(spec)).toBeUndefined();
  });
});

describe('what is in effect', () => {
  test('the defaults', () => {
    expect(settingsOf(lease())).toEqual({
      heldBy: 'Operator',
      handover: 'Immediate',
      holders: 1,
      ttl: '15s',
      ttlSeconds: 15,
      lockDelay: '5s',
      lockDelaySeconds: 5,
      leaderLabel: 'proconsul.dev/leader',
      suspend: false,
    });
  });

  test('what the spec says', () => {
    const spec = {
      heldBy: 'Application',
      handover: 'AfterLockDelay',
      holders: 3,
      session: { ttl: '1m30s', lockDelay: '500ms' },
      leaderLabel: 'role',
      suspend: true,
    };
    expect(settingsOf(lease(spec))).toEqual({
      heldBy: 'Application',
      handover: 'AfterLockDelay',
      holders: 3,
      ttl: '1m30s',
      ttlSeconds: 90,
      lockDelay: '500ms',
      lockDelaySeconds: 0.5,
      leaderLabel: 'role',
      suspend: true,
    });
  });
});

describe('what is read', () => {
  test('the spec as declared, without defaults and without unknown fields', () => {
    const holder = { name: 'orders-0', uid: 'p-1', fencingToken: '7', newer: 1 };
    const result = parsed(lease({ fromTheFuture: 1 }), { status: { holders: [holder], transitions: 2 } });
    expect(result).toEqual({
      ok: true,
      value: {
        metadata: { ...metadata, finalizers: [], annotations: {} },
        spec: lease(),
        status: { holders: [{ name: 'orders-0', uid: 'p-1', fencingToken: '7' }], transitions: 2 },
      },
    });
  });

  test.each([undefined, null, 'text', 7, [], {}, { metadata: null }])(
    '%j is a problem, not an exception',
    object => {
      expect(parseConsulLeaderLease(object)).toMatchObject({ ok: false, deletionPolicy: 'Delete' });
    },
  );
});
