/** The facts of Consul 1.22 that the model stands for; a contract test compares the two on random operations. */
import { beforeEach, describe, expect, test } from 'vitest';
import { encodeOperation, type KvOperation } from '../../../src/consul/txn.ts';
import { type ModifyIndex, parseSessionId } from '../../../src/consul/types.ts';
import { signal } from '../../support/consul-client.ts';
import { settled } from '../../support/fake-clock.ts';
import { ModelConsul } from '../../support/model-consul.ts';

const SESSION = parseSessionId('00000000-0000-0000-0000-000000000001');
const OTHER = parseSessionId('00000000-0000-0000-0000-000000000002');

let consul: ModelConsul;
beforeEach(() => {
  consul = new ModelConsul();
});

const submit = (...operations: readonly KvOperation[]) =>
  consul.txn.submit(operations.map(encodeOperation), { signal });
const cas = (key: string, at: number, value = 'v', flags = 0n): KvOperation => ({
  verb: 'cas',
  key,
  value: Buffer.from(value),
  flags,
  index: at as ModifyIndex,
});
const at = (key: string) => consul.store.get(key)?.modifyIndex ?? 0;
const on = (verb: 'delete-cas' | 'check-index', key: string, index: number): KvOperation => ({
  verb,
  key,
  index: index as ModifyIndex,
});

describe('writing', () => {
  test('what stands there already moves no index, though it is an entry of the Raft log', async () => {
    consul.store.put('k', 'v', 7n);
    const [modified, raft] = [at('k'), consul.store.index];
    expect(await submit(cas('k', modified, 'v', 7n))).toMatchObject({ applied: true, index: modified });
    expect([at('k'), consul.store.index]).toEqual([modified, raft + 1]);
    await submit(cas('k', modified, 'v', 8n));
    expect(at('k')).toBe(consul.store.index);
  });

  test('needs the index that is there, 0 meaning that nothing is', async () => {
    consul.store.put('k', 'v');
    for (const wrong of [cas('k', 0), cas('k', at('k') + 1), cas('absent', 5)]) {
      expect(await submit(wrong)).toMatchObject({ applied: false });
    }
    expect(await submit(cas('k', at('k'), 'w'), cas('absent', 0))).toMatchObject({ applied: true });
  });

  test('a locked key keeps its session, and loses the index of the lock and its flags', async () => {
    consul.store.acquire('k', SESSION, 'held');
    await submit(cas('k', at('k'), 'v', 3n));
    expect(consul.store.get('k')).toMatchObject({ session: SESSION, lockIndex: 0, flags: 3n });
  });

  test('flags have all their 64 bits', async () => {
    await submit(cas('k', 0, 'v', 3304740253564472344n));
    expect((await consul.kv.get('k', { signal })).value?.flags).toBe(3304740253564472344n);
  });
});

describe('a transaction', () => {
  test('is carried out whole or not at all, and names all that fails', async () => {
    consul.store.put('k', 'v');
    const before = consul.store.under('');
    const outcome = await submit(cas('new', 0), cas('k', 0), on('check-index', 'absent', 1), {
      verb: 'check-not-exists',
      key: 'k',
    });
    expect(outcome).toEqual({
      applied: false,
      errors: [
        { opIndex: 1, what: 'failed to set key "k", index is stale' },
        { opIndex: 2, what: 'failed to check index, key "absent" doesn\'t exist' },
        { opIndex: 3, what: 'key "k" exists' },
      ],
    });
    expect(consul.store.under('')).toEqual(before);
  });

  test('lets each operation see what those before it did', async () => {
    expect(await submit(cas('k', 0), cas('k', 0, 'w'))).toMatchObject({ errors: [{ opIndex: 1 }] });
    expect(await submit(cas('k', 0), { verb: 'get', key: 'k' })).toMatchObject({ applied: true });
  });

  test('has no result for what it deletes, and deletes what is absent', async () => {
    consul.store.put('k', 'v');
    const outcome = await submit(on('delete-cas', 'k', at('k')), on('delete-cas', 'absent', 9), cas('l', 0));
    expect(outcome).toMatchObject({ applied: true, entries: [{ key: 'l' }] });
    expect(await submit(on('delete-cas', 'l', 1))).toMatchObject({ applied: false });
  });

  test('is fenced by the session of a lock', async () => {
    const fence: KvOperation = { verb: 'check-session', key: 'lock', session: SESSION };
    expect(await submit(fence)).toMatchObject({
      errors: [{ what: 'failed to check session, key "lock" doesn\'t exist' }],
    });
    consul.store.acquire('lock', OTHER);
    expect(await submit(fence)).toMatchObject({
      errors: [{ what: expect.stringMatching(/^failed session check for key "lock"/) }],
    });
    consul.store.release('lock');
    consul.store.acquire('lock', SESSION);
    expect(await submit(fence, cas('k', 0))).toMatchObject({ applied: true });
  });

  test('that may not do one thing is refused before any precondition is looked at', async () => {
    consul.readOnly.add('locked/');
    expect(await submit(cas('k', 99), cas('locked/k', 0))).toMatchObject({
      errors: [{ opIndex: 1, what: expect.stringMatching(/^Permission denied/) }],
    });
  });
});

describe('reading', () => {
  test('by prefix is by the letters, in byte order, with an index over what was deleted, too', async () => {
    for (const key of ['b/x', 'a/y', 'a/x', 'ab']) consul.store.put(key, 'v');
    const list = await consul.kv.list('a', { signal });
    expect(list.value.map(({ key }) => key)).toEqual(['a/x', 'a/y', 'ab']);
    expect(list.index).toBe(at('ab'));
    consul.store.delete('a/x');
    expect((await consul.kv.list('a/', { signal })).index).toBe(consul.store.index);
    expect((await consul.kv.keys('a', { signal, separator: '/' })).value).toEqual(['a/', 'ab']);
  });

  test('what is not there tells the index of the whole table', async () => {
    consul.store.put('k', 'v');
    consul.store.pass(10);
    expect(await consul.kv.get('absent', { signal })).toMatchObject({ value: undefined, index: at('k') });
    expect(await consul.kv.list('absent/', { signal })).toMatchObject({ value: [], index: at('k') });
  });

  test('by a token that may not see all leaves out and says so', async () => {
    for (const key of ['a/x', 'a/y']) consul.store.put(key, 'v');
    consul.hidden.add('a/y');
    expect(await consul.kv.keys('a/', { signal })).toMatchObject({ value: ['a/x'], filteredByAcl: true });
    await expect(consul.kv.get('a/y', { signal })).rejects.toMatchObject({ code: 'CONSUL_DENIED' });
    await expect(consul.txn.readKeys(['a/x', 'a/y'], { signal })).rejects.toMatchObject({
      code: 'CONSUL_DENIED',
    });
  });

  test('blocks until something newer is there', async () => {
    consul.store.put('a/x', 'v');
    let answered = false;
    const block = { index: consul.store.index, waitSeconds: 10 };
    const reading = consul.kv.keys('a/', { signal, block }).then(answer => {
      answered = true;
      return answer;
    });
    consul.store.put('b', 'v');
    await settled();
    expect(answered).toBe(false);
    consul.store.put('a/y', 'v');
    expect((await reading).value).toEqual(['a/x', 'a/y']);
  });
});

test('a restored snapshot brings old indexes back, while new writes go on at higher ones', () => {
  consul.store.put('k', 'old');
  const [before, restore] = [at('k'), consul.store.snapshot()];
  consul.store.put('k', 'new');
  restore();
  expect([at('k'), consul.texts()]).toEqual([before, { k: 'old' }]);
  consul.store.put('k', 'newer');
  expect(at('k')).toBeGreaterThan(before + 1);
});
