import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ConfigEntryBody } from '../../../../src/consul/config-entry.ts';
import { canonicalSource } from '../../../../src/reconcilers/intention/canonical.ts';
import {
  claimsIn,
  contentOf,
  type EntryMerge,
  epochKey,
  mergeEntry,
  readEntry,
} from '../../../../src/reconcilers/intention/entry.ts';
import { DESTINATION, jwtName, sourceName } from './builders.ts';

const NOTHING: EntryMerge = {
  destination: DESTINATION,
  put: new Map(),
  remove: new Set(),
  jwt: undefined,
  installId: 'install-a',
  epoch: 7,
  keepsOurs: false,
};
const MARK = epochKey('install-a');
const WEB = { Name: 'web', Action: 'allow', Precedence: 9, Type: 'consul', Someday: [1] };
const AUDIT = { Name: 'audit', Peer: 'dc3', Action: 'deny', LegacyID: 'x' };
const ENTRY: ConfigEntryBody = {
  Kind: 'service-intentions',
  Name: DESTINATION,
  Sources: [WEB, AUDIT],
  JWT: { Providers: [{ Name: 'okta', Someday: 1 }] },
  Meta: { team: 'shop', 'proconsul-install-b': '3', [MARK]: '6' },
  Someday: { deep: true },
};
const rawSources = (body: ConfigEntryBody | undefined) => (body ?? {})['Sources'] as unknown[];
const putting = (name: string, peer?: string) => {
  const content = canonicalSource({ name, action: 'deny', ...(peer === undefined ? {} : { peer }) });
  return new Map([[sourceName(name, peer), content]]);
};

describe('what stands in an entry', () => {
  test('is known by the names of claims', () => {
    const contents = readEntry(DESTINATION, ENTRY);
    expect(claimsIn(contents)).toEqual([sourceName('web'), sourceName('audit', 'dc3'), jwtName()]);
    expect(contents.sources.get(sourceName('web'))).toEqual({
      canonical: { Name: 'web', Action: 'allow' },
      precedence: 9,
      isLegacy: false,
    });
    expect(contentOf(contents, jwtName())).toEqual({ Providers: [{ Name: 'okta' }] });
    expect(contentOf(contents, sourceName('web'))).toEqual({ Name: 'web', Action: 'allow' });
    expect(contentOf(contents, sourceName('other'))).toBeUndefined();
    expect([...contents.epochs]).toEqual([
      ['install-b', 3],
      ['install-a', 6],
    ]);
  });

  test.each([
    [{ Name: 'web', Namespace: 'team' }],
    [{ Name: 'web', Partition: 'p1' }],
    [{ Name: 'web', SamenessGroup: 'all' }],
    [{ Name: '\ud800' }],
    [{}],
    ['web'],
  ])('a source that nobody can declare is none of them, and stays: %j', raw => {
    const body = { ...ENTRY, Sources: [raw] };
    expect(readEntry(DESTINATION, body).sources.size).toBe(0);
    const merged = mergeEntry(body, {
      ...NOTHING,
      put: putting('web'),
      remove: new Set([sourceName('web')]),
    });
    expect(rawSources(merged)[0]).toBe(raw);
  });

  test('namespace and partition are named by Enterprise even when they are the default ones', () => {
    const Sources = [{ Name: 'web', Namespace: 'default', Partition: 'default' }];
    expect(claimsIn(readEntry(DESTINATION, { Sources }))).toEqual([sourceName('web')]);
  });

  test.each(['x', '', '-1', '1e3', '9'.repeat(16), 7])(
    'a mark that is no epoch counts as none: %j',
    epoch => {
      expect(readEntry(DESTINATION, { Meta: { [MARK]: epoch } }).epochs.size).toBe(0);
    },
  );

  test('metadata of the legacy API is noticed', () => {
    const Sources = [{ Name: 'web', LegacyMeta: { a: 'b' } }];
    expect(readEntry(DESTINATION, { Sources }).sources.get(sourceName('web'))?.isLegacy).toBe(true);
  });
});

describe('merging', () => {
  test('a new entry', () => {
    expect(mergeEntry(undefined, { ...NOTHING, put: putting('web'), keepsOurs: true })).toEqual({
      Kind: 'service-intentions',
      Name: DESTINATION,
      Sources: [{ Name: 'web', Action: 'deny' }],
      Meta: { [MARK]: '7' },
    });
  });

  test('a source is replaced in its place, whole, and a new one comes last', () => {
    const put = new Map([...putting('new'), ...putting('web')]);
    const merged = mergeEntry(ENTRY, { ...NOTHING, put, keepsOurs: true });
    const [web, audit, added] = rawSources(merged);
    expect(web).toEqual({ Name: 'web', Action: 'deny' });
    expect(audit).toBe(AUDIT);
    expect(added).toEqual({ Name: 'new', Action: 'deny' });
    expect(merged).toMatchObject({ JWT: ENTRY['JWT'], Someday: { deep: true } });
    expect(merged?.['Meta']).toEqual({ team: 'shop', 'proconsul-install-b': '3', [MARK]: '7' });
  });

  test('the same name of another peer is another source', () => {
    const remove = new Set([sourceName('audit'), sourceName('web', 'dc3')]);
    expect(mergeEntry(ENTRY, { ...NOTHING, remove })?.['Sources']).toEqual([WEB, AUDIT]);
  });

  test('no source is left: the entry goes, with whatever else was in it', () => {
    const remove = new Set([sourceName('web'), sourceName('audit', 'dc3')]);
    expect(mergeEntry(ENTRY, { ...NOTHING, remove })).toBeUndefined();
    expect(mergeEntry(undefined, NOTHING)).toBeUndefined();
    expect(mergeEntry({ Sources: null }, { ...NOTHING, jwt: { Providers: [] } })).toBeUndefined();
  });

  test('the JWT requirement is replaced, removed, or left alone', () => {
    const jwt = { Providers: [{ Name: 'auth0' }] };
    expect(mergeEntry(ENTRY, { ...NOTHING, jwt })?.['JWT']).toEqual(jwt);
    expect(mergeEntry(ENTRY, { ...NOTHING, remove: new Set([jwtName()]) })).not.toHaveProperty('JWT');
    expect(mergeEntry(ENTRY, NOTHING)?.['JWT']).toBe(ENTRY['JWT']);
  });

  test('our mark goes with what is ours, and takes an empty Meta with it', () => {
    expect(mergeEntry(ENTRY, NOTHING)?.['Meta']).toEqual({ team: 'shop', 'proconsul-install-b': '3' });
    expect(mergeEntry({ ...ENTRY, Meta: { [MARK]: '6' } }, NOTHING)).not.toHaveProperty('Meta');
  });

  test.each([
    [63, true],
    [64, false],
  ])('with %i keys of others in Meta, of which Consul allows 64, there is a mark: %j', (count, isMarked) => {
    const Meta = Object.fromEntries(Array.from({ length: count }, (_, at) => [`key-${at}`, 'v']));
    const merged = mergeEntry({ ...ENTRY, Meta }, { ...NOTHING, keepsOurs: true })?.['Meta'];
    expect(merged).toEqual(isMarked ? { ...Meta, [MARK]: '7' } : Meta);
  });

  test('leaves alone all that it is not told to change, fields it does not know included', () => {
    const known = ['Sources', 'JWT', 'Meta'];
    const raw = fc
      .tuple(
        fc.constantFrom('web', 'audit', '*', '__proto__'),
        fc.constantFrom('', 'dc3'),
        fc.object({ maxDepth: 1, maxKeys: 3 }),
      )
      .map(([Name, Peer, fields]) => ({ ...fields, Name, ...(Peer === '' ? {} : { Peer }) }));
    const identity = (source: { readonly Name: string; readonly Peer?: string }): string =>
      sourceName(source.Name, source.Peer);
    const names = fc.uniqueArray(
      fc.constantFrom(...['web', 'audit', '*', 'new'].map(name => sourceName(name))),
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(raw, { selector: identity, minLength: 1 }),
        fc.object({ maxDepth: 1, maxKeys: 3 }),
        fc.dictionary(fc.string(), fc.string()),
        names,
        names,
        (sources, fields, Meta, puts, removes) => {
          const body = { ...fields, Sources: sources, Meta };
          const put = new Map(
            puts.map(name => [name, { Name: decodeURIComponent(name.split('/').at(-1) ?? '') }]),
          );
          const merged = mergeEntry(body, { ...NOTHING, put, remove: new Set(removes) });
          const changed = new Set([...puts, ...removes]);
          const kept = sources.filter(source => !changed.has(identity(source)));
          const after = (merged?.['Sources'] ?? []) as typeof sources;
          // The very objects: nothing was taken apart and put together again.
          expect(after.filter(source => kept.includes(source))).toEqual(kept);
          expect(
            after
              .filter(source => !kept.includes(source))
              .map(identity)
              .sort(),
          ).toEqual([...puts].sort());
          if (merged === undefined) return;
          const rest = (entry: object): unknown =>
            Object.entries(entry).filter(([field]) => !known.includes(field));
          expect(rest(merged)).toEqual(rest(body));
          const { [MARK]: _mark, ...others } = Meta;
          expect(merged['Meta'] ?? {}).toEqual(others);
        },
      ),
      { numRuns: 200 },
    );
  });
});
