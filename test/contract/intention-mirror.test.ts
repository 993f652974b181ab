/** The mirror, the writer and the watch of dependencies, as they work together on a real Consul. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { IntentionEntries } from '../../src/commit/intention-entries.ts';
import { type ConfigEntryBody, SERVICE_INTENTIONS } from '../../src/consul/config-entry.ts';
import { classifyEntryRefusal } from '../../src/consul/config-entry-refusals.ts';
import type { RequestSample } from '../../src/consul/instrumentation.ts';
import type { ResourceRef } from '../../src/core/resource.ts';
import { DependencyWatch } from '../../src/mirror/dependency-watch.ts';
import { IntentionMirror } from '../../src/mirror/intention-mirror.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { until } from '../support/until.ts';
import { aTenure } from '../unit/commit/tenures.ts';

const { consulAddress } = inject('sandbox');
const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never;
const ref = (name: string): ResourceRef => ({ kind: 'ConsulIntention', namespace: 'shop', name });
const [A, B] = [ref('a'), ref('b')] as const;
const web = { Name: 'web', Action: 'allow' };

/** What one process has of Consul, and what it asked for. */
function aWorld(address: string) {
  const ending = new AbortController();
  const requests: RequestSample[] = [];
  const consul = aConsulClient([address], { onRequest: sample => requests.push(sample) });
  const told: string[] = [];
  const waiting = { consul, datacenter: () => undefined, clock: systemClock, random: Math.random, logger };
  const tenure = aTenure(1);
  const history = { fell: 0 };
  const mirror: IntentionMirror = new IntentionMirror({
    ...waiting,
    signal: ending.signal,
    onIndexFell: () => {
      history.fell += 1;
      return mirror.lookAtAll();
    },
  });
  const dependencies = new DependencyWatch({ ...waiting, signal: ending.signal });
  mirror.onChange(refs => told.push(...refs.map(each => each.name)));
  dependencies.onChange(refs => told.push(...refs.map(each => `waiter ${each.name}`)));
  const entries = new IntentionEntries({
    consul,
    installId: 'install-a',
    dryRun: false,
    tenure: () => tenure,
  });
  const close = async (): Promise<void> => {
    ending.abort();
    await consul.close();
  };
  return { api: new ConsulApi({ address }), requests, told, history, entries, mirror, dependencies, close };
}

let world: ReturnType<typeof aWorld>;
let name: string;

beforeEach(() => {
  world = aWorld(consulAddress);
  name = `intention-${randomUUID()}`;
});
afterEach(() => world.close());

const entry = (sources: readonly object[], more: object = {}): ConfigEntryBody => ({
  Kind: SERVICE_INTENTIONS,
  Name: name,
  Sources: sources,
  ...more,
});

/** As another writes it, whatever stands there. */
const writeByHand = (sources: readonly object[]) => world.api.put('/v1/config', entry(sources));

/** A write of A's as the reconciler makes it. */
async function write(body: ConfigEntryBody | undefined) {
  const { entries, mirror } = world;
  const { entry: before } = await mirror.current(name, { signal, reader: A });
  const send = async () => {
    if (body !== undefined) return await entries.put(A, { before, body });
    return before === undefined ? { applied: false } : await entries.remove(A, before);
  };
  return await mirror.write(name, { writer: A, sent: body, send, signal });
}

async function followed(): Promise<void> {
  world.mirror.open();
  await world.mirror.load([
    [A, name],
    [B, name],
  ]);
  world.told.length = 0;
}

describe('an entry', () => {
  beforeEach(followed);

  test('is created, changed and deleted by us without anybody being told; each is one write and one read', async () => {
    const before = world.requests.length;
    expect(await write(entry([web]))).toMatchObject({ applied: true, asSent: true });
    expect(await write(entry([{ ...web, Action: 'deny' }]))).toMatchObject({ applied: true, asSent: true });
    expect(await write(undefined)).toMatchObject({ asSent: true, seen: { entry: undefined } });
    const made = world.requests.slice(before).filter(({ blocking }) => !blocking);
    expect(made).toHaveLength(6);
    await writeByHand([web]);
    await until(() => world.told.length > 0);
    expect(world.told).toEqual(['a', 'b']);
  });

  test('that another changes is told to all, and known without a read', async () => {
    await write(entry([web]));
    await writeByHand([{ ...web, Action: 'deny' }]);
    await until(() => world.told.length > 0);
    const reads = world.requests.length;
    const { entry: seen } = await world.mirror.current(name, { signal });
    expect(seen?.body['Sources']).toMatchObject([{ Action: 'deny' }]);
    expect(world.requests).toHaveLength(reads);
  });

  test('that another deletes is told, and made again at once', async () => {
    await write(entry([web]));
    await world.api.call('DELETE', `/v1/config/${SERVICE_INTENTIONS}/${name}`);
    await until(() => world.told.length > 0);
    expect(world.mirror.seen(name)?.entry).toBeUndefined();
    expect(await write(entry([web]))).toMatchObject({ applied: true, asSent: true });
  });

  test('that another changed a moment ago is not written over, and read anew', async () => {
    await write(entry([web]));
    const believed = await world.mirror.current(name, { signal });
    await writeByHand([{ ...web, Name: 'theirs' }]);
    const before = believed.entry;
    const lost = await world.mirror.write(name, {
      writer: A,
      sent: entry([web, { ...web, Name: 'ours' }]),
      send: () => world.entries.put(A, { before, body: entry([web, { ...web, Name: 'ours' }]) }),
      signal,
    });
    expect(lost).toMatchObject({ applied: false, asSent: false });
    expect(lost.seen.entry?.body['Sources']).toMatchObject([{ Name: 'theirs' }]);
  });

  test('is found under another case of its name, and stays one', async () => {
    await world.api.put('/v1/config', { ...entry([web]), Name: name.toUpperCase() });
    await until(() => world.told.length > 0);
    expect(await write(entry([web]))).toMatchObject({ applied: true, asSent: true });
    expect((await world.mirror.current(name, { signal, fresh: true })).entry?.name).toBe(name);
  });
});

test('a rival who writes 200 times in a row costs as few looks as time allows, and the last is seen', async () => {
  await followed();
  const before = world.requests.length;
  for (let turn = 1; turn <= 200; turn += 1) await writeByHand([{ ...web, Description: String(turn) }]);
  const last = () =>
    (world.mirror.seen(name)?.entry?.body['Sources'] as { Description?: string }[] | undefined)?.[0]
      ?.Description;
  await until(() => last() === '200');
  expect(world.requests.length - before).toBeLessThan(100);
});

describe('who waits', () => {
  const rules = { Name: 'web', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/' } }] };
  const providers = (provider: string) => ({ JWT: { Providers: [{ Name: provider }] } });

  /** Is refused, waits for what is missing, is told, and is not refused again. */
  async function waitFor(body: ConfigEntryBody, repair: () => Promise<unknown>): Promise<void> {
    await followed();
    const error: unknown = await write(body).catch((thrown: unknown) => thrown);
    const refusal = classifyEntryRefusal(error);
    if (refusal?.kind !== 'dependency') throw new Error('not refused', { cause: error });
    world.dependencies.await(A, refusal.missing);
    await repair();
    await until(() => world.told.includes('waiter a'));
    world.dependencies.release(A);
    expect(await write(body)).toMatchObject({ applied: true, asSent: true });
    const writes = world.requests.filter(({ method }) => method === 'PUT');
    expect(writes).toHaveLength(2);
  }

  test('for a service to be http is told when it is, and writes twice in all', async () => {
    await waitFor(entry([rules]), async () => {
      await world.api.put('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: 'tcp' });
      await world.api.put('/v1/config', { Kind: 'service-defaults', Name: name, Protocol: 'grpc' });
    });
  });

  test('for a JWT provider is told when it is there', async () => {
    const provider = `provider-${randomUUID()}`;
    const jwks = Buffer.from('{"keys":[]}').toString('base64');
    await waitFor(entry([web], providers(provider)), () =>
      world.api.put('/v1/config', {
        Kind: 'jwt-provider',
        Name: provider,
        JSONWebKeySet: { Local: { JWKS: jwks } },
      }),
    );
  });
});

describe('a Consul of its own', () => {
  let own: Awaited<ReturnType<typeof startConsulSandbox>>;
  afterAll(() => own?.close());

  /** Mostly in the moment between two blocking queries, which the look every 10 s is for. */
  test('that is restored is noticed, and what was known is read anew', async () => {
    own = await startConsulSandbox();
    await world.close();
    world = aWorld(own.address);
    await followed();
    await write(entry([web]));
    const snapshot = await (await fetch(`${own.address}/v1/snapshot`)).arrayBuffer();
    await write(entry([{ ...web, Action: 'deny' }]));
    await fetch(`${own.address}/v1/snapshot`, { method: 'PUT', body: snapshot });
    await until(() => world.history.fell > 0 && world.mirror.seen(name) !== undefined);
    const { entry: seen } = await world.mirror.current(name, { signal });
    expect(seen?.body['Sources']).toMatchObject([{ Action: 'allow' }]);
    expect(world.told).toEqual(expect.arrayContaining(['a', 'b']));
  });
});
