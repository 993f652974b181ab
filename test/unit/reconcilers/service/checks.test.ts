import { describe, expect, test } from 'vitest';
import { type CheckDefinition, NO_DEFINITION } from '../../../../src/consul/registration.ts';
import { parseServiceId } from '../../../../src/consul/service-ids.ts';
import {
  CHECK_NOTES,
  checkIdOf,
  checksOf,
  ownCheck,
  probeSpecOf,
  sidecarCheck,
} from '../../../../src/reconcilers/service/checks.ts';
import type { DeclaredInstance } from '../../../../src/reconcilers/service/types.ts';
import type { ProbeTarget } from '../../../../src/probes/spec.ts';
import { aResource, aVm } from './spec-builders.ts';

const INSTANCE: DeclaredInstance = {
  id: parseServiceId('vm-1'),
  address: '192.0.2.10',
  port: 5432,
  tags: [],
  meta: new Map(),
  node: undefined,
  nodeAddress: undefined,
  isReady: undefined,
};
const SERVICE = { id: INSTANCE.id, name: 'orders' };

type Check = Readonly<Record<string, unknown>>;

/** As the API would hand it over. */
const declared = (check: Check) =>
  aResource({ instances: [aVm()], checks: [{ name: 'health', ...check }] }).spec.checks ?? [];

function probeOf(check: Check, instance = INSTANCE) {
  const [one] = checksOf(instance, SERVICE, declared(check));
  if (one?.says.kind !== 'probe') throw new Error('not a probe');
  return { ...one, says: one.says };
}

const HTTP: ProbeTarget = {
  kind: 'http',
  host: '192.0.2.10',
  port: 5432,
  tls: undefined,
  path: '/',
  method: 'GET',
  headers: {},
  body: '',
};

describe('what is asked, and what Consul shows of it', () => {
  test.each<[what: string, check: Check, target: ProbeTarget, shown: Partial<CheckDefinition>]>([
    ['http', { http: {} }, HTTP, { http: 'http://192.0.2.10:5432/', method: 'GET' }],
    [
      'http with everything, of which query, headers and body are shown to nobody',
      {
        http: {
          path: '/health?token=secret#secret',
          port: 8443,
          scheme: 'https',
          method: 'POST',
          headers: { Authorization: ['secret'], 'X-A': ['1', '2'] },
          body: 'secret',
          tls: { serverName: 'orders.example', skipVerify: true },
        },
      },
      {
        ...HTTP,
        port: 8443,
        tls: { serverName: 'orders.example', skipVerify: true },
        path: '/health?token=secret#secret',
        method: 'POST',
        headers: { Authorization: ['secret'], 'X-A': ['1', '2'] },
        body: 'secret',
      },
      {
        http: 'https://192.0.2.10:8443/health',
        method: 'POST',
        tlsServerName: 'orders.example',
        tlsSkipVerify: true,
      },
    ],
    [
      'https as it comes',
      { http: { scheme: 'https' } },
      { ...HTTP, tls: { serverName: undefined, skipVerify: false } },
      { http: 'https://192.0.2.10:5432/', method: 'GET' },
    ],
    ['tcp', { tcp: {} }, { kind: 'tcp', host: '192.0.2.10', port: 5432 }, { tcp: '192.0.2.10:5432' }],
    [
      'tcp at a port of its own',
      { tcp: { port: 81 } },
      { kind: 'tcp', host: '192.0.2.10', port: 81 },
      { tcp: '192.0.2.10:81' },
    ],
    [
      'grpc',
      { grpc: {} },
      { kind: 'grpc', host: '192.0.2.10', port: 5432, tls: undefined, service: '' },
      { grpc: '192.0.2.10:5432' },
    ],
    [
      'grpc without TLS, said',
      { grpc: { tls: false } },
      { kind: 'grpc', host: '192.0.2.10', port: 5432, tls: undefined, service: '' },
      { grpc: '192.0.2.10:5432' },
    ],
    [
      'grpc with everything',
      { grpc: { service: 'orders.v1', port: 9000, tls: true } },
      {
        kind: 'grpc',
        host: '192.0.2.10',
        port: 9000,
        tls: { serverName: undefined, skipVerify: false },
        service: 'orders.v1',
      },
      { grpc: '192.0.2.10:9000/orders.v1', grpcUseTls: true },
    ],
  ])('%s', (_, check, target, shown) => {
    const { check: registered, says } = probeOf(check);
    expect(says.spec.target).toEqual(target);
    const run = { intervalMs: 10_000, timeoutMs: 10_000 };
    expect(registered.definition).toEqual({ ...NO_DEFINITION, ...run, ...shown });
    expect(JSON.stringify(registered)).not.toContain('secret');
    expect(registered.type).toBe(Object.keys(check)[0]);
  });

  test('an IPv6 address stands in brackets where a port follows', () => {
    const { check, says } = probeOf({ tcp: {} }, { ...INSTANCE, address: '2001:db8::1' });
    expect(check.definition.tcp).toBe('[2001:db8::1]:5432');
    expect(says.spec.target.host).toBe('2001:db8::1');
  });

  test('as often, as patiently and as stubbornly as declared', () => {
    const { check, says } = probeOf({
      tcp: {},
      interval: '1m30s',
      timeout: '250ms',
      successBeforePassing: 2,
      failuresBeforeCritical: 3,
      deregisterCriticalServiceAfter: '90m',
    });
    expect(says).toMatchObject({
      spec: {
        intervalMs: 90_000,
        timeoutMs: 250,
        thresholds: { successBeforePassing: 2, failuresBeforeCritical: 3 },
      },
      deregisterAfterMs: 5_400_000,
    });
    expect(check.definition).toMatchObject({
      intervalMs: 90_000,
      timeoutMs: 250,
      deregisterAfterMs: 5_400_000,
    });
  });

  test('never taken out unless it is declared', () => {
    const { check, says } = probeOf({ tcp: {} });
    expect(says.deregisterAfterMs).toBeUndefined();
    expect(check.definition.deregisterAfterMs).toBe(0);
  });

  test('in whole milliseconds', () => {
    const check = { tcp: {}, interval: '1.001s', timeout: '10.4ms' };
    expect(probeOf(check).check.definition).toMatchObject({ intervalMs: 1001, timeoutMs: 10 });
  });

  test.each([{ ttl: { ttl: '10s' } }, { script: { args: ['x'] } }])('%j is for agents', check => {
    const [one] =
      aResource({ registration: 'Agent', instances: [aVm()], checks: [{ name: 'health', ...check }] }).spec
        .checks ?? [];
    if (one === undefined) throw new Error('no check');
    expect(() => probeSpecOf(one, INSTANCE)).toThrow(TypeError);
  });
});

describe('registered', () => {
  test('under ids of their own, with the mark and the service that they belong to', () => {
    expect(probeOf({ tcp: {} }).check).toMatchObject({
      id: 'service:vm-1:health',
      serviceId: 'vm-1',
      serviceName: 'orders',
      name: 'health',
      notes: CHECK_NOTES,
    });
    expect(checkIdOf(parseServiceId('a:b'), 'c')).toBe('service:a:b:c');
  });

  test.each([
    ['readiness', 'proconsul-readiness', 'kubernetes-readiness'],
    ['instance', 'proconsul-instance', 'alias'],
    ['draining', 'proconsul-draining', 'draining'],
  ] as const)('%s as one of our own', (which, name, type) => {
    expect(ownCheck(SERVICE, which)).toEqual({
      id: `service:vm-1:${name}`,
      serviceId: 'vm-1',
      serviceName: 'orders',
      name,
      notes: 'Checked by Proconsul.',
      type,
      definition: NO_DEFINITION,
    });
  });

  test.each([
    [true, { status: 'passing', output: 'ready in Kubernetes' }],
    [false, { status: 'critical', output: 'not ready in Kubernetes' }],
  ] as const)('readiness of an endpoint, before the declared ones: %s', (isReady, result) => {
    const [readiness, ...others] = checksOf({ ...INSTANCE, isReady }, SERVICE, declared({ tcp: {} }));
    expect(readiness).toEqual({ check: ownCheck(SERVICE, 'readiness'), says: { kind: 'known', result } });
    expect(others.map(({ check }) => check.name)).toEqual(['health']);
  });

  test('readiness of no fixed instance', () => {
    expect(checksOf(INSTANCE, SERVICE, [])).toEqual([]);
  });

  test('of a sidecar: it follows its instance', () => {
    const sidecar = { id: parseServiceId('vm-1-sidecar-proxy'), name: 'orders-sidecar-proxy' };
    expect(sidecarCheck(sidecar, INSTANCE.id)).toEqual({
      check: ownCheck(sidecar, 'instance'),
      says: { kind: 'follows', serviceId: 'vm-1' },
    });
  });
});
