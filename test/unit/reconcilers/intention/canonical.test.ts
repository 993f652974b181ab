import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { IntentionSource } from '../../../../src/api/v1alpha1/consulintention.ts';
import {
  canonicalJson,
  canonicalJwt,
  canonicalSource,
  canonicalStored,
  canonicalStoredJwt,
} from '../../../../src/reconcilers/intention/canonical.ts';
import { anyJwt, anySource, DESTINATION, seenEntry } from './builders.ts';
import { normalize } from './model-entries.ts';

type Stored = Readonly<Record<string, unknown>>;

/** As Consul gives it back. */
function stored(...sources: readonly object[]): readonly Stored[] {
  return normalize(DESTINATION, { Kind: 'service-intentions', Name: DESTINATION, Sources: sources })[
    'Sources'
  ] as Stored[];
}

const source = anySource(fc.constantFrom('web', '*', 'é'));

describe('a declared source and the same one as Consul stores it', () => {
  test('are equal, whichever fields it has', () => {
    fc.assert(
      fc.property(source, declared => {
        const wished = canonicalSource(declared);
        const [back] = stored(wished);
        expect(canonicalJson(canonicalStored(back) ?? { Name: '' })).toBe(canonicalJson(wished));
      }),
      { numRuns: 200 },
    );
  });

  test('are equal for a JWT requirement', () => {
    fc.assert(
      fc.property(anyJwt, declared => {
        const JWT = canonicalJwt(declared);
        const body = normalize(DESTINATION, { JWT, Sources: [{ Name: 'web' }] });
        expect(canonicalStoredJwt(body['JWT'])).toEqual(JWT);
      }),
    );
  });

  test('are equal whatever the server adds, and in whatever order the fields come', () => {
    const added = fc.record({
      Precedence: fc.nat(),
      Type: fc.constant('consul'),
      LegacyID: fc.string(),
      LegacyMeta: fc.constant({}),
      LegacyCreateTime: fc.string(),
      Hash: fc.bigInt(),
      CreateIndex: fc.nat(),
      Someday: fc.anything(),
    });
    fc.assert(
      fc.property(source, added, fc.nat(), (declared, added, turn) => {
        const fields = Object.entries({ ...stored(canonicalSource(declared))[0], ...added });
        const at = turn % fields.length;
        const back = Object.fromEntries([...fields.slice(at), ...fields.slice(0, at)]);
        expect(canonicalStored(back)).toEqual(canonicalSource(declared));
        expect(JSON.stringify(canonicalStored(back))).toBe(canonicalJson(canonicalSource(declared)));
      }),
    );
  });

  test('differ exactly when what they say differs', () => {
    fc.assert(
      fc.property(source, source, (one, other) => {
        const isSame =
          JSON.stringify(stored(canonicalSource(one))) === JSON.stringify(stored(canonicalSource(other)));
        expect(canonicalJson(canonicalSource(one)) === canonicalJson(canonicalSource(other))).toBe(isSame);
      }),
      { numRuns: 200 },
    );
  });

  const base = {
    name: 'web',
    permissions: [
      { action: 'allow', http: { pathPrefix: '/a', header: [{ name: 'x', exact: 'v' }] } },
      { action: 'deny', http: { pathPrefix: '/b', methods: ['GET', 'PUT'] } },
    ],
  } as const satisfies IntentionSource;
  const [first, second] = base.permissions;

  test.each<[what: string, other: IntentionSource]>([
    ['another name', { ...base, name: 'web2' }],
    ['a peer', { ...base, peer: 'dc3' }],
    ['a description', { ...base, description: 'd' }],
    ['permissions the other way round', { ...base, permissions: [second, first] }],
    ['one permission less', { ...base, permissions: [first] }],
    ['another action', { ...base, permissions: [{ ...first, action: 'deny' }, second] }],
    [
      'another kind of path',
      { ...base, permissions: [{ ...first, http: { ...first.http, pathPrefix: '/c' } }, second] },
    ],
    [
      'methods the other way round',
      { ...base, permissions: [first, { ...second, http: { pathPrefix: '/b', methods: ['PUT', 'GET'] } }] },
    ],
    [
      'a header inverted',
      {
        ...base,
        permissions: [
          { ...first, http: { pathPrefix: '/a', header: [{ name: 'x', exact: 'v', invert: true }] } },
          second,
        ],
      },
    ],
    [
      'a token demanded',
      { ...base, permissions: [{ ...first, jwt: { providers: [{ name: 'okta' }] } }, second] },
    ],
  ])('%s makes a difference', (_what, other) => {
    expect(canonicalJson(canonicalSource(other))).not.toBe(canonicalJson(canonicalSource(base)));
  });

  test.each<[what: string, other: IntentionSource]>([
    [
      'methods in lower case',
      { ...base, permissions: [first, { ...second, http: { pathPrefix: '/b', methods: ['get', 'Put'] } }] },
    ],
    [
      'a method twice',
      {
        ...base,
        permissions: [first, { ...second, http: { pathPrefix: '/b', methods: ['GET', 'put', 'get'] } }],
      },
    ],
    ['an empty description', { ...base, description: '' }],
    [
      'present: false',
      {
        ...base,
        permissions: [
          {
            ...first,
            http: { pathPrefix: '/a', header: [{ name: 'x', exact: 'v', present: false, invert: false }] },
          },
          second,
        ],
      },
    ],
    ['empty lists', { ...base, permissions: [{ ...first, http: { ...first.http, methods: [] } }, second] }],
  ])('%s makes none', (_what, other) => {
    expect(canonicalJson(canonicalSource(other))).toBe(canonicalJson(canonicalSource(base)));
  });
});

test('every field that can be declared is in it, under the name that Consul has for it', () => {
  const jwt = { providers: [{ name: 'okta', verifyClaims: [{ path: ['perms', 'role'], value: 'admin' }] }] };
  const matchers = ['exact', 'prefix', 'suffix', 'contains', 'regex'] as const;
  const http = {
    pathExact: '/e',
    pathPrefix: '/p',
    pathRegex: '/r',
    methods: ['get', 'PUT'],
    header: [
      { name: 'x', present: true, invert: true, ignoreCase: true },
      ...matchers.map(matcher => ({ name: 'x', [matcher]: matcher })),
    ],
  };
  const declared: IntentionSource = {
    name: 'web',
    peer: 'dc3',
    action: 'allow',
    description: 'shop front',
    permissions: [{ action: 'deny', http, jwt }],
  };
  const JWT = { Providers: [{ Name: 'okta', VerifyClaims: [{ Path: ['perms', 'role'], Value: 'admin' }] }] };
  expect(canonicalJwt(jwt)).toStrictEqual(JWT);
  expect(canonicalSource(declared)).toStrictEqual({
    Name: 'web',
    Peer: 'dc3',
    Action: 'allow',
    Description: 'shop front',
    Permissions: [
      {
        Action: 'deny',
        HTTP: {
          PathExact: '/e',
          PathPrefix: '/p',
          PathRegex: '/r',
          Methods: ['GET', 'PUT'],
          Header: [
            { Name: 'x', Present: true, Invert: true, IgnoreCase: true },
            { Name: 'x', Exact: 'exact' },
            { Name: 'x', Prefix: 'prefix' },
            { Name: 'x', Suffix: 'suffix' },
            { Name: 'x', Contains: 'contains' },
            { Name: 'x', Regex: 'regex' },
          ],
        },
        JWT,
      },
    ],
  });
});

test('the order of sources in an entry makes no difference', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(source, { selector: ({ name, peer }) => `${peer}/${name}`, minLength: 1 }),
      declared => {
        const sources = stored(...declared.map(canonicalSource));
        const one = seenEntry(DESTINATION, { Sources: sources }, 1).fingerprints;
        const other = seenEntry(DESTINATION, { Sources: [...sources].reverse() }, 1).fingerprints;
        expect(new Map([...one].sort())).toEqual(new Map([...other].sort()));
        expect(one.size).toBe(declared.length);
      },
    ),
  );
});

test.each([undefined, null, 'web', 3, [], {}, { Name: '' }, { Name: 3 }, { Peer: 'dc3' }])(
  'what is no source is none: %j',
  raw => {
    expect(canonicalStored(raw)).toBeUndefined();
  },
);

test('nothing that could stand in an entry makes reading fail', () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (permissions, JWT) => {
      expect(canonicalStored({ Name: 'web', Permissions: permissions })?.Name).toBe('web');
      canonicalStoredJwt(JWT);
      seenEntry(DESTINATION, { Sources: permissions, JWT, Meta: permissions }, 1);
    }),
    { numRuns: 200 },
  );
});

test.each([undefined, null, {}, { Providers: null }, { Providers: [] }])(
  'a JWT requirement that demands nothing is none: %j',
  raw => {
    expect(canonicalStoredJwt(raw)).toBeUndefined();
  },
);
