/** What `/v1/txn` does with nodes, services and checks: on this the operations of `txn-catalog.ts` stand. */
import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, inject, test } from 'vitest';
import { classifyTxnError } from '../../src/consul/errors.ts';
import type { CheckStatus } from '../../src/consul/registration.ts';
import { parseNodeName, type NodeName } from '../../src/consul/service-ids.ts';
import { encodeOperation, type TxnOperation } from '../../src/consul/txn.ts';
import { encodeNodeDeletion } from '../../src/consul/txn-node.ts';
import { type ModifyIndex, NOT_THERE, parseSessionId } from '../../src/consul/types.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { aCheck, aService } from '../support/services.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
const api = new ConsulApi({ address: consulAddress });
afterAll(() => consul.close());

const fresh = { signal, consistency: 'consistent' } as const;
const aName = (): NodeName => parseNodeName(`txn-${randomUUID()}`);
const submit = (...operations: TxnOperation[]) =>
  consul.txn.submit(operations.map(encodeOperation), { signal });
const refusals = (outcome: Awaited<ReturnType<typeof submit>>) =>
  outcome.applied
    ? 'applied'
    : outcome.errors.map(error => [error.opIndex, error.what, classifyTxnError(error)]);

const nodeOf = (node: NodeName): TxnOperation => ({
  verb: 'node-create',
  node: { node, address: '192.0.2.9', meta: new Map([['a', 'b']]) },
});
const put = (node: NodeName, service = aService('web-1'), index = NOT_THERE): TxnOperation => ({
  verb: 'service-cas',
  node,
  service,
  index,
});
const check = (
  node: NodeName,
  service = aService('web-1'),
  {
    status = 'critical',
    output = '',
    index = NOT_THERE,
  }: { status?: CheckStatus; output?: string; index?: ModifyIndex } = {},
): TxnOperation => ({ verb: 'check-cas', node, check: aCheck(service), result: { status, output }, index });
const remove = (node: NodeName, index: ModifyIndex, id = 'web-1'): TxnOperation => ({
  verb: 'service-delete-cas',
  node,
  id: aService(id).id,
  name: 'web',
  index,
});
const removeCheck = (node: NodeName, index: ModifyIndex): TxnOperation => ({
  verb: 'check-delete-cas',
  node,
  id: aCheck(aService('web-1')).id,
  serviceId: aService('web-1').id,
  serviceName: 'web',
  index,
});

async function aNode(...operations: TxnOperation[]): Promise<NodeName> {
  const node = aName();
  expect(await submit(nodeOf(node), ...operations)).toMatchObject({ applied: true });
  return node;
}
async function aNodeWithService(): Promise<{ readonly node: NodeName; readonly index: ModifyIndex }> {
  const node = await aNode();
  const outcome = await submit(put(node), check(node));
  if (!outcome.applied) throw new Error('not registered');
  return { node, index: outcome.index as ModifyIndex };
}
const servicesOn = async (node: NodeName) => (await consul.nodes.services(node, fresh)).value;
const checksOn = async (node: NodeName) => (await consul.nodes.checks(node, fresh)).value;

describe('one transaction', () => {
  test('makes node, service and check, all at one index', async () => {
    const node = aName();
    const outcome = await submit(nodeOf(node), put(node), check(node));
    const modifyIndex = outcome.applied && outcome.index;
    expect(outcome).toMatchObject({
      rows: [
        { table: 'node', id: node, modifyIndex },
        { table: 'service', id: 'web-1', modifyIndex },
        { table: 'check', node, id: 'service:web-1:http', modifyIndex },
      ],
    });
    expect(await servicesOn(node)).toMatchObject({
      node: { node, address: '192.0.2.9', meta: new Map([['a', 'b']]), id: '', modifyIndex },
      services: [{ service: aService('web-1'), modifyIndex }],
    });
    expect(await checksOn(node)).toMatchObject([{ check: aCheck(aService('web-1')), status: 'critical' }]);
  });

  test('behind a lost fence writes nothing, and says that the fence is lost', async () => {
    const node = await aNode();
    const session = parseSessionId(randomUUID());
    const outcome = await submit({ verb: 'check-session', key: `no/${node}`, session }, put(node));
    expect(refusals(outcome)).toMatchObject([[0, expect.any(String), 'lost-fence']]);
    expect((await servicesOn(node)).services).toEqual([]);
  });

  test('moves neither the node with a service nor a service with its check', async () => {
    const { node, index } = await aNodeWithService();
    const before = await servicesOn(node);
    const [{ modifyIndex } = { modifyIndex: NOT_THERE }] = await checksOn(node);
    await submit(check(node, aService('web-1'), { status: 'passing', index: modifyIndex }));
    const after = await servicesOn(node);
    expect(after).toEqual(before);
    expect(after.services[0]?.modifyIndex).toBe(index);
    expect(after.node?.modifyIndex).toBeLessThan(index);
  });

  test('with equal content moves no index', async () => {
    const { node, index } = await aNodeWithService();
    const again = await submit(
      put(node, aService('web-1'), index),
      check(node, aService('web-1'), { index }),
    );
    expect(again).toMatchObject({ rows: [{ modifyIndex: index }, { modifyIndex: index }] });
  });
});

describe('a precondition that does not hold', () => {
  test('is told of each operation, and nothing is written', async () => {
    const { node } = await aNodeWithService();
    const stale = 1 as ModifyIndex;
    const moved = aService('web-1', { port: 81 });
    expect(
      refusals(
        await submit(
          nodeOf(node),
          put(node, moved),
          put(node, moved, stale),
          check(node),
          check(node, moved, { index: stale }),
          remove(node, stale),
          removeCheck(node, stale),
          { verb: 'service-get', node, id: aService('absent').id, name: 'web' },
        ),
      ),
    ).toEqual([
      [0, `failed to set node "${node}", index is stale`, 'precondition'],
      [1, `failed to set service "web-1" on node "${node}", index is stale`, 'precondition'],
      [2, `failed to set service "web-1" on node "${node}", index is stale`, 'precondition'],
      [3, `failed to set check "service:web-1:http" on node "${node}", index is stale`, 'precondition'],
      [4, `failed to set check "service:web-1:http" on node "${node}", index is stale`, 'precondition'],
      [5, `failed to delete service "web-1" on node "${node}", index is stale`, 'precondition'],
      [6, `failed to delete check "service:web-1:http" on node "${node}", index is stale`, 'precondition'],
      [7, `service "absent" on node "${node}" doesn't exist`, 'precondition'],
    ]);
    expect((await servicesOn(node)).services).toMatchObject([{ service: { port: 80 } }]);
  });

  test('is that what is deleted is there, unlike a key', async () => {
    const node = await aNode();
    const any = 5 as ModifyIndex;
    expect(refusals(await submit(remove(node, any), removeCheck(node, any)))).toEqual([
      [0, `failed to delete service "web-1" on node "${node}", index is stale`, 'precondition'],
      [1, `failed to delete check "service:web-1:http" on node "${node}", index is stale`, 'precondition'],
    ]);
  });

  test('is that the node of a service is there', async () => {
    expect(refusals(await submit(put(aName())))).toEqual([[0, 'Missing node registration', 'precondition']]);
  });
});

test('a new check without its service is dropped, and the transaction is said to be applied', async () => {
  const node = await aNode();
  expect(await submit(check(node))).toMatchObject({ applied: true, rows: [] });
  expect(await submit(check(node), put(node))).toMatchObject({ applied: true, rows: [{ table: 'service' }] });
  expect(await checksOn(node)).toEqual([]);
});

test('a service takes its checks along', async () => {
  const { node, index } = await aNodeWithService();
  expect(await submit(remove(node, index))).toMatchObject({ applied: true, rows: [] });
  expect((await servicesOn(node)).services).toEqual([]);
  expect(await checksOn(node)).toEqual([]);
});

test('ids in upper and lower case are one, and the last one written stands', async () => {
  const { node, index } = await aNodeWithService();
  const upper = { ...aService('web-1'), id: 'WEB-1' as never };
  await api.put('/v1/txn', [
    { Service: { Verb: 'cas', Node: node, Service: { ID: upper.id, Service: 'web', ModifyIndex: index } } },
  ]);
  expect((await servicesOn(node)).services.map(({ service }) => service.id)).toEqual(['WEB-1']);
});

test('what the mesh needs is dropped without a word, so it is not encoded', async () => {
  const node = await aNode();
  const native = aService('nat', { connect: { kind: 'native' } });
  expect(() => encodeOperation(put(node, native))).toThrow(TypeError);
  const Service = { ID: 'nat', Service: 'nat', Port: 1, Connect: { Native: true } };
  await api.put('/v1/txn', [{ Service: { Verb: 'cas', Node: node, Service } }]);
  expect((await servicesOn(node)).services[0]?.service.connect).toBeUndefined();
});

test.each([
  ['reserved meta', { meta: new Map([['consul-x', '1']]) }, /^Invalid Service Meta/],
  ['address that is everywhere', { address: '0.0.0.0' }, /^Invalid service address$/],
])('a %s is refused for what it is', async (_, fields, what) => {
  const node = await aNode();
  expect(refusals(await submit(put(node, aService('web-1', fields))))).toEqual([
    [0, expect.stringMatching(what), 'other'],
  ]);
});

test('a node is deleted with all that stands on it, which did not move its index', async () => {
  const { node } = await aNodeWithService();
  const before = await servicesOn(node);
  const index = before.node?.modifyIndex as ModifyIndex;
  expect(await consul.txn.submit([encodeNodeDeletion(node, 1 as ModifyIndex)], { signal })).toMatchObject({
    applied: false,
    errors: [{ what: `failed to delete node "${node}", index is stale` }],
  });
  expect(await consul.txn.submit([encodeNodeDeletion(node, index)], { signal })).toMatchObject({
    applied: true,
  });
  expect(await servicesOn(node)).toEqual({ node: undefined, services: [] });
});
