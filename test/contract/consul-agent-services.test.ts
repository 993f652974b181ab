/** What an agent does with services that are registered with it. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AgentRegistrations } from '../../src/commit/agent-registrations.ts';
import type { AgentCheck, AgentRegistration } from '../../src/consul/agent-services.ts';
import type { ConsulClient } from '../../src/consul/client.ts';
import { sameService } from '../../src/consul/registration.ts';
import { parseCheckId, parseServiceId } from '../../src/consul/service-ids.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { Listener } from '../support/probe-targets.ts';
import { aService } from '../support/services.ts';
import { aTenure } from '../unit/commit/tenures.ts';

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
let consul: ConsulClient;
let api: ConsulApi;
beforeAll(async () => {
  sandbox = await startConsulSandbox({ durable: true, config: { enable_script_checks: true } });
  consul = aConsulClient([sandbox.address]);
  api = new ConsulApi({ address: sandbox.address });
});
afterAll(async () => {
  await consul.close();
  await sandbox.close();
});

const OWNER = { kind: 'ConsulService', namespace: 'shop', name: 'web' };
const anId = () => parseServiceId(`web-${randomUUID()}`);
const beat = (id: string): AgentCheck => ({
  id: parseCheckId(`service:${id}:beat`),
  name: 'beat',
  notes: '',
  kind: { kind: 'ttl', ttlMs: 60_000 },
  successBeforePassing: 1,
  failuresBeforeCritical: 1,
  deregisterAfterMs: 5_400_000,
});
const registration = (id: string, fields: Partial<AgentRegistration> = {}): AgentRegistration => ({
  service: aService(id),
  checks: [beat(id)],
  sidecar: undefined,
  superseded: 'all',
  ...fields,
});
const register = (what: AgentRegistration) => consul.agentServices.register(what, { signal });
const checksOf = async (id: string) =>
  (await consul.agentServices.checks({ signal })).value.filter(({ serviceId }) => serviceId === id);
const serviceOf = async (id: string) =>
  (await consul.agentServices.services({ signal })).value.find(service => service.id === id);
const pass = (id: string) => api.call('PUT', `/v1/agent/check/pass/service:${id}:beat`);

test('a service is read back as it was declared, and stands in the catalog soon', async () => {
  const id = anId();
  const service = aService(id, {
    tags: ['b', 'a'],
    meta: new Map([['x', '1']]),
    weights: { passing: 2, warning: 0 },
  });
  await register(registration(id, { service }));
  const seen = await serviceOf(id);
  expect(seen && sameService(seen, service)).toBe(true);
  const { nodeName } = await consul.agent.self({ signal });
  await expect
    .poll(async () => {
      const { value } = await consul.nodes.services(nodeName, { signal, serviceId: id });
      return value.services.map(row => sameService(row.service, service));
    })
    .toEqual([true]);
});

test('one that is not there is undefined, and has no checks', async () => {
  const id = anId();
  expect(await serviceOf(id)).toBeUndefined();
  expect(await checksOf(id)).toEqual([]);
});

test('of a check the agent tells its kind and its times, not what it asks', async () => {
  const id = anId();
  const run = { intervalMs: 90_500, timeoutMs: 1_000 };
  const kinds: AgentCheck['kind'][] = [
    { kind: 'ttl', ttlMs: 30_000 },
    { ...run, kind: 'tcp', tcp: '127.0.0.1:9' },
    { ...run, kind: 'grpc', grpc: '127.0.0.1:9/web', tls: false },
    { ...run, kind: 'script', args: ['/bin/true'] },
    {
      ...run,
      kind: 'http',
      url: 'http://127.0.0.1:9/',
      method: 'POST',
      headers: new Map([['x-a', ['1', '2']]]),
      body: 'b',
      tlsServerName: '',
      tlsSkipVerify: false,
    },
  ];
  const checks = kinds.map(kind => ({
    ...beat(id),
    id: parseCheckId(`service:${id}:${kind.kind}`),
    name: kind.kind,
    kind,
  }));
  await register(registration(id, { checks }));
  const seen = (await checksOf(id)).map(({ name, type, interval, timeout }) => [
    name,
    type,
    interval,
    timeout,
  ]);
  expect(seen.sort()).toEqual([
    ['grpc', 'grpc', '1m30.5s', '1s'],
    ['http', 'http', '1m30.5s', '1s'],
    ['script', 'script', '1m30.5s', '1s'],
    ['tcp', 'tcp', '1m30.5s', '1s'],
    ['ttl', 'ttl', '', ''],
  ]);
});

test('a check that is answered with a redirect is critical, and the agent goes where it was told to and nowhere else', async () => {
  const id = anId();
  const asked: string[] = [];
  await using web = await Listener.http(({ method, url }, response) => {
    asked.push(`${method} ${url}`);
    const [code, headers] = url === '/' ? [307, { location: '/v1/kv/x' }] : [200, {}];
    response.writeHead(code, headers).end();
  });
  const kind = {
    kind: 'http',
    intervalMs: 1_000,
    timeoutMs: 1_000,
    url: `http://127.0.0.1:${web.port}/`,
    method: 'PUT',
    headers: new Map(),
    body: 'written',
    tlsServerName: '',
    tlsSkipVerify: false,
  } as const;
  await register(registration(id, { checks: [{ ...beat(id), kind }] }));
  await expect
    .poll(() => checksOf(id), { timeout: 10_000 })
    .toMatchObject([{ status: 'critical', output: expect.stringContaining('307') }]);
  expect([...new Set(asked)]).toEqual(['PUT /']);
  await consul.agentServices.deregister(id, { signal });
});

test('to register again keeps statuses, and takes out the checks that are not named', async () => {
  const id = anId();
  await register(registration(id));
  await pass(id);
  await register(registration(id));
  expect(await checksOf(id)).toMatchObject([{ name: 'beat', status: 'passing' }]);
  await register(registration(id, { checks: [] }));
  expect(await checksOf(id)).toEqual([]);
});

describe('of what is not named, when a service is registered anew,', () => {
  const other = (id: string): AgentCheck => ({
    ...beat(id),
    id: parseCheckId(`service:${id}:other`),
    name: 'other',
  });
  const idsOf = async (id: string) => (await checksOf(id)).map(check => check.id).sort();

  test('all goes, maintenance too', async () => {
    const id = anId();
    await register(registration(id, { checks: [beat(id), other(id)] }));
    await consul.agentServices.maintain(id, 'why', { signal });
    await register(registration(id));
    expect(await idsOf(id)).toEqual([`service:${id}:beat`]);
  });

  test('what is superseded goes, and nothing else', async () => {
    const id = anId();
    await register(registration(id, { checks: [beat(id), other(id)] }));
    const extra = JSON.stringify({ ID: `extra-${id}`, Name: 'x', ServiceID: id, TTL: '1m' });
    await api.call('PUT', '/v1/agent/check/register', extra);
    await consul.agentServices.maintain(id, 'why', { signal });
    const stale = other(id).id;
    await register(registration(id, { superseded: [stale] }));
    expect(await idsOf(id)).toEqual([`_service_maintenance:${id}`, `extra-${id}`, `service:${id}:beat`]);
    // One that is gone already is no obstacle.
    await register(registration(id, { superseded: [stale] }));
  });
});

describe('maintenance', () => {
  const maintain = (id: string, reason?: string) =>
    consul.agentServices.maintain(parseServiceId(id), reason, { signal });
  const found = async (id: string) => (await checksOf(id)).filter(({ type }) => type === 'maintenance');

  test('is a critical check with the reason for its notes, until it is ended', async () => {
    const id = anId();
    await register(registration(id));
    await maintain(id, 'draining since 2026-01-01T00:00:00.000Z');
    expect(await found(id)).toMatchObject([
      {
        id: `_service_maintenance:${id}`,
        status: 'critical',
        notes: 'draining since 2026-01-01T00:00:00.000Z',
      },
    ]);
    await maintain(id);
    expect(await found(id)).toEqual([]);
    await maintain(id);
  });

  test('keeps the reason with which it began', async () => {
    const id = anId();
    await register(registration(id));
    await maintain(id, 'one');
    await maintain(id, 'two');
    expect(await found(id)).toMatchObject([{ notes: 'one' }]);
  });

  test('of what is not there is nothing', async () => {
    const id = anId();
    await maintain(id, 'why');
    await maintain(id);
    expect(await serviceOf(id)).toBeUndefined();
  });

  test('is seen in the catalog', async () => {
    const id = anId();
    await register(registration(id));
    await maintain(id, 'why');
    const { nodeName } = await consul.agent.self({ signal });
    await expect
      .poll(async () => {
        const { value } = await consul.nodes.checks(nodeName, { signal, serviceId: id });
        return value.map(({ id }) => id).sort();
      })
      .toEqual([`_service_maintenance:${id}`, `service:${id}:beat`]);
  });
});

describe('a sidecar', () => {
  const upstreams = [{ destinationName: 'payments', localBindPort: 9091, datacenter: 'dc2' }];

  test('is expanded into a service with two checks, and goes with its own', async () => {
    const id = anId();
    await register(registration(id, { sidecar: { port: 20_111, upstreams } }));
    const proxy = parseServiceId(`${id}-sidecar-proxy`);
    expect(await serviceOf(proxy)).toMatchObject({
      name: 'web-sidecar-proxy',
      port: 20_111,
      connect: { kind: 'proxy', destinationName: 'web', destinationId: id, upstreams },
    });
    expect((await checksOf(proxy)).map(({ type }) => type).sort()).toEqual(['alias', 'tcp']);
    await consul.agentServices.deregister(id, { signal });
    expect(await serviceOf(proxy)).toBeUndefined();
  });

  test('that is left out later stays: it has to be deregistered by itself', async () => {
    const id = anId();
    const proxy = parseServiceId(`${id}-sidecar-proxy`);
    await register(registration(id, { sidecar: { port: undefined, upstreams: [] } }));
    await register(registration(id));
    expect(await serviceOf(proxy)).toBeDefined();
    await consul.agentServices.deregister(proxy, { signal });
    expect(await serviceOf(proxy)).toBeUndefined();
  });
});

test('one may be deregistered twice, and no id that is empty gets as far as the agent', async () => {
  const id = anId();
  await register(registration(id));
  await consul.agentServices.deregister(id, { signal });
  await consul.agentServices.deregister(id, { signal });
  expect(await checksOf(id)).toEqual([]);
  for (const bad of ['', ' ', undefined, '%20'] as never[])
    await expect(consul.agentServices.deregister(bad, { signal })).rejects.toThrow(TypeError);
});

test('ids differ by case here, unlike in the catalog', async () => {
  const id = anId();
  await register(registration(id));
  expect((await api.request('GET', `/v1/agent/service/${id.toUpperCase()}`)).status).toBe(404);
});

test('what an agent refuses is refused for good', async () => {
  const id = anId();
  const service = aService(id, { weights: { passing: 0, warning: 1 } });
  await expect(register(registration(id, { service }))).rejects.toMatchObject({ name: 'TerminalError' });
});

describe('the guarded path', () => {
  const registrations = (options: Partial<ConstructorParameters<typeof AgentRegistrations>[0]> = {}) => {
    const tenure = aTenure();
    const allowed = { agent: true, scripts: true };
    return new AgentRegistrations({ consul, dryRun: false, allowed, tenure: () => tenure, ...options });
  };
  const script = (id: string): AgentCheck => ({
    ...beat(id),
    kind: { kind: 'script', args: ['/bin/true'], intervalMs: 10_000, timeoutMs: 1_000 },
  });

  test('registers and deregisters', async () => {
    const id = anId();
    await registrations().register(OWNER, registration(id, { checks: [script(id)] }));
    expect(await checksOf(id)).toMatchObject([{ type: 'script' }]);
    await registrations().maintain(OWNER, id, 'why');
    expect((await checksOf(id)).map(({ type }) => type).sort()).toEqual(['maintenance', 'script']);
    await registrations().maintain(OWNER, id, undefined);
    expect((await checksOf(id)).map(({ type }) => type)).toEqual(['script']);
    await registrations().deregister(OWNER, id);
    expect(await serviceOf(id)).toBeUndefined();
  });

  test.each<[string, Partial<ConstructorParameters<typeof AgentRegistrations>[0]>, object]>([
    ['who does not lead', { tenure: () => undefined }, { name: 'AbortedError' }],
    ['in a dry run', { dryRun: true }, { code: 'DRY_RUN' }],
    ['without leave', { allowed: { agent: false, scripts: true } }, { reason: 'NotAllowed' }],
    ['without leave for scripts', { allowed: { agent: true, scripts: false } }, { reason: 'NotAllowed' }],
  ])('refuses %s', async (_, options, error) => {
    const id = anId();
    const asked = registrations(options).register(OWNER, registration(id, { checks: [script(id)] }));
    await expect(asked).rejects.toMatchObject(error);
    expect(await serviceOf(id)).toBeUndefined();
  });
});

test('what stands may be drained whatever is allowed', async () => {
  const id = anId();
  await register(registration(id));
  const tenure = aTenure();
  const allowed = { agent: false, scripts: false };
  const registrations = new AgentRegistrations({ consul, dryRun: false, allowed, tenure: () => tenure });
  await registrations.maintain(OWNER, id, 'why');
  await registrations.deregister(OWNER, id);
  expect(await serviceOf(id)).toBeUndefined();
});

test.each<[string, object, object]>([
  ['who does not lead', { tenure: () => undefined }, { name: 'AbortedError' }],
  ['in a dry run', { dryRun: true }, { code: 'DRY_RUN' }],
])('%s maintains nothing', async (_, options, error) => {
  const id = anId();
  await register(registration(id));
  const tenure = aTenure();
  const allowed = { agent: true, scripts: true };
  const made = new AgentRegistrations({ consul, dryRun: false, allowed, tenure: () => tenure, ...options });
  await expect(made.maintain(OWNER, id, 'why')).rejects.toMatchObject(error);
  expect((await checksOf(id)).map(({ type }) => type)).toEqual(['ttl']);
});

test('an agent tells who it is, and whether it runs scripts', async () => {
  expect(await consul.agent.self({ signal })).toMatchObject({
    nodeId: expect.stringMatching(/^[0-9a-f]{8}-/),
    runsScripts: true,
  });
});

test('an agent that restarted with nothing knows no service, and takes it again', async () => {
  const id = anId();
  await register(registration(id));
  const { nodeId } = await consul.agent.self({ signal });
  const [server] = sandbox.servers;
  await server?.stop();
  await server?.start();
  expect(await consul.agent.self({ signal })).toMatchObject({ nodeId });
  expect(await serviceOf(id)).toBeDefined();
  await server?.stop();
  await server?.start({ wipe: true });
  expect((await consul.agent.self({ signal })).nodeId).not.toBe(nodeId);
  await expect.poll(() => serviceOf(id)).toBeUndefined();
  await register(registration(id));
  expect(await serviceOf(id)).toBeDefined();
});
