import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admission, messageOf, type Spec } from '../support/admission.ts';
import { parseConsulLeaderLease } from '../../src/api/v1alpha1/consulleaderlease.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from '../unit/api/consulkv-keys.ts';
import {
  LARGEST_LEASE,
  LEASE_CASES,
  LEASE_SCHEMA_CASES,
  lease,
} from '../unit/api/consulleaderlease-cases.ts';

let api: Admission;

beforeAll(async () => {
  api = await Admission.of('ConsulLeaderLease');
});

afterAll(async () => api.close());

describe('the API server', () => {
  test('shows a lease nobody has looked at as InProgress, and fills in nothing else', async () => {
    await api.withStored(api.object('untouched', lease()), async stored => {
      expect(stored['status']).toEqual({ observedGeneration: -1 });
      expect(stored['spec']).toEqual(lease());
    });
  });

  test('does not know the policies that a lease does not have', async () => {
    for (const field of ['adoptionPolicy', 'driftPolicy']) {
      expect(await api.refusal(lease({ [field]: 'Never' }))).toContain(`unknown field "spec.${field}"`);
    }
    expect(await api.refusal(lease({ deletionPolicy: 'Delete' }))).toBeUndefined();
  });

  test('takes a lease at every limit, and a change of it', async () => {
    await api.withStored(api.object('large', LARGEST_LEASE), async stored => {
      expect(
        await messageOf(() => api.patchDry(stored, { holders: 1, handover: 'AfterLockDelay' })),
      ).toBeUndefined();
    });
  });

  test('takes a target port as a number and as a name', async () => {
    const ports = [
      { name: 'a', port: 80, targetPort: 8080 },
      { name: 'b', port: 81, targetPort: 'http-1' },
    ];
    await api.withStored(api.object('ports', lease({ service: { name: 'a', ports } })), async stored => {
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
    await api.withStored(api.object('told', lease()), async stored => {
      await api.kube.patch(stored, { status }, 'status');
      expect((await api.kube.get(stored))?.['status']).toEqual(status);
    });
  });
});

describe('at admission', () => {
  test.each(LEASE_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await api.refusal(kept)).toBeUndefined();
    // One message and no list of them: the spec breaks no other rule.
    expect(await api.refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await api.refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(LEASE_SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await api.refusal(broken)).toContain(field);
  });

  test('judges keys as the operator does', async () => {
    const differing: unknown[] = [];
    for (const key of [...GOOD_KEYS, ...BAD_KEYS, ...UNPRINTED_KEYS]) {
      const spec = lease({ key });
      const stored = api.object('asked', spec);
      const metadata = { ...stored.metadata, uid: 'u', resourceVersion: '1', generation: 1 };
      const accepted = (await api.refusal(spec)) === undefined;
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
    const message = await api.withStored(api.object('moving', lease(from)), stored =>
      messageOf(() => api.patchDry(stored, to)),
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
    const message = await api.withStored(api.object('staying', lease({ key: 'a' })), stored =>
      messageOf(() => api.patchDry(stored, to)),
    );
    expect(message).toBeUndefined();
  });
});
