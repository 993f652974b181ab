/** What Node programs get of the election, on a real Consul. */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { afterAll, expect, inject, test } from 'vitest';
import { encodeOperation } from '../../src/consul/txn.ts';
import { NOT_THERE } from '../../src/consul/types.ts';
import { createConsulElection, type Held } from '../../src/election/library.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { FaultProxy } from '../support/fault-proxy.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
const api = new ConsulApi({ address: consulAddress });
afterAll(() => consul.close());

const aKey = (): string => `contract/${randomUUID()}`;
const aNode = (): string => `contract-${randomUUID()}`;
const aLibrary = (node = aNode()) => createConsulElection({ addresses: [consulAddress], holder: 'me', node });
const quick = { ttlSeconds: 10, lockDelaySeconds: 0 };

/** Writes under the fence of a lock, as the library's page says. */
async function fencedWrite(key: string, { fence }: Held): Promise<boolean> {
  const operations = [
    { verb: 'check-session', ...fence } as const,
    { verb: 'cas', key, value: Buffer.from('x'), flags: 0n, index: NOT_THERE } as const,
  ];
  return (await consul.txn.submit(operations.map(encodeOperation), { signal })).applied;
}

test('withLock runs one at a time, each with a higher token, and gives the lock back', async () => {
  const [key, node] = [aKey(), aNode()];
  await using one = aLibrary(node);
  await using other = aLibrary(node);
  const order: string[] = [];
  const tokens: bigint[] = [];
  const run = (library: typeof one, name: string) =>
    library.withLock(
      key,
      async held => {
        order.push(`${name} in`);
        tokens.push(held.fencingToken);
        expect(await fencedWrite(`${key}/${name}`, held)).toBe(true);
        order.push(`${name} out`);
        return name;
      },
      quick,
    );
  expect(await Promise.all([run(one, 'a'), run(other, 'b'), run(one, 'c')])).toEqual(['a', 'b', 'c']);
  expect(order.filter((_, n) => n % 2 === 0).map(entry => entry.replace(' in', ' out'))).toEqual(
    order.filter((_, n) => n % 2 === 1),
  );
  expect(tokens).toEqual([...new Set(tokens)].sort((first, second) => Number(first - second)));
  expect(await consul.sessions.listNode(node, { signal })).toMatchObject({ value: [] });
  expect((await api.kvGet(key))?.session).toBeUndefined();
});

test('work whose lock is lost is told so, refused by the fence, and counts for nothing', async () => {
  const key = aKey();
  await using library = aLibrary();
  const work = library.withLock(
    key,
    async held => {
      await api.destroySession(held.fence.session);
      await new Promise(resolve => held.signal.addEventListener('abort', resolve));
      expect(() => held.assertHeld()).toThrow();
      expect(await fencedWrite(`${key}/late`, held)).toBe(false);
      return 'done';
    },
    quick,
  );
  await expect(work).rejects.toMatchObject({ name: 'AbortedError' });
});

test('what the work throws is thrown, and the lock is free again', async () => {
  const key = aKey();
  await using library = aLibrary();
  const work = library.withLock(key, () => Promise.reject(new Error('mine')), quick);
  await expect(work).rejects.toThrow('mine');
  await library.withLock(key, () => Promise.resolve(), quick);
});

test('a signal ends the wait for a lock', async () => {
  const key = aKey();
  await using library = aLibrary();
  await library.withLock(
    key,
    async () => {
      const enough = new AbortController();
      const waiting = library.withLock(key, () => Promise.resolve(), { ...quick, signal: enough.signal });
      enough.abort();
      await expect(waiting).rejects.toMatchObject({ name: 'AbortedError' });
    },
    quick,
  );
});

test('a semaphore has as many holders as slots, and never more', async () => {
  const [key, node] = [aKey(), aNode()];
  await using library = aLibrary(node);
  const semaphore = library.semaphore(key, 2);
  let [inside, most] = [0, 0];
  const slots = await Promise.all(
    Array.from({ length: 5 }, () =>
      semaphore.withSlot(async ({ slot, fence }) => {
        inside += 1;
        most = Math.max(most, inside);
        expect(fence.key).toBe(`${key}/${slot}`);
        // Until the others had their chance to come in as well.
        while (most < 2) await new Promise(setImmediate);
        inside -= 1;
        return slot;
      }, quick),
    ),
  );
  expect(most).toBe(2);
  expect(new Set(slots)).toEqual(new Set([0, 1]));
  expect(await consul.sessions.listNode(node, { signal })).toMatchObject({ value: [] });
});

test('a slot in its lock-delay keeps nobody from the others', async () => {
  const key = aKey();
  await using library = aLibrary();
  const session = await library.session({ ttlSeconds: 10, lockDelaySeconds: 60 });
  await api.kvPut(`${key}/0`, '', { acquire: session.id });
  await session.close();
  expect(session.signal.aborted).toBe(true);
  expect(await library.semaphore(key, 2).withSlot(({ slot }) => Promise.resolve(slot), quick)).toBe(1);
});

test('a session is kept until it is closed, or told to be lost', async () => {
  const node = aNode();
  await using library = aLibrary(node);
  const session = await library.session(quick);
  expect(() => session.assertAlive()).not.toThrow();
  expect(await consul.sessions.renew(session.id, { signal })).toEqual({ alive: true });
  await api.destroySession(session.id);
  await new Promise(resolve => session.signal.addEventListener('abort', resolve));
  expect(() => session.assertAlive()).toThrow(expect.objectContaining({ name: 'AbortedError' }));
});

test('close ends what is open', async () => {
  const [key, node] = [aKey(), aNode()];
  const library = aLibrary(node);
  const leadership = await library.candidate(key, quick).campaign();
  const session = await library.session(quick);
  await library.close();
  expect([leadership.signal.aborted, session.signal.aborted]).toEqual([true, true]);
  await expect(library.withLock(key, () => Promise.resolve())).rejects.toMatchObject({
    name: 'AbortedError',
  });
  expect(await consul.sessions.listNode(node, { signal })).toMatchObject({ value: [] });
});

test('a program that waits for nothing else lives until it has the lock, and ends when it is done', async () => {
  const [key, node] = [aKey(), aNode()];
  const program = `
    import { createConsulElection } from ${JSON.stringify(new URL('../../src/election/library.ts', import.meta.url).href)};
    await using election = createConsulElection({ addresses: ['${consulAddress}'], node: '${node}' });
    await election.withLock('${key}', async () => console.log('mine'), { ttlSeconds: 10, lockDelaySeconds: 1 });
  `;
  const crashed = await consul.catalog
    .registerNode({ node, address: '127.0.0.1', meta: {} }, { signal })
    .then(() => consul.sessions.create({ node, name: 'x', ttlSeconds: 10, lockDelaySeconds: 2 }, { signal }));
  await api.kvPut(key, '', { acquire: crashed });
  await api.destroySession(crashed);
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout).toBe('mine\n');
});

test('a program ends when it is done, although Consul has gone meanwhile', async () => {
  await using proxy = await FaultProxy.start({ upstream: consulAddress });
  const program = `
    import { once } from 'node:events';
    import { createConsulElection } from ${JSON.stringify(new URL('../../src/election/library.ts', import.meta.url).href)};
    await using election = createConsulElection({ addresses: ['${proxy.url}'], node: '${aNode()}' });
    await election.withLock('${aKey()}', async () => {
      console.log('mine');
      await once(process.stdin.resume(), 'end');
    }, { ttlSeconds: 300 });
    console.log('done');
  `;
  const running = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  const { stdout: output, stdin } = running.child;
  if (output === null || stdin === null) throw new Error('a program without pipes');
  await once(output, 'data');
  proxy.when(() => true, { kind: 'reset' });
  stdin.end();
  expect((await running).stdout).toBe('mine\ndone\n');
});
