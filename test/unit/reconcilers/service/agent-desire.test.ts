import { beforeEach, describe, expect, test } from 'vitest';
import { AgentWorld, type Spec } from './agent-world.ts';
import { aKubeService, anEndpoint, aSlice, NOT_READY } from './kube-builders.ts';
import { aVm } from './spec-builders.ts';

let world: AgentWorld;
beforeEach(() => {
  world = new AgentWorld();
});

const RUN = { intervalMs: 10_000, timeoutMs: 10_000 };

test.each<[Spec, object]>([
  [
    { http: {} },
    {
      ...RUN,
      kind: 'http',
      url: 'http://192.0.2.10:5432/',
      method: 'GET',
      headers: new Map(),
      body: '',
      tlsServerName: '',
      tlsSkipVerify: false,
    },
  ],
  [
    {
      http: {
        path: '/h?x=1',
        port: 8443,
        scheme: 'https',
        method: 'POST',
        headers: { Host: ['a'], 'X-B': ['1', '2'] },
        body: 'b',
        tls: { serverName: 'web', skipVerify: true },
      },
      interval: '1m',
      timeout: '500ms',
    },
    {
      intervalMs: 60_000,
      timeoutMs: 500,
      kind: 'http',
      url: 'https://192.0.2.10:8443/h?x=1',
      method: 'POST',
      headers: new Map([
        ['Host', ['a']],
        ['X-B', ['1', '2']],
      ]),
      body: 'b',
      tlsServerName: 'web',
      tlsSkipVerify: true,
    },
  ],
  [{ tcp: { port: 81 } }, { ...RUN, kind: 'tcp', tcp: '192.0.2.10:81' }],
  [{ grpc: {} }, { ...RUN, kind: 'grpc', grpc: '192.0.2.10:5432', tls: false }],
  [
    { grpc: { service: 'orders.v1', tls: true } },
    { ...RUN, kind: 'grpc', grpc: '192.0.2.10:5432/orders.v1', tls: true },
  ],
  [{ ttl: { ttl: '1m30s' } }, { kind: 'ttl', ttlMs: 90_000 }],
  [
    { script: { args: ['/bin/check', '-v'] } },
    { kind: 'script', intervalMs: 10_000, timeoutMs: 30_000, args: ['/bin/check', '-v'] },
  ],
])('a check %j is handed to the agent whole', (check, kind) => {
  const wish = world.wish({ instances: [aVm()], checks: [{ name: 'c', ...check }] });
  expect([...wish.instances.values()][0]?.checks).toMatchObject([
    {
      id: 'service:vm-1:c',
      name: 'c',
      notes: expect.stringMatching(/^Declared by Proconsul: \S{22}$/),
      kind,
    },
  ]);
});

test('thresholds and the time after which an instance goes are handed over', () => {
  const check = {
    name: 'c',
    tcp: {},
    successBeforePassing: 2,
    failuresBeforeCritical: 3,
    deregisterCriticalServiceAfter: '90m',
  };
  const wish = world.wish({ instances: [aVm()], checks: [check] });
  expect([...wish.instances.values()][0]?.checks).toMatchObject([
    { successBeforePassing: 2, failuresBeforeCritical: 3, deregisterAfterMs: 5_400_000 },
  ]);
});

test('an instance stands on the node of the agent, with the marks of the operator', () => {
  const wish = world.wish({ name: 'pg', instances: [aVm()], tags: ['a'], connect: { native: true } });
  expect([...wish.instances.keys()]).toEqual(['/agent/agent-1/vm-1']);
  expect([...wish.instances.values()][0]).toMatchObject({
    isReady: true,
    sidecar: undefined,
    service: {
      name: 'pg',
      tags: ['a'],
      connect: { kind: 'native' },
      meta: new Map([
        ['external-source', 'kubernetes'],
        ['proconsul-owner', 'install-a/shop/orders'],
      ]),
    },
  });
});

test('a sidecar is declared, not registered beside', () => {
  const upstreams = [{ destinationName: 'pay', localBindPort: 9091 }];
  const wish = world.wish({ instances: [aVm()], connect: { sidecar: { upstreams } } });
  expect([...wish.instances.values()]).toMatchObject([
    {
      service: { connect: undefined },
      sidecar: { port: undefined, upstreams: [{ ...upstreams[0], datacenter: '' }] },
    },
  ]);
});

test('an endpoint is ready, or is not', () => {
  const endpoints = [anEndpoint(), anEndpoint({ pod: 'b', addresses: ['192.0.2.2'], conditions: NOT_READY })];
  const source = { service: aKubeService(), slices: [aSlice({ endpoints })] };
  const wish = world.wish({ kubernetes: { service: 'orders' } }, source);
  expect([...wish.instances.values()].map(({ service: { id }, isReady }) => [id, isReady])).toEqual([
    ['k8s:shop:orders:a', true],
    ['k8s:shop:orders:b', false],
  ]);
});

test('a Service that is not there is missing', () => {
  const wish = world.wish({ kubernetes: { service: 'orders' } }, { service: undefined, slices: [] });
  expect(wish.missing).toMatchObject({ reason: 'SourceNotFound' });
});

describe('a fingerprint', () => {
  const of = (spec: Spec = {}) => {
    const wish = world.wish({ instances: [aVm()], checks: [{ name: 'c', http: {} }], ...spec });
    return [...wish.instances.values()][0]?.fingerprint ?? '';
  };

  test.each<[string, Spec]>([
    ['a header', { checks: [{ name: 'c', http: { headers: { a: ['1'] } } }] }],
    ['a body', { checks: [{ name: 'c', http: { body: 'x' } }] }],
    ['a threshold', { checks: [{ name: 'c', http: {}, failuresBeforeCritical: 2 }] }],
    ['the time of a check', { checks: [{ name: 'c', http: {}, deregisterCriticalServiceAfter: '1m' }] }],
    ['the address', { instances: [aVm({ address: '192.0.2.11' })] }],
    ['meta', { meta: { a: '1' } }],
    ['a sidecar', { connect: { sidecar: {} } }],
    ['an upstream', { connect: { sidecar: { upstreams: [{ destinationName: 'x', localBindPort: 1 }] } } }],
    ['tags', { tags: ['a'] }],
  ])('moves with %s', (_, spec) => expect(of(spec)).not.toBe(of()));

  test('moves with the memory of the agent', () => {
    const before = of();
    world.agent.lose();
    expect(of()).not.toBe(before);
  });

  test('moves with nothing else', () => {
    expect(of({ adoptionPolicy: 'Always', drainSeconds: 9 })).toBe(of());
  });
});

describe('what is not allowed', () => {
  const script = { instances: [aVm()], checks: [{ name: 'c', script: { args: ['/bin/true'] } }] };
  const plain = { instances: [aVm()] };

  test.each([
    [plain, { agent: false, scripts: true }, 'PROCONSUL_AGENT_MODE'],
    [script, { agent: true, scripts: false }, 'PROCONSUL_ALLOW_SCRIPT_CHECKS'],
  ])('%j with the switches %j', (spec, allowed, named) => {
    expect(world.desire(spec, { allowed })).toMatchObject({
      kind: 'refuse',
      reason: 'NotAllowed',
      message: expect.stringContaining(named),
    });
  });

  test('a script on an agent that runs none', () => {
    world.agent.runsScripts = false;
    expect(world.desire(script)).toMatchObject({
      reason: 'NotAllowed',
      message: expect.stringContaining('enable_script_checks'),
    });
    expect(world.desire(plain)).toMatchObject({ kind: 'desired' });
  });

  test('nothing but scripts needs the second switch', () => {
    expect(world.desire(plain, { allowed: { agent: true, scripts: false } })).toMatchObject({
      kind: 'desired',
    });
  });

  test.each([{ http: {} }, { tcp: {} }, { grpc: {} }])(
    'a check %j of an address that must not be asked',
    kind => {
      const refusalOf = (host: string) => (host === '192.0.2.10' ? `${host} is secret` : undefined);
      const checks = [{ name: 'c', ...kind }];
      expect(world.desire({ instances: [aVm()], checks }, { refusalOf })).toMatchObject({
        reason: 'NotAllowed',
        message: 'the checks of vm-1 must not be run: 192.0.2.10 is secret',
      });
    },
  );

  test('a sidecar at an address that must not be asked: the agent connects to it by itself', () => {
    const refusalOf = (host: string) => (host === '192.0.2.10' ? `${host} is secret` : undefined);
    const spec = { instances: [aVm()], connect: { sidecar: {} } };
    expect(world.desire(spec, { refusalOf })).toMatchObject({
      reason: 'NotAllowed',
      message: 'the checks of vm-1 must not be run: 192.0.2.10 is secret',
    });
    expect(world.desire({ ...spec, connect: { native: true } }, { refusalOf })).toMatchObject({
      kind: 'desired',
    });
  });

  test('an address that nobody asks is anybody s', () => {
    const checks = [{ name: 'c', ttl: { ttl: '1m' } }];
    const refusalOf = () => 'secret';
    expect(world.desire({ instances: [aVm()], checks }, { refusalOf })).toMatchObject({ kind: 'desired' });
  });
});
