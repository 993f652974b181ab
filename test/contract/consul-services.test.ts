import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { EmptyNodes } from '../../src/commit/empty-nodes.ts';
import { MADE_BY, virtualNodes } from '../../src/commit/catalog-nodes.ts';
import { ServiceRegistrations } from '../../src/commit/service-registrations.ts';
import type { Tenure } from '../../src/commit/tenure.ts';
import type { ConsulClient } from '../../src/consul/client.ts';
import { classifyTxnError } from '../../src/consul/errors.ts';
import { sameCheck, sameService, type ServiceRegistration } from '../../src/consul/registration.ts';
import { type NodeName, parseNodeName, servicePlace } from '../../src/consul/service-ids.ts';
import { encodeOperation, type TxnOperation } from '../../src/consul/txn.ts';
import type { CatalogOperation } from '../../src/consul/txn-catalog.ts';
import { type ModifyIndex, NOT_THERE, parseSessionId } from '../../src/consul/types.ts';
import type { ResourceRef } from '../../src/core/resource.ts';
import { ServiceMirror } from '../../src/mirror/service-mirror.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { services } from '../support/any-service.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { aCheck, aService } from '../support/services.ts';
import { aTenure } from '../unit/commit/tenures.ts';

const { consulAddress } = inject('sandbox');
const consul = aConsulClient([consulAddress]);
const api = new ConsulApi({ address: consulAddress });
afterAll(() => consul.close());

const OWNER = { kind: 'ConsulService', namespace: 'shop', name: 'web' };
const fresh = { signal, consistency: 'consistent' } as const;
const aName = (): NodeName => parseNodeName(`vm-${randomUUID()}`);
const submit = async (...operations: TxnOperation[]) => {
  const outcome = await consul.txn.submit(operations.map(encodeOperation), { signal });
  if (!outcome.applied) throw new Error(JSON.stringify(outcome.errors));
  return outcome;
};
const create = (node: NodeName, meta = new Map<string, string>()): CatalogOperation => ({
  verb: 'node-create',
  node: { node, address: '192.0.2.9', meta },
});
const put = (node: NodeName, service: ServiceRegistration, index = NOT_THERE): CatalogOperation => ({
  verb: 'service-cas',
  node,
  service,
  index,
});

describe('a node', () => {
  test('that is not there has nothing', async () => {
    const name = aName();
    expect((await consul.nodes.services(name, fresh)).value).toEqual({ node: undefined, services: [] });
    expect((await consul.nodes.checks(name, fresh)).value).toEqual([]);
    expect((await consul.nodes.exists(name, fresh)).value).toBe(false);
  });

  test('tells the indexes of its services and checks without them', async () => {
    const node = aName();
    const service = aService('web-1');
    await submit(create(node), put(node, service));
    const { index } = await consul.nodes.services(node, fresh);
    expect(await consul.nodes.exists(node, fresh)).toMatchObject({ value: true, index });
    const before = await consul.nodes.checksIndex(node, fresh);
    const result = { status: 'passing', output: 'it is well' } as const;
    await submit({ verb: 'check-cas', node, check: aCheck(service), result, index: NOT_THERE });
    expect(await consul.nodes.exists(node, fresh)).toMatchObject({ value: true, index });
    expect(await consul.nodes.checksIndex(node, fresh)).toBeGreaterThan(before);
  });

  test('keeps its index of services whatever happens elsewhere, and moves it with each deletion', async () => {
    const [node, other] = [aName(), aName()];
    const { index } = await submit(create(node), put(node, aService('web-1')));
    await submit(create(other), put(other, aService('web-1')));
    expect(await consul.nodes.exists(node, fresh)).toMatchObject({ value: true, index });
    await submit({
      verb: 'service-delete-cas',
      node,
      id: aService('web-1').id,
      name: 'web',
      index: index as ModifyIndex,
    });
    expect((await consul.nodes.exists(node, fresh)).index).toBeGreaterThan(index);
  });

  test('reads an agent of its own as one', async () => {
    const { nodeName } = await consul.agent.self({ signal });
    const { value } = await consul.nodes.services(nodeName, fresh);
    expect(value.node?.id).not.toBe('');
    expect((await consul.nodes.checks(nodeName, fresh)).value.map(({ id }) => id)).toContain('serfHealth');
  });
});

test('the indexes of the whole catalog move with any service and any check, and with nothing else', async () => {
  const node = aName();
  const service = aService('web-1');
  await submit(create(node));
  const before = await consul.nodes.catalogIndexes(fresh);
  await api.kvPut(`catalog/${randomUUID()}`, 'x');
  expect(await consul.nodes.catalogIndexes(fresh)).toEqual(before);
  await submit(put(node, service));
  const after = await consul.nodes.catalogIndexes(fresh);
  expect(after.services).toBeGreaterThan(before.services);
  expect(after.checks).toBe(before.checks);
  const result = { status: 'passing', output: '' } as const;
  await submit({ verb: 'check-cas', node, check: aCheck(service), result, index: NOT_THERE });
  expect((await consul.nodes.catalogIndexes(fresh)).checks).toBeGreaterThan(after.checks);
});

describe('what is stored equals what was declared', () => {
  test('for any service, by transaction or by registration', async () => {
    const node = aName();
    await submit(create(node));
    const property = fc.asyncProperty(services, async service => {
      const [found] = (await consul.nodes.services(node, { ...fresh, serviceId: service.id })).value.services;
      if (service.connect === undefined) await submit(put(node, service, found?.modifyIndex ?? NOT_THERE));
      else {
        const { node: row } = (await consul.nodes.services(node, fresh)).value;
        await consul.services.register(row as NonNullable<typeof row>, service, { signal });
      }
      const [row] = (await consul.nodes.services(node, { ...fresh, serviceId: service.id })).value.services;
      expect(row?.service).toEqual(service);
      expect(row && sameService(row.service, service)).toBe(true);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test('for a check with all that it can have', async () => {
    const node = aName();
    const service = aService('web-1');
    const definition = {
      http: 'https://192.0.2.1/health',
      method: 'POST',
      tcp: '192.0.2.1:80',
      grpc: '192.0.2.1:81/web',
      grpcUseTls: true,
      tlsServerName: 'web.example',
      tlsSkipVerify: true,
      intervalMs: 90_500,
      timeoutMs: 5,
      deregisterAfterMs: 5_400_000,
    };
    const check = { ...aCheck(service), notes: 'run by the operator', definition };
    const result = { status: 'warning', output: 'two\nlines' } as const;
    await submit(create(node), put(node, service), {
      verb: 'check-cas',
      node,
      check,
      result,
      index: NOT_THERE,
    });
    const [row] = (await consul.nodes.checks(node, fresh)).value;
    expect(row).toMatchObject({ check, ...result });
    expect(row && sameCheck(row.check, check)).toBe(true);
  });
});

describe('a service that no transaction carries', () => {
  const PROXY = aService('web-1-sidecar-proxy', {
    name: 'web-sidecar-proxy',
    port: 20_000,
    connect: {
      kind: 'proxy',
      destinationName: 'web',
      destinationId: 'web-1',
      localAddress: '127.0.0.1',
      localPort: 80,
      upstreams: [{ destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' }],
    },
  });
  const registrations = (options: { tenure?: Tenure | undefined; dryRun?: boolean } = {}) => {
    const tenure = 'tenure' in options ? options.tenure : aTenure();
    const { dryRun = false } = options;
    return new ServiceRegistrations({ consul, installId: 'install-a', dryRun, tenure: () => tenure });
  };
  const standing = async (node: NodeName) => (await consul.nodes.services(node, fresh)).value.services;

  test('is registered, read back, and leaves the node as it was', async () => {
    const node = aName();
    await submit(create(node, new Map([['rack', 'r1']])));
    const before = (await consul.nodes.services(node, fresh)).value.node;
    const written = await registrations().register(OWNER, { node, service: PROXY, before: NOT_THERE });
    expect(written).toMatchObject({
      applied: true,
      asSent: true,
      row: { service: PROXY, kind: 'connect-proxy' },
    });
    expect((await consul.nodes.services(node, fresh)).value.node).toEqual(before);
  });

  test('is not registered over what the caller has not seen', async () => {
    const node = aName();
    await submit(create(node), put(node, { ...PROXY, connect: undefined }));
    const written = await registrations().register(OWNER, { node, service: PROXY, before: NOT_THERE });
    expect(written).toMatchObject({
      applied: false,
      asSent: false,
      row: { service: { connect: undefined } },
    });
    const before = written.row?.modifyIndex as ModifyIndex;
    expect(await registrations().register(OWNER, { node, service: PROXY, before })).toMatchObject({
      asSent: true,
    });
  });

  test('is deleted by transaction like any other', async () => {
    const node = aName();
    await submit(create(node));
    const { row } = await registrations().register(OWNER, { node, service: PROXY, before: NOT_THERE });
    const index = row?.modifyIndex as ModifyIndex;
    await submit({ verb: 'service-delete-cas', node, id: PROXY.id, name: PROXY.name, index });
    expect(await standing(node)).toEqual([]);
  });

  test('is refused for what it is', async () => {
    const node = aName();
    await submit(create(node));
    const service = { ...PROXY, port: 0 };
    await expect(registrations().register(OWNER, { node, service, before: NOT_THERE })).rejects.toMatchObject(
      {
        name: 'TerminalError',
        code: 'CONSUL_INVALID',
      },
    );
  });

  test.each<[string, Parameters<typeof registrations>[0], object]>([
    ['by who does not lead', { tenure: undefined }, { name: 'AbortedError' }],
    ['in a dry run', { dryRun: true }, { code: 'DRY_RUN' }],
  ])('is not registered %s', async (_, options, error) => {
    const node = aName();
    await submit(create(node));
    const write = { node, service: PROXY, before: NOT_THERE };
    await expect(registrations(options).register(OWNER, write)).rejects.toMatchObject(error);
    expect(await standing(node)).toEqual([]);
  });

  test('is not registered by one whose lease runs out before it is sent', async () => {
    const node = aName();
    await submit(create(node));
    const tenure = aTenure();
    let looks = 0;
    const late = {
      ...tenure,
      assertHeld: () => (++looks > 3 ? tenure.revoke('late') : undefined, tenure.assertHeld()),
    };
    const write = { node, service: PROXY, before: NOT_THERE };
    await expect(registrations({ tenure: late }).register(OWNER, write)).rejects.toMatchObject({
      name: 'AbortedError',
    });
    expect(await standing(node)).toEqual([]);
  });

  test('is not registered where an agent would take it out, nor on a node of another install', async () => {
    const { nodeName } = await consul.agent.self({ signal });
    const foreign = parseNodeName('proconsul-install-b-services-0');
    for (const node of [parseNodeName(nodeName), foreign]) {
      await expect(
        registrations().register(OWNER, { node, service: PROXY, before: NOT_THERE }),
      ).rejects.toMatchObject({ code: 'NODE_NOT_OURS', reason: 'InvalidSpec' });
    }
  });

  test('waits for its node', async () => {
    await expect(
      registrations().register(OWNER, { node: aName(), service: PROXY, before: NOT_THERE }),
    ).rejects.toMatchObject({ name: 'ConflictError', code: 'CONSUL_NODE_MISSING' });
  });
});

describe('a node that the operator made', () => {
  const ours = new Map([[MADE_BY, 'install-a']]);
  async function emptyNodes() {
    const node = aName();
    await consul.catalog.registerNode({ node, address: '127.0.0.1', meta: {} }, { signal });
    const session = await consul.sessions.create(
      { node, name: 'l', ttlSeconds: 60, lockDelaySeconds: 0 },
      { signal },
    );
    const lockKey = `services/${node}`;
    await consul.kv.acquire({ key: lockKey, session, value: Buffer.alloc(0) }, { signal });
    const tenure = { ...aTenure(), fence: { lockKey, session } };
    return new EmptyNodes({ consul, installId: 'install-a', dryRun: false, tenure: () => tenure });
  }
  const isThere = async (node: NodeName) =>
    (await consul.nodes.services(node, fresh)).value.node !== undefined;

  test('goes when it is empty, and may be gone', async () => {
    const node = aName();
    await submit(create(node, ours));
    const nodes = await emptyNodes();
    expect(await nodes.remove(node)).toBeUndefined();
    expect(await isThere(node)).toBe(false);
    expect(await nodes.remove(node)).toBeUndefined();
  });

  test.each<[string, Map<string, string>, (node: NodeName) => Promise<unknown>, string]>([
    ['a service', ours, node => submit(put(node, aService('web-1'))), 'something stands on it'],
    [
      'a check',
      ours,
      node =>
        api.put('/v1/catalog/register', {
          Node: node,
          Address: '192.0.2.9',
          SkipNodeUpdate: true,
          Check: { CheckID: 'c', Name: 'c' },
        }),
      'something stands on it',
    ],
    ['a session', ours, node => api.createSession({ Node: node, NodeChecks: [] }), 'something stands on it'],
    ['no mark of ours', new Map(), async () => {}, 'it was not made by this install'],
    [
      'the mark of another install',
      new Map([[MADE_BY, 'b']]),
      async () => {},
      'it was not made by this install',
    ],
  ])('stays with %s', async (_, meta, prepare, why) => {
    const node = aName();
    await submit(create(node, meta));
    await prepare(node);
    expect(await (await emptyNodes()).remove(node)).toBe(why);
    expect(await isThere(node)).toBe(true);
  });

  test('stays when the fence is lost, and the tenure ends', async () => {
    const node = aName();
    await submit(create(node, ours));
    const tenure = {
      ...aTenure(),
      fence: { lockKey: 'nobody/holds', session: parseSessionId(randomUUID()) },
    };
    const nodes = new EmptyNodes({ consul, installId: 'install-a', dryRun: false, tenure: () => tenure });
    await expect(nodes.remove(node)).rejects.toMatchObject({ name: 'AbortedError' });
    expect(tenure.revoked).toHaveLength(1);
    expect(await isThere(node)).toBe(true);
  });
});

describe('the mirror', () => {
  function aMirror(options: { readonly client?: ConsulClient } = {}) {
    const installId = `m${randomUUID().slice(0, 8)}`;
    const ending = new AbortController();
    onTestFinished(() => ending.abort());
    const told: ResourceRef[] = [];
    let falls = 0;
    const mirror = new ServiceMirror({
      consul: options.client ?? consul,
      virtualNodes: virtualNodes(installId),
      clock: systemClock,
      random: Math.random,
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } as never,
      signal: ending.signal,
      onIndexFell: async () => void falls++,
    });
    mirror.onChange(refs => told.push(...refs));
    const [node] = virtualNodes(installId) as [NodeName];
    return { mirror, node, told, falls: () => falls };
  }
  const look = { signal, reader: OWNER };
  const id = aService('web-1').id;

  test('sees at once what others do to an instance on a virtual node', async () => {
    const { mirror, node, told } = aMirror();
    mirror.track(OWNER, [{ node, id }]);
    mirror.open();
    expect((await mirror.current(node, look)).node).toBeUndefined();
    const { index } = await submit(create(node), put(node, aService('web-1')));
    await expect.poll(() => mirror.seen(node)?.service('web-1')?.modifyIndex).toBe(index);
    expect(told).toEqual([OWNER]);
    expect(mirror.coverage([{ node, id }])).toBe('Watched');
  });

  test('sees at once that the virtual node is deleted, though the query that this wakes answers what was before', async () => {
    await using proxy = await FaultProxy.start({ upstream: consulAddress });
    const client = aConsulClient([proxy.url]);
    onTestFinished(() => client.close());
    const { mirror, node, told } = aMirror({ client });
    const { index } = await submit(create(node), put(node, aService('web-1')));
    mirror.track(OWNER, [{ node, id }]);
    mirror.open();
    expect((await mirror.current(node, look)).service('web-1')).toBeDefined();
    await proxy.waitFor(({ path, query }) => path.endsWith(node) && query.get('index') === String(index));
    // Another look, so that the query that blocks has been answered once by Consul itself.
    await consul.nodes.services(node, fresh);
    await api.put('/v1/catalog/deregister', { Node: node });
    await expect.poll(() => mirror.seen(node)?.service('web-1'), { timeout: 5_000 }).toBeUndefined();
    expect(mirror.seen(node)).toMatchObject({ node: undefined, isEmpty: true });
    expect(told).toEqual([OWNER]);
  });

  test('tells nobody of what stood there from the beginning', async () => {
    const { mirror, node, told } = aMirror();
    await submit(create(node), put(node, aService('web-1')));
    mirror.track(OWNER, [{ node, id }]);
    mirror.open();
    const view = await mirror.current(node, { signal, reader: { ...OWNER, name: 'other' } });
    expect(view.service('web-1')).toBeDefined();
    expect(told).toEqual([]);
  });

  test('tells nobody of an own write, and is not misled by what it saw before', async () => {
    const { mirror, node, told } = aMirror();
    const operations = [create(node), put(node, aService('web-1'))];
    mirror.track(OWNER, [{ node, id }]);
    mirror.open();
    await mirror.current(node, look);
    mirror.track(OWNER, []);
    const { index } = await submit(...operations);
    mirror.track(OWNER, [{ node, id }]);
    await mirror.current(node, look);
    const modifyIndex = index as ModifyIndex;
    const removal: CatalogOperation = {
      verb: 'service-delete-cas',
      node,
      id,
      name: 'web',
      index: modifyIndex,
    };
    mirror.wrote([removal], new Map());
    expect(mirror.seen(node)?.service('web-1')).toBeUndefined();
    mirror.wrote(
      [put(node, aService('web-1'))],
      new Map([[servicePlace(node, id), (index + 1) as ModifyIndex]]),
    );
    expect(mirror.seen(node)?.service('web-1')?.modifyIndex).toBe(index + 1);
    expect(told).toEqual([]);
  });

  test('sweeps the nodes that users name, and tells of checks that others changed', {
    timeout: 60_000,
  }, async () => {
    const { mirror, node: own, told } = aMirror();
    const node = aName();
    const service = aService('web-1');
    await submit(create(node), put(node, service));
    await submit(create(own), put(own, service));
    const other = { ...OWNER, name: 'other' };
    mirror.track(OWNER, [{ node, id }]);
    mirror.track(other, [{ node: own, id }]);
    mirror.open();
    await mirror.current(node, { signal, reader: OWNER });
    await mirror.current(own, { signal, reader: other });
    const result = { status: 'critical', output: '' } as const;
    const check = { verb: 'check-cas', check: aCheck(service), result, index: NOT_THERE } as const;
    await submit({ ...check, node }, { ...check, node: own });
    await expect
      .poll(() => told.map(({ name }) => name).sort(), { timeout: 25_000 })
      .toEqual(['other', 'web']);
    expect(mirror.seen(node)?.checksOf('web-1')).toHaveLength(1);
    expect(mirror.coverage([{ node, id }])).toBe('Swept');
  });
});

test('after a restore the mirror knows nothing of before, and everybody is told', async () => {
  const sandbox = await startConsulSandbox();
  onTestFinished(() => sandbox.close());
  await using client = aConsulClient([sandbox.address]);
  const installId = 'restored';
  const [node] = virtualNodes(installId) as [NodeName];
  const ending = new AbortController();
  onTestFinished(() => ending.abort());
  const send = (...operations: CatalogOperation[]) =>
    client.txn.submit(operations.map(encodeOperation), { signal });
  await send(create(node), put(node, aService('web-1')));
  const snapshot = await (await fetch(`${sandbox.address}/v1/snapshot`)).arrayBuffer();
  let falls = 0;
  const told: ResourceRef[] = [];
  const mirror = new ServiceMirror({
    consul: client,
    virtualNodes: virtualNodes(installId),
    clock: systemClock,
    random: Math.random,
    logger: { debug: () => {} } as never,
    signal: ending.signal,
    onIndexFell: async () => void falls++,
  });
  mirror.onChange(refs => told.push(...refs));
  mirror.track(OWNER, [{ node, id: aService('web-2').id }]);
  mirror.open();
  await send(put(node, aService('web-2')));
  await mirror.current(node, { signal, reader: OWNER });
  expect(mirror.seen(node)?.service('web-2')).toBeDefined();
  expect((await fetch(`${sandbox.address}/v1/snapshot`, { method: 'PUT', body: snapshot })).status).toBe(200);
  await expect.poll(() => falls, { timeout: 25_000 }).toBeGreaterThan(0);
  expect(told).toContainEqual(OWNER);
  expect((await mirror.current(node, { signal, reader: OWNER })).service('web-2')).toBeUndefined();
});

describe('under ACLs', () => {
  let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
  let admin: ConsulClient;
  let limited: ConsulClient;
  const node = aName();

  beforeAll(async () => {
    sandbox = await startConsulSandbox({ acl: true });
    const { address, managementToken: token = '' } = sandbox;
    admin = aConsulClient([address], { token });
    const manage = new ConsulApi({ address, token });
    const Rules = 'service "web" { policy = "write" } node_prefix "vm-" { policy = "read" }';
    await manage.put('/v1/acl/policy', { Name: 'web', Rules });
    const { SecretID } = (await manage.put('/v1/acl/token', { Policies: [{ Name: 'web' }] })) as {
      SecretID: string;
    };
    limited = aConsulClient([address], { token: SecretID });
    const operations = [
      create(node),
      put(node, aService('web-1')),
      put(node, aService('foreign-1', { name: 'foreign' })),
    ];
    await admin.txn.submit(operations.map(encodeOperation), { signal });
  });
  afterAll(async () => {
    await Promise.all([admin.close(), limited.close()]);
    await sandbox.close();
  });

  test('what the token may not see is missing, and the answer says so', async () => {
    const answer = await limited.nodes.services(node, fresh);
    expect(answer.filteredByAcl).toBe(true);
    expect(answer.value.services.map(({ service }) => service.id)).toEqual(['web-1']);
  });

  test('what it may not write is denied operation by operation', async () => {
    const foreign = aService('foreign-2', { name: 'foreign' });
    const fragments = [put(node, aService('web-2')), put(node, foreign), create(aName())].map(
      encodeOperation,
    );
    const outcome = await limited.txn.submit(fragments, { signal });
    expect(!outcome.applied && outcome.errors.map(error => [error.opIndex, classifyTxnError(error)])).toEqual(
      [
        [1, 'denied'],
        [2, 'denied'],
      ],
    );
  });

  test('a check is judged by the service name that the operation carries', async () => {
    const check = { verb: 'check-cas', node, check: aCheck(aService('web-1')), index: NOT_THERE } as const;
    const operation = encodeOperation({ ...check, result: { status: 'critical', output: '' } });
    const nameless = operation.replace('"ServiceName":"web"', '"ServiceName":""');
    expect(await limited.txn.submit([nameless], { signal })).toMatchObject({ applied: false });
    expect(await limited.txn.submit([operation], { signal })).toMatchObject({ applied: true });
  });
});
