import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parseConsulLeaderLease } from '../../src/api/v1alpha1/consulleaderlease.ts';
import { installCrds } from '../support/crds.ts';
import { KubeApi, KubeApiError, type KubeObject } from '../support/kube-api.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from '../unit/api/consulkv-keys.ts';
import {
  LARGEST_LEASE,
  LEASE_CASES,
  LEASE_SCHEMA_CASES,
  lease,
} from '../unit/api/consulleaderlease-cases.ts';

type Spec = Readonly<Record<string, unknown>>;

const { apiServerUrl, caFile, adminToken } = inject('sandbox');
const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
let namespace: string;

beforeAll(async () => {
  await installCrds(kube);
  namespace = await kube.createNamespace('crd-lease');
});

afterAll(async () => {
  await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});

function aLease(name: string, spec: Spec): KubeObject {
  return {
    apiVersion: 'proconsul.dev/v1alpha1',
    kind: 'ConsulLeaderLease',
    metadata: { name, namespace },
    spec,
  };
}

/** What the server would say to this spec: undefined when it takes it. */
async function refusal(spec: Spec): Promise<string | undefined> {
  return messageOf(() => kube.create(aLease('asked', spec), '?dryRun=All&fieldValidation=Strict'));
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
  test('shows a lease nobody has looked at as InProgress, and fills in nothing else', async () => {
    await withStored(aLease('untouched', lease()), async stored => {
      expect(stored['status']).toEqual({ observedGeneration: -1 });
      expect(stored['spec']).toEqual(lease());
    });
  });

  test('does not know the policies that a lease does not have', async () => {
    for (const field of ['adoptionPolicy', 'driftPolicy']) {
      expect(await refusal(lease({ [field]: 'Never' }))).toContain(`unknown field "spec.${field}"`);
    }
    expect(await refusal(lease({ deletionPolicy: 'Delete' }))).toBeUndefined();
  });

  test('takes a lease at every limit, and a change of it', async () => {
    await withStored(aLease('large', LARGEST_LEASE), async stored => {
      expect(
        await messageOf(() => patchDry(stored, { holders: 1, handover: 'AfterLockDelay' })),
      ).toBeUndefined();
    });
  });

  test('takes a target port as a number and as a name', async () => {
    const ports = [
      { name: 'a', port: 80, targetPort: 8080 },
      { name: 'b', port: 81, targetPort: 'http-1' },
    ];
    await withStored(aLease('ports', lease({ service: { name: 'a', ports } })), async stored => {
      expect(stored['spec'].service.ports).toEqual(ports);
    });
  });

  test('stores the whole status', async () => {
    const status = {
      observedGeneration: 1,
      holders: [
        { name: 'a', uid: 'u', sessionID: 's', fencingToken: '7', acquiredTime: '2020-01-01T00:00:00Z' },
        { name: 'b' },
      ],
      transitions: 3,
      effective: {
        key: 'k',
        heldBy: 'Operator',
        handover: 'Immediate',
        holders: 2,
        ttl: '15s',
        lockDelay: '5s',
        leaderLabel: 'l',
        datacenter: 'dc1',
        drift: 'Watched',
      },
    };
    await withStored(aLease('told', lease()), async stored => {
      await kube.patch(stored, { status }, 'status');
      expect((await kube.get(stored))?.['status']).toEqual(status);
    });
  });
});

describe('at admission', () => {
  test.each(LEASE_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await refusal(kept)).toBeUndefined();
    // One message and no list of them: the spec breaks no other rule.
    expect(await refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(LEASE_SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await refusal(broken)).toContain(field);
  });

  test('judges keys as the operator does', async () => {
    const differing: unknown[] = [];
    for (const key of [...GOOD_KEYS, ...BAD_KEYS, ...UNPRINTED_KEYS]) {
      const spec = lease({ key });
      const stored = aLease('asked', spec);
      const metadata = { ...stored.metadata, uid: 'u', resourceVersion: '1', generation: 1 };
      const accepted = (await refusal(spec)) === undefined;
      if (accepted !== parseConsulLeaderLease({ ...stored, metadata }).ok) differing.push({ key, accepted });
    }
    expect(differing).toEqual([]);
  });
});

describe('identity', () => {
  const moves: readonly { says: string; from: Spec; to: Spec; name: string }[] = [
    { says: 'another key', from: { key: 'a' }, to: { key: 'b' }, name: 'key' },
    { says: 'no key any more', from: { key: 'a' }, to: { key: null }, name: 'key' },
    { says: 'a key at last', from: {}, to: { key: 'a' }, name: 'key' },
    {
      says: 'another datacenter',
      from: { datacenter: 'dc1' },
      to: { datacenter: 'dc2' },
      name: 'datacenter',
    },
    { says: 'a datacenter at last', from: {}, to: { datacenter: 'dc1' }, name: 'datacenter' },
  ];

  test.each(moves)('refuses $says', async ({ from, to, name }) => {
    const message = await withStored(aLease('moving', lease(from)), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(message).toContain(
      `spec.${name}: Invalid value: ${name} cannot be changed, set or unset: make a new resource instead`,
    );
  });

  test('lets everything else change', async () => {
    const to = {
      candidates: { selector: { matchLabels: null, matchExpressions: [{ key: 'a', operator: 'Exists' }] } },
      heldBy: 'Application',
      session: { ttl: '1m', lockDelay: '1m' },
      handover: 'AfterLockDelay',
      holders: 3,
      service: { name: 'a', ports: [{ port: 1 }] },
      leaderLabel: 'leads',
      suspend: true,
    };
    const message = await withStored(aLease('staying', lease({ key: 'a' })), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(message).toBeUndefined();
  });
});
