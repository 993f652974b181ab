import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { installCrds } from '../support/crds.ts';
import { KubeApi, KubeApiError, type KubeObject } from '../support/kube-api.ts';
import {
  at,
  checked,
  LARGEST_SERVICES,
  SERVICE_CASES,
  SERVICE_SCHEMA_CASES,
  service,
  TWO_ADDRESSES,
} from '../unit/api/consulservice-cases.ts';

type Spec = Readonly<Record<string, unknown>>;

const { apiServerUrl, caFile, adminToken } = inject('sandbox');
const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
let namespace: string;

beforeAll(async () => {
  await installCrds(kube);
  namespace = await kube.createNamespace('crd-service');
});

afterAll(async () => {
  await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});

function aService(name: string, spec: Spec): KubeObject {
  return { apiVersion: 'proconsul.dev/v1alpha1', kind: 'ConsulService', metadata: { name, namespace }, spec };
}

/** What the server would say to this spec: undefined when it takes it. */
async function refusal(
  spec: Spec,
  { name = 'asked', fieldValidation = 'Strict' } = {},
): Promise<string | undefined> {
  const query = `?dryRun=All&fieldValidation=${fieldValidation}`;
  return messageOf(() => kube.create(aService(name, spec), query));
}

async function messageOf(request: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await request();
    return undefined;
  } catch (error) {
    if (error instanceof KubeApiError && error.status < 500) return error.message;
    throw error;
  }
}

/** For the time of the test alone, so that no operator in this sandbox minds it. */
async function withStored<T>(object: KubeObject, use: (stored: KubeObject) => Promise<T>): Promise<T> {
  const stored = await kube.create(object);
  try {
    return await use(stored);
  } finally {
    await kube.delete(object);
  }
}

async function patchDry(stored: KubeObject, spec: Spec): Promise<KubeObject> {
  const contentType = 'application/merge-patch+json';
  return kube.call('PATCH', `${await kube.pathOf(stored)}?dryRun=All`, { body: { spec }, contentType });
}

describe('the API server', () => {
  test('shows a service nobody has looked at as InProgress, and fills in nothing else', async () => {
    const spec = service({ kubernetes: { service: 'orders' }, checks: [{ name: 'up', http: {} }] });
    await withStored(aService('untouched', spec), async stored => {
      expect(stored['status']).toEqual({ observedGeneration: -1 });
      expect(stored['spec']).toEqual(spec);
    });
  });

  test('stores the whole status', async () => {
    const status = {
      observedGeneration: 1,
      instances: { registered: 5, passing: 2, warning: 1, critical: 2, removed: 1, summary: '2/5' },
      effective: {
        deletionPolicy: 'Delete',
        adoptionPolicy: 'IfEqual',
        driftPolicy: 'Correct',
        datacenter: 'dc1',
        drift: 'Watched',
        name: 'orders',
        registration: 'Catalog',
      },
    };
    await withStored(aService('told', service()), async stored => {
      await kube.patch(stored, { status }, 'status');
      expect((await kube.get(stored))?.['status']).toEqual(status);
    });
  });

  test.each(LARGEST_SERVICES)('takes $says, and a change of it', async ({ spec }) => {
    await withStored(aService('large', spec), async stored => {
      expect(await messageOf(() => patchDry(stored, { suspend: false }))).toBeUndefined();
    });
  });

  test('cannot see that a node has two addresses', async () => {
    expect(await refusal(TWO_ADDRESSES)).toBeUndefined();
  });
});

describe('at admission', () => {
  test.each(SERVICE_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await refusal(kept)).toBeUndefined();
    // One message and no list of them: the spec breaks no other rule.
    expect(await refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(SERVICE_SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await refusal(broken)).toContain(field);
  });

  test('names the id that stands twice', async () => {
    const twice = at({ id: 'vm-1', address: 'vm1' }, { id: 'vm-1', address: 'vm2' });
    expect(await refusal(twice)).toContain('spec.instances[1]: Duplicate value: {"id":"vm-1"}');
  });

  test('names an unknown field, where the client asks for it', async () => {
    const misspelt = checked({ name: 'up', tcp: {}, intervall: '1s' });
    expect(await refusal(misspelt)).toContain('unknown field "spec.checks[0].intervall"');
    expect(await refusal(misspelt, { fieldValidation: 'Ignore' })).toBeUndefined();
  });
});

describe('a resource without a name in its spec', () => {
  test.each(['0-orders', 'o'.repeat(63)])('may be called %s', async name => {
    expect(await refusal(service(), { name })).toBeUndefined();
  });

  test.each(['orders.v1', 'o'.repeat(64), 'o'.repeat(253)])('may not be called %s', async name => {
    expect(await refusal(service(), { name })).toContain(
      'spec.name: Invalid value: name, or without it metadata.name, must be a DNS label',
    );
    expect(await refusal(service({ name: 'orders' }), { name })).toBeUndefined();
  });

  test('may not be called consul', async () => {
    expect(await refusal(service(), { name: 'consul' })).toContain('name must not be consul');
    expect(await refusal(service({ name: 'orders' }), { name: 'consul' })).toBeUndefined();
  });
});

describe('identity', () => {
  const unmoved = 'cannot be changed, set or unset: make a new resource instead';
  const fixed = 'cannot be changed: make a new resource instead';
  const moves: readonly { says: string; from: Spec; to: Spec; field: string; message: string }[] = [
    {
      says: 'another name',
      from: { name: 'orders' },
      to: { name: 'payments' },
      field: 'name',
      message: unmoved,
    },
    {
      says: 'no name any more',
      from: { name: 'orders' },
      to: { name: null },
      field: 'name',
      message: unmoved,
    },
    { says: 'a name at last', from: {}, to: { name: 'orders' }, field: 'name', message: unmoved },
    {
      says: 'another datacenter',
      from: { datacenter: 'dc1' },
      to: { datacenter: 'dc2' },
      field: 'datacenter',
      message: unmoved,
    },
    {
      says: 'a datacenter at last',
      from: {},
      to: { datacenter: 'dc1' },
      field: 'datacenter',
      message: unmoved,
    },
    {
      says: 'the agent',
      from: { registration: 'Catalog' },
      to: { registration: 'Agent' },
      field: 'registration',
      message: fixed,
    },
    {
      says: 'the agent at last',
      from: {},
      to: { registration: 'Agent' },
      field: 'registration',
      message: fixed,
    },
    {
      says: 'the catalog at last',
      from: { registration: 'Agent' },
      to: { registration: null },
      field: 'registration',
      message: fixed,
    },
  ];

  test.each(moves)('refuses $says', async ({ from, to, field, message }) => {
    const said = await withStored(aService('moving', service(from)), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(said).toContain(`spec.${field}: Invalid value: ${field} ${message}`);
  });

  test.each([
    { from: {}, to: { registration: 'Catalog' } },
    { from: { registration: 'Catalog' }, to: { registration: null } },
  ])('takes what names the default: $to', async ({ from, to }) => {
    const said = await withStored(aService('staying', service(from)), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(said).toBeUndefined();
  });

  test('lets everything else change, the node of an instance too', async () => {
    const vm = { id: 'orders-vm-1', address: '192.0.2.10', port: 8080, node: 'vm-1' };
    const to = {
      tags: ['v3'],
      meta: { team: 'shop' },
      weights: { passing: 2 },
      enableTagOverride: true,
      instances: [
        { ...vm, node: 'vm-2' },
        { id: 'other', address: 'vm3', port: 1 },
      ],
      kubernetes: { service: 'orders' },
      checks: [{ name: 'up', tcp: {} }],
      connect: { native: true },
      drainSeconds: 9,
      deletionPolicy: 'Retain',
      adoptionPolicy: 'Never',
      driftPolicy: 'Report',
      suspend: true,
    };
    const said = await withStored(aService('changing', at(vm)), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(said).toBeUndefined();
  });
});
