import { describe, expect, test } from 'vitest';
import { ensurePrivateKey } from '../../../src/ownership/private-key.ts';
import { KvProcess, ModelCluster } from '../../support/kv-process.ts';
import { ModelConsul } from '../../support/model-consul.ts';
import { signal } from '../../support/consul-client.ts';

const PATH = 'proconsul-private/install-a';

function aSetting(options: { readonly dryRun?: boolean } = {}) {
  const consul = new ModelConsul();
  const { gate } = new KvProcess({ consul, cluster: new ModelCluster(), ...options });
  const ensure = (known?: Buffer) =>
    ensurePrivateKey({ consul: consul.asReads, gate, installId: 'install-a', signal, known });
  return { consul, ensure };
}

describe('the private key', () => {
  test('is made once, of 32 random bytes, and read from then on', async () => {
    const { consul, ensure } = aSetting();
    const key = await ensure();
    expect(key).toHaveLength(32);
    expect(consul.store.get(PATH)?.value.toString()).toBe(key.toString('base64'));
    expect(await ensure()).toEqual(key);
    expect(consul.transactions).toHaveLength(1);
    expect(await aSetting().ensure()).not.toEqual(key);
  });

  test('that Consul lost is given back to it', async () => {
    const { consul, ensure } = aSetting();
    const key = await ensure();
    consul.store.delete(PATH);
    expect(await ensure(key)).toEqual(key);
    expect(consul.store.get(PATH)?.value.toString()).toBe(key.toString('base64'));
  });

  test('in Consul goes before the one that is known', async () => {
    const { ensure } = aSetting();
    const key = await ensure();
    expect(await ensure(Buffer.alloc(32, 1))).toEqual(key);
  });

  test.each(['', 'short', Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64')])(
    'is not %j, and what stands there is left alone',
    async value => {
      const { consul, ensure } = aSetting();
      consul.store.put(PATH, value);
      await expect(ensure()).rejects.toMatchObject({ name: 'TerminalError', code: 'PRIVATE_KEY_DAMAGED' });
      expect(consul.store.get(PATH)?.value.toString()).toBe(value);
    },
  );

  test('that is hidden is not made a second time', async () => {
    const { consul, ensure } = aSetting();
    await ensure();
    consul.hidden.add(PATH);
    await expect(ensure()).rejects.toMatchObject({ code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
    expect(consul.transactions).toHaveLength(1);
  });

  test('that may not be written names the rule that is missing', async () => {
    const { consul, ensure } = aSetting();
    consul.readOnly.add('proconsul-private/');
    await expect(ensure()).rejects.toThrow('key_prefix "proconsul-private/" { policy = "write" }');
  });

  test('of two processes is the one that was first', async () => {
    const { consul, ensure } = aSetting();
    consul.beforeWrite = () => consul.store.put(PATH, Buffer.alloc(32, 9).toString('base64'));
    await expect(ensure()).rejects.toMatchObject({ name: 'ConflictError', code: 'PRIVATE_KEY_RACE' });
    expect(await ensure()).toEqual(Buffer.alloc(32, 9));
  });

  test('is made up for a dry run, and written nowhere', async () => {
    const { consul, ensure } = aSetting({ dryRun: true });
    expect(await ensure()).toHaveLength(32);
    expect(consul.transactions).toEqual([]);
  });
});
