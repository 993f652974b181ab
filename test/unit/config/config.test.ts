import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Config, parseConfig } from '../../../src/config/config.ts';
import { Secret } from '../../../src/config/secret.ts';
import { SETTINGS } from '../../../src/config/settings.ts';

type Env = Record<string, string | undefined>;

function configOf(env: Env): Config {
  const parsed = parseConfig(env);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.config;
}

function problemOf(env: Env): string {
  const parsed = parseConfig(env);
  if (parsed.ok) throw new Error('was accepted');
  return parsed.problem;
}

test('with nothing set, everything has its default', () => {
  expect(configOf({})).toEqual({
    consul: {
      addresses: ['http://127.0.0.1:8500'],
      token: undefined,
      tokenFile: undefined,
      tls: { caFile: undefined, certFile: undefined, keyFile: undefined, serverName: undefined },
      datacenter: undefined,
    },
    logLevel: 'info',
    install: { id: undefined, release: 'proconsul' },
    namespaces: 'all',
    secretNamespaces: 'all',
    dryRun: false,
    lease: { ttlSeconds: 20, lockDelaySeconds: 10 },
    bindAddress: '127.0.0.1',
    probePort: 8081,
    metricsPort: 8080,
    probeAllow: [],
    agentMode: { agent: false, scripts: false },
    pod: { name: undefined, namespace: undefined, uid: undefined },
  });
});

test('with everything set, everything is as set', () => {
  const config = configOf({
    CONSUL_HTTP_ADDR: 'https://consul-0.example:8501, https://consul-1.example:8501',
    CONSUL_HTTP_TOKEN_FILE: '/var/run/consul/token',
    CONSUL_CACERT: '/etc/consul/ca.pem',
    CONSUL_CLIENT_CERT: '/etc/consul/client.pem',
    CONSUL_CLIENT_KEY: '/etc/consul/client-key.pem',
    CONSUL_TLS_SERVER_NAME: 'server.dc1.consul',
    CONSUL_DATACENTER: 'dc1',
    LOG_LEVEL: 'DEBUG',
    PROCONSUL_INSTALL_ID: 'payments-eu-1',
    PROCONSUL_RELEASE: 'proconsul-payments',
    PROCONSUL_NAMESPACES: 'shop, billing',
    PROCONSUL_SECRET_NAMESPACES: 'shop',
    PROCONSUL_DRY_RUN: '1',
    PROCONSUL_LEASE_TTL: '1m30s',
    PROCONSUL_LEASE_LOCK_DELAY: '1m',
    PROCONSUL_BIND_ADDRESS: '::',
    PROCONSUL_PROBE_PORT: '0',
    PROCONSUL_METRICS_PORT: '9090',
    PROCONSUL_PROBE_ALLOW_CIDRS: '10.0.0.0/8, ::1',
    PROCONSUL_ALLOW_SCRIPT_CHECKS: 'true',
    POD_NAME: 'proconsul-0',
    POD_NAMESPACE: 'consul',
    POD_UID: '7b0d',
  });
  expect(config).toEqual({
    consul: {
      addresses: ['https://consul-0.example:8501', 'https://consul-1.example:8501'],
      token: undefined,
      tokenFile: '/var/run/consul/token',
      tls: {
        caFile: '/etc/consul/ca.pem',
        certFile: '/etc/consul/client.pem',
        keyFile: '/etc/consul/client-key.pem',
        serverName: 'server.dc1.consul',
      },
      datacenter: 'dc1',
    },
    logLevel: 'debug',
    install: { id: 'payments-eu-1', release: 'proconsul-payments' },
    namespaces: ['shop', 'billing'],
    secretNamespaces: ['shop'],
    dryRun: true,
    lease: { ttlSeconds: 90, lockDelaySeconds: 60 },
    bindAddress: '::',
    probePort: 0,
    metricsPort: 9090,
    probeAllow: [
      { family: 'ipv4', address: '10.0.0.0', prefix: 8 },
      { family: 'ipv6', address: '::1', prefix: 128 },
    ],
    agentMode: { agent: false, scripts: true },
    pod: { name: 'proconsul-0', namespace: 'consul', uid: '7b0d' },
  });
});

describe('the addresses of Consul', () => {
  test.each([
    { addr: '127.0.0.1:8500', env: {}, addresses: ['http://127.0.0.1:8500'] },
    { addr: '[::1]:8500', env: {}, addresses: ['http://[::1]:8500'] },
    { addr: 'http://consul:8500/', env: {}, addresses: ['http://consul:8500'] },
    { addr: 'consul:80', env: {}, addresses: ['http://consul'] },
    { addr: 'consul:80', env: { CONSUL_HTTP_SSL: 'true' }, addresses: ['https://consul:80'] },
    { addr: 'consul:8501', env: { CONSUL_HTTP_SSL: '1' }, addresses: ['https://consul:8501'] },
    { addr: 'consul:8501', env: { CONSUL_CACERT: '/ca.pem' }, addresses: ['https://consul:8501'] },
    { addr: 'consul:8501', env: { CONSUL_TLS_SERVER_NAME: 'x.consul' }, addresses: ['https://consul:8501'] },
    { addr: 'consul:8500,consul:8500', env: {}, addresses: ['http://consul:8500'] },
    { addr: 'a:1,b:2 , c:3', env: {}, addresses: ['http://a:1', 'http://b:2', 'http://c:3'] },
  ])('$addr with $env', ({ addr, env, addresses }) => {
    expect(configOf({ CONSUL_HTTP_ADDR: addr, ...env }).consul.addresses).toEqual(addresses);
  });

  test.each([
    'unix:///var/run/consul.sock',
    'ftp://consul:8500',
    'http://consul:8500/v1',
    'http://consul:8500?token=x',
    'http://consul:8500#x',
    'http://me:secret@consul:8500',
    'me:secret@consul:8500',
    'consul:8500,,consul:8501',
    'consul:99999',
    'con sul:8500',
    'http://',
    Array.from({ length: 17 }, (_, n) => `consul-${n}:8500`).join(','),
  ])('%s is refused, in words that do not repeat it', addr => {
    const problem = problemOf({ CONSUL_HTTP_ADDR: addr });
    expect(problem).toMatch(/^CONSUL_HTTP_ADDR must be up to 16 addresses/);
    expect(problem).not.toContain('secret');
  });

  test.each([
    { CONSUL_HTTP_ADDR: 'http://consul:8500', CONSUL_HTTP_SSL: 'true' },
    { CONSUL_HTTP_ADDR: 'https://a:8501,http://b:8500', CONSUL_CACERT: '/ca.pem' },
  ])('http:// is refused where TLS is asked for: %o', env => {
    expect(problemOf(env)).toMatch(/^CONSUL_HTTP_ADDR must begin with https:/);
  });

  test('a failover from https to http is refused', () => {
    expect(problemOf({ CONSUL_HTTP_ADDR: 'https://a:8501,b:8500' })).toMatch(
      /must be all http:\/\/ or all https:/,
    );
  });
});

describe('agent mode', () => {
  const agentMode = { PROCONSUL_AGENT_MODE: 'true' };

  test('is switched on with one address, however it is written', () => {
    const addresses = ['consul:8500', 'consul:8500,http://consul:8500'];
    for (const address of addresses)
      expect(configOf({ ...agentMode, CONSUL_HTTP_ADDR: address }).agentMode.agent).toBe(true);
  });

  test('is refused with several: each might be another agent', () => {
    expect(problemOf({ ...agentMode, CONSUL_HTTP_ADDR: 'a:8500,b:8500' })).toBe(
      'CONSUL_HTTP_ADDR must be one address with PROCONSUL_AGENT_MODE=true: that of the agent',
    );
  });
});

describe('namespaces', () => {
  test.each([
    { written: undefined, namespaces: 'all', secretNamespaces: 'all' },
    { written: '', namespaces: 'all', secretNamespaces: [] },
    { written: ' ', namespaces: 'all', secretNamespaces: [] },
    { written: '*', namespaces: 'all', secretNamespaces: 'all' },
    { written: 'a,b, a', namespaces: ['a', 'b'], secretNamespaces: ['a', 'b'] },
  ])('$written: resources in $namespaces, Secrets in $secretNamespaces', ({ written, ...scopes }) => {
    const env = { PROCONSUL_NAMESPACES: written, PROCONSUL_SECRET_NAMESPACES: written };
    expect(configOf(env)).toMatchObject(scopes);
  });

  test.each(['a,', ',a', 'a,,b', '*,a', 'Shop', '-a', 'a_b', 'a/b', 'x'.repeat(64)])(
    '%s is refused',
    written => {
      expect(problemOf({ PROCONSUL_NAMESPACES: written })).toBe(
        'PROCONSUL_NAMESPACES must be * or namespaces separated by commas, such as shop,billing',
      );
    },
  );
});

describe('ranges that checks may reach', () => {
  test.each([
    { written: '127.0.0.1', ranges: [{ family: 'ipv4', address: '127.0.0.1', prefix: 32 }] },
    { written: '0.0.0.0/0', ranges: [{ family: 'ipv4', address: '0.0.0.0', prefix: 0 }] },
    { written: 'FD00::/8', ranges: [{ family: 'ipv6', address: 'FD00::', prefix: 8 }] },
    { written: '', ranges: [] },
  ])('$written', ({ written, ranges }) => {
    expect(configOf({ PROCONSUL_PROBE_ALLOW_CIDRS: written }).probeAllow).toEqual(ranges);
  });

  test.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0/8',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8,',
    '10.0.0.0/8;10.1.0.0/16',
    'fe80::1%eth0',
    '::ffff:127.0.0.1/128',
    'localhost',
    '*',
    Array.from({ length: 65 }, () => '10.0.0.0/8').join(','),
  ])('%s is refused', written => {
    expect(problemOf({ PROCONSUL_PROBE_ALLOW_CIDRS: written })).toMatch(
      /^PROCONSUL_PROBE_ALLOW_CIDRS must be up to 64 ranges of addresses separated by commas/,
    );
  });
});

describe('a wrong setting stops the start with one line that names it and says what would be right', () => {
  test.each([
    [{ CONSUL_HTTP_SSL: 'yes' }, 'CONSUL_HTTP_SSL must be true, false, 1 or 0'],
    [{ CONSUL_HTTP_SSL_VERIFY: 'false' }, /^CONSUL_HTTP_SSL_VERIFY must not be false: .* set CONSUL_CACERT/],
    [{ CONSUL_HTTP_SSL_VERIFY: '0' }, /^CONSUL_HTTP_SSL_VERIFY must not be false/],
    [
      { CONSUL_HTTP_TOKEN: 'a', CONSUL_HTTP_TOKEN_FILE: '/b' },
      'CONSUL_HTTP_TOKEN and CONSUL_HTTP_TOKEN_FILE are both set: unset one of them',
    ],
    [{ CONSUL_HTTP_TOKEN: 'two words' }, /^CONSUL_HTTP_TOKEN must be one ACL token/],
    [{ CONSUL_HTTP_TOKEN: 'line\r\nX-Evil: 1' }, /^CONSUL_HTTP_TOKEN must be one ACL token/],
    [{ CONSUL_CLIENT_CERT: '/c' }, /^CONSUL_CLIENT_KEY is missing/],
    [{ CONSUL_CLIENT_KEY: '/k' }, /^CONSUL_CLIENT_CERT is missing/],
    [{ CONSUL_TLS_SERVER_NAME: 'a/b' }, /^CONSUL_TLS_SERVER_NAME must be a host name/],
    [{ CONSUL_DATACENTER: 'dc1&token=x' }, /^CONSUL_DATACENTER must be the name of a datacenter/],
    [{ LOG_LEVEL: 'verbose' }, 'LOG_LEVEL must be trace, debug, info, warn, error, fatal or silent'],
    [
      { PROCONSUL_INSTALL_ID: 'seven77' },
      'PROCONSUL_INSTALL_ID must be 8 to 40 characters of a-z, 0-9 and -',
    ],
    [{ PROCONSUL_INSTALL_ID: 'Upper-Case' }, /^PROCONSUL_INSTALL_ID must be/],
    [{ PROCONSUL_INSTALL_ID: 'x'.repeat(41) }, /^PROCONSUL_INSTALL_ID must be/],
    [{ PROCONSUL_RELEASE: 'a/b' }, /^PROCONSUL_RELEASE must be a DNS label/],
    [{ PROCONSUL_DRY_RUN: 'maybe' }, 'PROCONSUL_DRY_RUN must be true, false, 1 or 0'],
    [{ PROCONSUL_BIND_ADDRESS: 'localhost' }, /^PROCONSUL_BIND_ADDRESS must be an IP address/],
    [{ PROCONSUL_LEASE_TTL: '9s' }, /^PROCONSUL_LEASE_TTL must be whole seconds from 10s to 300s/],
    [{ PROCONSUL_LEASE_TTL: '20' }, /^PROCONSUL_LEASE_TTL must be whole seconds/],
    [{ PROCONSUL_LEASE_TTL: '10.5s' }, /^PROCONSUL_LEASE_TTL must be whole seconds/],
    [
      { PROCONSUL_LEASE_LOCK_DELAY: '4s' },
      /^PROCONSUL_LEASE_LOCK_DELAY must be whole seconds from 5s to 60s/,
    ],
    [{ PROCONSUL_LEASE_LOCK_DELAY: '61s' }, /^PROCONSUL_LEASE_LOCK_DELAY must be whole seconds/],
    [{ PROCONSUL_PROBE_PORT: '65536' }, /^PROCONSUL_PROBE_PORT must be a port/],
    [{ PROCONSUL_PROBE_PORT: '-1' }, /^PROCONSUL_PROBE_PORT must be a port/],
    [{ PROCONSUL_METRICS_PORT: '80a' }, /^PROCONSUL_METRICS_PORT must be a port/],
    [{ POD_NAME: 'x'.repeat(254) }, 'POD_NAME must be at most 253 characters'],
  ] as [Env, string | RegExp][])('%o', (env, problem) => {
    expect(problemOf(env)).toMatch(problem);
    expect(problemOf(env)).not.toContain('\n');
  });

  test('several wrong settings are all named, on one line', () => {
    const problem = problemOf({ LOG_LEVEL: 'loud', PROCONSUL_DRY_RUN: '2', PROCONSUL_NAMESPACE: 'x' });
    expect(problem.split('; ').map(part => part.split(' ')[0])).toEqual([
      'PROCONSUL_NAMESPACE',
      'LOG_LEVEL',
      'PROCONSUL_DRY_RUN',
    ]);
  });

  test.each(SETTINGS.map(setting => setting.name))('a wrong value of %s is not repeated', name => {
    const parsed = parseConfig({ [name]: 'canary value\u0007' });
    expect(JSON.stringify(parsed.ok ? '' : parsed.problem)).not.toContain('canary');
  });
});

describe('names that are not settings', () => {
  test.each([
    ['PROCONSUL_NAMESPACE', 'PROCONSUL_NAMESPACES'],
    ['PROCONSUL_DRYRUN', 'PROCONSUL_DRY_RUN'],
    ['PROCONSUL_PROBES_PORT', 'PROCONSUL_PROBE_PORT'],
    ['PROCONSUL_INSTALLID', 'PROCONSUL_INSTALL_ID'],
    ['PROCONSUL_SECRETS_NAMESPACES', 'PROCONSUL_SECRET_NAMESPACES'],
  ])('%s stops the start: did you mean %s?', (typo, meant) => {
    expect(problemOf({ [typo]: '1' })).toBe(`${typo} is not a setting: did you mean ${meant}?`);
  });

  test('even a name of another world is reported on one line of bounded length', () => {
    const problem = problemOf({ [`PROCONSUL_X\n${'y'.repeat(10_000)}`]: '1' });
    expect(problem).not.toContain('\n');
    expect(problem.length).toBeLessThan(200);
  });

  test('those of the sandbox, of the tests and of other programs are none of its business', () => {
    const env = {
      PROCONSUL_KUBE_APISERVER: '/bin/kube-apiserver',
      PROCONSUL_ETCD: '/bin/etcd',
      PROCONSUL_KUBE_CONTROLLER_MANAGER: '/bin/kube-controller-manager',
      PROCONSUL_CONSUL: '/bin/consul',
      PROCONSUL_HELM: '/bin/helm',
      PROCONSUL_KUBECTL: '/bin/kubectl',
      PROCONSUL_TEST_SEED: '42',
      PATH: '/bin',
    };
    expect(configOf(env)).toEqual(configOf({}));
  });

  test('what kubelet sets for Services called proconsul… is not taken for settings', () => {
    const env = {
      PROCONSUL_SERVICE_HOST: '10.0.0.1',
      PROCONSUL_SERVICE_PORT: '8080',
      PROCONSUL_SERVICE_PORT_METRICS: '8080',
      PROCONSUL_PORT: 'tcp://10.0.0.1:8080',
      PROCONSUL_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      PROCONSUL_PORT_8080_TCP_PROTO: 'tcp',
      PROCONSUL_PORT_8080_TCP_PORT: '8080',
      PROCONSUL_PORT_8080_TCP_ADDR: '10.0.0.1',
      PROCONSUL_METRICS_SERVICE_HOST: '10.0.0.1',
      PROCONSUL_METRICS_PORT: 'tcp://10.0.0.1:8080',
      PROCONSUL_METRICS_PORT_8080_TCP: 'tcp://10.0.0.1:8080',
      PROCONSUL_PROBE_PORT: 'tcp://[fd00::1]:8081',
    };
    expect(configOf(env)).toMatchObject({ probePort: 8081, metricsPort: 8080 });
  });

  test('a port that a person wrote wrongly is not excused as one of those', () => {
    expect(problemOf({ PROCONSUL_METRICS_PORT: 'http://10.0.0.1:8080' })).toMatch(
      /^PROCONSUL_METRICS_PORT must/,
    );
    expect(problemOf({ PROCONSUL_METRIC_PORT: '8080' })).toMatch(/did you mean PROCONSUL_METRICS_PORT\?$/);
  });
});

describe('the token', () => {
  const config = configOf({ CONSUL_HTTP_TOKEN: ' canary-token\n' });

  test('is given away by reveal alone', () => {
    expect(config.consul.token?.reveal()).toBe('canary-token');
  });

  test.each([
    ['inspect', () => inspect(config, { depth: null, showHidden: true })],
    ['JSON', () => JSON.stringify(config)],
    ['a template', () => `token: ${String(config.consul.token)}`],
    ['a copy of its own properties', () => JSON.stringify(Object.assign({}, config.consul.token))],
    ['a structured clone', () => inspect(structuredClone({ token: config.consul.token }))],
  ])('does not show in %s', (_, show) => {
    expect(show()).not.toContain('canary');
  });
});

test('the configuration cannot be changed, at any depth', () => {
  const config = configOf({ PROCONSUL_NAMESPACES: 'a', CONSUL_HTTP_TOKEN: 't' });
  const parts = [
    config,
    config.consul,
    config.consul.tls,
    config.consul.addresses,
    config.namespaces,
    config.pod,
  ];
  expect(parts.every(part => Object.isFrozen(part))).toBe(true);
  expect(config.consul.token).toBeInstanceOf(Secret);
});

test('every setting is documented once, in one sentence or more', () => {
  expect(new Set(SETTINGS.map(setting => setting.name)).size).toBe(SETTINGS.length);
  expect(SETTINGS.filter(setting => !/^.{20,}\.$/.test(setting.description))).toEqual([]);
});
