import { describe, expect, test } from 'vitest';
import { parseConsulIntention } from '../../../src/api/v1alpha1/consulintention.ts';
import {
  from,
  http,
  INTENTION_CASES,
  INTENTION_SCHEMA_CASES,
  intention,
  LARGEST_INTENTIONS,
  MOST_HEADERS,
  REGEX_CASES,
} from './consulintention-cases.ts';

const metadata = { name: 'orders', namespace: 'shop', uid: 'u-1', resourceVersion: '7', generation: 3 };
const parsed = (spec: unknown, more: object = {}) => parseConsulIntention({ metadata, spec, ...more });
const problemOf = (spec: unknown) => {
  const result = parsed(spec);
  return result.ok ? undefined : result.problem;
};

describe('the rules of the CRD, in code', () => {
  test.each(INTENTION_CASES)('$says', ({ kept, broken, field }) => {
    expect(problemOf(kept)).toBeUndefined();
    expect(problemOf(broken)?.startsWith(field)).toBe(true);
  });

  test.each(INTENTION_SCHEMA_CASES)('refuses $says', ({ broken, field }) => {
    expect(problemOf(broken)?.startsWith(field)).toBe(true);
  });

  test.each(REGEX_CASES)('leaves it to the API server whether $says', ({ kept, broken }) => {
    expect([problemOf(kept), problemOf(broken)]).toEqual([undefined, undefined]);
  });

  test.each(LARGEST_INTENTIONS)('takes $says', ({ spec }) => {
    expect(problemOf(spec)).toBeUndefined();
  });

  test('takes as many headers as there can be', () => {
    expect(problemOf(MOST_HEADERS)).toBeUndefined();
  });

  test('names the place of the second source, permission and header', () => {
    const bad = {
      name: 'web',
      permissions: [
        { action: 'allow', http: { pathPrefix: '/' } },
        { action: 'deny', http: { header: [{ name: 'a', present: true }, { name: 'b' }] } },
      ],
    };
    expect(problemOf(from({ name: '*', action: 'deny' }, bad))).toMatch(
      /^spec\.sources\[1\]\.permissions\[1\]\.http\.header\[1\]\.present: exactly one of /,
    );
  });
});

describe('what is read', () => {
  test('the spec as declared, without defaults and without unknown fields', () => {
    const status = { sources: 1, precedence: [{ source: 'web', precedence: 9, newer: 1 }], newer: 1 };
    expect(parsed(intention({ fromTheFuture: 1 }), { status })).toEqual({
      ok: true,
      value: {
        metadata: { ...metadata, finalizers: [], annotations: {} },
        spec: intention(),
        status: { sources: 1, precedence: [{ source: 'web', precedence: 9 }] },
      },
    });
  });

  test('every field there is', () => {
    const jwt = {
      providers: [{ name: 'okta', verifyClaims: [{ path: ['perms', 'role'], value: 'admin' }] }],
    };
    const headers = [
      { name: 'a', present: true, invert: true },
      { name: 'b', exact: 'x', ignoreCase: true },
      { name: 'c', prefix: 'x' },
      { name: 'd', suffix: 'x' },
      { name: 'e', contains: 'x' },
      { name: ':authority', regex: 'x' },
    ];
    const spec = {
      destination: 'orders',
      sources: [
        { name: '*', peer: 'dc2', action: 'deny', description: 'nobody else' },
        {
          name: 'admin',
          permissions: [
            { action: 'deny', http: { pathExact: '/a', header: headers, methods: ['get', 'GET'] }, jwt },
            { action: 'allow', http: { pathPrefix: '/b' } },
            { action: 'allow', http: { pathRegex: '/c' } },
          ],
        },
      ],
      jwt,
      datacenter: 'dc1',
      deletionPolicy: 'Retain',
      adoptionPolicy: 'Always',
      driftPolicy: 'Ignore',
      suspend: false,
    };
    expect(parsed(spec)).toMatchObject({ ok: true, value: { spec } });
  });

  test('of a bad spec what is needed to delete it', () => {
    const spec = { ...http({}), deletionPolicy: 'Retain' };
    expect(parsed(spec)).toMatchObject({ ok: false, deletionPolicy: 'Retain', metadata: { uid: 'u-1' } });
  });

  test.each([undefined, null, 'text', 7, [], {}, { metadata: null }])(
    '%j is a problem, not an exception',
    object => {
      expect(parseConsulIntention(object)).toMatchObject({ ok: false, deletionPolicy: 'Delete' });
    },
  );
});
