import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { CelRule } from '../../src/api/v1alpha1/common.ts';
import { KINDS } from '../../src/api/v1alpha1/kinds.ts';
import { crdPath } from '../../src/tools/crd.ts';
import type { SchemaNode } from '../../src/tools/structural.ts';
import { INTENTION_CASES, REGEX_CASES } from '../unit/api/consulintention-cases.ts';
import { SPEC_CASES } from '../unit/api/consulkv-cases.ts';
import { LEASE_CASES } from '../unit/api/consulleaderlease-cases.ts';
import { SERVICE_CASES } from '../unit/api/consulservice-cases.ts';

const root = join(import.meta.dirname, '../..');

interface Crd {
  readonly spec: {
    readonly versions: readonly [
      {
        readonly schema: { readonly openAPIV3Schema: SchemaNode };
        readonly selectableFields: readonly { readonly jsonPath: string }[];
        readonly additionalPrinterColumns: readonly { readonly name: string; readonly priority: number }[];
      },
    ];
  };
}

/** Every node of a schema with its path: `spec.dataFrom[].prefix`. */
function* nodes(
  node: SchemaNode,
  path = '',
): Generator<{ readonly path: string; readonly node: SchemaNode }> {
  yield { path, node };
  for (const [name, property] of Object.entries(node.properties ?? {})) {
    yield* nodes(property, path === '' ? name : `${path}.${name}`);
  }
  if (node.items !== undefined) yield* nodes(node.items, `${path}[]`);
  if (node.additionalProperties !== undefined) yield* nodes(node.additionalProperties, `${path}{}`);
}

const rulesOf = (node: SchemaNode) => (node['x-kubernetes-validations'] ?? []) as readonly CelRule[];
const crds = await Promise.all(
  KINDS.map(async kind => ({ kind, crd: parse(await readFile(join(root, crdPath(kind)), 'utf8')) as Crd })),
);

describe.each(crds.map(({ kind, crd }) => ({ name: kind.kind, version: crd.spec.versions[0] })))(
  'the CRD of $name',
  ({ version }) => {
    const all = [...nodes(version.schema.openAPIV3Schema)];
    const paths = new Set(all.map(({ path }) => path));
    const rules = all.flatMap(({ path, node }) => rulesOf(node).map(rule => ({ path, ...rule })));

    test('describes every field', () => {
      const silent = all.filter(({ path, node }) => path !== 'metadata' && !node.description?.trim());
      expect(silent.map(({ path }) => path)).toEqual([]);
    });

    test('has no default in spec, and the one in status that makes a new resource InProgress', () => {
      const withDefault = all.filter(({ node }) => 'default' in node);
      expect(withDefault.map(({ path, node }) => ({ path, value: node['default'] }))).toEqual([
        { path: 'status', value: { observedGeneration: -1 } },
      ]);
    });

    test('says in the description of each optional policy what its default is', () => {
      const policies = all.filter(({ path }) => /^spec\.(\w+Policy|suspend|datacenter)$/.test(path));
      expect(policies).not.toEqual([]);
      const silent = policies.filter(({ node }) => !node.description?.includes('Defaults to '));
      expect(silent.map(({ path }) => path)).toEqual([]);
    });

    test('uses no regular expression that RE2 lacks: neither lookaround nor backreference', () => {
      const patterns = all.flatMap(({ node }) =>
        typeof node['pattern'] === 'string' ? [node['pattern']] : [],
      );
      const inRules = rules.flatMap(({ rule }) =>
        [...rule.matchAll(/matches\('([^']*)'\)/g)].map(([, regex]) => regex),
      );
      for (const regex of [...patterns, ...inRules]) expect(regex).not.toMatch(/\(\?[=!<]|\\[1-9]/);
    });

    test('gives every rule a message and a field that exists', () => {
      const lacking = rules.filter(
        ({ path, message, fieldPath }) => !message || !paths.has((path + fieldPath).replace(/^[.]/, '')),
      );
      expect(lacking).toEqual([]);
    });

    test('can be selected by fields that exist', () => {
      for (const { jsonPath } of version.selectableFields) expect(paths).toContain(jsonPath.slice(1));
    });
  },
);

const CONTRACTS = [
  {
    name: 'ConsulIntention',
    columns: ['Ready', 'Reason', 'Destination', 'Sources', 'Drift', 'Age'],
    wide: ['Message', 'Last Applied'],
    cases: [...INTENTION_CASES, ...REGEX_CASES],
  },
  {
    name: 'ConsulKV',
    columns: ['Ready', 'Reason', 'Path', 'Keys', 'Drift', 'Age'],
    wide: ['Message', 'Last Applied'],
    cases: SPEC_CASES,
  },
  {
    name: 'ConsulLeaderLease',
    columns: ['Ready', 'Holder', 'Since', 'Transitions', 'Age'],
    wide: ['Reason', 'Message'],
    cases: LEASE_CASES,
  },
  {
    name: 'ConsulService',
    columns: ['Ready', 'Reason', 'Service', 'Instances', 'Drift', 'Age'],
    wide: ['Message'],
    cases: SERVICE_CASES,
  },
] as const;

test('every kind has a contract', () => {
  expect(CONTRACTS.map(({ name }) => name)).toEqual(KINDS.map(({ kind }) => kind));
});

describe.each(CONTRACTS)('the CRD of $name', ({ name, columns, wide, cases }) => {
  const { crd } = crds.find(({ kind }) => kind.kind === name) ?? {};
  const version = crd?.spec.versions[0];

  test('shows the columns of the contract', () => {
    const shown = version?.additionalPrinterColumns ?? [];
    const names = (priority: number) =>
      shown.filter(column => column.priority === priority).map(({ name }) => name);
    expect(names(0)).toEqual(columns);
    expect(names(1)).toEqual(wide);
  });

  test('has a case for every rule, apart from those on change', () => {
    const all = version === undefined ? [] : [...nodes(version.schema.openAPIV3Schema)];
    const messages = all.flatMap(({ node }) => rulesOf(node)).filter(({ rule }) => !rule.includes('oldSelf'));
    expect(messages.length).toBeGreaterThan(5);
    const unproven = messages.filter(({ message }) => !cases.some(one => one.message === message));
    expect(unproven).toEqual([]);
  });
});
