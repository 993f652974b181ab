import { describe, expect, test } from 'vitest';
import { parseConsulService } from '../../../src/api/v1alpha1/consulservice.ts';
import { checkKindOf, checkSettingsOf } from '../../../src/api/v1alpha1/service-check.ts';
import { serviceSettingsOf } from '../../../src/api/v1alpha1/service-settings.ts';
import {
  at,
  checked,
  LARGEST_SERVICES,
  SERVICE_CASES,
  SERVICE_SCHEMA_CASES,
  service,
  TWO_ADDRESSES,
} from './consulservice-cases.ts';

const metadata = { name: 'orders', namespace: 'shop', uid: 'u-1', resourceVersion: '7', generation: 3 };
const parsed = (spec: unknown, more: object = {}) => parseConsulService({ metadata, spec, ...more });
const problemOf = (spec: unknown, name = 'orders') => {
  const result = parsed(spec, { metadata: { ...metadata, name } });
  return result.ok ? undefined : result.problem;
};
const specOf = (written: unknown) => {
  const result = parsed(written);
  if (!result.ok) throw new Error(result.problem);
  return result.value.spec;
};

describe('the rules of the CRD, in code', () => {
  test.each(SERVICE_CASES)('$says', ({ kept, broken, field }) => {
    expect(problemOf(kept)).toBeUndefined();
    expect(problemOf(broken)?.startsWith(field)).toBe(true);
  });

  test.each(SERVICE_SCHEMA_CASES)('refuses $says', ({ broken, field }) => {
    expect(problemOf(broken)?.startsWith(field)).toBe(true);
  });

  test.each(LARGEST_SERVICES)('takes $says', ({ spec }) => {
    expect(problemOf(spec)).toBeUndefined();
  });

  test('names the place of the second instance and the third check', () => {
    expect(problemOf(at({ id: 'a', address: 'vm1' }, { id: 'b', address: '::' }))).toMatch(
      /^spec\.instances\[1\]\.address must not be 0\.0\.0\.0 or ::/,
    );
    const named = (name: string) => ({ name, tcp: {} });
    expect(problemOf(checked(named('a'), named('b'), named('C')))).toMatch(/^spec\.checks\[2\]\.name: /);
  });

  test('a time is told by its form from one out of bounds', () => {
    const every = (interval: string) => problemOf(checked({ name: 'up', tcp: {}, interval }));
    expect(every('10')).toBe('spec.checks[0].interval is not a duration such as 15s or 1m30s');
    expect(every('0s')).toBe('spec.checks[0].interval is not from 1s to 24h');
  });

  test('a node has one address', () => {
    expect(problemOf(TWO_ADDRESSES)).toBe('spec.instances[3].nodeAddress: vm-1 has another one before');
  });
});

describe('a resource without a name in its spec', () => {
  test.each(['orders', '0', 'o'.repeat(63)])('may be called %s', name => {
    expect(problemOf(service(), name)).toBeUndefined();
  });

  test.each(['orders.v1', 'o'.repeat(64), 'consul'])('may not be called %s', name => {
    expect(problemOf(service(), name)).toMatch(/^spec\.name: name/);
    expect(problemOf(service({ name: 'orders' }), name)).toBeUndefined();
  });
});

describe('what is in effect', () => {
  test('the defaults', () => {
    expect(serviceSettingsOf({ metadata, spec: specOf(service()) })).toEqual({
      name: 'orders',
      registration: 'Catalog',
      enableTagOverride: false,
      weights: { passing: 1, warning: 1 },
      drainSeconds: { instances: 0, kubernetes: 5 },
    });
  });

  test('what the spec says', () => {
    const spec = specOf(
      service({
        name: 'orders-v2',
        registration: 'Agent',
        enableTagOverride: true,
        weights: { warning: 0 },
        drainSeconds: 7,
      }),
    );
    expect(serviceSettingsOf({ metadata, spec })).toEqual({
      name: 'orders-v2',
      registration: 'Agent',
      enableTagOverride: true,
      weights: { passing: 1, warning: 0 },
      drainSeconds: { instances: 7, kubernetes: 7 },
    });
  });

  test.each([
    [{ tcp: {} }, 10_000],
    [{ script: { args: ['a'] } }, 30_000],
  ])('the defaults of the check %j', (kind, timeoutMs) => {
    expect(checkSettingsOf({ name: 'up', ...kind })).toEqual({
      intervalMs: 10_000,
      timeoutMs,
      successBeforePassing: 1,
      failuresBeforeCritical: 1,
      deregisterAfterMs: undefined,
    });
  });

  test('what a check says', () => {
    const [check] =
      specOf(
        checked({
          name: 'up',
          grpc: {},
          interval: '1m30s',
          timeout: '500ms',
          successBeforePassing: 2,
          failuresBeforeCritical: 3,
          deregisterCriticalServiceAfter: '1.5h',
        }),
      ).checks ?? [];
    expect(check && checkKindOf(check)).toBe('grpc');
    expect(check && checkSettingsOf(check)).toEqual({
      intervalMs: 90_000,
      timeoutMs: 500,
      successBeforePassing: 2,
      failuresBeforeCritical: 3,
      deregisterAfterMs: 5_400_000,
    });
  });

  test('what is no check has neither kind nor times', () => {
    expect(() => checkKindOf({ name: 'up' })).toThrow(TypeError);
    expect(() => checkSettingsOf({ name: 'up', tcp: {}, interval: 'soon' })).toThrow(TypeError);
  });
});

describe('what is read', () => {
  test('the spec as declared, without defaults and without unknown fields', () => {
    const status = { instances: { registered: 2, passing: 1, summary: '1/2', newer: 1 }, newer: 1 };
    expect(parsed(service({ fromTheFuture: 1 }), { status })).toEqual({
      ok: true,
      value: {
        metadata: { ...metadata, finalizers: [], annotations: {} },
        spec: service(),
        status: { instances: { registered: 2, passing: 1, summary: '1/2' } },
      },
    });
  });

  test('every field there is', () => {
    const spec = {
      name: 'orders',
      tags: ['v2', 'b a'],
      weights: { passing: 10, warning: 1 },
      enableTagOverride: false,
      instances: [
        { id: 'a', address: '192.0.2.10', port: 8080, node: 'vm-1', nodeAddress: 'vm1', tags: ['blue'] },
      ],
      kubernetes: { service: 'orders', port: 'http' },
      checks: [
        {
          name: 'http',
          http: {
            path: '/health',
            port: 8081,
            scheme: 'https',
            method: 'GET',
            headers: { Host: ['orders'] },
            body: '',
            tls: { serverName: 'orders', skipVerify: false },
          },
          interval: '10s',
          timeout: '5s',
          successBeforePassing: 1,
          failuresBeforeCritical: 2,
          deregisterCriticalServiceAfter: '90m',
        },
        { name: 'port', tcp: { port: 8080 }, interval: '10s' },
        { name: 'rpc', grpc: { service: 'orders.v1', port: 9000, tls: false }, interval: '10s' },
      ],
      registration: 'Catalog',
      connect: {
        native: false,
        sidecar: {
          port: 20_000,
          upstreams: [{ destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' }],
        },
      },
      drainSeconds: 5,
      datacenter: 'dc1',
      deletionPolicy: 'Retain',
      adoptionPolicy: 'Always',
      driftPolicy: 'Ignore',
      suspend: false,
    };
    expect(parsed(spec)).toMatchObject({ ok: true, value: { spec } });
    const onAgent = {
      registration: 'Agent',
      instances: [{ id: 'a', address: 'vm1' }],
      checks: [
        { name: 'beat', ttl: { ttl: '30s' } },
        { name: 'disk', script: { args: ['/usr/local/bin/check', '-v'] }, interval: '30s' },
      ],
      connect: { native: false },
    };
    expect(parsed(onAgent)).toMatchObject({ ok: true, value: { spec: onAgent } });
  });

  test('every name in meta, whatever JavaScript makes of it', () => {
    const meta = JSON.parse('{"__proto__": "a", "constructor": "b"}') as object;
    const spec = specOf({ meta, instances: [{ id: 'a', address: 'vm1', meta }] });
    const wanted = new Map([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    expect([spec.meta, spec.instances?.[0]?.meta]).toEqual([wanted, wanted]);
  });

  test('of a bad spec what is needed to delete it', () => {
    const spec = { deletionPolicy: 'Retain' };
    expect(parsed(spec)).toMatchObject({ ok: false, deletionPolicy: 'Retain', metadata: { uid: 'u-1' } });
  });

  test.each([
    undefined,
    null,
    'text',
    7,
    [],
    {},
    { metadata: null },
    { metadata: { name: null }, spec: service() },
  ])('%j is a problem, not an exception', object => {
    expect(parseConsulService(object)).toMatchObject({ ok: false, deletionPolicy: 'Delete' });
  });

  test.each([7, null, 'x', {}, [7], [null], [{ meta: 7 }]].map(instances => ({ instances })))(
    '%j is a problem, too',
    spec => {
      expect(problemOf(spec)).toMatch(/^spec\.instances/);
    },
  );
});
