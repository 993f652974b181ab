import { describe, expect, test } from 'vitest';
import { MADE_BY, VIRTUAL_NODES, virtualNodeOf } from '../../../../src/commit/catalog-nodes.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { declaredInstances } from '../../../../src/reconcilers/service/declared.ts';
import { desireService } from '../../../../src/reconcilers/service/desire.ts';
import type { KubernetesSource } from '../../../../src/reconcilers/service/endpoints.ts';
import { declaresSameTags } from '../../../../src/reconcilers/service/fingerprints.ts';
import { ownerMark } from '../../../../src/reconcilers/service/marks.ts';
import type { WishedInstance } from '../../../../src/reconcilers/service/types.ts';
import { aKubeService, anEndpoint, aSlice, aSource, NOT_READY } from './kube-builders.ts';
import { aResource, aVm } from './spec-builders.ts';

const INSTALL = 'install-a';
const fingerprinter = new Fingerprinter(Buffer.alloc(32, 7));

type Spec = Readonly<Record<string, unknown>>;

const desire = (spec: Spec, endpoints?: KubernetesSource) =>
  desireService({ resource: aResource(spec), installId: INSTALL, endpoints, fingerprinter });

function wished(spec: Spec, endpoints?: KubernetesSource): readonly WishedInstance[] {
  const result = desire(spec, endpoints);
  if (result.kind !== 'desired') throw new Error(result.message);
  return [...result.wish.instances.values()];
}

function only(spec: Spec, endpoints?: KubernetesSource): WishedInstance {
  const [one, ...others] = wished(spec, endpoints);
  if (one === undefined || others.length > 0) throw new Error('not one instance');
  return one;
}

const vm = (fields: Spec = {}, spec: Spec = {}) => only({ ...spec, instances: [aVm(fields)] });
const SELECTED = { kubernetes: { service: 'orders' } };

describe('an instance', () => {
  test('with nothing but its address', () => {
    expect(only({ instances: [{ id: 'vm-1', address: 'db.example.com' }] })).toEqual({
      name: `/service/${virtualNodeOf(INSTALL, 'vm-1')}/vm-1`,
      node: {
        node: virtualNodeOf(INSTALL, 'vm-1'),
        address: '127.0.0.1',
        meta: new Map([[MADE_BY, INSTALL]]),
      },
      service: {
        id: 'vm-1',
        name: 'orders',
        address: 'db.example.com',
        port: 0,
        tags: [],
        meta: new Map([
          ['external-source', 'kubernetes'],
          ['proconsul-owner', 'install-a/shop/orders'],
        ]),
        weights: { passing: 1, warning: 1 },
        enableTagOverride: false,
        connect: undefined,
      },
      checks: [],
      fingerprint: expect.any(String),
    });
  });

  test('of Kubernetes', () => {
    const spec = { ...SELECTED, tags: ['v2'], checks: [{ name: 'health', tcp: {} }] };
    const one = only(spec, aSource(aSlice({ endpoints: [anEndpoint({ conditions: NOT_READY })] })));
    expect(one).toMatchObject({
      name: `/service/${virtualNodeOf(INSTALL, 'k8s:shop:orders:a')}/k8s:shop:orders:a`,
      service: { id: 'k8s:shop:orders:a', name: 'orders', address: '192.0.2.1', port: 8080, tags: ['v2'] },
      checks: [
        {
          check: { id: 'service:k8s:shop:orders:a:proconsul-readiness' },
          says: { kind: 'known', result: { status: 'critical' } },
        },
        {
          check: { id: 'service:k8s:shop:orders:a:health' },
          says: { kind: 'probe', spec: { target: { host: '192.0.2.1', port: 8080 } } },
        },
      ],
    });
  });

  test('under the name, with the weights and the tag override of its service', () => {
    const spec = { name: 'pay', weights: { passing: 10, warning: 0 }, enableTagOverride: true };
    const { service, checks } = vm({}, { ...spec, checks: [{ name: 'health', tcp: {} }] });
    expect(service).toMatchObject(spec);
    expect(checks).toMatchObject([{ check: { serviceName: 'pay' } }]);
  });

  test.each<[what: string, spec: Spec, own: Spec, wanted: readonly string[]]>([
    ['of the service, then its own', { tags: ['b', 'a'] }, { tags: ['d', 'c'] }, ['b', 'a', 'd', 'c']],
    ['each once', { tags: ['a', 'b'] }, { tags: ['c', 'a'] }, ['a', 'b', 'c']],
    ['of its own alone', {}, { tags: ['c'] }, ['c']],
    ['of the service alone', { tags: ['a'] }, {}, ['a']],
  ])('has tags %s', (_, spec, own, wanted) => expect(vm(own, spec).service.tags).toEqual(wanted));

  test.each<[what: string, spec: Spec, own: Spec, wanted: Readonly<Record<string, string>>]>([
    ['of the service', { meta: { a: '1' } }, {}, { a: '1' }],
    [
      'of its own over it',
      { meta: { a: '1', b: '1' } },
      { meta: { b: '2', c: '2' } },
      { a: '1', b: '2', c: '2' },
    ],
    ['with a zone of its own', {}, { meta: { 'topology-zone': 'z' } }, { 'topology-zone': 'z' }],
  ])('has meta %s', (_, spec, own, wanted) => {
    const {
      'external-source': _source,
      'proconsul-owner': _owner,
      ...meta
    } = Object.fromEntries(vm(own, spec).service.meta);
    expect(meta).toEqual(wanted);
  });

  test.each([
    ['the zone of Kubernetes', 'eu-1a', 'eu-1a'],
    ['its own zone where Kubernetes knows none', undefined, 'declared'],
  ])('of Kubernetes has %s', (_, zone, wanted) => {
    const spec = { ...SELECTED, meta: { 'topology-zone': 'declared', a: '1' } };
    const { service } = only(spec, aSource(aSlice({ endpoints: [anEndpoint({ zone })] })));
    expect(service.meta.get('topology-zone')).toBe(wanted);
    expect(service.meta.get('a')).toBe('1');
  });

  test.each([
    ['of its Node', 'worker-1', 'eu-1'],
    ['of none where its Node is not known', 'worker-2', undefined],
    ['of none where it names no Node', undefined, undefined],
  ])('has the region %s', (_, nodeName, wanted) => {
    const source = aSource(aSlice({ endpoints: [{ ...anEndpoint(), nodeName }] }));
    const regionOf = (node: string) => new Map([['worker-1', 'eu-1']]).get(node);
    expect(only(SELECTED, { ...source, regionOf }).service.meta.get('topology-region')).toBe(wanted);
  });

  test('has no more meta than Consul takes', () => {
    const names = Object.fromEntries(Array.from({ length: 60 }, (_, number) => [`m${number}`, '']));
    const source = aSource(aSlice({ endpoints: [anEndpoint({ zone: 'z' })] }));
    const meta = only({ ...SELECTED, meta: names }, { ...source, regionOf: () => 'r' }).service.meta;
    expect(meta.size).toBe(64);
  });
});

test('the mark of its owner is that of no other resource', () => {
  expect(vm().service.meta.get('proconsul-owner')).toBe(
    ownerMark(INSTALL, { namespace: 'shop', name: 'orders' }),
  );
});

describe('nodes', () => {
  const nodesOf = (...instances: readonly Spec[]) =>
    wished({ instances: instances.map((fields, number) => aVm({ id: `vm-${number}`, ...fields })) }).map(
      ({ node }) => `${node.node} ${node.address}`,
    );

  test('are those of the operator for instances that name none, and not all of them one', () => {
    const ids = Array.from({ length: 20 }, (_, number) => `vm-${number}`);
    const nodes = wished({ instances: ids.map(id => aVm({ id })) }).map(({ node }) => node.node);
    expect(nodes).toEqual(ids.map(id => virtualNodeOf(INSTALL, id)));
    expect(new Set(nodes).size).toBe(VIRTUAL_NODES);
  });

  test.each<[what: string, instances: readonly Spec[], wanted: readonly string[]]>([
    ['at the address of the instance', [{ node: 'n' }], ['n 192.0.2.10']],
    ['at an address of their own', [{ node: 'n', nodeAddress: '192.0.2.99' }], ['n 192.0.2.99']],
    [
      'at one address, whichever instance says so',
      [{ node: 'n' }, { node: 'n', nodeAddress: '192.0.2.99' }, { node: 'm' }],
      ['n 192.0.2.99', 'n 192.0.2.99', 'm 192.0.2.10'],
    ],
    [
      'at the address of the first of several instances',
      [
        { node: 'n', address: '192.0.2.1' },
        { node: 'n', address: '192.0.2.2' },
      ],
      ['n 192.0.2.1', 'n 192.0.2.1'],
    ],
  ])('are made %s', (_, instances, wanted) => expect(nodesOf(...instances)).toEqual(wanted));

  test('carry the mark of the install that made them', () => {
    expect(vm({ node: 'n' }).node.meta).toEqual(new Map([['proconsul-install', INSTALL]]));
  });
});

describe('the mesh', () => {
  test.each([
    ['native', { native: true }, { kind: 'native' }],
    ['not native, said', { native: false }, undefined],
  ])('%s', (_, connect, wanted) => expect(vm({}, { connect }).service.connect).toEqual(wanted));

  test('a sidecar is a service beside its instance, and as healthy', () => {
    const spec = {
      instances: [aVm({ node: 'n', tags: ['own'], meta: { a: '1' } })],
      tags: ['v2'],
      weights: { passing: 7 },
      checks: [{ name: 'health', tcp: {} }],
      connect: {
        sidecar: {
          port: 20_000,
          upstreams: [
            { destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' },
            { destinationName: 'stock', localBindPort: 9092 },
          ],
        },
      },
    };
    const [instance, sidecar, ...others] = wished(spec);
    expect(others).toEqual([]);
    expect(instance?.service.connect).toBeUndefined();
    expect(sidecar).toEqual({
      name: '/service/n/vm-1-sidecar-proxy',
      node: instance?.node,
      service: {
        id: 'vm-1-sidecar-proxy',
        name: 'orders-sidecar-proxy',
        address: '192.0.2.10',
        port: 20_000,
        tags: ['v2', 'own'],
        meta: instance?.service.meta,
        weights: { passing: 7, warning: 1 },
        enableTagOverride: false,
        connect: {
          kind: 'proxy',
          destinationName: 'orders',
          destinationId: 'vm-1',
          localAddress: '127.0.0.1',
          localPort: 5432,
          upstreams: [
            { destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' },
            { destinationName: 'stock', localBindPort: 9092, datacenter: '' },
          ],
        },
      },
      checks: [
        {
          check: expect.objectContaining({
            id: 'service:vm-1-sidecar-proxy:proconsul-instance',
            serviceId: 'vm-1-sidecar-proxy',
            serviceName: 'orders-sidecar-proxy',
          }),
          says: { kind: 'follows', serviceId: 'vm-1' },
        },
      ],
      fingerprint: expect.any(String),
    });
  });

  test('a sidecar stands on the node of its instance, where that is one of the operator', () => {
    const instances = Array.from({ length: 20 }, (_, number) => aVm({ id: `vm-${number}` }));
    const rows = wished({ instances, connect: { sidecar: { port: 1 } } });
    const nodeOf = new Map<string, object>(rows.map(({ service, node }) => [service.id, node]));
    for (const { id } of instances) expect(nodeOf.get(`${id}-sidecar-proxy`)).toEqual(nodeOf.get(id));
    expect(nodeOf.size).toBe(40);
  });
});

/** What is in the way of a wish. */
const told = (spec: Spec, source?: KubernetesSource): string => {
  const result = desire(spec, source);
  return result.kind === 'desired' ? 'desired' : `${result.kind} ${result.reason}: ${result.message}`;
};

describe('sources', () => {
  test('add up', () => {
    const spec = { ...SELECTED, instances: [aVm()] };
    expect(wished(spec, aSource(aSlice())).map(({ service }) => service.id)).toEqual([
      'vm-1',
      'k8s:shop:orders:a',
    ]);
  });

  test('a Service that is not there leaves the fixed instances, and is missed', () => {
    const spec = { ...SELECTED, instances: [aVm()] };
    const result = desire(spec, { service: undefined, slices: [] });
    expect(result).toMatchObject({
      kind: 'desired',
      wish: { missing: { reason: 'SourceNotFound', message: 'Service orders does not exist' } },
    });
    expect(wished(spec, { service: undefined, slices: [] }).map(({ service }) => service.id)).toEqual([
      'vm-1',
    ]);
  });

  test('nothing is missed where nothing is', () => {
    expect(desire(SELECTED, aSource())).toMatchObject({ wish: { missing: undefined } });
    expect(desire({ instances: [aVm()] })).toMatchObject({ wish: { missing: undefined } });
  });

  test('that were not read are not taken for none', () => {
    expect(() => desire(SELECTED)).toThrow(TypeError);
  });

  test.each<[what: string, spec: Spec, source: KubernetesSource, wanted: string]>([
    [
      'an unknown port, for whose sake nothing changes',
      { kubernetes: { service: 'orders', port: 'grpc' }, instances: [aVm()] },
      aSource(aSlice()),
      'wait SourceNotFound: Service orders has no port named grpc',
    ],
    [
      'a Pod called like the sidecar of another',
      { ...SELECTED, connect: { sidecar: { port: 1 } } },
      aSource(aSlice({ endpoints: [anEndpoint(), anEndpoint({ pod: 'a-sidecar-proxy', uid: '2' })] })),
      'refuse InvalidSpec: spec.connect.sidecar: an instance has the id k8s:shop:orders:a-sidecar-proxy, which the sidecar of k8s:shop:orders:a needs',
    ],
    [
      'a Pod called like a sidecar that there is not',
      SELECTED,
      aSource(aSlice({ endpoints: [anEndpoint(), anEndpoint({ pod: 'a-sidecar-proxy', uid: '2' })] })),
      'desired',
    ],
  ])('%s', (_, spec, source, wanted) => expect(told(spec, source)).toBe(wanted));

  const portless = { service: aKubeService([]), slices: [aSlice({ ports: [] })] };
  const CHECK = 'a check without a port needs a port of every instance';
  const CONNECT = 'connect needs a port of every instance';

  test.each<[what: string, spec: Spec, wanted: string]>([
    ['nothing that needs one', {}, 'desired'],
    ['a check with a port', { checks: [{ name: 'c', tcp: { port: 1 } }] }, 'desired'],
    ['a check without', { checks: [{ name: 'c', http: {} }] }, CHECK],
    ['native', { connect: { native: true } }, CONNECT],
    ['native: false', { connect: { native: false } }, 'desired'],
    ['a sidecar', { connect: { sidecar: { port: 1 } } }, CONNECT],
  ])('a Service without ports, and %s', (_, spec, wanted) => {
    const refused = 'refuse InvalidSpec: spec.kubernetes.service: Service orders has no port, and';
    expect(told({ ...SELECTED, ...spec }, portless)).toBe(
      wanted === 'desired' ? wanted : `${refused} ${wanted}`,
    );
  });
});

describe('the fingerprint', () => {
  const print = (fields: Spec = {}, spec: Spec = {}) => vm(fields, spec).fingerprint;
  const CHECKED = { checks: [{ name: 'health', http: {} }] };
  const checked = (fields: Spec) => print({}, { checks: [{ name: 'health', http: {}, ...fields }] });

  test.each<[what: string, fingerprint: string]>([
    ['an address', print({ address: '192.0.2.11' })],
    ['a port', print({ port: 1 })],
    ['meta', print({ meta: { a: '1' } })],
    ['weights', print({}, { weights: { passing: 2 } })],
    ['a tag override', print({}, { enableTagOverride: true })],
    ['native', print({}, { connect: { native: true } })],
    ['a check', print({}, CHECKED)],
  ])('moves with %s, and the tags are the same', (_, fingerprint) => {
    expect(fingerprint).not.toBe(print());
    expect(declaresSameTags(fingerprint, print())).toBe(true);
  });

  test.each<[what: string, fingerprint: string]>([
    ['what a check asks', checked({ http: { path: '/x' } })],
    ['how often it asks', checked({ interval: '11s' })],
    ['when it is taken out', checked({ deregisterCriticalServiceAfter: '1m' })],
    ['its name', checked({ name: 'other' })],
  ])('moves with %s', (_, fingerprint) => expect(fingerprint).not.toBe(checked({})));

  test('moves with tags, and says that it was they', () => {
    const tagged = print({}, { tags: ['a'] });
    expect(declaresSameTags(tagged, print())).toBe(false);
    expect(tagged.split('.')[0]).toBe(print().split('.')[0]);
    expect(declaresSameTags(tagged, print({ tags: ['a'] }))).toBe(true);
    expect(declaresSameTags(print({ tags: ['a', 'b'] }), print({ tags: ['b', 'a'] }))).toBe(false);
  });

  test.each<[what: string, fingerprint: string]>([
    [
      'what a check sends, which Consul does not show',
      checked({ http: { headers: { A: ['1'] }, body: 'x' } }),
    ],
    ['its thresholds', checked({ failuresBeforeCritical: 3 })],
  ])('does not move with %s', (_, fingerprint) => expect(fingerprint).toBe(checked({})));

  test('does not move with readiness', () => {
    const of = (conditions: Spec) =>
      only(SELECTED, aSource(aSlice({ endpoints: [anEndpoint({ conditions })] }))).fingerprint;
    expect(of({ ready: true })).toBe(of({ ready: false }));
  });

  test('of a sidecar moves with its upstreams', () => {
    const of = (upstreams: readonly object[]) =>
      wished({ instances: [aVm()], connect: { sidecar: { port: 1, upstreams } } }).map(
        ({ fingerprint }) => fingerprint,
      );
    const [plain, sidecar] = of([]);
    const [same, moved] = of([{ destinationName: 'stock', localBindPort: 1 }]);
    expect(same).toBe(plain);
    expect(moved).not.toBe(sidecar);
  });
});

test('an instance of an agent is declared alike, checks that only agents run included', () => {
  const spec = {
    registration: 'Agent',
    instances: [aVm()],
    checks: [{ name: 'beat', ttl: { ttl: '10s' } }],
    connect: { sidecar: {} },
  };
  expect(declaredInstances(aResource(spec), undefined)).toEqual({
    kind: 'declared',
    instances: [
      {
        id: 'vm-1',
        address: '192.0.2.10',
        port: 5432,
        tags: [],
        meta: new Map(),
        node: undefined,
        nodeAddress: undefined,
        isReady: undefined,
      },
    ],
    missing: undefined,
  });
});

test('a resource takes 5,000 endpoints, and not one more', () => {
  const source = (count: number) =>
    aSource(
      aSlice({
        endpoints: Array.from({ length: count }, (_, at) =>
          anEndpoint({ pod: `p-${at}`, uid: `${at}`, addresses: [`10.0.${at >> 8}.${at % 256}`] }),
        ),
      }),
    );
  const of = (count: number) => declaredInstances(aResource(SELECTED), source(count));
  expect(of(5_000)).toMatchObject({ kind: 'declared', instances: { length: 5_000 } });
  const refused = of(5_001);
  expect(refused).toMatchObject({ kind: 'refuse', reason: 'TooLarge', present: { size: 5_001 } });
  expect('message' in refused && refused.message).toBe(
    'spec.kubernetes.service: Service orders has more than 5000 endpoints, the most that a resource takes',
  );
});
