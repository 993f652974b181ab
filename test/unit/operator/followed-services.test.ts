import { beforeEach, describe, expect, test } from 'vitest';
import { type KubeObject, Store } from '../../../src/kube/index.ts';
import {
  BY_NODE,
  BY_SERVICE,
  followedBy,
  nodesOfSlice,
  SERVICE_LABEL,
  serviceId,
  serviceOfSlice,
  trimService,
  trimSlice,
  wakeFollowers,
  wakeThoseOf,
} from '../../../src/operator/followed-services.ts';

let versions: number;
let woken: string[];
let resources: Store;

beforeEach(() => {
  versions = 0;
  woken = [];
  resources = new Store({ indexes: { [BY_SERVICE]: followedBy } });
});

function object(name: string, content: object, metadata: object = {}, namespace = 'shop'): KubeObject {
  const resourceVersion = String(++versions);
  return { metadata: { name, namespace, uid: `uid-${name}`, resourceVersion, ...metadata }, ...content };
}

/** A ConsulService that follows this Service. */
function follow(name: string, service: string, namespace?: string): void {
  const spec = { kubernetes: { service } };
  const metadata = { generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' };
  resources.upsert(object(name, { apiVersion: 'v1', kind: 'ConsulService', spec }, metadata, namespace));
}

const look = (refs: readonly { readonly name: string }[]) => woken.push(...refs.map(({ name }) => name));

/** Who was looked at since this was asked last. */
const lookedAt = () => woken.splice(0).sort();

const addresses = (...all: string[]) => ({
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: all.map(address => ({ addresses: [address], conditions: { ready: true, serving: true } })),
});

test('a Node wakes those that have an endpoint on it, and nobody else', () => {
  const slices = new Store({
    transform: trimSlice,
    indexes: { [BY_NODE]: nodesOfSlice },
    handlers: { onUpsert() {}, onDelete() {}, onError() {} },
  });
  const on = (service: string, ...nodes: string[]) =>
    object(
      `s-${service}`,
      { addressType: 'IPv4', endpoints: nodes.map(nodeName => ({ addresses: ['192.0.2.1'], nodeName })) },
      { labels: { [SERVICE_LABEL]: service } },
    );
  follow('orders', 'web');
  follow('stock', 'stock');
  slices.upsert(on('web', 'n-1', 'n-2', 'n-1'));
  slices.upsert(on('stock', 'n-2'));
  const wakenBy = (node: string) => {
    wakeThoseOf({ resources, look }, slices.byIndex(BY_NODE, node));
    return lookedAt();
  };
  expect([wakenBy('n-1'), wakenBy('n-2'), wakenBy('n-3')]).toEqual([['orders'], ['orders', 'stock'], []]);
});

describe('EndpointSlices', () => {
  let slices: Store;
  const slice = (service: string, content: object, annotations = {}) =>
    object('s', content, { labels: { [SERVICE_LABEL]: service, app: 'x' }, annotations });

  beforeEach(() => {
    const handlers = { ...wakeFollowers({ resources, look }, serviceOfSlice), onError: () => {} };
    slices = new Store({ transform: trimSlice, indexes: { [BY_SERVICE]: serviceOfSlice }, handlers });
    follow('orders', 'web');
    follow('orders-too', 'web');
    follow('elsewhere', 'web', 'other');
    follow('stock', 'stock');
  });

  test('wake who follows their Service, and nobody else', () => {
    slices.upsert(slice('web', addresses('10.0.0.1')));
    expect(lookedAt()).toEqual(['orders', 'orders-too']);
    slices.upsert(slice('web', addresses('10.0.0.1', '10.0.0.2')));
    expect(lookedAt()).toEqual(['orders', 'orders-too']);
    expect(slices.byIndex(BY_SERVICE, 'shop/web')).toHaveLength(1);
  });

  test('wake nobody when only what nobody reads has changed', () => {
    slices.upsert(slice('web', addresses('10.0.0.1')));
    lookedAt();
    const at = { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' };
    slices.upsert(slice('web', addresses('10.0.0.1'), at));
    expect(lookedAt()).toEqual([]);
  });

  test('that change hands wake both', () => {
    slices.upsert(slice('web', addresses('10.0.0.1')));
    lookedAt();
    slices.upsert(slice('stock', addresses('10.0.0.1')));
    expect(lookedAt()).toEqual(['orders', 'orders-too', 'stock']);
  });

  test('that go wake who followed', () => {
    const one = slice('stock', addresses());
    slices.upsert(one);
    lookedAt();
    slices.delete(one);
    expect(lookedAt()).toEqual(['stock']);
  });
});

test('a Service that comes, changes its ports and goes wakes who follows it', () => {
  const servicesOf = ({ metadata }: KubeObject) => [serviceId(metadata)];
  const handlers = { ...wakeFollowers({ resources, look }, servicesOf), onError: () => {} };
  const services = new Store({ transform: trimService, handlers });
  follow('orders', 'web');
  const service = (...names: string[]) =>
    object('web', { spec: { clusterIP: '10.0.0.9', ports: names.map(name => ({ name, port: 80 })) } });
  services.upsert(service('http'));
  expect(lookedAt()).toEqual(['orders']);
  services.upsert(service('http'));
  expect(lookedAt()).toEqual([]);
  services.upsert(service('http', 'metrics'));
  expect(lookedAt()).toEqual(['orders']);
  services.delete(service());
  expect(lookedAt()).toEqual(['orders']);
});

describe('a ConsulService', () => {
  test('follows none without spec.kubernetes, or while it cannot be read', () => {
    const of = (spec: object) =>
      followedBy(object('one', { spec }, { generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' }));
    expect(of({ kubernetes: { service: 'web' } })).toEqual(['shop/web']);
    expect(of({ instances: [{ id: 'a', address: '192.0.2.1' }] })).toEqual([]);
    expect(of({ kubernetes: { service: 5 } })).toEqual([]);
  });
});

describe('what is kept', () => {
  test('of a slice is what endpoints are made of', () => {
    const endpoint = {
      addresses: ['10.0.0.1'],
      conditions: { ready: false, serving: true, terminating: true },
      targetRef: { kind: 'Pod', name: 'web-1', namespace: 'shop', uid: 'u1' },
      nodeName: 'n1',
      zone: 'z1',
      hints: { forZones: [{ name: 'z1' }] },
    };
    const ports = [{ name: 'http', port: 8080, protocol: 'TCP' }];
    const labels = { [SERVICE_LABEL]: 'web', app: 'x' };
    const whole = object(
      's',
      { addressType: 'IPv4', ports, endpoints: [endpoint] },
      { labels, annotations: {} },
    );
    expect(trimSlice(whole)).toEqual({
      metadata: {
        name: 's',
        namespace: 'shop',
        uid: 'uid-s',
        resourceVersion: '1',
        labels: { [SERVICE_LABEL]: 'web' },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [
        {
          addresses: ['10.0.0.1'],
          conditions: { ready: false, terminating: true },
          targetRef: { name: 'web-1', uid: 'u1' },
          zone: 'z1',
          nodeName: 'n1',
        },
      ],
    });
  });

  test.each([[{}], [{ spec: { ports: null } }], [{ endpoints: [null, 'x'], ports: 'x' }]])(
    'of %j is no defect',
    content => {
      expect(() => [trimSlice(object('s', content)), trimService(object('s', content))]).not.toThrow();
    },
  );
});
