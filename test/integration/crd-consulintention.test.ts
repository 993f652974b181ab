import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admission, messageOf, type Spec } from '../support/admission.ts';
import {
  from,
  INTENTION_CASES,
  INTENTION_SCHEMA_CASES,
  intention,
  LARGEST_INTENTIONS,
  MOST_HEADERS,
  REGEX_CASES,
} from '../unit/api/consulintention-cases.ts';

let api: Admission;

beforeAll(async () => {
  api = await Admission.of('ConsulIntention');
});

afterAll(async () => api.close());

describe('the API server', () => {
  test('shows an intention nobody has looked at as InProgress, and fills in nothing else', async () => {
    await api.withStored(api.object('untouched', intention()), async stored => {
      expect(stored['status']).toEqual({ observedGeneration: -1 });
      expect(stored['spec']).toEqual(intention());
    });
  });

  test('stores the whole status', async () => {
    const status = {
      observedGeneration: 1,
      sources: 2,
      precedence: [
        { source: 'web', peer: 'dc2', precedence: 9 },
        { source: '*', precedence: 8 },
      ],
      effective: {
        deletionPolicy: 'Delete',
        adoptionPolicy: 'IfEqual',
        driftPolicy: 'Correct',
        datacenter: 'dc1',
        drift: 'Watched',
      },
    };
    await api.withStored(api.object('told', intention()), async stored => {
      await api.kube.patch(stored, { status }, 'status');
      expect((await api.kube.get(stored))?.['status']).toEqual(status);
    });
  });

  test.each(LARGEST_INTENTIONS)('takes $says, and a change of it', async ({ spec }) => {
    await api.withStored(api.object('large', spec), async stored => {
      expect(await messageOf(() => api.patchDry(stored, { suspend: false }))).toBeUndefined();
    });
  });

  test('can check as many headers as a spec can have', async () => {
    expect(await api.refusal(MOST_HEADERS)).toBeUndefined();
  });
});

describe('at admission', () => {
  test.each(INTENTION_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await api.refusal(kept)).toBeUndefined();
    // One message and no list of them: the spec breaks no other rule.
    expect(await api.refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await api.refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(REGEX_CASES)('$says', async ({ kept, broken, field, message, reason }) => {
    expect(await api.refusal(kept)).toBeUndefined();
    const told = await api.refusal(broken);
    expect(told).toContain(` is invalid: ${field}: Invalid value: "object": error parsing regexp: ${reason}`);
    expect(told).toContain(`evaluating rule: ${message}`);
  });

  test.each(INTENTION_SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await api.refusal(broken)).toContain(field);
  });

  test('names an unknown field, where the client asks for it', async () => {
    const misspelt = from({ name: 'web', action: 'allow', peers: 'dc2' });
    expect(await api.refusal(misspelt)).toContain('unknown field "spec.sources[0].peers"');
    expect(await api.refusal(misspelt, 'Ignore')).toBeUndefined();
  });

  test('refuses what only Consul Enterprise has, also where unknown fields are ignored', async () => {
    const foreign = from({ name: 'web', action: 'allow', namespace: 'prod' });
    expect(await api.refusal(foreign, 'Ignore')).toContain('namespace needs Consul Enterprise');
  });
});

describe('identity', () => {
  const moves: readonly { says: string; from: Spec; to: Spec; name: string }[] = [
    {
      says: 'another destination',
      from: {},
      to: { destination: 'payments' },
      name: 'destination',
    },
    { says: 'all destinations', from: {}, to: { destination: '*' }, name: 'destination' },
    {
      says: 'another datacenter',
      from: { datacenter: 'dc1' },
      to: { datacenter: 'dc2' },
      name: 'datacenter',
    },
    {
      says: 'no datacenter any more',
      from: { datacenter: 'dc1' },
      to: { datacenter: null },
      name: 'datacenter',
    },
    { says: 'a datacenter at last', from: {}, to: { datacenter: 'dc1' }, name: 'datacenter' },
  ];

  test.each(moves)('refuses $says', async ({ from: before, to, name }) => {
    const message = await api.withStored(api.object('moving', intention(before)), stored =>
      messageOf(() => api.patchDry(stored, to)),
    );
    expect(message).toContain(
      `spec.${name}: Invalid value: ${name} cannot be changed, set or unset: make a new resource instead`,
    );
  });

  test('lets everything else change', async () => {
    const to = {
      sources: [{ name: 'admin', permissions: [{ action: 'allow', http: { methods: ['get'] } }] }],
      jwt: { providers: [{ name: 'okta' }] },
      deletionPolicy: 'Retain',
      adoptionPolicy: 'Never',
      driftPolicy: 'Report',
      suspend: true,
    };
    const message = await api.withStored(api.object('staying', intention()), stored =>
      messageOf(() => api.patchDry(stored, to)),
    );
    expect(message).toBeUndefined();
  });
});
