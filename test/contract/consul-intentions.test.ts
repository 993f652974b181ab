/** What Consul does with `service-intentions` entries: everything that ConsulIntention is built on. */
import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { MAX_ENTRY_BYTES } from '../../src/consul/types.ts';
import { classifyEntryRefusal } from '../../src/consul/config-entry-refusals.ts';
import { type ConfigEntryBody, SERVICE_INTENTIONS } from '../../src/consul/config-entry.ts';
import { type ModifyIndex, NOT_THERE } from '../../src/consul/types.ts';
import { standsAsSent } from '../../src/mirror/same-intentions.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
const api = new ConsulApi({ address: consulAddress });
afterAll(() => consul.close());

const aName = (): string => `intention-${randomUUID()}`;
const entry = (name: string, sources: readonly object[], more: object = {}): ConfigEntryBody => ({
  Kind: SERVICE_INTENTIONS,
  Name: name,
  Sources: sources,
  ...more,
});
const put = (body: ConfigEntryBody, index: number = NOT_THERE) =>
  consul.configEntries.put(body, index as ModifyIndex, { signal });
const remove = (name: string, index: number) =>
  consul.configEntries.delete({ kind: SERVICE_INTENTIONS, name }, index as ModifyIndex, { signal });
const sourcesOf = (stored: { readonly body: ConfigEntryBody } | undefined) =>
  (stored?.body['Sources'] ?? []) as readonly Readonly<Record<string, unknown>>[];
const get = async (name: string) => {
  const { value } = await consul.configEntries.get({ kind: SERVICE_INTENTIONS, name }, { signal });
  return value;
};
const list = (index?: number) =>
  consul.configEntries.list(SERVICE_INTENTIONS, {
    signal,
    ...(index !== undefined && { block: { index, waitSeconds: 30 } }),
  });
const defaults = (name: string, Protocol: string) =>
  api.put('/v1/config', { Kind: 'service-defaults', Name: name, Protocol });
/** A destination that may have L7 rules. */
async function httpDestination(): Promise<string> {
  const name = aName();
  await defaults(name, 'http');
  return name;
}

const web = { Name: 'web', Action: 'allow' };
const permitted = (http: object, more: object = {}) => ({
  Name: 'web',
  Permissions: [{ Action: 'allow', HTTP: http, ...more }],
});

describe('a refusal', () => {
  const written = async (body: ConfigEntryBody) => {
    const reply = await api.request('PUT', '/v1/config?cas=0', JSON.stringify(body));
    return [reply.status, reply.text.trim()];
  };

  test('for L7 rules names the destination that is not http, before anything else of it is looked at', async () => {
    const name = aName();
    const body = entry(name, [permitted({ PathRegex: '([' })]);
    expect(await written(body)).toEqual([
      500,
      `service "${name}" has protocol "tcp", which is incompatible with L7 intentions permissions`,
    ]);
    const error: unknown = await put(body).catch((thrown: unknown) => thrown);
    expect(classifyEntryRefusal(error)).toEqual({
      kind: 'dependency',
      missing: [{ kind: 'protocol', service: name }],
    });
  });

  test('for JWT providers names all that are missing, and does so before it looks at the protocol', async () => {
    const token = (name: string) => ({ Providers: [{ Name: name }] });
    const body = entry(aName(), [permitted({ PathExact: '/' }, { JWT: token('okta') })], {
      JWT: token('auth0'),
    });
    const [status, text] = await written(body);
    expect(status).toBe(500);
    expect(String(text)).toMatch(
      /^2 errors occurred:\n\t\* Referenced JWT Provider does not exist\. Provider Name: /,
    );
    const error: unknown = await put(body).catch((thrown: unknown) => thrown);
    expect(classifyEntryRefusal(error)).toEqual({
      kind: 'dependency',
      missing: expect.arrayContaining([
        { kind: 'jwt-provider', name: 'okta' },
        { kind: 'jwt-provider', name: 'auth0' },
      ]),
    });
  });

  test.each<[what: string, sources: readonly object[], text: string, more?: object]>([
    ['no sources', [], 'At least one source is required'],
    ['a source twice', [web, { ...web, Action: 'deny' }], 'Sources[1] defines "web" more than once'],
    [
      'a source of a peer twice',
      [web, { ...web, Peer: 'p' }, { ...web, Peer: 'p' }],
      'Sources[2] defines peer("p") "web" more than once',
    ],
    [
      'a description of 513 bytes',
      [{ ...web, Description: 'x'.repeat(513) }],
      'Sources[0].Description exceeds maximum length 512',
    ],
    [
      'a description of 257 characters of two bytes',
      [{ ...web, Description: 'é'.repeat(257) }],
      'Sources[0].Description exceeds maximum length 512',
    ],
    [
      'action and permissions',
      [{ ...permitted({ PathExact: '/' }), Action: 'allow' }],
      'Sources[0].Action must be omitted if Permissions are specified',
    ],
    ['neither', [{ Name: 'web' }], "Sources[0].Action must be set to 'allow' or 'deny'"],
    [
      'a relative path',
      [permitted({ PathExact: 'x' })],
      `Sources[0].Permissions[0].HTTP.PathExact doesn't start with '/': "x"`,
    ],
    [
      'two matchers of a path',
      [permitted({ PathExact: '/x', PathPrefix: '/y' })],
      'Sources[0].Permissions[0].HTTP should only contain at most one of PathExact, PathPrefix, or PathRegex',
    ],
    [
      'two matchers of a header',
      [permitted({ Header: [{ Name: 'h', Exact: 'a', Prefix: 'b' }] })],
      'Sources[0].Permissions[0].HTTP.Header[0] should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex',
    ],
    [
      'case ignored in a regex',
      [permitted({ Header: [{ Name: 'h', Regex: 'a', IgnoreCase: true }] })],
      'Sources[0].Permissions[0].HTTP.Header[0] should set one of Exact, Prefix, Suffix, or Contains when using IgnoreCase',
    ],
    ['nothing to match', [permitted({})], 'Sources[0].Permissions[0].HTTP should not be empty'],
    [
      'a method in two cases',
      [permitted({ Methods: ['get', 'GET'] })],
      'Sources[0].Permissions[0].HTTP.Methods contains "GET" more than once',
    ],
    [
      'a method that is none',
      [permitted({ Methods: ['zork'] })],
      'Sources[0].Permissions[0].HTTP.Methods contains an invalid method "ZORK"',
    ],
    [
      'a partial wildcard',
      [{ ...web, Name: 'a*' }],
      "Sources[0].Name: wildcard character '*' cannot be used with partial values",
    ],
    ['any peer', [{ ...web, Peer: '*' }], "Sources[0].Peer: cannot use wildcard '*' in peer"],
    [
      'a sameness group',
      [{ ...web, SamenessGroup: 'g' }],
      'Sources[0].SamenessGroup: Sameness groups are a Consul Enterprise feature.',
    ],
    [
      'a provider without name',
      [web],
      '1 error occurred:\n\t* JWT provider name is required',
      { JWT: { Providers: [{ Name: '' }] } },
    ],
    [
      '65 marks',
      [web],
      '1 error occurred:\n\t* Meta exceeds maximum element count 64',
      { Meta: Object.fromEntries(Array.from({ length: 65 }, (_, number) => [`k${number}`, ''])) },
    ],
  ])('for %s is 500, and only the spec can help', async (_, sources, text, more) => {
    const body = entry(await httpDestination(), sources, more);
    expect(await written(body)).toEqual([500, text]);
    await expect(put(body)).rejects.toMatchObject({ code: 'CONSUL_INVALID' });
  });

  test('for rules on * is 500, whatever protocol there is', async () => {
    expect(await written(entry('*', [permitted({ PathExact: '/' })]))).toEqual([
      500,
      'Sources[0].Permissions cannot be specified on intentions with wildcarded destinations',
    ]);
  });

  test.each(['Namespace', 'Partition'])('for a %s, which only Enterprise has, is 400', async field => {
    const [status, text] = await written(entry(aName(), [{ ...web, [field]: 'default' }]));
    expect([status, text]).toEqual([
      400,
      expect.stringContaining(`invalid config key "Sources[0].${field}"`),
    ]);
  });

  test('is not there for a regex that is none: nobody but us looks at them', async () => {
    const name = await httpDestination();
    const wrong = [permitted({ PathRegex: '([', Header: [{ Name: 'h', Regex: '(?=x)' }] })];
    expect(await put(entry(name, wrong))).toEqual({ applied: true });
    expect((await get(name))?.body['Sources']).toMatchObject(wrong);
  });

  test('is not there for the size of an entry, either', async () => {
    const name = aName();
    const sources = Array.from({ length: 2000 }, (_, number) => ({
      ...web,
      Name: `s${number}`,
      Description: 'x'.repeat(512),
    }));
    const body = entry(name, sources);
    expect(JSON.stringify(body).length).toBeGreaterThan(2 * MAX_ENTRY_BYTES);
    expect(await put(body)).toEqual({ applied: true });
    const stored = await get(name);
    expect(standsAsSent(body, stored?.body)).toBe(true);
    await remove(name, stored?.modifyIndex ?? 0);
  });

  test('keeps the protocol of a destination that has L7 rules, and a provider that an entry names', async () => {
    const name = await httpDestination();
    const provider = aName();
    const jwks = Buffer.from('{"keys":[]}').toString('base64');
    await api.put('/v1/config', {
      Kind: 'jwt-provider',
      Name: provider,
      JSONWebKeySet: { Local: { JWKS: jwks } },
    });
    await put(entry(name, [permitted({ PathExact: '/' })], { JWT: { Providers: [{ Name: provider }] } }));
    const gone = await api.request('DELETE', `/v1/config/service-defaults/${name}`);
    expect([gone.status, gone.text]).toEqual([500, expect.stringContaining('is incompatible with L7')]);
    await expect(defaults(name, 'tcp')).rejects.toThrow('is incompatible with L7');
    const unnamed = await api.request('DELETE', `/v1/config/jwt-provider/${provider}`);
    expect([unnamed.status, unnamed.text]).toEqual([
      500,
      `cannot delete jwt provider config entry referenced by an intention. Provider name: ${provider}, intention name: ${name}`,
    ]);
    expect(await remove(name, (await get(name))?.modifyIndex ?? 0)).toEqual({ applied: true });
  });
});

describe('what is stored', () => {
  test('has methods in capitals, sources by precedence, and nothing that is empty', async () => {
    const name = await httpDestination();
    const sources = [
      { Name: '*', Action: 'deny', Description: '' },
      { Name: 'z', Action: 'allow', Peer: 'nobody' },
      { ...permitted({ Methods: ['post', 'Get'], Header: [] }, { JWT: { Providers: [] } }), Name: 'a' },
    ];
    const body = entry(name, sources, { Meta: {}, JWT: { Providers: [] } });
    await put(body);
    const stored = await get(name);
    expect(stored?.body).toEqual({
      Kind: SERVICE_INTENTIONS,
      Name: name,
      JWT: {},
      Sources: [
        { Name: 'z', Action: 'allow', Peer: 'nobody', Precedence: 9, Type: 'consul' },
        {
          Name: 'a',
          Permissions: [{ Action: 'allow', HTTP: { Methods: ['POST', 'GET'] }, JWT: {} }],
          Precedence: 9,
          Type: 'consul',
        },
        { Name: '*', Action: 'deny', Precedence: 8, Type: 'consul' },
      ],
    });
    expect(standsAsSent(body, stored?.body)).toBe(true);
  });

  test('may be sent back as read at any index, and moves none; another order of equals does', async () => {
    const name = aName();
    await put(entry(name, [web, { ...web, Name: 'api' }], { Meta: { a: 'b' } }));
    const before = await get(name);
    const body = before?.body ?? {};
    expect(await put(body, 1)).toEqual({ applied: true });
    expect(await get(name)).toEqual(before);
    const turned = { ...body, Sources: (body['Sources'] as object[]).toReversed() };
    expect(await put(turned, 1)).toEqual({ applied: false });
    expect(await put(turned, before?.modifyIndex)).toEqual({ applied: true });
    expect((await get(name))?.modifyIndex).toBeGreaterThan(before?.modifyIndex ?? Infinity);
  });

  test('with a wrong precedence is put right, and with another type refused', async () => {
    const name = aName();
    await put(entry(name, [{ ...web, Precedence: 1 }]));
    expect((await get(name))?.body['Sources']).toMatchObject([{ Precedence: 9 }]);
    await expect(put(entry(aName(), [{ ...web, Type: 'zork' }]))).rejects.toMatchObject({
      code: 'CONSUL_INVALID',
    });
  });

  test('has a name in which upper and lower case are one', async () => {
    const name = aName();
    await put(entry(name.toUpperCase(), [web]));
    const stored = await get(name);
    expect(stored?.name).toBe(name.toUpperCase());
    expect(await put(entry(name, [web]))).toEqual({ applied: false });
    expect(await put(entry(name, [web]), stored?.modifyIndex)).toEqual({ applied: true });
    expect((await get(name.toUpperCase()))?.name).toBe(name);
  });

  test('takes * on either side', async () => {
    const name = aName();
    await put(entry(name, [{ ...web, Name: '*' }]));
    expect((await get(name))?.body['Sources']).toMatchObject([{ Name: '*', Precedence: 8 }]);
  });
});

describe('what the API before config entries wrote', () => {
  const legacy = async (more: object = {}) => {
    const name = aName();
    const call = { SourceName: 'old', DestinationName: name, SourceType: 'consul', Action: 'allow', ...more };
    await api.call('POST', '/v1/connect/intentions', JSON.stringify(call));
    return { name, stored: await get(name) };
  };

  test('loses its id and times when it is sent back, and nothing else', async () => {
    const { name, stored } = await legacy({ Description: 'kept' });
    expect(stored?.body['Sources']).toMatchObject([{ LegacyID: expect.any(String) }]);
    const both = [...sourcesOf(stored), web];
    expect(await put({ ...stored?.body, Sources: both }, stored?.modifyIndex)).toEqual({ applied: true });
    const after = await get(name);
    expect(after?.body['Sources']).toEqual([
      { Name: 'old', Action: 'allow', Description: 'kept', Precedence: 9, Type: 'consul' },
      { ...web, Precedence: 9, Type: 'consul' },
    ]);
    expect(standsAsSent({ ...stored?.body, Sources: both }, after?.body)).toBe(true);
  });

  test('is refused as long as its marks are sent back, too', async () => {
    const { name, stored } = await legacy({ Meta: { a: 'b' } });
    const reply = await api.request(
      'PUT',
      `/v1/config?cas=${stored?.modifyIndex}`,
      JSON.stringify(stored?.body),
    );
    expect([reply.status, reply.text]).toEqual([500, 'Sources[0].LegacyMeta must be omitted']);
    const [source] = sourcesOf(stored);
    const { LegacyMeta: _, ...bare } = source ?? {};
    expect(await put({ ...stored?.body, Sources: [bare] }, stored?.modifyIndex)).toEqual({ applied: true });
    expect((await get(name))?.body['Sources']).toHaveLength(1);
  });
});

describe('an index', () => {
  test('is that of all kinds, also where nothing stands; one deleted moves it on', async () => {
    const name = aName();
    await put(entry(name, [web]));
    const before = (await list()).index;
    await defaults(name, 'tcp');
    const after = await list();
    expect(after.index).toBeGreaterThan(before);
    const absent = { kind: SERVICE_INTENTIONS, name: aName() };
    const { index, value } = await consul.configEntries.get(absent, { signal, consistency: 'consistent' });
    expect([value, index >= after.index]).toEqual([undefined, true]);
    await remove(name, (await get(name))?.modifyIndex ?? 0);
    expect((await list()).index).toBeGreaterThan(after.index);
  });

  test('that another kind moves does not wake who waits for this one', async () => {
    const name = aName();
    const waiting = list((await list()).index);
    // It is under way by then.
    for (let round = 0; round < 5; round += 1) await get(name);
    await defaults(name, 'http');
    await put(entry(name, [web]));
    expect((await waiting).value.map(each => each.name)).toContain(name);
  });

  test('that is stale writes and deletes nothing; what is gone counts as deleted', async () => {
    const name = aName();
    await put(entry(name, [web]));
    expect(await put(entry(name, [{ ...web, Action: 'deny' }]), 1)).toEqual({ applied: false });
    expect(await put(entry(aName(), [web]), 5)).toEqual({ applied: false });
    expect(await remove(name, 1)).toEqual({ applied: false });
    expect(await remove(name, (await get(name))?.modifyIndex ?? 0)).toEqual({ applied: true });
    expect(await remove(name, 1)).toEqual({ applied: true });
  });
});

describe('the datacenter', () => {
  test('that is the primary one is told by the agent', async () => {
    expect(await consul.agent.self({ signal })).toMatchObject({
      datacenter: 'dc1',
      primaryDatacenter: 'dc1',
    });
  });

  test('asked for is that of reads, and means nothing to writes', async () => {
    const name = aName();
    const id = { kind: SERVICE_INTENTIONS, name };
    await api.call('PUT', '/v1/config?dc=zork', JSON.stringify(entry(name, [web])));
    expect((await consul.configEntries.get(id, { signal, datacenter: 'dc1' })).value?.name).toBe(name);
    const elsewhere = { signal, datacenter: 'zork' };
    await expect(consul.configEntries.get(id, elsewhere)).rejects.toMatchObject({
      code: 'CONSUL_DATACENTER',
    });
    await expect(consul.configEntries.list(SERVICE_INTENTIONS, elsewhere)).rejects.toMatchObject({
      code: 'CONSUL_DATACENTER',
    });
  });
});
