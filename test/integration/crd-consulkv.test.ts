import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admission, messageOf, type Spec } from '../support/admission.ts';
import { parseConsulKV } from '../../src/api/v1alpha1/consulkv.ts';
import { SCHEMA_CASES, SPEC_CASES } from '../unit/api/consulkv-cases.ts';
import { BAD_KEYS, GOOD_KEYS, UNPRINTED_KEYS } from '../unit/api/consulkv-keys.ts';
import { isTrue } from '../support/crds.ts';

let api: Admission;

beforeAll(async () => {
  api = await Admission.of('ConsulKV');
});

afterAll(async () => api.close());

describe('the API server', () => {
  test('accepts every CRD as structural, with the names it asks for', () => {
    expect(api.crds.length).toBeGreaterThan(0);
    expect(api.crds.filter(crd => isTrue(crd, 'NonStructuralSchema'))).toEqual([]);
    expect(api.crds.filter(crd => !isTrue(crd, 'NamesAccepted'))).toEqual([]);
  });

  test('shows a resource nobody has looked at as InProgress, and fills in nothing else', async () => {
    const spec = { key: 'config/orders', value: 'x' };
    await api.withStored(api.object('untouched', spec), async stored => {
      expect(stored['status']).toEqual({ observedGeneration: -1 });
      expect(stored['spec']).toEqual(spec);
    });
  });

  test('keeps a name that means something to JavaScript', async () => {
    const spec: Spec = JSON.parse('{"prefix":"a/","data":{"__proto__":"x","constructor":"y"}}');
    await api.withStored(api.object('proto', spec), async stored => {
      const parsed = parseConsulKV(stored);
      expect(parsed.ok && [...(parsed.value.spec.data ?? [])]).toEqual([
        ['__proto__', 'x'],
        ['constructor', 'y'],
      ]);
    });
  });

  test('does not know a field that is not there', async () => {
    expect(await api.refusal({ key: 'a', value: 'x', valeu: 'x' })).toContain('unknown field "spec.valeu"');
  });
});

describe('at admission', () => {
  test.each(SPEC_CASES)('$says', async ({ kept, broken, field, message }) => {
    expect(await api.refusal(kept)).toBeUndefined();
    expect(await api.refusal(broken)).toMatch(/ is invalid: [^[]/);
    expect(await api.refusal(broken)).toContain(` is invalid: ${field}: Invalid value: ${message}`);
  });

  test.each(SCHEMA_CASES)('refuses $says', async ({ broken, field }) => {
    expect(await api.refusal(broken)).toContain(field);
  });

  test('refuses a spec with both key and prefix', async () => {
    expect(await api.refusal({ key: 'a', value: 'x', prefix: 'b/', data: { c: 'd' } })).toContain(
      'exactly one of key and prefix must be set',
    );
  });

  test('judges keys as the operator does: as a key, as a name, as a prefix and as a sub-path', async () => {
    const differing: unknown[] = [];
    for (const spec of [...GOOD_KEYS, ...BAD_KEYS, ...UNPRINTED_KEYS].flatMap(placesOf)) {
      const accepted = (await api.refusal(spec)) === undefined;
      const stored = { ...api.object('asked', spec) };
      const metadata = { ...stored.metadata, uid: 'u', resourceVersion: '1', generation: 1 };
      if (accepted !== parseConsulKV({ ...stored, metadata }).ok) differing.push({ spec, accepted });
    }
    expect(differing).toEqual([]);
  });
});

function placesOf(key: string): readonly Spec[] {
  return [
    { key, value: '' },
    { prefix: 'p/', data: JSON.parse(`{${JSON.stringify(key)}:""}`) },
    { prefix: `${key}/`, data: { a: '' } },
    { prefix: 'p/', dataFrom: [{ configMapRef: { name: 'orders' }, prefix: `${key}/` }] },
  ];
}

describe('identity', () => {
  const inDatacenter = { key: 'a', value: 'x', datacenter: 'dc1' };
  const moves: readonly { says: string; from: Spec; to: Spec; names: readonly string[] }[] = [
    { says: 'another key', from: { key: 'a', value: 'x' }, to: { key: 'b' }, names: ['key'] },
    {
      says: 'another prefix',
      from: { prefix: 'a/', data: { n: '' } },
      to: { prefix: 'b/' },
      names: ['prefix'],
    },
    {
      says: 'from a key to a prefix',
      from: { key: 'a', value: 'x' },
      to: { key: null, value: null, prefix: 'a/', data: { n: '' } },
      names: ['key', 'prefix'],
    },
    {
      says: 'from a prefix to a key',
      from: { prefix: 'a/', data: { n: '' } },
      to: { key: 'a', value: 'x', prefix: null, data: null },
      names: ['key', 'prefix'],
    },
    { says: 'another datacenter', from: inDatacenter, to: { datacenter: 'dc2' }, names: ['datacenter'] },
    { says: 'no datacenter any more', from: inDatacenter, to: { datacenter: null }, names: ['datacenter'] },
    {
      says: 'a datacenter at last',
      from: { key: 'a', value: 'x' },
      to: { datacenter: 'dc1' },
      names: ['datacenter'],
    },
  ];

  test.each(moves)('refuses $says', async ({ from, to, names }) => {
    const message = await api.withStored(api.object('moving', from), stored =>
      messageOf(() => api.patchDry(stored, to)),
    );
    for (const name of names) {
      expect(message).toContain(
        `spec.${name}: Invalid value: ${name} cannot be changed, set or unset: make a new resource instead`,
      );
    }
  });

  test('lets everything else change', async () => {
    const to = { value: 'y', flags: 1, deletionPolicy: 'Retain', driftPolicy: 'Report', suspend: true };
    const message = await api.withStored(api.object('staying', inDatacenter), stored =>
      messageOf(() => api.patchDry(stored, to)),
    );
    expect(message).toBeUndefined();
  });
});

describe('at the limits', () => {
  const names = (count: number, bytes: number, first = 'n') =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`${first}${n}`.padEnd(bytes, 'x'), '']));
  const sources = (count: number) =>
    Array.from({ length: count }, () => ({
      secretRef: { name: `${'s'.repeat(63)}.`.repeat(3) + 's'.repeat(61) },
      prefix: `${'p'.repeat(508)}/`,
    }));
  const values = (count: number, value: string) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${n}`, value]));
  const base64 = Buffer.alloc(350_000, 255).toString('base64');

  /** What etcd takes as one object; the field managers' record of a create is part of it. */
  const storable: readonly { says: string; spec: Spec }[] = [
    {
      says: 'as many names and sources as allowed, each as long as allowed',
      spec: { prefix: 'a/', data: names(512, 510), binaryData: names(512, 510, 'b'), dataFrom: sources(32) },
    },
    { says: 'as much text as etcd takes', spec: { prefix: 'a/', data: values(4, 'v'.repeat(350_000)) } },
    {
      says: 'as much text of two bytes a letter',
      spec: { prefix: 'a/', data: values(4, 'é'.repeat(175_000)) },
    },
    { says: 'as many bytes', spec: { prefix: 'a/', binaryData: values(3, base64) } },
  ];

  test.each(storable)('takes $says, and a change of it', async ({ spec }) => {
    await api.withStored(api.object('large', spec), async stored => {
      const contentType = 'application/merge-patch+json';
      const changed = await api.kube.call('PATCH', await api.kube.pathOf(stored), {
        body: { spec: { flags: 1 } },
        contentType,
      });
      expect(changed['spec'].flags).toBe(1);
    });
  });

  test('can check as many values as a request holds', async () => {
    const long = values(33, 'v'.repeat(87_501));
    expect(await api.refusal({ prefix: 'a/', data: long })).toBeUndefined();
    expect(
      await api.refusal({
        prefix: 'a/',
        data: { ...values(28, 'v'.repeat(87_501)), z: '😀'.repeat(87_501) },
      }),
    ).toContain('values in data must be at most 350000 bytes');
  });

  const over: readonly { says: string; field: string; spec: Spec }[] = [
    { says: '513 names in data', field: 'spec.data', spec: { prefix: 'a/', data: names(513, 8) } },
    {
      says: '513 names in binaryData',
      field: 'spec.binaryData',
      spec: { prefix: 'a/', binaryData: names(513, 8) },
    },
    { says: '33 sources', field: 'spec.dataFrom', spec: { prefix: 'a/', dataFrom: sources(33) } },
    { says: 'a key of 513 letters', field: 'spec.key', spec: { key: 'x'.repeat(513), value: '' } },
    {
      says: 'a prefix of 513 letters',
      field: 'spec.prefix',
      spec: { prefix: `${'x'.repeat(512)}/`, data: { a: '' } },
    },
    {
      says: 'a value of 350,001 letters',
      field: 'spec.value',
      spec: { key: 'a', value: 'x'.repeat(350_001) },
    },
    {
      says: 'such a value in data',
      field: 'spec.data.a',
      spec: { prefix: 'a/', data: { a: 'x'.repeat(350_001) } },
    },
    {
      says: 'longer base64',
      field: 'spec.binaryData.a',
      spec: { prefix: 'a/', binaryData: { a: Buffer.alloc(350_004).toString('base64') } },
    },
    {
      says: 'a name of a ConfigMap of 254 letters',
      field: 'spec.dataFrom[0].configMapRef.name',
      spec: { prefix: 'a/', dataFrom: [{ configMapRef: { name: 'x'.repeat(254) } }] },
    },
    {
      says: 'a datacenter of 64 letters',
      field: 'spec.datacenter',
      spec: { key: 'a', value: '', datacenter: 'x'.repeat(64) },
    },
  ];

  test.each(over)('refuses $says', async ({ field, spec }) => {
    expect(await api.refusal(spec)).toMatch(
      new RegExp(`${field.replaceAll(/[[\]]/g, '\\$&')}: Too (long|many)`),
    );
  });
});
