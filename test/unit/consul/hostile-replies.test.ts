/** What a broken or hostile server may answer. Nothing is ever concluded from it: no absence, no success, no crash. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeOperation } from '../../../src/consul/txn.ts';
import { NOT_THERE, parseSessionId } from '../../../src/consul/types.ts';
import { aConsulClient, signal } from '../../support/consul-client.ts';
import { answer, entryJson, FakeServer, READ_HEADERS } from './server.ts';

let server: FakeServer;
let client: ReturnType<typeof aConsulClient>;

beforeAll(async () => {
  server = await FakeServer.start(answer(200, 'null'));
  client = aConsulClient([server.address], { maxReplyBytes: 64 * 1024 });
});

afterAll(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

const { 'x-consul-index': _, ...WITHOUT_INDEX } = READ_HEADERS;
const withIndex = (index: string) => ({ ...READ_HEADERS, 'x-consul-index': index });

describe('a read of a key', () => {
  test('works when the server does', async () => {
    server.respondWith(answer(200, entryJson()));
    const { value, index, filteredByAcl, knownLeader } = await client.kv.get('k', { signal });
    expect(value).toMatchObject({
      key: 'k',
      value: Buffer.from('hi'),
      flags: 0n,
      modifyIndex: 7,
      session: undefined,
    });
    expect({ index, filteredByAcl, knownLeader }).toEqual({
      index: 7,
      filteredByAcl: false,
      knownLeader: true,
    });
  });

  test.each([
    ['truncated JSON', 200, entryJson().slice(0, -9)],
    ['HTML', 200, '<html><body>It works!</body></html>'],
    ['nothing', 200, ''],
    ['null', 200, 'null'],
    ['an empty list', 200, '[]'],
    ['an object', 200, '{}'],
    ['a string', 200, '"k"'],
    ['another key', 200, entryJson({ Key: 'other' })],
    ['two entries', 200, `[${entryJson().slice(1, -1)},${entryJson().slice(1, -1)}]`],
    ['a value that is not base64', 200, entryJson({ Value: 'a*i=' })],
    ['a value cut short', 200, entryJson({ Value: 'aGk' })],
    ['a value that is a number', 200, entryJson({ Value: 1 })],
    ['an index that is text', 200, entryJson({ ModifyIndex: '7' })],
    ['a negative index', 200, entryJson({ ModifyIndex: -7 })],
    [
      'an index no number can hold',
      200,
      entryJson().replace('"ModifyIndex":7', '"ModifyIndex":9007199254740993'),
    ],
    ['an infinite index', 200, entryJson().replace('"ModifyIndex":7', '"ModifyIndex":1e999')],
    ['no index', 200, entryJson({ ModifyIndex: undefined })],
    ['fractional flags', 200, entryJson({ Flags: 0.5 })],
    ['negative flags', 200, entryJson({ Flags: -1 })],
    ['a session that is none', 200, entryJson({ Session: 'x' })],
    ['an empty session', 200, entryJson({ Session: '' })],
    ['another success', 202, entryJson()],
    ['no content', 204, ''],
    ['an unknown refusal', 418, ''],
  ])('is no answer when it gets %s', async (_, status, body) => {
    server.respondWith(answer(status, body));
    const read = client.kv.get('k', { signal });
    await expect(read).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY', reason: 'ConsulUnreachable' });
  });

  test.each([
    ['no X-Consul-Index', WITHOUT_INDEX],
    ['a negative X-Consul-Index', withIndex('-1')],
    ['an X-Consul-Index that is text', withIndex('seven')],
    ['an X-Consul-Index no number can hold', withIndex('18446744073709551615')],
  ])('is no answer with %s, and no absence either', async (_, headers) => {
    for (const respond of [answer(200, entryJson(), headers), answer(404, '', headers)]) {
      server.respondWith(respond);
      await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
    }
  });

  test('is an absence only when Consul says so', async () => {
    server.respondWith(answer(404, ''));
    expect((await client.kv.get('k', { signal })).value).toBeUndefined();
  });

  test('never quotes what it could not read: it may be a secret', async () => {
    server.respondWith(answer(200, '[{"Key":"k","Value":"c2VjcmV0" secret'));
    const error = await client.kv.get('k', { signal }).catch((thrown: unknown) => thrown as Error);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/secret|c2VjcmV0/);
  });
});

describe('a list', () => {
  test.each([
    ['HTML', '<html>'],
    ['one broken entry among good ones', `[${entryJson().slice(1, -1)},{"Key":"k2"}]`],
  ])('is no answer when it gets %s', async (_, body) => {
    server.respondWith(answer(200, body));
    await expect(client.kv.list('k', { signal })).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
  });

  test('of an anonymous client may always be filtered where the default is to deny', async () => {
    server.respondWith(answer(404, '', { ...READ_HEADERS, 'x-consul-default-acl-policy': 'deny' }));
    expect(await client.kv.list('k', { signal })).toMatchObject({ value: [], filteredByAcl: true });
    await using known = aConsulClient([server.address], { token: 'known' });
    expect(await known.kv.list('k', { signal })).toMatchObject({ value: [], filteredByAcl: false });
  });
});

describe('a read by transaction', () => {
  const results = (...entries: string[]) => `{"Results":[${entries.join(',')}],"Errors":null}`;
  const kv = (change: Record<string, unknown>) => `{"KV":${entryJson(change).slice(1, -1)}}`;
  const absent = { Value: null, ModifyIndex: 0, CreateIndex: 0 };

  test('tells what stands there from what does not', async () => {
    server.respondWith(answer(200, results(kv({ Key: 'a' }), kv({ Key: 'b', ...absent }))));
    const { value } = await client.txn.readKeys(['a', 'b'], { signal });
    expect([...value].map(([key, entry]) => [key, entry?.modifyIndex])).toEqual([
      ['a', 7],
      ['b', undefined],
    ]);
  });

  test('takes a result that is missing for a denial, not for an absence', async () => {
    server.respondWith(answer(200, results(kv({ Key: 'a' }))));
    const read = client.txn.readKeys(['a', 'hidden'], { signal });
    await expect(read).rejects.toMatchObject({
      code: 'CONSUL_DENIED',
      message: expect.stringContaining('"hidden"'),
    });
  });

  test.each([
    ['a key that was not asked for', 200, results(kv({ Key: 'a' }), kv({ Key: 'z' }))],
    ['no Results', 200, '{"Errors":null}'],
    ['null Results', 200, '{"Results":null,"Errors":null}'],
    ['Results beside Errors', 200, `{"Results":[${kv({ Key: 'a' })}],"Errors":[{"OpIndex":0,"What":"x"}]}`],
    ['a conflict without errors', 409, '{"Results":null,"Errors":[]}'],
    ['a conflict in HTML', 409, '<html>'],
    ['an error of an operation that was not sent', 409, '{"Errors":[{"OpIndex":1,"What":"x"}]}'],
  ])('is no answer when it gets %s', async (_, status, body) => {
    server.respondWith(answer(status, body));
    await expect(client.txn.readKeys(['a'], { signal })).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
  });

  test('reads many large values in halves', async () => {
    server.respondWith((request, response) => {
      const operations = JSON.parse(request.body) as { KV: { Key: string } }[];
      const value = Buffer.alloc(20_000).toString('base64');
      answer(200, results(...operations.map(({ KV }) => kv({ Key: KV.Key, Value: value }))))(
        request,
        response,
      );
    });
    const before = server.requests.length;
    const { value } = await client.txn.readKeys(['a', 'b', 'c', 'd'], { signal });
    expect([...value.values()].map(entry => entry?.value.length)).toEqual([20_000, 20_000, 20_000, 20_000]);
    expect(server.requests.length - before).toBe(3);
  });
});

describe('a write', () => {
  const fragments = [encodeOperation({ verb: 'check-not-exists', key: 'k' })];
  const session = parseSessionId('11111111-2222-3333-4444-555555555555');
  const writes: Record<string, () => Promise<unknown>> = {
    submit: () => client.txn.submit(fragments, { signal }),
    acquire: () => client.kv.acquire({ key: 'k', session, value: Buffer.alloc(0) }, { signal }),
    'create of a session': () =>
      client.sessions.create({ node: 'n', name: 's', ttlSeconds: 15, lockDelaySeconds: 5 }, { signal }),
    renew: () => client.sessions.renew(session, { signal }),
    destroy: () => client.sessions.destroy(session, { signal }),
    'put of a config entry': () => client.configEntries.put({ Kind: 'k', Name: 'n' }, NOT_THERE, { signal }),
    'registration of a node': () =>
      client.catalog.registerNode({ node: 'n', address: '127.0.0.1', meta: {} }, { signal }),
  };

  test.each(Object.entries(writes))(
    '%s has an unknown outcome after anything that is no answer',
    async (_, write) => {
      for (const body of ['<html>', '', 'null', '"ok"', '{}', '[', '1']) {
        server.respondWith(answer(200, body));
        await expect(write()).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY', outcomeUnknown: true });
      }
    },
  );

  test('that has no precondition cannot be refused by a 200 false', async () => {
    server.respondWith(answer(200, 'false'));
    await expect(writes['destroy']?.()).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
    await expect(writes['registration of a node']?.()).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
  });

  test('by compare-and-set can: that is a value', async () => {
    server.respondWith(answer(200, 'false'));
    expect(await writes['put of a config entry']?.()).toEqual({ applied: false });
    expect(await writes['acquire']?.()).toEqual({ applied: false });
  });

  test("a renewal is not lost by a proxy's 404, only by Consul's", async () => {
    server.respondWith(answer(404, 'default backend', {}));
    await expect(writes['renew']?.()).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
    server.respondWith(answer(404, "Session id 'x' not found"));
    expect(await writes['renew']?.()).toEqual({ alive: false });
  });

  test('a session is never made of a reply without a UUID', async () => {
    server.respondWith(answer(200, '{"ID":""}'));
    await expect(writes['create of a session']?.()).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
  });
});

describe('a body over the limit', () => {
  test('that is announced is not read', async () => {
    server.respondWith((_, response) => {
      response.writeHead(200, { ...READ_HEADERS, 'content-length': String(2 ** 30) });
      response.write('[');
    });
    await expect(client.kv.list('', { signal })).rejects.toMatchObject({ code: 'CONSUL_REPLY_TOO_LARGE' });
  });

  test('can be set for a call', async () => {
    server.respondWith(answer(200, entryJson()));
    const read = client.kv.get('k', { signal, maxReplyBytes: 10 });
    await expect(read).rejects.toMatchObject({
      code: 'CONSUL_REPLY_TOO_LARGE',
      message: expect.stringContaining('10 bytes'),
    });
  });

  test('that comes without end is cut off', async () => {
    const chunk = Buffer.alloc(16 * 1024, ' ');
    let written = 0;
    server.respondWith((_, response) => {
      response.writeHead(200, READ_HEADERS);
      const more = (): void => {
        written += chunk.length;
        if (!response.destroyed) response.write(chunk, more);
      };
      more();
    });
    await expect(client.kv.list('', { signal })).rejects.toMatchObject({ code: 'CONSUL_REPLY_TOO_LARGE' });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  test('that is compressed, though nobody asked for it, is not unpacked', async () => {
    server.respondWith(answer(200, 'H4sI', { ...READ_HEADERS, 'content-encoding': 'gzip' }));
    await expect(client.kv.list('', { signal })).rejects.toMatchObject({ code: 'CONSUL_BAD_REPLY' });
    expect(server.requests.at(-1)?.headers).not.toHaveProperty('accept-encoding');
  });
});

test('a header without end is cut off', async () => {
  server.respondWith((_, response) => {
    response.socket?.end(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`);
  });
  await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ reason: 'ConsulUnreachable' });
});

test('what comes before the answer is passed over', async () => {
  server.respondWith((request, response) => {
    response.writeProcessing();
    response.writeEarlyHints({ link: '</x>; rel=preload' });
    answer(200, entryJson())(request, response);
  });
  expect((await client.kv.get('k', { signal })).value?.key).toBe('k');
});

test('an upgrade that nobody asked for is no answer', async () => {
  server.respondWith((_, response) => {
    response.socket?.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n');
  });
  await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ reason: 'ConsulUnreachable' });
});

test('what is not HTTP at all is no answer', async () => {
  server.respondWith((_, response) => {
    response.socket?.end('220 mail.example ESMTP\r\n');
  });
  await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ reason: 'ConsulUnreachable' });
});

test('a body that ends before its Content-Length is no answer', async () => {
  server.respondWith((_, response) => {
    response.writeHead(200, { ...READ_HEADERS, 'content-length': '1000' });
    response.write(entryJson());
    response.socket?.destroySoon();
  });
  await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ code: 'CONSUL_CONNECTION_LOST' });
});
