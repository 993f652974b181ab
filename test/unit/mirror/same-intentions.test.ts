import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { standsAsSent } from '../../../src/mirror/same-intentions.ts';

const entry = (...sources: object[]) => ({ Kind: 'service-intentions', Name: 'orders', Sources: sources });
const web = { Name: 'web', Action: 'allow' };
const rule = (http: object) => ({ Name: 'web', Permissions: [{ Action: 'allow', HTTP: http }] });

describe('an entry stands as sent', () => {
  test.each([
    ['as it is', entry(web), entry(web)],
    ['with what the server computes', entry(web), entry({ ...web, Precedence: 9, Type: 'consul' })],
    ['sorted by the server', entry({ ...web, Name: '*' }, web), entry(web, { ...web, Name: '*' })],
    ['with members in another order', entry(web), entry({ Action: 'allow', Name: 'web' })],
    ['with methods in capitals', entry(rule({ Methods: ['get'] })), entry(rule({ Methods: ['GET'] }))],
    [
      'without what is empty',
      { ...entry({ ...rule({ PathExact: '/', Header: [], Invert: false }), Description: '' }), Meta: {} },
      entry(rule({ PathExact: '/' })),
    ],
    [
      'without what the API before config entries left',
      entry({ ...web, LegacyID: 'x', LegacyMeta: {}, LegacyCreateTime: 't', LegacyUpdateTime: 't' }),
      entry(web),
    ],
  ])('%s', (_, sent, stored) => {
    expect(standsAsSent(sent, stored)).toBe(true);
  });

  test('as nothing, when it was deleted', () => {
    expect(standsAsSent(undefined, undefined)).toBe(true);
    expect(standsAsSent(undefined, entry(web))).toBe(false);
    expect(standsAsSent(entry(web), undefined)).toBe(false);
  });

  test.each([
    ['another action', entry(web), entry({ ...web, Action: 'deny' })],
    ['one source more', entry(web), entry(web, { ...web, Name: 'api' })],
    ['one source less', entry(web, { ...web, Name: 'api' }), entry(web)],
    ['the source of a peer', entry(web), entry({ ...web, Peer: 'dc2' })],
    ['another Meta', { ...entry(web), Meta: { a: '1' } }, { ...entry(web), Meta: { a: '2' } }],
    ['a JWT', entry(web), { ...entry(web), JWT: { Providers: [{ Name: 'okta' }] } }],
    ['a field of a later Consul', entry(web), entry({ ...web, Zork: 1 })],
    ['a path of another case', entry(rule({ PathExact: '/a' })), entry(rule({ PathExact: '/A' }))],
    [
      'permissions in another order',
      entry({ Name: 'web', Permissions: [{ Action: 'deny' }, { Action: 'allow' }] }),
      entry({ Name: 'web', Permissions: [{ Action: 'allow' }, { Action: 'deny' }] }),
    ],
  ])('but not with %s', (_, sent, stored) => {
    expect(standsAsSent(sent, stored)).toBe(false);
  });

  test('in whatever order its sources come', () => {
    const source = fc.record(
      {
        Name: fc.string(),
        Action: fc.constantFrom('allow', 'deny'),
        Peer: fc.string(),
        Description: fc.string(),
      },
      { requiredKeys: ['Name'] },
    );
    const shuffled = fc
      .array(source)
      .chain(sources =>
        fc.tuple(fc.constant(sources), fc.shuffledSubarray(sources, { minLength: sources.length })),
      );
    fc.assert(
      fc.property(shuffled, ([sent, stored]) => {
        expect(standsAsSent(entry(...sent), entry(...stored))).toBe(true);
      }),
    );
  });
});
