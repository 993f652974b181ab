import { beforeEach, describe, expect, test } from 'vitest';
import {
  type SourceCatalog,
  type SourceObject,
  SourceReader,
} from '../../../../src/reconcilers/kv/sources.ts';
import { signal } from '../../../support/consul-client.ts';

/** A namespace with one ConfigMap or Secret in it, and how often its content was asked for. */
class Namespace implements SourceCatalog {
  fetches = 0;
  watched: { readonly resourceVersion: string } | 'missing' | 'forbidden' = { resourceVersion: '1' };
  stored: SourceObject | undefined | 'forbidden' = {
    metadata: { resourceVersion: '1' },
    data: { k: 'djE=' },
  };

  version() {
    return this.watched;
  }

  async fetch() {
    this.fetches++;
    return this.stored;
  }

  change(resourceVersion: string, object: Omit<SourceObject, 'metadata'>): void {
    this.watched = { resourceVersion };
    this.stored = { metadata: { resourceVersion }, ...object };
  }
}

let namespace: Namespace;
let reader: SourceReader;
beforeEach(() => {
  namespace = new Namespace();
  reader = new SourceReader(namespace);
});

const read = async (kind: 'ConfigMap' | 'Secret' = 'ConfigMap', name = 'it') => {
  const source = await reader.read('shop', { kind, name }, signal);
  return source.kind === 'found'
    ? Object.fromEntries([...source.data].map(([key, value]) => [key, value.toString()]))
    : source.kind;
};

describe('content', () => {
  test('of a ConfigMap is text, of a Secret base64, and binary data base64 in both', async () => {
    namespace.change('2', { data: { k: 'djE=' }, binaryData: { b: 'djI=' } });
    expect(await read('ConfigMap')).toEqual({ k: 'djE=', b: 'v2' });
    expect(await read('Secret')).toEqual({ k: 'v1', b: 'v2' });
  });

  test('may be missing altogether', async () => {
    namespace.change('2', { data: null });
    expect(await read()).toEqual({});
    namespace.change('3', {});
    expect(await read()).toEqual({});
  });

  test('is read once for each version', async () => {
    await read();
    await read();
    expect(namespace.fetches).toBe(1);
    namespace.change('2', { data: { k: 'new' } });
    expect(await read()).toEqual({ k: 'new' });
    expect(namespace.fetches).toBe(2);
  });

  test('newer than what was watched is read again until the watch has caught up', async () => {
    namespace.stored = { metadata: { resourceVersion: '2' }, data: { k: 'newer' } };
    expect(await read()).toEqual({ k: 'newer' });
    await read();
    expect(namespace.fetches).toBe(2);
    namespace.watched = { resourceVersion: '2' };
    await read();
    expect(namespace.fetches).toBe(2);
  });

  test('of one kind, namespace and name is not that of another', async () => {
    await read('ConfigMap', 'one');
    await read('ConfigMap', 'two');
    await read('Secret', 'one');
    await reader.read('other', { kind: 'ConfigMap', name: 'one' }, signal);
    expect(namespace.fetches).toBe(4);
  });
});

describe('what cannot be had', () => {
  test.each(['missing', 'forbidden'] as const)(
    '%s by the watch is not asked for, nor remembered',
    async kind => {
      await read();
      const before = namespace.watched;
      namespace.watched = kind;
      expect([await read(), namespace.fetches]).toEqual([kind, 1]);
      namespace.watched = before;
      await read();
      expect(namespace.fetches).toBe(2);
    },
  );

  test.each([
    [undefined, 'missing'],
    ['forbidden' as const, 'forbidden'],
  ])('%s when it is asked for', async (stored, kind) => {
    namespace.stored = stored;
    expect(await read()).toBe(kind);
    await read();
    expect(namespace.fetches).toBe(2);
  });
});

describe('what is kept', () => {
  const large = (megabytes: number) => 'x'.repeat(megabytes * 1024 * 1024);

  test('is 32 MiB at most, least recently read first out', async () => {
    namespace.change('1', { data: { k: large(10) } });
    for (const name of ['a', 'b', 'c']) await read('ConfigMap', name);
    await read('ConfigMap', 'a');
    await read('ConfigMap', 'd');
    expect(namespace.fetches).toBe(4);
    for (const name of ['a', 'c', 'd']) await read('ConfigMap', name);
    expect(namespace.fetches).toBe(4);
    await read('ConfigMap', 'b');
    expect(namespace.fetches).toBe(5);
  });

  test('counts each object once, also when many turns read it at the same time', async () => {
    namespace.change('1', { data: { k: large(10) } });
    await Promise.all([read(), read(), read(), read()]);
    await read('ConfigMap', 'other');
    namespace.fetches = 0;
    await read();
    await read('ConfigMap', 'other');
    expect(namespace.fetches).toBe(0);
  });

  test('does not hold what is larger than all of it, which is read each time', async () => {
    namespace.change('1', { data: { k: large(33) } });
    await read();
    await read();
    expect(namespace.fetches).toBe(2);
  });
});
