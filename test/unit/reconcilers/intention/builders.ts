import * as fc from 'fast-check';
import type { IntentionJwt, IntentionSource } from '../../../../src/api/v1alpha1/consulintention.ts';
import type { ConfigEntryBody } from '../../../../src/consul/config-entry.ts';
import type { ModifyIndex } from '../../../../src/consul/types.ts';
import { claimName } from '../../../../src/core/intention-claims.ts';
import {
  canonicalJson,
  canonicalJwt,
  canonicalSource,
} from '../../../../src/reconcilers/intention/canonical.ts';
import { claimsIn, contentOf, readEntry } from '../../../../src/reconcilers/intention/entry.ts';
import type { IntentionWish, SeenEntry, WishedClaim } from '../../../../src/reconcilers/intention/types.ts';

export const DESTINATION = 'orders';

/** Contents stand for their own fingerprints: planning never looks into either. */
export function fingerprintOf(content: Parameters<typeof canonicalJson>[0]): string {
  return canonicalJson(content);
}

export function sourceName(source: string, peer = '', destination = DESTINATION): string {
  return claimName({ kind: 'source', destination, peer, source });
}

export function jwtName(destination = DESTINATION): string {
  return claimName({ kind: 'jwt', destination });
}

export interface Declared {
  readonly destination: string;
  readonly sources: readonly IntentionSource[];
  readonly jwt?: IntentionJwt | undefined;
}

export function wishFor({ destination, sources, jwt }: Declared): IntentionWish {
  const claims = new Map<string, WishedClaim>();
  for (const source of sources) {
    const content = canonicalSource(source);
    const name = sourceName(source.name, source.peer, destination);
    claims.set(name, { kind: 'source', content, fingerprint: fingerprintOf(content) });
  }
  const content = canonicalJwt(jwt);
  if (content !== undefined) {
    claims.set(jwtName(destination), { kind: 'jwt', content, fingerprint: fingerprintOf(content) });
  }
  return { destination, claims };
}

export function seenEntry(destination: string, body: ConfigEntryBody, index: number): SeenEntry {
  const contents = readEntry(destination, body);
  const fingerprints = new Map<string, string>();
  for (const name of claimsIn(contents)) {
    const content = contentOf(contents, name);
    if (content !== undefined) fingerprints.set(name, fingerprintOf(content));
  }
  return { index: index as ModifyIndex, contents, fingerprints };
}

const text = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('a', 'B', '/', '"', 'é', '*') });
const flag = fc.boolean();

const header = fc.record(
  {
    name: text,
    present: flag,
    exact: text,
    prefix: text,
    suffix: text,
    contains: text,
    regex: text,
    invert: flag,
    ignoreCase: flag,
  },
  { requiredKeys: ['name'] },
);

export const anyJwt: fc.Arbitrary<IntentionJwt> = fc.record({
  providers: fc.array(
    fc.record(
      {
        name: fc.constantFrom('okta', 'auth0'),
        verifyClaims: fc.array(
          fc.record({ path: fc.array(text, { minLength: 1, maxLength: 2 }), value: text }),
          {
            maxLength: 2,
          },
        ),
      },
      { requiredKeys: ['name'] },
    ),
    { minLength: 1, maxLength: 2 },
  ),
});

const permission = fc.record(
  {
    action: fc.constantFrom('allow' as const, 'deny' as const),
    http: fc.record(
      {
        pathExact: text,
        pathPrefix: text,
        pathRegex: text,
        header: fc.array(header, { maxLength: 3 }),
        methods: fc.uniqueArray(fc.constantFrom('GET', 'post', 'Put'), { maxLength: 3 }),
      },
      { requiredKeys: [] },
    ),
    jwt: anyJwt,
  },
  { requiredKeys: ['action', 'http'] },
);

/** Every field in every combination, valid together or not: what is compared must not depend on it. */
export function anySource(name: fc.Arbitrary<string>): fc.Arbitrary<IntentionSource> {
  return fc.record(
    {
      name,
      peer: fc.constantFrom('dc3', 'dc4'),
      action: fc.constantFrom('allow' as const, 'deny' as const),
      permissions: fc.array(permission, { maxLength: 3 }),
      description: fc.oneof(fc.constant(''), text),
    },
    { requiredKeys: ['name'] },
  );
}
