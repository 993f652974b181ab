import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseCheckId, parseServiceId, servicePlace } from '../../../../src/consul/service-ids.ts';
import { parseInstanceName } from '../../../../src/core/instance-names.ts';
import { Fingerprinter } from '../../../../src/ownership/fingerprint.ts';
import { desireService } from '../../../../src/reconcilers/service/desire.ts';
import type { ServiceWish } from '../../../../src/reconcilers/service/types.ts';
import { anEndpoint, aSlice, aSource, NOT_READY, READY } from './kube-builders.ts';
import { aResource, aVm } from './spec-builders.ts';

type Fields = Readonly<Record<string, unknown>>;

const fixed = fc.uniqueArray(
  fc.record({
    id: fc.constantFrom('vm-1', 'vm-2', 'vm-3', 'vm:4'),
    fields: fc.record(
      {
        address: fc.constantFrom('192.0.2.10', '2001:db8::a', 'db.example.com'),
        node: fc.constantFrom('node-1', 'node-2'),
        tags: fc.subarray(['a', 'b', 'c']),
        meta: fc.constantFrom({ rack: 'r1' }, { zone: 'z' }),
      },
      { requiredKeys: ['address'] },
    ),
  }),
  { selector: ({ id }) => id },
);
const pods = fc.uniqueArray(
  fc.record({
    pod: fc.constantFrom('a', 'b', 'c', `long-${'x'.repeat(200)}`, `long-${'x'.repeat(199)}y`),
    conditions: fc.constantFrom(READY, NOT_READY),
  }),
  { selector: ({ pod }) => pod },
);
const settings = fc.record(
  {
    tags: fc.subarray(['c', 'd']),
    checks: fc.subarray([
      { name: 'health', http: {} },
      { name: 'port', tcp: { port: 1 } },
      { name: 'rpc', grpc: {} },
    ]),
    connect: fc.constantFrom({ native: true }, { sidecar: { port: 1 } }),
  },
  { requiredKeys: [] },
);

interface World {
  readonly spec: Fields;
  readonly pods: readonly { readonly pod: string; readonly conditions: Fields }[];
}

const world: fc.Arbitrary<World> = fc.record({ fixed, pods, settings }).map(({ fixed, pods, settings }) => ({
  spec: {
    ...settings,
    instances: fixed.map(({ id, fields }) => aVm({ id, ...fields })),
    kubernetes: { service: 'orders' },
  },
  pods,
}));

function wish({ spec, pods }: World): ServiceWish {
  const endpoints = pods.map(({ pod, conditions }) => anEndpoint({ pod, uid: pod, conditions }));
  const result = desireService({
    resource: aResource(spec),
    installId: 'install-a',
    endpoints: aSource(aSlice({ endpoints })),
    fingerprinter: new Fingerprinter(Buffer.alloc(32, 7)),
  });
  if (result.kind !== 'desired') throw new Error(result.message);
  return result.wish;
}

test('every row has the name that records read back, and ids of its own that Consul takes', () => {
  fc.assert(
    fc.property(world, world => {
      const { instances } = wish(world);
      const rows = [...instances.values()];
      for (const [name, { name: own, node, service, checks }] of instances) {
        expect(own).toBe(name);
        expect(parseInstanceName(name)).toEqual({ kind: 'catalog', node: node.node, id: service.id });
        expect(parseServiceId(service.id)).toBe(service.id);
        for (const { check } of checks) expect(parseCheckId(check.id)).toBe(check.id);
        expect(checks.every(({ check }) => check.serviceId === service.id)).toBe(true);
      }
      expect(new Set(rows.map(({ service }) => service.id)).size).toBe(rows.length);
      const checks = rows.flatMap(({ checks }) => checks.map(({ check }) => check.id));
      expect(new Set(checks).size).toBe(checks.length);
    }),
  );
});

test('there is a row for each instance, and with a sidecar one more, on the same node, that follows it', () => {
  fc.assert(
    fc.property(world, world => {
      const rows = [...wish(world).instances.values()];
      const { instances, connect } = world.spec as { instances: readonly unknown[]; connect?: object };
      const hasSidecar = connect !== undefined && 'sidecar' in connect;
      const declared = instances.length + world.pods.length;
      expect(rows).toHaveLength(hasSidecar ? 2 * declared : declared);
      const places = new Set(rows.map(({ node, service }) => servicePlace(node.node, service.id)));
      const followed = rows.flatMap(({ node, checks }) =>
        checks.flatMap(({ says }) =>
          says.kind === 'follows' ? servicePlace(node.node, says.serviceId) : [],
        ),
      );
      expect(new Set(followed).size).toBe(hasSidecar ? declared : 0);
      expect(followed.every(place => places.has(place))).toBe(true);
    }),
  );
});

test('one node has one address', () => {
  fc.assert(
    fc.property(world, world => {
      const rows = [...wish(world).instances.values()];
      const nodes = new Set(rows.map(({ node }) => node.node));
      expect(new Set(rows.map(({ node }) => `${node.node} ${node.address}`)).size).toBe(nodes.size);
    }),
  );
});

test('a Pod more changes no other row', () => {
  fc.assert(
    fc.property(world, world => {
      const { instances } = wish(world);
      const more = wish({ ...world, pods: [...world.pods, { pod: 'one-more', conditions: READY }] });
      for (const [name, row] of instances) expect(more.instances.get(name)).toEqual(row);
      expect(more.instances.size).toBeGreaterThan(instances.size);
    }),
  );
});
