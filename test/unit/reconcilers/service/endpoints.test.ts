import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../../../src/kube/types.ts';
import {
  endpointsOf,
  isEndpointId,
  type KubernetesSource,
} from '../../../../src/reconcilers/service/endpoints.ts';
import { aKubeService, anEndpoint, aSlice, aSource, NOT_READY, READY, TERMINATING } from './kube-builders.ts';
import { aResource, aVm } from './spec-builders.ts';

const OWNER = { namespace: 'shop', name: 'orders' };

/** The endpoints, a line each; or what is in the way. */
function told(source: KubernetesSource, port?: string): readonly string[] | string {
  const kubernetes = port === undefined ? { service: 'orders' } : { service: 'orders', port };
  const found = endpointsOf(kubernetes, source, OWNER);
  if (found.kind !== 'endpoints') return `${found.kind} ${found.reason}: ${found.message}`;
  const lines = found.endpoints.map(({ id, address, port: number, isReady, zone = '-' }) =>
    [id, address, number, isReady ? 'ready' : 'not-ready', zone].join(' '),
  );
  return found.missing === undefined
    ? lines
    : [...lines, `${found.missing.reason}: ${found.missing.message}`];
}

const endpoints = (...fields: readonly Parameters<typeof anEndpoint>[0][]) => fields.map(anEndpoint);
const A = 'k8s:shop:orders:a 192.0.2.1 8080 ready -';
const B = 'k8s:shop:orders:b 192.0.2.2 8080 ready -';
const POD_B = { pod: 'b', uid: 'uid-b', addresses: ['192.0.2.2'] };
const V6 = { addressType: 'IPv6', endpoints: endpoints({ addresses: ['2001:db8::1'] }) };

describe('endpoints', () => {
  test.each<[what: string, source: KubernetesSource, wanted: readonly string[] | string]>([
    ['of one slice', aSource(aSlice({ endpoints: endpoints({}, POD_B) })), [A, B]],
    [
      'of several slices, in the order of their ids',
      aSource(aSlice({ endpoints: endpoints(POD_B) }), aSlice()),
      [A, B],
    ],
    ['of no slice', aSource(), []],
    ['of a Service without Pods', aSource(aSlice({ endpoints: [], ports: [] })), []],
    ['as an old API server writes none', aSource(aSlice({ endpoints: null, ports: null })), []],
    [
      'of a Service that does not exist',
      { service: undefined, slices: [aSlice()] },
      ['SourceNotFound: Service orders does not exist'],
    ],
    ['in both families, IPv4 first', aSource(aSlice(V6), aSlice()), [A]],
    ['in IPv6 alone', aSource(aSlice(V6)), ['k8s:shop:orders:a 2001:db8::1 8080 ready -']],
    [
      'in IPv4 even where only IPv6 is ready: they are one Pod',
      aSource(aSlice(V6), aSlice({ endpoints: endpoints({ conditions: NOT_READY }) })),
      ['k8s:shop:orders:a 192.0.2.1 8080 not-ready -'],
    ],
    [
      'of names, behind addresses',
      aSource(
        aSlice({ addressType: 'FQDN', endpoints: endpoints({ addresses: ['a.example.com'] }) }),
        aSlice(V6),
      ),
      ['k8s:shop:orders:a 2001:db8::1 8080 ready -'],
    ],
    [
      'of names alone',
      aSource(
        aSlice({
          addressType: 'FQDN',
          endpoints: endpoints({ pod: undefined, addresses: ['Db-1.example.com.'] }),
        }),
      ),
      ['k8s:shop:orders:db-1.example.com Db-1.example.com 8080 ready -'],
    ],
    ['of a family that is not known', aSource(aSlice({ addressType: 'IPv9' })), []],
    [
      'that stand in two slices, the ready one first',
      aSource(aSlice({ endpoints: endpoints({ conditions: NOT_READY }) }), aSlice()),
      [A],
    ],
    [
      'with several addresses, at the first',
      aSource(aSlice({ endpoints: endpoints({ addresses: ['192.0.2.1', '192.0.2.9'] }) })),
      [A],
    ],
    [
      'without a targetRef, by their address',
      aSource(aSlice({ endpoints: endpoints({ pod: undefined }) })),
      ['k8s:shop:orders:192.0.2.1 192.0.2.1 8080 ready -'],
    ],
    [
      'without a targetRef in IPv6',
      aSource(
        aSlice({ addressType: 'IPv6', endpoints: endpoints({ pod: undefined, addresses: ['2001:DB8::1'] }) }),
      ),
      ['k8s:shop:orders:2001:db8::1 2001:DB8::1 8080 ready -'],
    ],
    [
      'of a target whose name no id could have',
      aSource(aSlice({ endpoints: endpoints({ pod: 'A b/ä_1' }) })),
      ['k8s:shop:orders:a-b---1 192.0.2.1 8080 ready -'],
    ],
    [
      'without an address, or with one that nobody could call',
      aSource(
        aSlice({
          endpoints: [
            ...endpoints({ addresses: [] }, { addresses: ['0.0.0.0'] }, { addresses: ['fe80::1%eth0'] }),
            'nonsense',
            { addresses: [7] },
            {},
          ],
        }),
      ),
      [],
    ],
    [
      'in their zones',
      aSource(aSlice({ endpoints: endpoints({ zone: 'eu-1a' }) })),
      ['k8s:shop:orders:a 192.0.2.1 8080 ready eu-1a'],
    ],
    [
      'in a zone that Consul does not take',
      aSource(aSlice({ endpoints: endpoints({ zone: 'é'.repeat(257) }, { ...POD_B, zone: '' }) })),
      [A, B],
    ],
  ])('%s', (_, source, wanted) => expect(told(source)).toEqual(wanted));
});

/** https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/1672-tracking-terminating-endpoints */
describe('by their conditions', () => {
  const UNREADY = [A.replace('ready', 'not-ready')];

  test.each<
    [what: string, conditions: Readonly<Record<string, unknown>> | undefined, wanted: readonly string[]]
  >([
    ['ready', READY, [A]],
    ['not ready', NOT_READY, UNREADY],
    ['unknown', undefined, [A]],
    ['unknown, each', {}, [A]],
    ['of an API server without serving and terminating', { ready: false }, UNREADY],
    ['serving and terminating', TERMINATING, []],
    ['terminating and no more serving', { ready: false, serving: false, terminating: true }, []],
    [
      'ready though terminating, as with publishNotReadyAddresses',
      { ready: true, serving: true, terminating: true },
      [],
    ],
  ])('%s', (_, conditions, wanted) => {
    expect(told(aSource(aSlice({ endpoints: endpoints({ conditions }) })))).toEqual(wanted);
  });

  test('a Pod that terminates in one slice terminates', () => {
    const going = aSlice({ endpoints: endpoints({ conditions: TERMINATING }) });
    expect(told(aSource(going, aSlice(V6)))).toEqual([]);
    expect(told(aSource(aSlice(V6), going))).toEqual([]);
  });

  test('its successor of the same name has come', () => {
    const successor = { uid: 'uid-a2', addresses: ['192.0.2.3'], conditions: NOT_READY };
    const source = aSource(aSlice({ endpoints: endpoints({ conditions: TERMINATING }, successor) }));
    expect(told(source)).toEqual(['k8s:shop:orders:a 192.0.2.3 8080 not-ready -']);
  });
});

test('of two addresses in one family, always the same is taken', () => {
  const [one, other] = [aSlice(), aSlice({ endpoints: endpoints({ addresses: ['192.0.2.7'] }) })];
  expect(told(aSource(one, other))).toEqual([A]);
  expect(told(aSource(other, one))).toEqual([A]);
});

describe('the port', () => {
  const TWO = [
    { name: 'http', port: 8080 },
    { name: 'admin', port: 9090 },
  ];
  const ADMIN = [A.replace('8080', '9090')];
  const service = (ports: unknown, ...slices: readonly KubeObject[]) => ({
    service: aKubeService(ports),
    slices,
  });

  test.each<
    [what: string, port: string | undefined, source: KubernetesSource, wanted: readonly string[] | string]
  >([
    ['by its name', 'admin', service(TWO, aSlice({ ports: TWO })), ADMIN],
    ['by its name where it is the only one', 'http', aSource(aSlice()), [A]],
    [
      'by its name where slices have other numbers',
      'http',
      aSource(aSlice(), aSlice({ ports: [{ name: 'http', port: 81 }], endpoints: endpoints(POD_B) })),
      [A, B.replace('8080', '81')],
    ],
    ['the only one, with a name', undefined, aSource(aSlice()), [A]],
    [
      'the only one, without a name',
      undefined,
      service([{ port: 80 }], aSlice({ ports: [{ name: '', port: 8080 }] })),
      [A],
    ],
    [
      'the only one, without a name in the slice as well',
      undefined,
      service([{ port: 80 }], aSlice({ ports: [{ port: 8080 }] })),
      [A],
    ],
    [
      'of a headless Service without any',
      undefined,
      service(null, aSlice({ ports: [] })),
      [A.replace('8080', '0')],
    ],
    [
      'that is not said though there are two',
      undefined,
      service(TWO, aSlice({ ports: TWO })),
      'refuse InvalidSpec: spec.kubernetes.port: Service orders has the ports http, admin: name one of them',
    ],
    [
      'that the Service does not have',
      'grpc',
      aSource(aSlice()),
      'wait SourceNotFound: Service orders has no port named grpc',
    ],
    [
      'that the Service does not have, nor any endpoints',
      'grpc',
      aSource(),
      'wait SourceNotFound: Service orders has no port named grpc',
    ],
    [
      'that no slice has yet',
      'admin',
      service(TWO, aSlice()),
      'wait SourceNotFound: no endpoint of Service orders has the port admin',
    ],
    [
      'that no slice has, and that has no name',
      undefined,
      service([{ port: 80 }], aSlice()),
      'wait SourceNotFound: no endpoint of Service orders has its port',
    ],
    [
      'that no slice needs to have: there are no endpoints',
      'admin',
      service(TWO, aSlice({ endpoints: [] })),
      [],
    ],
    [
      'that no slice has but those of endpoints that terminate',
      'admin',
      service(TWO, aSlice({ endpoints: endpoints({ conditions: TERMINATING }) })),
      [],
    ],
    [
      'that some Pods do not have: those cannot be called',
      'admin',
      service(TWO, aSlice({ ports: TWO }), aSlice({ endpoints: endpoints(POD_B) })),
      ADMIN,
    ],
    [
      'that has no number',
      'http',
      aSource(aSlice({ ports: [{ name: 'http' }] })),
      'wait SourceNotFound: no endpoint of Service orders has the port http',
    ],
  ])('%s', (_, port, source, wanted) => expect(told(source, port)).toEqual(wanted));
});

test('an id that would be too long ends in a hash of all of it', () => {
  const idOf = (pod: string) => {
    const found = told(aSource(aSlice({ endpoints: endpoints({ pod }) })));
    return String(found).split(' ')[0];
  };
  const fits = 'p'.repeat(128 - 'k8s:shop:orders:'.length);
  expect(idOf(fits)).toBe(`k8s:shop:orders:${fits}`);
  const whole = `k8s:shop:orders:${fits}q`;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 32);
  expect(idOf(`${fits}q`)).toBe(`${whole.slice(0, 95)}-${hash}`);
  expect(idOf(`${fits}q`)).toHaveLength(128);
});

test('two resources never have an endpoint of the same id', () => {
  const idOf = (owner: typeof OWNER, pod: string) => {
    const found = endpointsOf(
      { service: 'orders' },
      aSource(aSlice({ endpoints: endpoints({ pod }) })),
      owner,
    );
    return found.kind === 'endpoints' ? found.endpoints[0]?.id : undefined;
  };
  expect(idOf({ namespace: 'shop', name: 'a.b' }, 'c')).not.toBe(
    idOf({ namespace: 'shop', name: 'a' }, 'b.c'),
  );
  expect(
    isEndpointId({ namespace: 'shop', name: 'a' }, idOf({ namespace: 'shop', name: 'a' }, 'b.c') ?? ''),
  ).toBe(true);
  expect(
    isEndpointId({ namespace: 'shop', name: 'a' }, idOf({ namespace: 'shop', name: 'a.b' }, 'c') ?? ''),
  ).toBe(false);
});

test('no fixed instance may have the id of an endpoint', () => {
  const [id = ''] = String(told(aSource(aSlice()))).split(' ');
  expect(() => aResource({ instances: [aVm({ id })] })).toThrow('which is for the endpoints of kubernetes');
});

test('where the port is not known, who is there still is', () => {
  const slice = aSlice({
    endpoints: endpoints({ conditions: NOT_READY }, POD_B, {
      pod: 'c',
      uid: 'uid-c',
      addresses: ['192.0.2.3'],
      conditions: TERMINATING,
    }),
  });
  const present = new Map([
    ['k8s:shop:orders:a', false],
    ['k8s:shop:orders:b', true],
  ]);
  for (const service of [aKubeService(), aKubeService([{ name: 'grpc' }])]) {
    expect(
      endpointsOf({ service: 'orders', port: 'grpc' }, { service, slices: [slice] }, OWNER),
    ).toMatchObject({ kind: 'wait', present });
  }
  const two = aKubeService([{ name: 'a' }, { name: 'b' }]);
  expect(endpointsOf({ service: 'orders' }, { service: two, slices: [slice] }, OWNER)).toMatchObject({
    kind: 'refuse',
    present,
  });
});

test('an endpoint stays in the region that was last known, until another one is', () => {
  const regionIn = (source: Partial<KubernetesSource>) => {
    const found = endpointsOf({ service: 'orders' }, { ...aSource(aSlice()), ...source }, OWNER);
    return found.kind === 'endpoints' ? found.endpoints[0]?.region : undefined;
  };
  const regionLastKnown = (id: string) => (id === 'k8s:shop:orders:a' ? 'eu-1' : undefined);
  expect(regionIn({ regionLastKnown })).toBe('eu-1');
  expect(regionIn({ regionLastKnown, regionOf: () => 'eu-2' })).toBe('eu-2');
  expect(regionIn({})).toBeUndefined();
});
