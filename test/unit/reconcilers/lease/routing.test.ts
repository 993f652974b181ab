import { describe, expect, test } from 'vitest';
import type { KubeObject, OwnerReference } from '../../../../src/kube/types.ts';
import type { Pod } from '../../../../src/reconcilers/lease/pods.ts';
import {
  ENDPOINT_SLICES,
  isOwnedBy,
  type ObservedRouting,
  planRouting,
  planUnrouting,
  type RouteStep,
  type RoutingPlan,
  type RoutingWish,
  SERVICES,
} from '../../../../src/reconcilers/lease/routing.ts';
import { aPod } from './builders.ts';

const owner = { namespace: 'shop', name: 'orders', uid: 'l-1' };
const reference: OwnerReference = {
  apiVersion: 'proconsul.dev/v1alpha1',
  kind: 'ConsulLeaderLease',
  name: 'orders',
  uid: 'l-1',
  controller: true,
};
const service = { name: 'leader', ports: [{ port: 80, targetPort: 8080 }] };
const aWish = (more: Partial<RoutingWish> = {}): RoutingWish => ({
  owner,
  service,
  leaders: [aPod('a')],
  ...more,
});

const NOTHING: ObservedRouting = { services: [], slices: [] };

/** What the server has after these steps. */
function applied(steps: readonly RouteStep[], before: ObservedRouting = NOTHING): ObservedRouting {
  let { services, slices } = before;
  for (const step of steps) {
    const change = (list: readonly KubeObject[]): readonly KubeObject[] => {
      if (step.kind === 'create') return [...list, stored(step.body)];
      if (step.kind === 'delete')
        return list.filter(({ metadata }) => metadata.name !== step.object.metadata.name);
      return list.map(one => (one.metadata.name === step.name ? merged(one, step.patch) : one));
    };
    if (step.type === SERVICES) services = change(services);
    else slices = change(slices);
  }
  return { services, slices };
}

function stored(body: object): KubeObject {
  const object = structuredClone(body) as KubeObject;
  return {
    ...object,
    metadata: { ...object.metadata, uid: `${object.metadata.name}-uid`, resourceVersion: '1' },
  };
}

/** JSON merge patch, RFC 7396. */
function merged<T>(target: T, patch: unknown): T {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch as T;
  const result: Record<string, unknown> = { ...(target as object) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merged(result[name] ?? {}, value);
  }
  return result as T;
}

function stepsOf(plan: RoutingPlan): readonly RouteStep[] {
  if (plan.refusal !== undefined) throw new Error(plan.refusal.message);
  return plan.steps;
}

const planned = (wish: RoutingWish, before: ObservedRouting = NOTHING) => stepsOf(planRouting(wish, before));
const made = (wish: RoutingWish = aWish()) => applied(planned(wish));

function told(steps: readonly RouteStep[]): string[] {
  return steps.map(step => {
    const name =
      step.kind === 'create'
        ? step.body.metadata.name
        : step.kind === 'patch'
          ? step.name
          : step.object.metadata.name;
    return `${step.kind} ${step.type.kind} ${name}`;
  });
}

/** `10.0.0.1:8080/TCP` of all endpoints of all slices. */
function reached({ slices }: ObservedRouting): string[] {
  return slices.flatMap(slice => {
    const { endpoints, ports } = slice as unknown as {
      readonly endpoints: readonly { readonly addresses: readonly string[] }[];
      readonly ports: readonly { readonly port: number; readonly protocol: string }[];
    };
    return endpoints.flatMap(({ addresses }) =>
      ports.map(({ port, protocol }) => `${addresses.join()}:${port}/${protocol}`),
    );
  });
}

describe('what is made', () => {
  test('a Service without selector, and a slice that names the leader', () => {
    const { services, slices } = made();
    expect(services).toEqual([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: {
          name: 'leader',
          namespace: 'shop',
          uid: 'leader-uid',
          resourceVersion: '1',
          labels: { 'app.kubernetes.io/managed-by': 'proconsul' },
          ownerReferences: [reference],
        },
        spec: { ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }], ipFamilyPolicy: 'PreferDualStack' },
      },
    ]);
    expect(slices).toEqual([
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: 'leader-ipv4',
          namespace: 'shop',
          uid: 'leader-ipv4-uid',
          resourceVersion: '1',
          labels: {
            'kubernetes.io/service-name': 'leader',
            'endpointslice.kubernetes.io/managed-by': 'proconsul.dev',
          },
          ownerReferences: [reference],
        },
        addressType: 'IPv4',
        ports: [{ name: '', port: 8080, protocol: 'TCP' }],
        endpoints: [
          {
            addresses: ['10.0.0.1'],
            conditions: { ready: true, serving: true, terminating: false },
            nodeName: 'node-1',
            targetRef: { kind: 'Pod', namespace: 'shop', name: 'a', uid: 'u-a' },
          },
        ],
      },
    ]);
  });

  const named = { name: 'leader', ports: [{ name: 'web', port: 80, targetPort: 'http' }] };
  const dual = { addresses: ['10.0.0.1', 'fd00::1'] };
  const http = (port: number) => ({ ports: [{ name: 'http', port, protocol: 'TCP' }] });

  test.each<[says: string, leaders: readonly Pod[], wish: Partial<RoutingWish>, reached: readonly string[]]>([
    ['one slice for each address family', [aPod('a', dual)], {}, ['10.0.0.1:8080/TCP', 'fd00::1:8080/TCP']],
    [
      'all leaders',
      [aPod('a'), aPod('b', { addresses: ['10.0.0.2'] })],
      {},
      ['10.0.0.1:8080/TCP', '10.0.0.2:8080/TCP'],
    ],
    ['a named port', [aPod('a', http(8081))], { service: named }, ['10.0.0.1:8081/TCP']],
    [
      'a named port that is another number elsewhere',
      [aPod('a', http(8082)), aPod('b', { ...http(8081), addresses: ['10.0.0.2'] })],
      { service: named },
      ['10.0.0.2:8081/TCP', '10.0.0.1:8082/TCP'],
    ],
    [
      'no target port',
      [aPod('a')],
      { service: { name: 'leader', ports: [{ port: 53, protocol: 'UDP' }] } },
      ['10.0.0.1:53/UDP'],
    ],
    ['nobody', [], {}, []],
  ])('reaches %s', (_, leaders, more, expected) => {
    const wish = aWish({ ...more, leaders });
    const world = made(wish);
    expect(reached(world)).toEqual(expected);
    expect(planned(wish, world)).toEqual([]);
  });

  test.each<[says: string, pod: Partial<Pod>, conditions: object]>([
    ['not Ready', { isReady: false }, { ready: false, serving: false, terminating: false }],
    ['being deleted', { isDeleting: true }, { ready: false, serving: true, terminating: true }],
  ])('a leader that is %s gets no traffic', (_, pod, conditions) => {
    const { slices } = made(aWish({ leaders: [aPod('a', pod)] }));
    expect(slices).toMatchObject([{ endpoints: [{ conditions }] }]);
  });

  test('what keeps a leader from being reached is told', () => {
    const leaders = [aPod('a', { addresses: [] }), aPod('b')];
    const plan = planRouting(aWish({ service: named, leaders }), NOTHING);
    expect(plan).toMatchObject({
      problems: ['Pod a has no address yet', 'Pod a has no port named http', 'Pod b has no port named http'],
    });
    expect(told(stepsOf(plan))).toEqual(['create Service leader']);
  });
});

describe('what changes', () => {
  test('another leader changes the slice alone, on its resourceVersion', () => {
    const steps = planned(aWish({ leaders: [aPod('b')] }), made());
    expect(told(steps)).toEqual(['patch EndpointSlice leader-ipv4']);
    expect(steps).toMatchObject([{ patch: { metadata: { uid: 'leader-ipv4-uid', resourceVersion: '1' } } }]);
  });

  test('without a leader the slice stays, empty', () => {
    const wish = aWish({ leaders: [] });
    const world = applied(planned(wish, made()), made());
    expect(world.slices).toHaveLength(1);
    expect(reached(world)).toEqual([]);
    expect(planned(wish, world)).toEqual([]);
    expect(reached(applied(planned(aWish(), world), world))).toEqual(['10.0.0.1:8080/TCP']);
  });

  test('another name makes another Service, and the old one goes with its slices', () => {
    const wish = aWish({ service: { ...service, name: 'other' } });
    expect(told(planned(wish, made())).sort()).toEqual([
      'create EndpointSlice other-ipv4',
      'create Service other',
      'delete EndpointSlice leader-ipv4',
      'delete Service leader',
    ]);
    const world = applied(planned(wish, made()), made());
    expect(planned(wish, world)).toEqual([]);
  });

  test('no Service any more: all goes', () => {
    const wish = aWish({ service: undefined });
    expect(told(planned(wish, made()))).toEqual([
      'delete Service leader',
      'delete EndpointSlice leader-ipv4',
    ]);
    expect(applied(planned(wish, made()), made())).toEqual(NOTHING);
  });

  test('a node port stays with its port', () => {
    const before = made();
    const ports = [{ port: 80, targetPort: 8080, protocol: 'TCP', nodePort: 30_080 }];
    const services = before.services.map(one => merged(one, { spec: { ports, type: 'NodePort' } }));
    const world = { ...before, services };
    expect(planned(aWish(), world)).toEqual([]);
    const wish = aWish({ service: { name: 'leader', ports: [{ port: 80, targetPort: 9090 }] } });
    expect(planned(wish, world)).toMatchObject([
      { patch: { spec: { ports: [{ port: 80, targetPort: 9090, nodePort: 30_080 }] } } },
      { kind: 'patch' },
    ]);
  });

  test.each<[says: string, where: keyof ObservedRouting, patch: object]>([
    ['the ports of the Service', 'services', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } }],
    ['a selector', 'services', { spec: { selector: { app: 'orders' } } }],
    ['the label of the Service', 'services', { metadata: { labels: null } }],
    ['the endpoints', 'slices', { endpoints: [] }],
    ['the ports of the slice', 'slices', { ports: [{ name: '', port: 1, protocol: 'TCP' }] }],
    [
      'the labels of the slice',
      'slices',
      { metadata: { labels: { 'kubernetes.io/service-name': 'other' } } },
    ],
  ])('an outside edit is put back: %s', (_, where, patch) => {
    const before = made();
    const edited = { ...before, [where]: before[where].map(one => merged(one, patch)) };
    const steps = planned(aWish(), edited);
    expect(steps.map(({ kind }) => kind)).toEqual(['patch']);
    expect(planned(aWish(), applied(steps, edited))).toEqual([]);
  });

  test('what an object of an earlier lease of this name is ours, and then says so; references of others stay', () => {
    const foreign = { ...reference, kind: 'Other', name: 'x', controller: false };
    const ownerReferences = [foreign, { ...reference, uid: 'l-0' }];
    const before = made();
    const services = before.services.map(one => merged(one, { metadata: { ownerReferences } }));
    const steps = planned(aWish(), { ...before, services });
    expect(steps).toMatchObject([{ patch: { metadata: { ownerReferences: [foreign, reference] } } }]);
  });

  test('what is going already is waited for', () => {
    const going = { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } };
    const before = made();
    const world = {
      services: before.services.map(one => merged(one, going)),
      slices: before.slices.map(one => merged(one, going)),
    };
    expect(planned(aWish(), world)).toEqual([]);
    expect(planned(aWish({ service: undefined }), world)).toEqual([]);
  });
});

describe('while the spec cannot be read', () => {
  const namedIn = ({ slices }: ObservedRouting): unknown[] =>
    slices.flatMap(slice =>
      ((slice as unknown as { endpoints: { targetRef: { name: string } }[] }).endpoints ?? []).map(
        ({ targetRef }) => targetRef.name,
      ),
    );

  test('who leads no more is named no more, and nothing else is touched', () => {
    const before = made(aWish({ leaders: [aPod('a'), aPod('b')] }));
    expect(namedIn(before)).toEqual(['a', 'b']);
    expect(planUnrouting(owner, [aPod('a'), aPod('b')], before)).toEqual([]);
    const after = applied(planUnrouting(owner, [aPod('b')], before), before);
    expect(namedIn(after)).toEqual(['b']);
    expect(after.services).toEqual(before.services);
    const replaced = applied(planUnrouting(owner, [aPod('b', { uid: 'new' })], after), after);
    expect(namedIn(replaced)).toEqual([]);
    expect(planUnrouting(owner, [], replaced)).toEqual([]);
    expect(planUnrouting({ ...owner, name: 'other' }, [], before)).toEqual([]);
  });
});

describe('what is not ours', () => {
  const strip = (object: KubeObject): KubeObject => merged(object, { metadata: { ownerReferences: null } });

  test.each(['services', 'slices'] as const)('stops all of it: %s of a wanted name', where => {
    const before = made();
    const plan = planRouting(aWish(), { ...NOTHING, [where]: before[where].map(strip) });
    expect(plan.refusal).toMatchObject({ kind: 'refuse', reason: 'AlreadyExists' });
    expect(plan.refusal?.message).toMatch(/^(Service leader|EndpointSlice leader-ipv4) exists/);
  });

  test('leaves what was made before to be kept right', () => {
    const before = made(aWish({ leaders: [aPod('a'), aPod('b')] }));
    const foreign = stored(
      merged(before.services[0] as object, { metadata: { name: 'other', ownerReferences: null } }),
    );
    const world = { ...before, services: [...before.services, foreign] };
    const wish = aWish({ service: { ...service, name: 'other' }, leaders: [aPod('b')] });
    const { steps, refusal } = planRouting(wish, world);
    expect(refusal?.message).toMatch(/^Service other exists/);
    expect(told(steps.filter(({ kind }) => kind !== 'create'))).toEqual(
      [...before.services, ...before.slices].map(({ metadata: { name } }) => expect.stringContaining(name)),
    );
    expect(steps.some(step => step.kind === 'delete' && step.object === foreign)).toBe(false);
  });

  test('is never changed or removed', () => {
    const before = made();
    const services = [...before.services, ...before.services.map(strip)];
    for (const foreign of [
      { services: services.map(strip), slices: [] },
      { services: [], slices: before.slices.map(strip) },
    ]) {
      expect(planned(aWish({ service: undefined }), foreign)).toEqual([]);
      expect(
        planned(aWish({ service: { ...service, name: 'other' }, leaders: [] }), foreign).map(
          ({ kind }) => kind,
        ),
      ).toEqual(['create']);
    }
  });

  test.each<[says: string, reference: Partial<OwnerReference>]>([
    ['another lease', { name: 'other' }],
    ['another kind', { kind: 'ConsulKV' }],
    ['another group', { apiVersion: 'example.com/v1' }],
  ])('is what belongs to %s', (_, more) => {
    const [object] = made().services.map(one =>
      merged(one, { metadata: { ownerReferences: [{ ...reference, ...more }] } }),
    );
    expect(isOwnedBy(object as KubeObject, owner)).toBe(false);
  });

  test('is what is in another namespace', () => {
    const [object] = made().slices.map(one => merged(one, { metadata: { namespace: 'other' } }));
    expect(isOwnedBy(object as KubeObject, owner)).toBe(false);
    expect(ENDPOINT_SLICES.plural).toBe('endpointslices');
  });
});
