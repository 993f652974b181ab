import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { Fingerprinter } from '../../../src/ownership/fingerprint.ts';
import { ExclusivePrefixes } from '../../../src/mirror/exclusive-prefixes.ts';
import { KeyMirror } from '../../../src/mirror/key-mirror.ts';
import { KeyWatcher } from '../../../src/mirror/key-watcher.ts';
import { FakeClock, settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';

const SESSION = '00000000-0000-0000-0000-000000000001';

let consul: ModelConsul;
let clock: FakeClock;
let watcher: KeyWatcher;
let life: AbortController;
let told: string[];
let mirror: KeyMirror;

beforeEach(() => {
  consul = new ModelConsul();
  clock = new FakeClock();
  life = new AbortController();
  told = [];
  mirror = new KeyMirror(new Fingerprinter(Buffer.alloc(32)));
  mirror.onChange(refs => told.push(...refs.map(({ name }) => name)));
  watcher = new KeyWatcher({
    consul: consul.asReads,
    mirror,
    clock,
    random: () => 0.5,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    signal: life.signal,
    onIndexFell: async () => {},
  });
});

afterEach(() => life.abort());

/** Exclusive trees `ex/0/`, `ex/1/`, … with so many keys each, under watch and at rest. */
async function watching(trees: number, keys: number): Promise<void> {
  const owned = Array.from({ length: trees }, (_, tree): [ResourceRef, Set<string>] => {
    const names = Array.from({ length: keys }, (_, key) => `ex/${tree}/own-${key}`);
    for (const name of names) consul.store.put(name, 'v');
    return [{ kind: 'ConsulKV', namespace: 'shop', name: String(tree) }, new Set(names)];
  });
  await watcher.load(owned);
  for (const [ref] of owned) watcher.trackExclusive(ref, `ex/${ref.name}/`);
  watcher.follow();
  await rest();
}

async function rest(): Promise<void> {
  for (let round = 0; round < 20; round++) {
    await settled();
    clock.advance(200);
  }
}

/** What was told and what was read because of something that happens in Consul. */
async function after(happening: () => void): Promise<{ told: string[]; reads: string[] }> {
  const begun = consul.reads.length;
  told.length = 0;
  happening();
  await rest();
  return { told: [...told], reads: consul.reads.slice(begun).map(path => decodeURIComponent(path)) };
}

const put = (key: string) => () => consul.store.put(key, 'theirs');

describe('a stranger below an exclusive prefix', () => {
  test('is found by the one read of what moved, however many such prefixes there are', async () => {
    await watching(30, 3);
    expect(await after(put('ex/7/stranger'))).toEqual({
      told: ['7'],
      // One read of the folder; then the watch goes on.
      reads: ['/v1/kv/ex/', '/v1/kv/ex'],
    });
    expect((await after(() => consul.store.delete('ex/7/stranger'))).told).toEqual(['7']);
  });

  test('is looked for only in the folder that moved, where folders are asked one by one', async () => {
    await watching(2, 64);
    const { told, reads } = await after(put('ex/1/stranger'));
    expect(told).toEqual(['1']);
    expect(reads).toEqual(['/v1/kv/ex/0', '/v1/kv/ex/1', '/v1/kv/ex/1/', '/v1/kv/ex']);
    // Nor is the other one listed after that.
    expect((await after(put('ex/1/another'))).reads).not.toContain('/v1/kv/ex/0/');
  });

  test('is looked for with a request of its own where the folder is not read whole', async () => {
    await watching(2, 1);
    const { told, reads } = await after(put('ex/1/stranger'));
    expect(told).toEqual(['1']);
    expect(reads).toEqual(expect.arrayContaining(['/v1/kv/ex/0/', '/v1/kv/ex/1/']));
  });

  test.each([3, 1])('that has lost its lock is told of again, in trees of %d keys', async keys => {
    await watching(4, keys);
    expect((await after(() => consul.store.acquire('ex/2/lock', SESSION))).told).toEqual(['2']);
    expect((await after(() => consul.store.release('ex/2/lock'))).told).toEqual(['2']);
  });

  test('that was there before the prefix was claimed is told of when something else moves', async () => {
    await watching(4, 3);
    consul.store.put('late/own', 'v');
    consul.store.put('late/stranger', 'theirs');
    const ref = { kind: 'ConsulKV', namespace: 'shop', name: 'late' };
    watcher.track(ref, new Set(['late/own']));
    watcher.trackExclusive(ref, 'late/');
    await rest();
    expect(told).toContain('late');
  });
});

test('a key of an exclusive tree that goes is told of as any other', async () => {
  await watching(30, 3);
  expect((await after(() => consul.store.delete('ex/7/own-1'))).told).toContain('7');
});

test('a prefix that was never looked at is not taken for known because its folder rests', async () => {
  await watching(2, 64);
  consul.store.put('ex/0/in/stranger', 'theirs');
  await rest();
  const ref = { kind: 'ConsulKV', namespace: 'shop', name: 'late' };
  watcher.trackExclusive(ref, 'ex/0/in/');
  const { told, reads } = await after(put('ex/1/own-1'));
  expect(reads).toContain('/v1/kv/ex/0/in/');
  expect(told).toContain('late');
});

describe('what is known of an exclusive prefix', () => {
  const ref = { kind: 'ConsulKV', namespace: 'shop', name: 'one' };
  const lists = () => consul.reads.filter(path => path === '/v1/kv/ex%2F').length;
  let prefixes: ExclusivePrefixes;

  beforeEach(() => {
    prefixes = new ExclusivePrefixes({ consul: consul.asReads, mirror, signal: life.signal });
    prefixes.track(ref, 'ex/');
  });

  test('is asked once for an index, and again when indexes begin anew', async () => {
    await prefixes.look('ex/', 10);
    await prefixes.look('ex/', 10);
    expect(lists()).toBe(1);
    prefixes.forgetIndexes();
    await prefixes.look('ex/', 5);
    expect(lists()).toBe(2);
  });

  test('is not set back by an answer that is older', async () => {
    consul.store.put('ex/stranger', 'theirs');
    await prefixes.look('ex/', 10);
    expect(told).toEqual(['one']);
    prefixes.sawFolder('ex/', [], 9);
    expect(told).toEqual(['one']);
    prefixes.sawFolder('ex/', [], 10);
    expect(told).toEqual(['one', 'one']);
  });
});
