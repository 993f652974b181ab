/** The index rules of blocking queries against a Consul that changes, is restored, and is emptied. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { watch, type WatchEvent } from '../../src/consul/blocking-query.ts';
import type { ConsulClient } from '../../src/consul/client.ts';
import { encodeOperation } from '../../src/consul/txn.ts';
import type { ModifyIndex } from '../../src/consul/types.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { http } from '../../tools/sandbox/http.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { eventually } from '../support/eventually.ts';

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
let consul: ConsulClient;
let prefix: string;

beforeAll(async () => {
  sandbox = await startConsulSandbox();
  consul = aConsulClient([sandbox.address]);
});

afterAll(async () => {
  await consul.close();
  await sandbox.close();
});

beforeEach(() => {
  prefix = `contract/${randomUUID()}/`;
});

async function put(name: string, value: string): Promise<void> {
  const key = prefix + name;
  const index = (await consul.kv.get(key, { signal })).value?.modifyIndex ?? (0 as ModifyIndex);
  const cas = encodeOperation({ verb: 'cas', key, value: Buffer.from(value), flags: 0n, index });
  expect(await consul.txn.submit([cas], { signal })).toMatchObject({ applied: true });
}

/** Follows the prefix from now on; `values` is what the newest answer showed. */
class Follower implements AsyncDisposable {
  readonly events: WatchEvent<readonly string[]>[] = [];
  failures = 0;
  reads = 0;
  readonly #abort = new AbortController();
  readonly #done = this.#run();

  get values(): readonly string[] | undefined {
    return this.events.at(-1)?.value.value;
  }

  get resets(): number {
    return this.events.filter(({ reset }) => reset).length;
  }

  async sees(...values: string[]): Promise<void> {
    const same = () => JSON.stringify(this.values) === JSON.stringify(values);
    await eventually(same, { what: `the watch shows ${JSON.stringify(values)}` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const read = async ({
      index,
      waitSeconds,
      signal,
    }: {
      index: number;
      waitSeconds: number;
      signal: AbortSignal;
    }) => {
      this.reads += 1;
      const answer = await consul.kv.list(prefix, { signal, block: { index, waitSeconds } });
      return { ...answer, value: answer.value.map(({ value }) => value.toString()) };
    };
    const onFailure = (): void => void (this.failures += 1);
    const options = { read, signal: this.#abort.signal, clock: systemClock, random: Math.random, onFailure };
    for await (const event of watch(options)) this.events.push(event);
  }
}

const snapshot = () => http(sandbox.address, '/v1/snapshot');

describe('a watch', () => {
  test('shows what is there, and each change after', async () => {
    await put('a', 'one');
    await using follower = new Follower();
    await follower.sees('one');
    await put('b', 'two');
    await follower.sees('one', 'two');
    await put('a', 'three');
    await follower.sees('three', 'two');
    expect(follower.resets).toBe(0);
    expect(follower.failures).toBe(0);
  });

  test('sleeps while nothing happens', async () => {
    await put('a', 'one');
    await using follower = new Follower();
    await follower.sees('one');
    const { reads } = follower;
    for (let write = 0; write < 20; write += 1) {
      const body = String(write);
      await http(sandbox.address, '/v1/kv/contract-elsewhere', { method: 'PUT', body });
    }
    expect(follower.reads).toBeLessThanOrEqual(reads + 1);
  });

  test('sees that a restore took a change back, and calls it a reset', async () => {
    await put('a', 'before');
    const { body } = await snapshot();
    await using follower = new Follower();
    await follower.sees('before');
    await put('a', 'after');
    await follower.sees('after');
    await http(sandbox.address, '/v1/snapshot', { method: 'PUT', body });
    await follower.sees('before');
    expect(follower.resets).toBe(1);
    await put('a', 'later');
    await follower.sees('later');
    expect(follower.resets).toBe(1);
  });

  test('sees a restore that leaves its own prefix at the same index', async () => {
    await put('a', 'same');
    const { body } = await snapshot();
    await using follower = new Follower();
    await follower.sees('same');
    await http(sandbox.address, '/v1/snapshot', { method: 'PUT', body });
    await eventually(() => follower.resets > 0, { what: 'the restore is noticed' });
    expect(follower.values).toEqual(['same']);
  });

  test('outlives a Consul that comes back empty, and calls it a reset', async () => {
    await put('a', 'before');
    for (let write = 0; write < 50; write += 1) await put('b', String(write));
    await using follower = new Follower();
    await follower.sees('before', '49');
    await sandbox.servers[0]?.stop();
    await eventually(() => follower.failures > 0, { what: 'the watch notices that Consul is away' });
    expect(consul.health.reachable).toBe(false);
    await sandbox.servers[0]?.start({ wipe: true });
    await follower.sees();
    expect(follower.resets).toBe(1);
    expect(consul.health.reachable).toBe(true);
    await put('a', 'anew');
    await follower.sees('anew');
  });
});
