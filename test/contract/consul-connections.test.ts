/** Connections, counted at a gate before a real Consul, and what becomes of requests when they break. */
import { randomUUID } from 'node:crypto';
import { describe, expect, inject, test } from 'vitest';
import { encodeOperation } from '../../src/consul/txn.ts';
import { NOT_THERE } from '../../src/consul/types.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { eventually } from '../support/eventually.ts';
import { TcpGate } from '../support/tcp-gate.ts';

const target = { host: '127.0.0.1', port: Number(new URL(inject('sandbox').consulAddress).port) };

async function aGate(): Promise<TcpGate & Disposable> {
  const gate = await TcpGate.listen(target);
  return Object.assign(gate, { [Symbol.dispose]: () => gate.close() });
}

const aKey = (): string => `contract/${randomUUID()}/k`;
const creation = (key: string) => [
  encodeOperation({ verb: 'cas', key, value: Buffer.from('hi'), flags: 0n, index: NOT_THERE }),
];

describe('connections', () => {
  test('are at most 16, whatever is asked at once', async () => {
    using gate = await aGate();
    await using consul = aConsulClient([`127.0.0.1:${gate.port}`]);
    const abort = new AbortController();
    const key = aKey();
    const { index } = await consul.kv.list('', { signal });
    const watches = Array.from({ length: 20 }, () =>
      consul.kv.get(key, { signal: abort.signal, block: { index, waitSeconds: 55 } }),
    );
    const watched = Promise.allSettled(watches);
    const requests = Array.from({ length: 300 }, (_, at) =>
      at % 2 === 0 ? consul.kv.get(key, { signal }) : consul.txn.submit(creation(aKey()), { signal }),
    );
    await Promise.all(requests);
    await eventually(() => gate.connections.peak === 16, { what: 'both kinds of connections are used' });
    abort.abort();
    await watched;
    expect(gate.connections.peak).toBe(16);
  });

  test('of one watch and one request at a time are three at most', async () => {
    using gate = await aGate();
    await using consul = aConsulClient([`127.0.0.1:${gate.port}`]);
    const abort = new AbortController();
    const { index } = await consul.kv.list('', { signal });
    const watched = Promise.allSettled([
      consul.kv.get(aKey(), { signal: abort.signal, block: { index, waitSeconds: 55 } }),
    ]);
    for (let call = 0; call < 100; call += 1) await consul.kv.get(aKey(), { signal });
    expect(gate.connections.peak).toBeLessThanOrEqual(3);
    abort.abort();
    await watched;
  });
});

describe('a network that breaks', () => {
  test('in the middle of a write leaves its outcome open, and the next call gets through', async () => {
    using gate = await aGate();
    await using consul = aConsulClient([`127.0.0.1:${gate.port}`]);
    const key = aKey();
    await consul.kv.get(key, { signal });
    gate.freeze();
    let sent = false;
    const beforeSend = (): void => void (sent = true);
    const write = consul.txn.submit(creation(key), { signal, beforeSend }).catch((thrown: unknown) => thrown);
    await eventually(() => sent, { what: 'the write is under way' });
    gate.cutAll();
    expect(await write).toMatchObject({ code: 'CONSUL_CONNECTION_LOST', outcomeUnknown: true });
    gate.thaw();
    expect((await consul.kv.get(key, { signal })).value).toBeUndefined();
    expect(consul.health.reachable).toBe(true);
  });

  test('and goes silent is given up at the deadline, and the next call does not wait for it', async () => {
    using gate = await aGate();
    await using consul = aConsulClient([`127.0.0.1:${gate.port}`]);
    await consul.kv.get('k', { signal });
    gate.freeze();
    const read = consul.kv.get('k', { signal, deadlineMs: 250 });
    await expect(read).rejects.toMatchObject({ code: 'CONSUL_TIMEOUT' });
    expect(consul.health).toMatchObject({ reachable: false, lastError: { code: 'CONSUL_TIMEOUT' } });
    gate.thaw();
    await expect(consul.kv.get('k', { signal })).resolves.toBeDefined();
  });

  test('on the way to one address is gone around by another', async () => {
    using gate = await aGate();
    using other = await aGate();
    await using consul = aConsulClient([`127.0.0.1:${gate.port}`, `127.0.0.1:${other.port}`]);
    const key = aKey();
    await consul.kv.get(key, { signal });
    await gate.refuse();
    gate.cutAll();
    await eventually(() => gate.connections.open === 0, { what: 'the first way is closed' });
    expect(await consul.txn.submit(creation(key), { signal })).toMatchObject({ applied: true });
    expect(other.connections.accepted).toBe(1);
  });
});
