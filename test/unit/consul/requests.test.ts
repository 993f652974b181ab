/** How requests are sent: deadlines, aborts, tokens, redirects, failover, connections. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encodeOperation } from '../../../src/consul/txn.ts';
import { AbortedError, ConflictError, messageOf } from '../../../src/core/errors.ts';
import { eventually } from '../../support/eventually.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { aConsulClient, signal } from '../../support/consul-client.ts';
import { answer, closedAddress, entryJson, FakeServer, READ_HEADERS, type Respond } from './server.ts';

const HEALTHY = answer(200, entryJson());
const SILENT: Respond = () => {};
const APPLIED = answer(200, '{"Results":[],"Errors":null}');
const RESET: Respond = (_, response) => {
  response.socket?.resetAndDestroy();
};

const aWrite = [encodeOperation({ verb: 'check-not-exists', key: 'k' })];

describe('the deadline', () => {
  test.each([
    ['a read', 10_000, (client: ReturnType<typeof aConsulClient>) => client.kv.get('k', { signal })],
    ['a write', 15_000, (client: ReturnType<typeof aConsulClient>) => client.txn.submit(aWrite, { signal })],
    [
      'a blocking query',
      68_437.5,
      (client: ReturnType<typeof aConsulClient>) =>
        client.kv.get('k', { signal, block: { index: 1, waitSeconds: 55 } }),
    ],
    [
      'a call with its own',
      77,
      (client: ReturnType<typeof aConsulClient>) => client.kv.get('k', { signal, deadlineMs: 77 }),
    ],
  ])('of %s is %i ms', async (_, ms, call) => {
    await using server = await FakeServer.start(SILENT);
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock });
    const outcome = call(client).catch((thrown: unknown) => thrown);
    await eventually(() => server.requests.length === 1, { what: 'the request is there' });
    clock.advance(ms - 1);
    expect(clock.timerCount).toBe(1);
    clock.advance(1);
    expect(await outcome).toMatchObject({ code: 'CONSUL_TIMEOUT' });
    expect(clock.timerCount).toBe(0);
  });

  test('covers a body that trickles in', async () => {
    await using server = await FakeServer.start((_, response) => {
      response.writeHead(200, READ_HEADERS).write('[');
    });
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock });
    const outcome = client.kv.get('k', { signal }).catch((thrown: unknown) => thrown);
    await eventually(() => server.requests.length === 1, { what: 'the request is there' });
    clock.advance(10_000);
    expect(await outcome).toMatchObject({ code: 'CONSUL_TIMEOUT' });
  });

  test('covers the wait for a connection, after which nothing is sent', async () => {
    await using server = await FakeServer.start(SILENT);
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock, maxConnections: 1 });
    const first = client.kv.get('k', { signal, deadlineMs: 60_000 }).catch((thrown: unknown) => thrown);
    await eventually(() => server.requests.length === 1, { what: 'the only connection is taken' });
    const second = client.txn.submit(aWrite, { signal }).catch((thrown: unknown) => thrown);
    clock.advance(15_000);
    expect(await second).toMatchObject({ code: 'CONSUL_TIMEOUT', outcomeUnknown: false });
    expect(server.requests).toHaveLength(1);
    clock.advance(45_000);
    await first;
  });

  test('leaves the outcome of a write open', async () => {
    await using server = await FakeServer.start(SILENT);
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock });
    const outcome = client.txn.submit(aWrite, { signal }).catch((thrown: unknown) => thrown);
    await eventually(() => server.requests.length === 1, { what: 'the request is there' });
    clock.advance(15_000);
    expect(await outcome).toMatchObject({ code: 'CONSUL_TIMEOUT', outcomeUnknown: true });
  });
});

describe('an abort', () => {
  test('ends the call, is no failure and leaves nothing behind', async () => {
    await using server = await FakeServer.start(SILENT);
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock });
    const controller = new AbortController();
    const outcome = client.kv.get('k', { signal: controller.signal }).catch((thrown: unknown) => thrown);
    await eventually(() => server.requests.length === 1, { what: 'the request is there' });
    controller.abort();
    expect(await outcome).toBeInstanceOf(AbortedError);
    expect(client.health.lastError).toBeUndefined();
    expect(clock.timerCount).toBe(0);
    await eventually(() => server.connections.open === 0, { what: 'the connection is given up' });
  });

  test('before the call sends nothing', async () => {
    await using server = await FakeServer.start(HEALTHY);
    await using client = aConsulClient([server.address]);
    await expect(client.kv.get('k', { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(AbortedError);
    expect(server.requests).toHaveLength(0);
  });

  test('between call and connection opens none', async () => {
    await using server = await FakeServer.start(HEALTHY);
    await using client = aConsulClient([server.address]);
    const controller = new AbortController();
    const outcome = client.kv.get('k', { signal: controller.signal }).catch((thrown: unknown) => thrown);
    controller.abort();
    expect(await outcome).toBeInstanceOf(AbortedError);
    await settled();
    expect(server.connections.peak).toBe(0);
  });

  test('reaches all calls when the client closes', async () => {
    await using server = await FakeServer.start(SILENT);
    const client = aConsulClient([server.address], { maxConnections: 1 });
    const calls = [client.kv.get('k', { signal }), client.kv.get('k', { signal })];
    const outcomes = Promise.allSettled(calls);
    await eventually(() => server.requests.length === 1, { what: 'one request is there, one waits' });
    await client.close();
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: expect.any(AbortedError) });
    await expect(client.kv.get('k', { signal })).rejects.toBeInstanceOf(AbortedError);
  });
});

describe('beforeSend', () => {
  test('is asked for every attempt, right before it', async () => {
    await using server = await FakeServer.start(APPLIED);
    await using client = aConsulClient([await closedAddress(), server.address]);
    let asked = 0;
    await client.txn.submit(aWrite, { signal, beforeSend: () => void (asked += 1) });
    expect(asked).toBe(1);
  });

  test('can refuse: then not a byte is sent, and its error comes back', async () => {
    await using server = await FakeServer.start(APPLIED);
    await using client = aConsulClient([server.address]);
    const lost = new ConflictError('no longer the leader', { code: 'TENURE_LOST', reason: 'Progressing' });
    const beforeSend = (): never => {
      throw lost;
    };
    await expect(client.txn.submit(aWrite, { signal, beforeSend })).rejects.toBe(lost);
    expect(server.requests).toHaveLength(0);
    await client.txn.submit(aWrite, { signal });
    expect(server.requests).toHaveLength(1);
  });
});

describe('the token', () => {
  test('goes as Bearer, and nowhere when there is none', async () => {
    await using server = await FakeServer.start(HEALTHY);
    await using known = aConsulClient([server.address], { token: 's3cr3t' });
    await using anonymous = aConsulClient([server.address]);
    await known.kv.get('k', { signal });
    await anonymous.kv.get('k', { signal });
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer s3cr3t', undefined]);
    expect(server.requests.every(({ url }) => !url.includes('token'))).toBe(true);
  });

  test('never follows a redirect', async () => {
    await using other = await FakeServer.start(HEALTHY);
    for (const status of [301, 302, 303, 307, 308]) {
      await using server = await FakeServer.start(
        answer(status, '', { location: `${other.address}/v1/kv/k` }),
      );
      await using client = aConsulClient([server.address], { token: 's3cr3t' });
      await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ code: 'CONSUL_REDIRECTED' });
      await expect(client.txn.submit(aWrite, { signal })).rejects.toMatchObject({
        code: 'CONSUL_REDIRECTED',
      });
    }
    expect(other.requests).toHaveLength(0);
  });

  test('of a file that was replaced is used at once after a refusal, for a write too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'token-'));
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, 'old');
    await using server = await FakeServer.start((request, response) => {
      const good = request.headers.authorization === 'Bearer new';
      (good ? APPLIED : answer(403, 'ACL not found'))(request, response);
    });
    await using client = aConsulClient([server.address], { tokenFile, clock: new FakeClock() });
    await expect(client.txn.submit(aWrite, { signal })).rejects.toMatchObject({ code: 'CONSUL_DENIED' });
    expect(server.requests).toHaveLength(1);
    await writeFile(tokenFile, 'new');
    expect(await client.txn.submit(aWrite, { signal })).toMatchObject({ applied: true });
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer old',
      'Bearer old',
      'Bearer new',
    ]);
    await rm(folder, { recursive: true });
  });

  test('that a proxy sends back is not quoted', async () => {
    await using server = await FakeServer.start((request, response) => {
      answer(403, `refused: ${JSON.stringify(request.headers)}`)(request, response);
    });
    await using client = aConsulClient([server.address], { token: 's3cr3t-t0k3n' });
    const error = await client.kv.get('k', { signal }).catch((thrown: unknown) => thrown);
    expect(messageOf(error)).toContain('Bearer [token]');
    expect(messageOf(error)).not.toContain('s3cr3t');
  });

  test.each([
    [{ token: 'two\nlines' }, 'CONSUL_HTTP_TOKEN is not'],
    [{ token: '' }, 'CONSUL_HTTP_TOKEN is not'],
    [{ token: 'one', tokenFile: '/two' }, 'both set'],
  ])('%j is refused at the start, unseen', (options, problem) => {
    expect(() => aConsulClient(['127.0.0.1:1'], options)).toThrow(problem);
    expect(() => aConsulClient(['127.0.0.1:1'], options)).not.toThrow('lines');
  });
});

describe('with several addresses', () => {
  test('a read goes on to the next from what refuses, resets, answers nonsense or has no leader', async () => {
    await using good = await FakeServer.start(HEALTHY);
    await using bad = await FakeServer.start(RESET);
    const failures = [RESET, answer(200, '<html>'), answer(500, 'No cluster leader'), answer(502, '')];
    for (const failure of failures) {
      bad.respondWith(failure);
      await using client = aConsulClient([bad.address, good.address]);
      expect((await client.kv.get('k', { signal })).value).toBeDefined();
    }
    await using client = aConsulClient([await closedAddress(), good.address]);
    expect((await client.kv.get('k', { signal })).value).toBeDefined();
  });

  test('stays with the one that worked', async () => {
    await using good = await FakeServer.start(HEALTHY);
    await using bad = await FakeServer.start(RESET);
    await using client = aConsulClient([bad.address, good.address]);
    for (let call = 0; call < 3; call += 1) await client.kv.get('k', { signal });
    bad.respondWith(HEALTHY);
    await client.kv.get('k', { signal });
    expect([bad.requests.length, good.requests.length]).toEqual([1, 4]);
  });

  test('a write that was not sent goes to the next', async () => {
    await using good = await FakeServer.start(APPLIED);
    await using client = aConsulClient([await closedAddress(), good.address]);
    expect(await client.txn.submit(aWrite, { signal })).toMatchObject({ applied: true });
  });

  test.each([
    ['a reset', RESET, 'CONSUL_CONNECTION_LOST'],
    ['a lost leader', answer(500, 'leadership lost while committing log'), 'CONSUL_NO_LEADER'],
    ['a gateway error', answer(502, ''), 'CONSUL_UNREACHABLE'],
    ['nonsense', answer(200, '<html>'), 'CONSUL_BAD_REPLY'],
  ])(
    'a write whose outcome is unknown after %s is not sent twice, the next call goes on',
    async (_, respond, code) => {
      await using bad = await FakeServer.start(respond);
      await using good = await FakeServer.start(APPLIED);
      await using client = aConsulClient([bad.address, good.address]);
      await expect(client.txn.submit(aWrite, { signal })).rejects.toMatchObject({
        code,
        outcomeUnknown: true,
      });
      expect([bad.requests.length, good.requests.length]).toEqual([1, 0]);
      expect(await client.txn.submit(aWrite, { signal })).toMatchObject({ applied: true });
      expect([bad.requests.length, good.requests.length]).toEqual([1, 1]);
    },
  );

  test('an overload or a refusal is no reason to go elsewhere', async () => {
    await using good = await FakeServer.start(HEALTHY);
    for (const respond of [answer(429, ''), answer(403, ''), answer(500, 'new in 1.23')]) {
      await using bad = await FakeServer.start(respond);
      await using client = aConsulClient([bad.address, good.address]);
      await expect(client.kv.get('k', { signal })).rejects.toBeDefined();
      expect(good.requests).toHaveLength(0);
    }
  });

  test('each is asked once when all fail', async () => {
    await using one = await FakeServer.start(RESET);
    await using two = await FakeServer.start(RESET);
    await using client = aConsulClient([one.address, two.address]);
    await expect(client.kv.get('k', { signal })).rejects.toMatchObject({ code: 'CONSUL_CONNECTION_LOST' });
    expect([one.requests.length, two.requests.length]).toEqual([1, 1]);
  });

  test('connections to the one that was left are closed', async () => {
    await using one = await FakeServer.start(HEALTHY);
    await using two = await FakeServer.start(HEALTHY);
    await using client = aConsulClient([one.address, two.address]);
    await client.kv.get('k', { signal });
    one.respondWith(RESET);
    await client.kv.get('k', { signal });
    await eventually(() => one.connections.open === 0, { what: 'the first is left' });
    expect(two.connections.open).toBe(1);
  });
});

describe('connections', () => {
  test('are at most eight for requests and eight for blocking queries, whatever is asked', async () => {
    await using server = await FakeServer.start(SILENT);
    const client = aConsulClient([server.address]);
    const block = { index: 1, waitSeconds: 55 };
    const calls = Array.from({ length: 50 }, () => [
      client.kv.get('k', { signal }),
      client.kv.get('k', { signal, block }),
    ]).flat();
    const outcomes = Promise.allSettled(calls);
    await eventually(() => server.requests.length === 16, { what: 'both kinds are full' });
    expect(server.connections.peak).toBe(16);
    await client.close();
    await outcomes;
    expect(server.requests).toHaveLength(16);
  });

  test('are used again', async () => {
    await using server = await FakeServer.start(HEALTHY);
    await using client = aConsulClient([server.address]);
    for (let call = 0; call < 20; call += 1) await client.kv.get('k', { signal });
    // undici lets a connection rest for one turn of the event loop, so that two take turns.
    expect(server.connections.peak).toBeLessThanOrEqual(2);
  });

  test('of blocking queries do not stand in the way of requests', async () => {
    await using server = await FakeServer.start((request, response) => {
      if (!request.url.includes('wait=')) HEALTHY(request, response);
    });
    const client = aConsulClient([server.address], { maxBlockingConnections: 1, maxConnections: 1 });
    const block = { index: 1, waitSeconds: 55 };
    const blocked = Promise.allSettled([
      client.kv.get('k', { signal, block }),
      client.kv.get('k', { signal, block }),
    ]);
    expect((await client.kv.get('k', { signal })).index).toBe(7);
    await client.close();
    await blocked;
  });
});

describe('a request', () => {
  test('carries datacenter, consistency and what it blocks on', async () => {
    await using server = await FakeServer.start(HEALTHY);
    await using client = aConsulClient([`${server.address}/behind/`], { datacenter: 'dc 7' });
    await client.kv.get('k', { signal, consistency: 'consistent' });
    await client.kv.get('k', { signal, consistency: 'stale' });
    await client.kv.get('k', { signal, block: { index: 7, waitSeconds: 55 } });
    const id = { kind: 'service-intentions', name: '*' };
    await client.configEntries.get(id, { signal, datacenter: 'primary' }).catch(() => {});
    expect(server.requests.map(({ url }) => url)).toEqual([
      '/behind/v1/kv/k?consistent=&dc=dc+7',
      '/behind/v1/kv/k?stale=&dc=dc+7',
      '/behind/v1/kv/k?index=7&wait=55s&dc=dc+7',
      '/behind/v1/config/service-intentions/*?dc=primary',
    ]);
  });

  test('has a Content-Length, also without a body: Consul reads some bodies only then', async () => {
    await using server = await FakeServer.start(APPLIED);
    await using client = aConsulClient([server.address]);
    await client.txn.submit(aWrite, { signal });
    expect(server.requests[0]?.headers).toMatchObject({
      'content-length': String(server.requests[0]?.body.length),
    });
    expect(server.requests[0]?.headers).not.toHaveProperty('transfer-encoding');
  });

  test.each(['a//b', 'a/../b', './a', 'a/.', '..'])(
    'of the key %j is refused: /v1/kv would read another',
    async key => {
      await using client = aConsulClient(['127.0.0.1:1']);
      await expect(client.kv.get(key, { signal })).rejects.toThrow(TypeError);
      await expect(client.kv.list(key, { signal })).rejects.toThrow(TypeError);
    },
  );
});

describe('health', () => {
  test('follows the outcome of requests', async () => {
    await using server = await FakeServer.start(HEALTHY);
    const clock = new FakeClock();
    await using client = aConsulClient([server.address], { clock });
    const flips: [boolean, number][] = [];
    const unsubscribe = client.health.subscribe(({ reachable, since }) => flips.push([reachable, since]));
    expect(client.health).toMatchObject({ reachable: false, since: 0, lastError: undefined });
    const call = async (respond: Respond, consistency: 'default' | 'stale' = 'default') => {
      clock.advance(1000);
      server.respondWith(respond);
      await client.kv.get('k', { signal, consistency }).catch(() => {});
    };
    await call(HEALTHY);
    await call(HEALTHY);
    await call(answer(403, ''));
    await call(answer(429, ''));
    await call(answer(500, 'No cluster leader'));
    await call(answer(429, ''));
    await call(HEALTHY, 'stale');
    expect(client.health.lastError).toMatchObject({ code: 'CONSUL_NO_LEADER' });
    await call(answer(403, ''));
    await call(answer(200, '<html>'));
    await call(answer(404, ''));
    expect(flips).toEqual([
      [true, 1000],
      [false, 5000],
      [true, 8000],
      [false, 9000],
      [true, 10_000],
    ]);
    unsubscribe();
    await call(RESET);
    expect(flips).toHaveLength(5);
    expect(client.health.reachable).toBe(false);
  });

  test('is not proven by the end of a query that was blocked: it was begun before', async () => {
    await using server = await FakeServer.start(answer(500, 'No cluster leader'));
    await using client = aConsulClient([server.address]);
    await client.kv.get('k', { signal }).catch(() => {});
    server.respondWith(HEALTHY);

    await client.kv.get('k', { signal, block: { index: 7, waitSeconds: 1 } });
    expect(client.health.reachable).toBe(false);
    await client.kv.get('k', { signal, block: { index: 0, waitSeconds: 1 } });
    expect(client.health.reachable).toBe(true);
  });
});
