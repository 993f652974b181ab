/** What a Consul without a leader answers. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeOperation } from '../../src/consul/txn.ts';
import { NOT_THERE } from '../../src/consul/types.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { eventually } from '../support/eventually.ts';

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;

beforeAll(async () => {
  sandbox = await startConsulSandbox({ servers: 3 });
});

afterAll(() => sandbox.close());

test('without a quorum reads and writes say so, stale reads still answer, and it comes back by itself', async () => {
  const [survivor, ...others] = sandbox.servers;
  await using consul = aConsulClient([survivor?.address ?? '']);
  const patient = { signal, deadlineMs: 60_000 };
  const creation = [
    encodeOperation({ verb: 'cas', key: 'k', value: Buffer.from('hi'), flags: 0n, index: NOT_THERE }),
  ];
  await Promise.all(others.map(server => server.kill()));

  await expect(consul.kv.get('k', { ...patient, consistency: 'consistent' })).rejects.toMatchObject({
    code: 'CONSUL_NO_LEADER',
    reason: 'ConsulUnreachable',
  });
  const write = consul.txn.submit(creation, patient);
  await expect(write).rejects.toMatchObject({ code: 'CONSUL_NO_LEADER', outcomeUnknown: true });
  expect(consul.health.reachable).toBe(false);
  await expect(consul.kv.get('k', { signal, consistency: 'stale' })).resolves.toMatchObject({
    value: undefined,
  });
  expect(consul.health.reachable).toBe(false);

  await Promise.all(others.map(server => server.start()));
  await eventually(() => consul.kv.get('k', { signal, consistency: 'consistent' }), {
    what: 'a leader is back',
  });
  expect(consul.health.reachable).toBe(true);
});

test('a query that was blocked when the quorum was lost is answered all the same, and proves nothing', async () => {
  const leader = await sandbox.leader();
  const others = sandbox.servers.filter(server => server !== leader);
  await using consul = aConsulClient([leader?.address ?? '']);
  const { index } = await consul.kv.get('k', { signal, consistency: 'consistent' });
  const block = { index, waitSeconds: 5 };
  const blocked = consul.kv.get('k', { signal, consistency: 'consistent', block });
  await consul.kv.get('k', { signal, consistency: 'consistent' });

  await Promise.all(others.map(server => server.kill()));
  await expect(
    consul.kv.get('k', { signal, consistency: 'consistent', deadlineMs: 3000 }),
  ).rejects.toMatchObject({ reason: 'ConsulUnreachable' });

  await expect(blocked).resolves.toMatchObject({ index });
  expect(consul.health.reachable).toBe(false);
  await Promise.all(others.map(server => server.start()));
});

test('with a server gone, the others serve and hold on to the session of a virtual node', async () => {
  const leader = await sandbox.leader();
  const rest = sandbox.servers.filter(server => server !== leader);
  await using consul = aConsulClient([leader, ...rest].map(server => server?.address ?? ''));
  await consul.catalog.registerNode({ node: 'virtual', address: '127.0.0.1', meta: {} }, { signal });
  const session = { node: 'virtual', name: 'lead', ttlSeconds: 20, lockDelaySeconds: 0 };
  const id = await consul.sessions.create(session, { signal });
  await leader?.kill();
  const renewal = await eventually(() => consul.sessions.renew(id, { signal }), {
    what: 'the session is renewed',
  });
  expect(renewal).toEqual({ alive: true });
  await leader?.start();
});
