import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { createKubeClient, type KubeClient, kubeStatus } from '../../src/kube/index.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { KubeApi } from '../support/kube-api.ts';

const { signal } = new AbortController();
const clock = new FakeClock();

let api: KubeApi;
let namespace: string;
/** As the kubelet would mount it. */
let accountFolder: string;
let client: KubeClient;

beforeAll(async () => {
  const { apiServerUrl, caFile, adminToken } = inject('sandbox');
  api = new KubeApi({ apiServerUrl, caFile, token: adminToken });
  namespace = await api.createNamespace('in-cluster');
});
afterAll(() => api.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }));

beforeEach(() => {
  const { apiServerUrl, caFile } = inject('sandbox');
  const { hostname, port } = new URL(apiServerUrl);
  const home = mkdtempSync(join(tmpdir(), 'in-cluster-'));
  accountFolder = join(home, 'serviceaccount');
  mkdirSync(accountFolder);
  copyFileSync(caFile, join(accountFolder, 'ca.crt'));
  writeFileSync(join(accountFolder, 'namespace'), namespace);
  for (const [name, value] of Object.entries({
    KUBECONFIG: '',
    HOME: home,
    KUBERNETES_SERVICE_HOST: hostname,
    KUBERNETES_SERVICE_PORT: port,
  }))
    vi.stubEnv(name, value);
  mount('not-a-token');
  client = createKubeClient({ clock, accountFolder });
});
afterEach(async () => {
  await client.close();
  rmSync(join(accountFolder, '..'), { recursive: true });
  vi.unstubAllEnvs();
});

function mount(token: string): void {
  writeFileSync(join(accountFolder, 'token'), `${token}\n`);
}

async function anAccount(name: string): Promise<string> {
  return (await api.createServiceAccount(namespace, name)).token;
}

/** Whom the API server takes us for. */
async function whoAmI(): Promise<string> {
  const review = await client.request<{ status: { userInfo: { username: string } } }>({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    signal,
  });
  return review.status.userInfo.username.replace(`system:serviceaccount:${namespace}:`, '');
}

test("a Pod's account is let in, and names the namespace", async () => {
  mount(await anAccount('mounted'));
  expect(await whoAmI()).toBe('mounted');
  expect(client.contextNamespace).toBe(namespace);
});

test('a token that the kubelet replaces is read again after a minute', async () => {
  mount(await anAccount('before'));
  expect(await whoAmI()).toBe('before');
  mount(await anAccount('after'));
  clock.advance(59_999);
  expect(await whoAmI()).toBe('before');
  clock.advance(1);
  expect(await whoAmI()).toBe('after');
});

test('a token that the server refuses is read again at once', async () => {
  await expect(whoAmI()).rejects.toSatisfy(error => kubeStatus(error) === 401);
  mount(await anAccount('renewed'));
  expect(await whoAmI()).toBe('renewed');
});

test('a server whose certificate another authority signed is not spoken to', async () => {
  writeFileSync(join(accountFolder, 'ca.crt'), '');
  mount(await anAccount('deceived'));
  await expect(whoAmI()).rejects.toMatchObject({ code: 'KUBE_TLS' });
});
