import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { TerminalError } from '../../../src/core/errors.ts';
import { Credentials } from '../../../src/kube/credentials.ts';
import { FakeClock } from '../../support/fake-clock.ts';

let folder: string;
let clock: FakeClock;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'credentials-'));
  clock = new FakeClock();
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function aKubeconfig(fields: { user?: object; cluster?: object; name?: string } = {}): string {
  const { user = {}, cluster = {}, name = 'kubeconfig' } = fields;
  return file(
    name,
    JSON.stringify({
      'current-context': name,
      clusters: [{ name, cluster: { server: 'https://127.0.0.1:6443', ...cluster } }],
      users: [{ name, user }],
      contexts: [{ name, context: { cluster: name, user: name, namespace: 'shop' } }],
    }),
  );
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

function aTokenFileUser(tokenFile: string): object {
  return { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } };
}

async function authorization(credentials: Credentials): Promise<string | undefined> {
  return (await credentials.access()).headers['authorization'];
}

describe('the kubeconfig', () => {
  test('gives the server and the namespace of its context', () => {
    const credentials = new Credentials({ clock, kubeconfig: aKubeconfig() });
    expect(credentials.server.href).toBe('https://127.0.0.1:6443/');
    expect(credentials.contextNamespace).toBe('shop');
  });

  test('may be spread over several files: the first one names the context', async () => {
    const first = aKubeconfig({ name: 'first', user: { token: 'first-token' } });
    const second = aKubeconfig({ name: 'second', user: { token: 'second-token' } });
    expect(await authorization(new Credentials({ clock, kubeconfig: `${first}:${second}` }))).toBe(
      'Bearer first-token',
    );
  });

  test.each([
    ['names no file', (): string => join(folder, 'absent'), 'ENOENT'],
    ['is no YAML', (): string => file('bad', 'users:\n  - token: hunter2\n token: x'), 'kubeconfig: '],
    ['has no cluster', (): string => file('empty', '{"current-context": "x"}'), 'current context x'],
    [
      'asks for a proxy',
      (): string => aKubeconfig({ cluster: { 'proxy-url': 'http://proxy' } }),
      'proxy-url',
    ],
    [
      'has a server that is no URL',
      (): string => aKubeconfig({ cluster: { server: 'nonsense' } }),
      'nonsense',
    ],
  ])('that %s stops the start with one line, without quoting the file', (_, kubeconfig, text) => {
    const error = thrownBy(() => new Credentials({ clock, kubeconfig: kubeconfig() }));
    expect(error).toBeInstanceOf(TerminalError);
    expect(error).toMatchObject({ code: 'KUBE_CONFIG' });
    expect(error).not.toHaveProperty('cause');
    expect(String(error)).toContain(text);
    expect(String(error)).not.toMatch(/hunter2|\n/);
  });

  test('that is missing altogether is said to be missing, instead of trying localhost:8080', () => {
    vi.stubEnv('KUBECONFIG', '');
    vi.stubEnv('HOME', folder);
    expect(() => new Credentials({ clock })).toThrow('set KUBECONFIG');
  });
});

describe('access', () => {
  test.each([
    ['a token', { token: 't' }, { authorization: 'Bearer t' }],
    ['a name and password', { username: 'u', password: 'p' }, { authorization: `Basic ${btoa('u:p')}` }],
    [
      'another user to act as',
      { token: 't', as: 'other' },
      { authorization: 'Bearer t', 'impersonate-user': 'other' },
    ],
  ])('by %s goes in headers', async (_, user, headers) => {
    const { headers: sent } = await new Credentials({ clock, kubeconfig: aKubeconfig({ user }) }).access();
    expect(sent).toEqual(headers);
  });

  test('by certificates goes in TLS options', async () => {
    const user = { 'client-certificate-data': btoa('cert'), 'client-key-data': btoa('key') };
    const cluster = { 'certificate-authority-data': btoa('ca'), 'tls-server-name': 'kube.internal' };
    const { tls } = await new Credentials({ clock, kubeconfig: aKubeconfig({ user, cluster }) }).access();
    expect(tls).toEqual({
      ca: Buffer.from('ca'),
      cert: Buffer.from('cert'),
      key: Buffer.from('key'),
      servername: 'kube.internal',
    });
  });
});

describe('files', () => {
  test('are read again after a minute and no sooner', async () => {
    const token = file('token', 'old\n');
    const credentials = new Credentials({ clock, kubeconfig: aKubeconfig({ user: aTokenFileUser(token) }) });
    expect(await authorization(credentials)).toBe('Bearer old');
    file('token', 'new\n');
    clock.advance(59_999);
    expect(await authorization(credentials)).toBe('Bearer old');
    clock.advance(1);
    expect(await authorization(credentials)).toBe('Bearer new');
  });

  test('are read again at once after a 401, by one of the requests that met it', async () => {
    const token = file('token', 'old');
    const credentials = new Credentials({ clock, kubeconfig: aKubeconfig({ user: aTokenFileUser(token) }) });
    const refused = await credentials.access();
    file('token', 'new');
    await Promise.all([credentials.renew(refused), credentials.renew(refused)]);
    const renewed = await credentials.access();
    expect(renewed.headers).toEqual({ authorization: 'Bearer new' });
    await credentials.renew(refused);
    expect(await credentials.access()).toBe(renewed);
  });

  test('that are away for a moment leave in use what was known', async () => {
    const token = file('token', 'known');
    const credentials = new Credentials({ clock, kubeconfig: aKubeconfig({ user: aTokenFileUser(token) }) });
    await credentials.access();
    rmSync(token);
    clock.advance(60_000);
    expect(await authorization(credentials)).toBe('Bearer known');
  });

  test('that are away from the start are named', async () => {
    const credentials = new Credentials({
      clock,
      kubeconfig: aKubeconfig({ user: aTokenFileUser(join(folder, 'absent')) }),
    });
    await expect(credentials.access()).rejects.toThrow(/ENOENT.*absent/);
  });

  test('with other certificates change the fingerprint, with another token alone they do not', async () => {
    const ca = file('ca.crt', 'first');
    const token = file('token', 'old');
    const cluster = { 'certificate-authority': ca };
    const credentials = new Credentials({
      clock,
      kubeconfig: aKubeconfig({ user: aTokenFileUser(token), cluster }),
    });
    const first = await credentials.access();
    file('token', 'new');
    clock.advance(60_000);
    const second = await credentials.access();
    file('ca.crt', 'second');
    clock.advance(60_000);
    const third = await credentials.access();
    expect(second.tlsFingerprint).toBe(first.tlsFingerprint);
    expect(third.tlsFingerprint).not.toBe(first.tlsFingerprint);
  });

  test('a kubeconfig that now names another server is not followed', async () => {
    const credentials = new Credentials({ clock, kubeconfig: aKubeconfig({ user: { token: 'ours' } }) });
    await credentials.access();
    aKubeconfig({ user: { token: 'theirs' }, cluster: { server: 'https://127.0.0.1:7443' } });
    clock.advance(60_000);
    expect(await authorization(credentials)).toBe('Bearer ours');
  });
});

test('an exec plugin runs once, and again only after a 401', async () => {
  const runs = file('runs', '');
  const script = file(
    'plugin.mjs',
    `import { appendFileSync, readFileSync } from 'node:fs';
     appendFileSync(${JSON.stringify(runs)}, 'x');
     const token = 'token-' + readFileSync(${JSON.stringify(runs)}, 'utf8').length;
     console.log(JSON.stringify({ status: { token } }));`,
  );
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: [script] };
  const credentials = new Credentials({ clock, kubeconfig: aKubeconfig({ user: { exec } }) });
  await credentials.access();
  clock.advance(600_000);
  expect(await authorization(credentials)).toBe('Bearer token-1');
  await credentials.renew(await credentials.access());
  expect(await authorization(credentials)).toBe('Bearer token-2');
});

describe("a Pod's account", () => {
  beforeEach(() => {
    for (const [name, value] of Object.entries({
      KUBECONFIG: '',
      HOME: folder,
      KUBERNETES_SERVICE_HOST: '10.0.0.1',
      KUBERNETES_SERVICE_PORT: '6443',
    }))
      vi.stubEnv(name, value);
    file('token', 'account-token\n');
    file('ca.crt', 'account-ca');
    file('namespace', 'shop\n');
  });

  const inPod = (): Credentials => new Credentials({ clock, accountFolder: folder });

  test('is used where no kubeconfig is', async () => {
    const credentials = inPod();
    expect(credentials.server.href).toBe('https://10.0.0.1:6443/');
    expect(credentials.contextNamespace).toBe('shop');
    expect(await credentials.access()).toMatchObject({
      headers: { authorization: 'Bearer account-token' },
      tls: { ca: Buffer.from('account-ca') },
    });
  });

  test.each([
    [
      'KUBECONFIG names one',
      (): unknown => vi.stubEnv('KUBECONFIG', aKubeconfig({ user: { token: 'other' } })),
    ],
    [
      'one stands in the home folder',
      (): void => {
        mkdirSync(join(folder, '.kube'));
        renameSync(aKubeconfig({ user: { token: 'other' } }), join(folder, '.kube', 'config'));
      },
    ],
  ])('is not used when %s', async (_, given) => {
    given();
    expect(await authorization(inPod())).toBe('Bearer other');
  });

  test('reaches a server that is named by an IPv6 address', () => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', 'fd00::1');
    expect(inPod().server.href).toBe('https://[fd00::1]:6443/');
  });

  test.each([undefined, ''])('without a server (%j) stops the start, naming the variable', host => {
    vi.stubEnv('KUBERNETES_SERVICE_HOST', host);
    const error = thrownBy(inPod);
    expect(error).toBeInstanceOf(TerminalError);
    expect(String(error)).toContain('KUBERNETES_SERVICE_HOST');
  });

  test('is read again after a minute, certificates too', async () => {
    const credentials = inPod();
    const first = await credentials.access();
    file('token', 'next');
    file('ca.crt', 'next-ca');
    clock.advance(59_999);
    expect(await credentials.access()).toBe(first);
    clock.advance(1);
    const second = await credentials.access();
    expect(second.headers).toEqual({ authorization: 'Bearer next' });
    expect(second.tlsFingerprint).not.toBe(first.tlsFingerprint);
  });

  test.each(['', '\n'])('whose token is empty (%j) leaves in use what was known', async empty => {
    const credentials = inPod();
    await credentials.access();
    file('token', empty);
    clock.advance(60_000);
    expect(await authorization(credentials)).toBe('Bearer account-token');
  });

  test('without a CA stops the first request with one line', async () => {
    rmSync(join(folder, 'ca.crt'));
    await expect(inPod().access()).rejects.toThrow(/^service account: ENOENT.*ca\.crt/);
  });
});
