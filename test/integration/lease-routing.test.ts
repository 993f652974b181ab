import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { KubeObject as Observed } from '../../src/kube/types.ts';
import type { Pod } from '../../src/reconcilers/lease/pods.ts';
import {
  planRouting,
  type RouteStep,
  type RoutingWish,
  SERVICES,
} from '../../src/reconcilers/lease/routing.ts';
import { installCrds } from '../support/crds.ts';
import { KubeApi, type KubeObject } from '../support/kube-api.ts';
import { aPod } from '../unit/reconcilers/lease/builders.ts';

const { apiServerUrl, caFile, adminToken } = inject('sandbox');
const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
let namespace: string;
let uid: string;

beforeAll(async () => {
  await installCrds(kube);
  namespace = await kube.createNamespace('routing');
  // A real one: what belongs to nobody is garbage to Kubernetes.
  const lease = await kube.create({
    apiVersion: 'proconsul.dev/v1alpha1',
    kind: 'ConsulLeaderLease',
    metadata: { name: 'orders', namespace },
    spec: { candidates: { selector: { matchLabels: { app: 'orders' } } } },
  });
  uid = lease.metadata.uid ?? '';
});

afterAll(async () => {
  await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});

const KINDS = {
  Service: { apiVersion: 'v1', kind: 'Service' },
  EndpointSlice: { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice' },
} as const;

const http = (port: number, more: Partial<Pod> = {}) => ({
  ports: [{ name: 'http', port, protocol: 'TCP' }],
  ...more,
});
const ports = [
  { name: 'web', port: 80, targetPort: 'http' },
  { name: 'dns', port: 53, protocol: 'UDP' as const },
];
const wishFor = (...leaders: readonly Pod[]): RoutingWish => ({
  owner: { namespace, name: 'orders', uid },
  service: { name: 'leader', ports },
  leaders,
});

async function planned(wish: RoutingWish): Promise<readonly RouteStep[]> {
  const [services, slices] = await Promise.all([
    kube.list(KINDS.Service, namespace),
    kube.list(KINDS.EndpointSlice, namespace),
  ]);
  const observed = { services, slices } as unknown as Record<'services' | 'slices', Observed[]>;
  const plan = planRouting(wish, observed);
  if (plan.refusal !== undefined) throw new Error(plan.refusal.message);
  return plan.steps;
}

async function carryOut(steps: readonly RouteStep[]): Promise<void> {
  for (const step of steps) {
    const { kind, apiVersion } = step.type === SERVICES ? KINDS.Service : KINDS.EndpointSlice;
    if (step.kind === 'create') await kube.create(step.body as unknown as KubeObject);
    else if (step.kind === 'patch')
      await kube.patch({ kind, apiVersion, metadata: { name: step.name, namespace } }, step.patch);
    else await kube.delete({ kind, apiVersion, metadata: { name: step.object.metadata.name, namespace } });
  }
}

describe('what the plan says, the API server takes as it is', () => {
  const dual = { addresses: ['10.0.0.1', 'fd00::1'] };

  test.each<[says: string, wish: () => RoutingWish, slices: readonly string[]]>([
    ['a leader', () => wishFor(aPod('a', http(8080, dual))), ['leader-ipv4', 'leader-ipv6']],
    ['another', () => wishFor(aPod('b', http(8081))), ['leader-ipv4', 'leader-ipv6']],
    [
      'two with different ports',
      () => wishFor(aPod('a', http(8080)), aPod('b', http(8081, { addresses: ['10.0.0.2'] }))),
      ['leader-ipv4', 'leader-ipv4-1', 'leader-ipv6'],
    ],
    ['nobody', () => wishFor(), ['leader-ipv4', 'leader-ipv4-1', 'leader-ipv6']],
    ['no Service', () => ({ ...wishFor(), service: undefined }), []],
  ])('%s, and then there is nothing left to do', async (_, wish, names) => {
    const steps = await planned(wish());
    expect(steps).not.toEqual([]);
    await carryOut(steps);
    expect(await planned(wish())).toEqual([]);
    const slices = await kube.list(KINDS.EndpointSlice, namespace);
    expect(slices.map(({ metadata }) => metadata.name).sort()).toEqual(names);
  });
});
