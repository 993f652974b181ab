import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { installCrds } from '../support/crds.ts';
import { KubeApi, KubeApiError, type KubeObject } from '../support/kube-api.ts';
import {
  from,
  INTENTION_CASES,
  INTENTION_SCHEMA_CASES,
  intention,
  LARGEST_INTENTIONS,
  MOST_HEADERS,
  REGEX_CASES,
} from '../unit/api/consulintention-cases.ts';

type Spec = Readonly<Record<string, unknown>>;

const { apiServerUrl, caFile, adminToken } = inject('sandbox');
const kube = new KubeApi({ apiServerUrl, caFile, token: adminToken });
let namespace: string;

beforeAll(async () => {
  await installCrds(kube);
  namespace = await kube.createNamespace('crd-intention');
});

afterAll(async () => {
  await kube.delete({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});

function anIntention(name: string, spec: Spec): KubeObject {
  return {
    apiVersion: 'proconsul.dev/v1alpha1',
    kind: 'ConsulIntention',
    metadata: { name, namespace },
    spec,
  };
}

/** What the server would say to this spec: undefined when it takes it. */
async function refusal(spec: Spec, fieldValidation = 'Strict'): Promise<string | undefined> {
  const query = `?dryRun=All&fieldValidation=${fieldValidation}`;
  return messageOf(() => kube.create(anIntention('asked', spec), query));
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
  test('shows an intention nobody has looked at as InProgress, and fills in nothing else', async () => {
    await withStored(anIntention('untouched', intention()), async stored => {
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
    await withStored(anIntention('told', intention()), async stored => {
      await kube.patch(stored, { status }, 'status');
      expect((await kube.get(stored))?.['status']).toEqual(status);
    });
  });

  test.each(LARGEST_INTENTIONS)('takes $says, and a change of it', async ({ spec }) => {
    await withStored(anIntention('large', spec), async stored => {
      expect(await messageOf(() => patchDry(stored, { suspend: false }))).toBeUndefined();
    });
  });

  test('can check as many headers as a spec can have', async () => {
    expect(await refusal(MOST_HEADERS)).toBeUndefined();
  });
});

describe('at admission', () => {
  test.each(INTENTION_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await refusal(kept)).toBeUndefined();
    // One message and no list of them: the spec breaks no other rule.
    expect(await refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(REGEX_CASES)('$says', async ({ kept, broken, field, message, reason }) => {
    expect(await refusal(kept)).toBeUndefined();
    const told = await refusal(broken);
    expect(told).toContain(` is invalid: ${field}: Invalid value: "object": error parsing regexp: ${reason}`);
    expect(told).toContain(`evaluating rule: ${message}`);
  });

  test.each(INTENTION_SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await refusal(broken)).toContain(field);
  });

  test('names an unknown field, where the client asks for it', async () => {
    const misspelt = from({ name: 'web', action: 'allow', peers: 'dc2' });
    expect(await refusal(misspelt)).toContain('unknown field "spec.sources[0].peers"');
    expect(await refusal(misspelt, 'Ignore')).toBeUndefined();
  });

  test('refuses what only Consul Enterprise has, also where unknown fields are ignored', async () => {
    const foreign = from({ name: 'web', action: 'allow', namespace: 'prod' });
    expect(await refusal(foreign, 'Ignore')).toContain('namespace needs Consul Enterprise');
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
    const message = await withStored(anIntention('moving', intention(before)), stored =>
      messageOf(() => patchDry(stored, to)),
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
    const message = await withStored(anIntention('staying', intention()), stored =>
      messageOf(() => patchDry(stored, to)),
    );
    expect(message).toBeUndefined();
  });
});
