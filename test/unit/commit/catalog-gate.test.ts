/** Nothing that takes down a node gets past the choke point, whatever a caller makes of the types. */
import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { describe, expect, test } from 'vitest';
import { virtualNodeOf, virtualNodes } from '../../../src/commit/catalog-nodes.ts';
import { GroupCommit } from '../../../src/commit/group-commit.ts';
import { type CatalogWrite, placeOf, type WriteUnit } from '../../../src/commit/operations.ts';
import { WriteGate } from '../../../src/commit/write-gate.ts';
import type { TxnOutcome, WrittenRow } from '../../../src/consul/txn.ts';
import { parseCheckId, parseNodeName, parseServiceId } from '../../../src/consul/service-ids.ts';
import { type ModifyIndex, NOT_THERE } from '../../../src/consul/types.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { aCheck, aService } from '../../support/services.ts';
import { aTenure } from './tenures.ts';

const INSTALL = 'install-a';
const NODE = virtualNodeOf(INSTALL, 'web-1');
const AT = 7 as ModifyIndex;
const WEB = aService('web-1');

/** Notes what is sent and answers as Consul does when all holds. */
function aGate({ dryRun = false, units = 1 } = {}) {
  const sent: string[] = [];
  const submit = (fragments: readonly string[]): Promise<TxnOutcome> => {
    sent.push(...fragments);
    return Promise.resolve({ applied: true, entries: [], rows: rowsOf(fragments), index: 9 });
  };
  const commits = new GroupCommit({
    txn: { submit },
    clock: new FakeClock(),
    othersRunnable: waitingHere => waitingHere < units,
    context: () => ROOT_CONTEXT,
    inSpan: (_turns, _operations, run) => run(),
  });
  const tenure = aTenure();
  return { sent, gate: new WriteGate({ installId: INSTALL, dryRun, commits, tenure: () => tenure }) };
}

function rowsOf(fragments: readonly string[]): WrittenRow[] {
  return fragments.flatMap((text, position): WrittenRow[] => {
    const { Node, Service, Check } = JSON.parse(text) as Record<
      string,
      Record<string, Record<string, string>>
    >;
    const modifyIndex = (100 + position) as ModifyIndex;
    if (Node) return [{ table: 'node', node: Node['Node']?.['Node'] ?? '', id: '', modifyIndex }];
    if (Service) return [{ table: 'service', node: '', id: Service['Service']?.['ID'] ?? '', modifyIndex }];
    if (!Check) return [];
    const { Node: node = '', CheckID: id = '' } = Check['Check'] ?? {};
    return [{ table: 'check', node, id, modifyIndex }];
  });
}

const unit = (...operations: readonly CatalogWrite[]): WriteUnit => ({
  owner: { kind: 'ConsulService', namespace: 'shop', name: 'web' },
  operations,
});
const realm = 'catalog';
const put = (node = NODE, service = WEB): CatalogWrite => ({
  realm,
  verb: 'service-cas',
  node,
  service,
  index: NOT_THERE,
});
const check = (index = NOT_THERE, node = NODE): CatalogWrite => ({
  realm,
  verb: 'check-cas',
  node,
  check: aCheck(WEB),
  result: { status: 'critical', output: '' },
  index,
});
const removal = (fields: object = {}): CatalogWrite =>
  ({
    realm,
    verb: 'service-delete-cas',
    node: NODE,
    id: WEB.id,
    name: 'web',
    index: AT,
    ...fields,
  }) as CatalogWrite;
const checkRemoval = (fields: object = {}): CatalogWrite =>
  ({
    realm,
    verb: 'check-delete-cas',
    node: NODE,
    id: 'c',
    serviceId: WEB.id,
    serviceName: 'web',
    index: AT,
    ...fields,
  }) as CatalogWrite;

const NO_IDS = ['', ' ', undefined, null, '/', 'a/b', 'UPPER', {}, [], 0, 'x'.repeat(300)];

describe('deleting a whole node', () => {
  test.each(NO_IDS)('is not sent for a service, check or node called %j', async id => {
    for (const bad of [
      removal({ id }),
      removal({ node: id }),
      checkRemoval({ id }),
      checkRemoval({ serviceId: id }),
      checkRemoval({ node: id }),
    ]) {
      const { gate, sent } = aGate();
      await expect(gate.commit(unit(put(), bad))).rejects.toThrow();
      expect(sent).toEqual([]);
    }
  });

  test.each(['node-delete', 'delete', 'delete-cas', 'deregister', 'node-delete-cas', '', undefined])(
    'has no verb: %j',
    async verb => {
      const { gate, sent } = aGate();
      await expect(gate.commit(unit(removal({ verb })))).rejects.toThrow();
      expect(sent).toEqual([]);
    },
  );

  test('is in nothing that is sent, whatever a caller hands in', async () => {
    const anything = fc.oneof(
      fc.constantFrom(...NO_IDS, WEB.id, NODE, AT, 'node-delete', 'delete'),
      fc.anything(),
    );
    const verbs = [
      'service-cas',
      'service-get',
      'service-delete-cas',
      'check-cas',
      'check-delete-cas',
      'node-create',
    ];
    const mostly = (...good: readonly unknown[]) =>
      fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: anything });
    const aNode = { node: NODE, address: '', meta: new Map() };
    const operations = fc.oneof(
      ...verbs.map(verb =>
        fc.record({
          realm: fc.constant('catalog'),
          verb: mostly(verb),
          node: mostly(verb === 'node-create' ? aNode : NODE),
          id: mostly(WEB.id, ''),
          name: fc.constantFrom('web', ''),
          service: mostly(WEB),
          check: mostly(aCheck(WEB)),
          result: fc.constant({ status: 'critical', output: '' }),
          serviceId: mostly(WEB.id),
          serviceName: fc.constant('web'),
          index: mostly(AT, NOT_THERE),
        }),
      ),
    );
    let passed = 0;
    await fc.assert(
      fc.asyncProperty(operations, async operation => {
        const { gate, sent } = aGate();
        await gate.commit(unit(operation as never)).then(
          () => passed++,
          () => {},
        );
        for (const fragment of sent) expectHarmless(fragment);
      }),
      { numRuns: 500, seed: 1 },
    );
    expect(passed).toBeGreaterThan(100);
  });

  test('is in no request of the client: nothing in it deregisters in the catalog', () => {
    const folder = new URL('../../../src/', import.meta.url);
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(path =>
      path.endsWith('.ts'),
    );
    const naming = sources.filter(path =>
      /\/v1\/catalog\/deregister'/.test(readFileSync(new URL(path, folder), 'utf8')),
    );
    expect(naming).toEqual([]);
    const deleting = sources.filter(path =>
      readFileSync(new URL(path, folder), 'utf8').includes('encodeNodeDeletion('),
    );
    expect(deleting.sort()).toEqual(['commit/empty-nodes.ts', 'consul/txn-node.ts']);
  });
});

function expectHarmless(fragment: string): void {
  const operation = JSON.parse(fragment) as Record<
    string,
    { Verb: string } & Record<string, Record<string, unknown>>
  >;
  if ('KV' in operation) return;
  expect(operation['Node']?.Verb ?? 'cas').toBe('cas');
  if (operation['Service']) expect(operation['Service']['Service']?.['ID']).toMatch(/\w/);
  if (operation['Check']) expect(operation['Check']['Check']?.['CheckID']).toMatch(/\w/);
}

describe('nodes', () => {
  test.each([
    'proconsul-install-b-services-0',
    'proconsul-install-a',
    'proconsul-install-a-leases',
    'proconsul-install-a-services-2',
  ])('%s is not written', async name => {
    const { gate, sent } = aGate();
    await expect(gate.commit(unit(put(parseNodeName(name))))).rejects.toMatchObject({
      code: 'NODE_NOT_OURS',
      reason: 'InvalidSpec',
    });
    expect(sent).toEqual([]);
  });

  test.each([...virtualNodes(INSTALL), parseNodeName('vm-1')])('%s is', async name => {
    expect(await aGate().gate.commit(unit(put(name)))).toMatchObject({ kind: 'applied' });
  });

  test.each(['external-node', 'external-probe'])('are not made with the meta %s', async key => {
    const { gate, sent } = aGate();
    const node = { node: NODE, address: '127.0.0.1', meta: new Map([[key, 'true']]) };
    await expect(gate.commit(unit({ realm, verb: 'node-create', node }))).rejects.toMatchObject({
      code: 'NODE_NOT_OURS',
    });
    expect(sent).toEqual([]);
  });

  test('get about the same number of instances each, and an instance always the same', () => {
    const counts = new Map<string, number>();
    for (let number = 0; number < 1000; number++) {
      const node = virtualNodeOf(INSTALL, `web-${number}`);
      expect(virtualNodeOf(INSTALL, `web-${number}`)).toBe(node);
      counts.set(node, (counts.get(node) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(virtualNodes(INSTALL));
    for (const count of counts.values()) expect(count).toBeGreaterThan(400);
  });

  test('that several units make at once are made once', async () => {
    const { gate, sent } = aGate({ units: 2 });
    const make: CatalogWrite = {
      realm,
      verb: 'node-create',
      node: { node: NODE, address: '127.0.0.1', meta: new Map() },
    };
    const other = aService('web-2');
    const outcomes = await Promise.all([
      gate.commit(unit(make, put())),
      gate.commit(unit(make, put(NODE, other))),
    ]);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied']);
    expect(sent.map(text => /^\{"(\w+)"/.exec(text)?.[1])).toEqual(['KV', 'Node', 'Service', 'Service']);
  });
});

describe('checks', () => {
  test('are not made without their service in front of them', async () => {
    for (const bad of [
      unit(check()),
      unit(check(), put()),
      unit(put(), removal(), check()),
      unit(put(parseNodeName('vm-1')), check()),
    ]) {
      const { gate, sent } = aGate();
      await expect(gate.commit(bad)).rejects.toThrow(TypeError);
      expect(sent).toEqual([]);
    }
  });

  test('are made behind it, and changed alone', async () => {
    const asked: CatalogWrite = { realm, verb: 'service-get', node: NODE, id: WEB.id, name: 'web' };
    for (const good of [unit(put(), check()), unit(asked, check()), unit(check(AT))])
      expect(await aGate().gate.commit(good)).toMatchObject({ kind: 'applied' });
  });

  test('are not called as those by which Consul knows its agents', async () => {
    const { gate, sent } = aGate();
    const reserved = {
      ...check(AT),
      check: { ...aCheck(WEB), id: parseCheckId('serfhealth') },
    } as CatalogWrite;
    await expect(gate.commit(unit(reserved))).rejects.toMatchObject({ code: 'NODE_NOT_OURS' });
    expect(sent).toEqual([]);
  });
});

test('what was written is told by place, an id that is on two nodes by its node', async () => {
  const [first, second] = virtualNodes(INSTALL) as [typeof NODE, typeof NODE];
  const operations = [put(first), check(NOT_THERE, first), put(second)];
  const outcome = await aGate().gate.commit(unit(...operations));
  expect(outcome).toEqual({
    kind: 'applied',
    indexes: new Map(operations.map((operation, position) => [placeOf(operation), 101 + position])),
  });
});

test('a dry run names what it would write and sends nothing', async () => {
  const { gate, sent } = aGate({ dryRun: true });
  await expect(gate.commit(unit(put(), check()))).rejects.toMatchObject({
    code: 'DRY_RUN',
    message: `dry run: would register ${placeOf(put())}; set ${placeOf(check())}`,
  });
  expect(sent).toEqual([]);
});

test('ids are parsed before they are typed', () => {
  for (const bad of NO_IDS) {
    expect(() => parseServiceId(bad)).toThrow(TypeError);
    expect(() => parseNodeName(bad)).toThrow(TypeError);
    expect(() => parseCheckId(bad)).toThrow(TypeError);
  }
});
