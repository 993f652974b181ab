import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startConsulSandbox } from '../../../tools/sandbox/sandbox.ts';
import { ConsulApi } from '../../support/consul-api.ts';
import { eventually } from '../../support/eventually.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { KubeApi, type KubeObject } from '../../support/kube-api.ts';
import { isConsulWrite, isKubernetesWrite } from '../../support/traffic.ts';

const { apiServerUrl, caFile, adminToken, consulAddress } = inject('sandbox');

describe('the API server of the sandbox', () => {
  const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
  let namespace: string;
  beforeAll(async () => {
    namespace = await kube.createNamespace();
  });

  const configMap = (name: string, data: Record<string, string> = {}): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace },
    data,
  });

  test('keeps objects: applied, patched, listed, deleted', async () => {
    await kube.applyYaml('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n', namespace);
    await kube.patch(configMap('a'), { data: { more: 'x' } });
    expect(await kube.get(configMap('a'))).toMatchObject({ data: { k: 'v', more: 'x' } });
    expect(
      (await kube.list({ apiVersion: 'v1', kind: 'ConfigMap' }, namespace)).map(o => o.metadata.name),
    ).toEqual(['a']);
    await kube.delete(configMap('a'));
    expect(await kube.get(configMap('a'))).toBeUndefined();
    await expect(kube.create(configMap('Not A Name'))).rejects.toMatchObject({
      status: 422,
      reason: 'Invalid',
    });
  });

  test('gives a user nothing but what RBAC grants', async () => {
    const { token, user } = await kube.createServiceAccount(namespace, 'restricted');
    const restricted = kube.as(token);
    await expect(restricted.get(configMap('a'))).rejects.toMatchObject({ status: 403, reason: 'Forbidden' });
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1' };
    await kube.create({
      ...rbac,
      kind: 'Role',
      metadata: { name: 'reader', namespace },
      rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }],
    });
    await kube.create({
      ...rbac,
      kind: 'RoleBinding',
      metadata: { name: 'reader', namespace },
      subjects: [{ kind: 'User', name: user, apiGroup: 'rbac.authorization.k8s.io' }],
      roleRef: { kind: 'Role', name: 'reader', apiGroup: 'rbac.authorization.k8s.io' },
    });
    await eventually(() => restricted.get(configMap('a')), { what: 'the grant works' });
    await expect(restricted.list({ apiVersion: 'v1', kind: 'ConfigMap' }, namespace)).rejects.toMatchObject({
      status: 403,
    });
  });

  test('finishes the deletion of a namespace', async () => {
    const name = await kube.createNamespace();
    await kube.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'left', namespace: name } });
    const ref = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    await kube.delete(ref);
    await eventually(async () => expect(await kube.get(ref)).toBeUndefined(), {
      what: 'the namespace gone',
      timeoutMs: 60_000,
    });
  });

  test('is reached through a proxy, which counts writes and lets a watch flow', async () => {
    await using proxy = await FaultProxy.start({ upstream: apiServerUrl, caFile });
    const through = new KubeApi({ apiServerUrl: proxy.url, token: adminToken });
    const watch = await fetch(`${proxy.url}/api/v1/namespaces/${namespace}/configmaps?watch=1`, {
      headers: { authorization: `Bearer ${adminToken}` },
    });
    const events = watch.body?.pipeThrough(new TextDecoderStream()).getReader();
    await through.create(configMap('dry'), '?dryRun=All');
    expect(proxy.count(isKubernetesWrite)).toBe(0);
    await through.create(configMap('seen'));
    let text = '';
    while (!text.includes('"seen"')) text += (await events?.read())?.value ?? '';
    expect(proxy.count(isKubernetesWrite)).toBe(1);
    await events?.cancel();
  });
});

describe('Consul of the sandbox', () => {
  const consul = new ConsulApi({ address: consulAddress });

  test('keeps keys, with flags of 64 bits', async () => {
    const flags = 2n ** 64n - 1n;
    expect(await consul.kvPut('support/a b', 'value', { flags, cas: 0n })).toBe(true);
    expect(await consul.kvPut('support/a b', 'other', { cas: 0n })).toBe(false);
    expect(await consul.kvGet('support/a b')).toMatchObject({ text: 'value', flags });
    await consul.kvDelete('support/', { recurse: true });
    expect(await consul.kvTexts('support/')).toEqual({});
  });

  test('is reached through a proxy, which tells reading transactions from writing ones', async () => {
    await using proxy = await FaultProxy.start({ upstream: consulAddress });
    const through = new ConsulApi({ address: proxy.url });
    const key = { Key: 'support/txn' };
    await through.txn([
      { KV: { Verb: 'get-or-empty', ...key } },
      { KV: { Verb: 'check-not-exists', ...key } },
    ]);
    expect(proxy.count(isConsulWrite)).toBe(0);
    await through.txn([{ KV: { Verb: 'cas', ...key, Index: 0, Value: '' } }]);
    expect(proxy.count(isConsulWrite)).toBe(1);

    const blocked = fetch(
      `${proxy.url}/v1/kv/support/?recurse&wait=60s&index=${(await consul.kvGet('support/txn'))?.modifyIndex}`,
    );
    await proxy.waitFor(r => r.query.has('index'));
    await consul.kvDelete('support/', { recurse: true });
    expect((await blocked).status).toBe(404);
  });
});

describe('a Consul of its own', () => {
  test('with ACLs denies what has no token', async () => {
    const sandbox = await startConsulSandbox({ acl: true });
    try {
      const anonymous = new ConsulApi({ address: sandbox.address });
      await expect(anonymous.call('PUT', '/v1/kv/a', 'x')).rejects.toThrow('403');
      const manager = new ConsulApi({ address: sandbox.address, token: sandbox.managementToken ?? '' });
      expect(await manager.kvPut('a', 'x')).toBe(true);
    } finally {
      await sandbox.close();
    }
  });

  test('with TLS is verified and wants a client certificate', async () => {
    const sandbox = await startConsulSandbox({ tls: { verifyClients: true } });
    try {
      assert(sandbox.tls);
      const { caFile, clientCertFile: certFile, clientKeyFile: keyFile } = sandbox.tls;
      expect(sandbox.address).toMatch(/^https:/);
      expect(
        await new ConsulApi({ address: sandbox.address, caFile, certFile, keyFile }).kvPut('a', 'x'),
      ).toBe(true);
      await expect(new ConsulApi({ address: sandbox.address, caFile }).kvPut('a', 'x')).rejects.toThrow(
        'certificate required',
      );
      await expect(new ConsulApi({ address: sandbox.address }).kvPut('a', 'x')).rejects.toThrow(
        'certificate',
      );
    } finally {
      await sandbox.close();
    }
  });

  test('keeps its data over a restart when durable, and loses it when wiped', async () => {
    const sandbox = await startConsulSandbox({ durable: true });
    try {
      const [server] = sandbox.servers;
      const consul = new ConsulApi({ address: sandbox.address });
      await consul.kvPut('a', 'x');
      await server?.kill();
      await expect(consul.kvGet('a')).rejects.toThrow('ECONNREFUSED');
      await server?.start();
      expect(await consul.kvTexts()).toEqual({ a: 'x' });
      await server?.stop();
      await server?.start({ wipe: true });
      expect(await consul.kvTexts()).toEqual({});
    } finally {
      await sandbox.close();
    }
  });

  test('as a cluster of three outlives its leader', async () => {
    const sandbox = await startConsulSandbox({ servers: 3 });
    try {
      const leader = await sandbox.leader();
      const follower = sandbox.servers.find(server => server !== leader);
      assert(leader && follower);
      const consul = new ConsulApi({ address: follower.address });
      await consul.kvPut('a', 'x');
      await leader.kill();
      await eventually(() => consul.kvPut('b', 'y'), { what: 'a new leader' });
      await leader.start();
      expect(await new ConsulApi({ address: leader.address }).kvTexts()).toEqual({ a: 'x', b: 'y' });
    } finally {
      await sandbox.close();
    }
  });
});

describe('a missing program', () => {
  let emptyFolder: string;
  beforeAll(async () => {
    emptyFolder = await mkdtemp(join(tmpdir(), 'proconsul-empty-'));
  });
  afterAll(() => rm(emptyFolder, { recursive: true }));

  test('and no Go to build it with is said in one line', async () => {
    const env = { PATH: emptyFolder, HOME: emptyFolder, XDG_CACHE_HOME: emptyFolder };
    const lines: string[] = [];
    const starting = startConsulSandbox({}, { env, report: line => void lines.push(line) });
    await expect(starting).rejects.toThrow(
      /^consul has to be built and there is no Go: .* PROCONSUL_CONSUL /,
    );
    expect(lines).toEqual([expect.stringContaining('about 9 minutes on 2 cores')]);
  });

  test('named by a variable is an error, not a build', async () => {
    const env = { PROCONSUL_CONSUL: join(emptyFolder, 'consul'), XDG_CACHE_HOME: emptyFolder };
    await expect(startConsulSandbox({}, { env, report: line => expect.fail(line) })).rejects.toThrow(
      'PROCONSUL_CONSUL is',
    );
  });
});
