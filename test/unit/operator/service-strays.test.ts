import { describe, expect, test } from 'vitest';
import { virtualNodes } from '../../../src/commit/catalog-nodes.ts';
import type { WriteUnit } from '../../../src/commit/operations.ts';
import type { ServiceRow } from '../../../src/consul/nodes.ts';
import type { NodeName } from '../../../src/consul/service-ids.ts';
import type { ModifyIndex } from '../../../src/consul/types.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { ServiceStrays } from '../../../src/operator/service-strays.ts';
import { Ledger } from '../../../src/ownership/ledger.ts';
import { aRecord, anInstance, INSTALL } from '../reconcilers/service/plan-builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const [NODE] = virtualNodes(INSTALL) as [NodeName, ...NodeName[]];
const LISTED = anInstance({ id: 'listed', node: NODE });
const LATE = anInstance({ id: 'late', node: NODE, native: true });

const rowOf = (
  { service }: typeof LATE,
  fields: Partial<ServiceRow['service']> = {},
  kind = '',
): ServiceRow => ({
  service: { ...service, ...fields },
  kind,
  modifyIndex: 7 as ModifyIndex,
});
const marked = (mark: string) => rowOf(LATE, { meta: new Map([['proconsul-owner', mark]]) });

interface Scene {
  readonly rows?: readonly ServiceRow[];
  readonly record?: Parameters<typeof aRecord>[0] | undefined;
  readonly head?: Parameters<typeof aRecord>[1];
  readonly gone?: readonly string[];
  readonly agent?: boolean;
  readonly made?: readonly string[];
}

/** What is removed from a Consul in which these stand on the first virtual node. */
async function removed(scene: Scene): Promise<string[]> {
  const { rows = [rowOf(LISTED), rowOf(LATE)], head, gone = [], agent = false, made = [] } = scene;
  const record = 'record' in scene ? scene.record : { [LISTED.name]: LISTED.fingerprint };
  const ledger = new Ledger();
  ledger.replaceOwn(record === undefined ? [] : [aRecord(record, head)], ledger.beginRead());
  const done: string[] = [];
  const node = {
    node: NODE,
    address: '',
    meta: new Map(),
    id: agent ? 'x' : '',
    modifyIndex: 1 as ModifyIndex,
  };
  const answer = <T>(value: T) => Promise.resolve({ value, index: 9, filteredByAcl: false });
  const nodes = {
    withMeta: () => answer(made),
    services: (name: string) =>
      answer(name === NODE ? { node, services: rows } : { node: undefined, services: [] }),
    checks: () => answer([]),
  };
  const gate = {
    isDryRun: false,
    commit: ({ owner, operations }: WriteUnit) => {
      for (const operation of operations) {
        if (operation.verb !== 'service-delete-cas' || operation.realm !== 'catalog')
          throw new Error('no deletion');
        done.push(`${owner.namespace}/${owner.name}: ${operation.id} at ${operation.index}`);
      }
      return Promise.resolve({ kind: 'applied' as const, indexes: new Map() });
    },
  };
  const strays = new ServiceStrays({
    consul: { nodes: nodes as never },
    gate,
    installId: INSTALL,
    ledger,
    serviceMirror: { seen: () => undefined, doubt: () => {} },
    knowledge: { complete: Promise.resolve() },
    isGone: ({ name }: ResourceRef) => gone.includes(name),
    clock: new FakeClock(),
    random: () => 0.5,
    logger: SILENT,
    signal: new AbortController().signal,
  });
  await strays.begin();
  return done;
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never;
const LATE_GOES = ['shop/orders: late at 7'];

describe('a service with our mark', () => {
  test.each<[what: string, scene: Scene, removed: readonly string[]]>([
    ['that the record does not list goes', {}, LATE_GOES],
    [
      'goes with a resource that there is not',
      { record: undefined, gone: ['orders'], rows: [rowOf(LATE)] },
      LATE_GOES,
    ],
    ['stays while the resource has no record yet', { record: undefined }, []],
    ['stays while the resource is being written', { head: { phase: 'claiming' } }, []],
    ['stays where it is listed', { record: { [LISTED.name]: 'f', [LATE.name]: '~' } }, []],
    ['stays as that of another install', { rows: [marked('install-b/shop/orders')] }, []],
    ['stays where the mark is none', { rows: [marked(INSTALL), marked(`${INSTALL}/shop/orders/x`)] }, []],
    ['stays without a mark', { rows: [rowOf(LATE, { meta: new Map() })] }, []],
    ['stays in capitals, which we do not write', { rows: [rowOf(LATE, { id: 'Late' as never })] }, []],
    ['stays as what we register nothing of', { rows: [rowOf(LATE, {}, 'mesh-gateway')] }, []],
    ['stays beside an agent', { agent: true }, []],
    ['does not keep others from it: a node in capitals', { made: ['VM-1'] }, LATE_GOES],
  ])('%s', async (_what, scene, wanted) => {
    expect(await removed(scene)).toEqual(wanted);
  });

  test('stays where there are too many like it', async () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, number) => rowOf(anInstance({ id: `late-${number}`, node: NODE })));
    expect(await removed({ rows: many(21) })).toEqual([]);
    expect(await removed({ rows: many(20) })).toHaveLength(20);
  });
});
