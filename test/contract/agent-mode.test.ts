/** ConsulServices of `registration: Agent`, planned and applied as the operator does, against a real agent. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AgentRegistrations } from '../../src/commit/agent-registrations.ts';
import { GroupCommit } from '../../src/commit/group-commit.ts';
import type { Tenure } from '../../src/commit/tenure.ts';
import { WriteGate } from '../../src/commit/write-gate.ts';
import type { RequestSample } from '../../src/consul/instrumentation.ts';
import type { ServiceRegistration } from '../../src/consul/registration.ts';
import { parseServiceId } from '../../src/consul/service-ids.ts';
import { parseSessionId } from '../../src/consul/types.ts';
import { AgentMirror } from '../../src/mirror/agent-mirror.ts';
import { Fingerprinter } from '../../src/ownership/fingerprint.ts';
import { Ledger } from '../../src/ownership/ledger.ts';
import { LedgerSync } from '../../src/ownership/ledger-sync.ts';
import { listedNames } from '../../src/ownership/record.ts';
import { AgentApplier } from '../../src/reconcilers/service/agent-apply.ts';
import { AgentObserver } from '../../src/reconcilers/service/agent-observe.ts';
import { planAgentServiceEnd } from '../../src/reconcilers/service/agent-end.ts';
import { planAgentService } from '../../src/reconcilers/service/agent-plan.ts';
import { AgentRefused } from '../../src/reconcilers/service/agent-refused.ts';
import { agentServiceStatus } from '../../src/reconcilers/service/agent-status.ts';
import type { KubernetesSource } from '../../src/reconcilers/service/endpoints.ts';
import type { AgentWrite, ServicePlan } from '../../src/reconcilers/service/types.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { startConsulSandbox } from '../../tools/sandbox/sandbox.ts';
import { ConsulApi } from '../support/consul-api.ts';
import { aConsulClient, signal } from '../support/consul-client.ts';
import { aService } from '../support/services.ts';
import {
  aKubeService,
  anEndpoint,
  aSlice,
  NOT_READY,
  READY,
} from '../unit/reconcilers/service/kube-builders.ts';
import { aResource } from '../unit/reconcilers/service/spec-builders.ts';

type Spec = Readonly<Record<string, unknown>>;

let sandbox: Awaited<ReturnType<typeof startConsulSandbox>>;
let api: ConsulApi;
beforeAll(async () => {
  sandbox = await startConsulSandbox({ durable: true, config: { enable_script_checks: true } });
  api = new ConsulApi({ address: sandbox.address });
});
afterAll(() => sandbox.close());

const logger = { debug() {}, info() {}, warn() {}, error() {} };
const key = Buffer.alloc(32, 7);

/** One process that leads, as far as agents are concerned, with one resource. */
async function aProcess(installId = 'install-a') {
  const ending = new AbortController();
  const requests: RequestSample[] = [];
  const consul = aConsulClient([sandbox.address], { onRequest: sample => requests.push(sample) });
  const timing = { clock: systemClock, random: Math.random, logger, signal: ending.signal };
  const tenure = await aTenure(installId, ending.signal);
  const commits = new GroupCommit({
    txn: consul.txn,
    clock: systemClock,
    othersRunnable: () => false,
    context: () => ROOT_CONTEXT,
    inSpan: (_turns, _operations, run) => run(),
  });
  const gate = new WriteGate({ installId, dryRun: false, commits, tenure: () => tenure });
  const ledger = new Ledger();
  const ledgerSync = new LedgerSync({
    ...timing,
    consul,
    ledger,
    installId,
    highestIndex: () => 0,
    onIndexFell: () => Promise.resolve(),
    onTampered: () => {},
  });
  await ledgerSync.load();
  const agentMirror = new AgentMirror({ ...timing, consul });
  const allowed = { agent: true, scripts: true };
  const agentRegistrations = new AgentRegistrations({
    consul,
    dryRun: false,
    allowed,
    tenure: () => tenure,
  });
  const refused = new AgentRefused(systemClock);
  let source: KubernetesSource = { service: undefined, slices: [] };
  const observer = new AgentObserver({
    installId,
    ledger,
    ledgerSync,
    agentMirror,
    fingerprinter: new Fingerprinter(key),
    cluster: { source: () => Promise.resolve(source) },
    clock: systemClock,
    refused,
    allowed,
    judgeHosts: () => Promise.resolve(() => undefined),
  });
  const applier = new AgentApplier({
    ...timing,
    refused,
    installId,
    gate,
    ledger,
    agentRegistrations,
    agentMirror,
  });
  const ref = { kind: 'ConsulService', namespace: 'shop', name: 'orders' };
  const leaver = { installId, ref, drainMs: { instances: 0, kubernetes: 0 } };

  /** One turn. @returns the last plan. */
  async function turn(spec: Spec | undefined, adoptionPolicy: 'IfEqual' | 'Always' = 'IfEqual') {
    const resource = spec && aResource({ registration: 'Agent', ...spec });
    const deleting = spec === undefined;
    const subject = { ref, resource, deleting, onDelete: 'Delete' } as const;
    for (let made = 0, removed = false; made < 20; made += 1) {
      const observed = await observer.observe(subject, { fresh: false, removedJustNow: removed, signal });
      const { desire, facts } = observed;
      let plan: ServicePlan = planAgentServiceEnd(facts, 'Delete', leaver);
      if (desire !== undefined) {
        const policies = { onDelete: 'Delete', adoptionPolicy, driftPolicy: 'Correct' } as const;
        const settings = { uid: 'u', generation: 1, epoch: 1, enableTagOverride: false };
        plan =
          desire.kind === 'desired'
            ? planAgentService(desire.wish, facts, { ...leaver, ...policies, ...settings })
            : desire;
      }
      if (plan.kind !== 'change') return { plan, status: agentServiceStatus(facts, leaver).instances };
      await applier.apply({ ref, deleting }, plan.change, observed);
      removed = ledger.record(ref) === undefined;
    }
    throw new Error('does not rest');
  }

  return {
    turn,
    applier,
    agentMirror,
    consul,
    ref,
    recorded: () => [...listedNames(ledger.record(ref) as never).keys()],
    /** Requests that change something, since it was asked last. */
    writes: () => requests.splice(0).flatMap(({ method, template }) => (method === 'PUT' ? [template] : [])),
    followed: (endpoints: readonly object[]) => {
      source = { service: aKubeService(), slices: [aSlice({ endpoints })] };
    },
    close: async () => {
      ending.abort();
      await consul.close();
    },
  };
}

/** The lock that every transaction has to hold. */
async function aTenure(installId: string, ended: AbortSignal): Promise<Tenure> {
  const { text } = await api.call('PUT', '/v1/session/create', '{"Behavior":"release","LockDelay":"0s"}');
  const session = parseSessionId((JSON.parse(text) as { ID: string }).ID);
  const lockKey = `proconsul/${installId}/lock`;
  const held = (await api.kvList(lockKey)).get(lockKey)?.session;
  if (held !== undefined) await api.call('PUT', `/v1/session/destroy/${held}`);
  expect(await api.kvPut(lockKey, '', { acquire: session })).toBe(true);
  return { epoch: 1, fence: { lockKey, session }, signal: ended, assertHeld() {}, revoke() {} };
}

let operator: Awaited<ReturnType<typeof aProcess>>;
let id: string;
let spec: (fields?: Spec) => Spec;
beforeEach(async () => {
  operator = await aProcess();
  id = parseServiceId(`vm-${randomUUID()}`);
  spec = fields => ({ instances: [{ id, address: '192.0.2.10', port: 80 }], ...fields });
});
afterEach(async () => {
  await operator.turn(undefined);
  await operator.close();
});

const seen = async (of = id) => {
  const reply = await api.request('GET', `/v1/agent/service/${of}`);
  return reply.status === 404 ? undefined : (JSON.parse(reply.text) as Record<string, unknown>);
};
const checks = async (of = id) => {
  const { text } = await api.call('GET', '/v1/agent/checks');
  const all = Object.values(JSON.parse(text) as Record<string, Record<string, string>>);
  return all.filter(({ ServiceID }) => ServiceID === of);
};
const REGISTER = '/v1/agent/service/register';

const ALL_KINDS = [
  { name: 'http', http: { path: '/h', headers: { 'X-A': ['1'] } }, interval: '90s', timeout: '1500ms' },
  { name: 'tcp', tcp: { port: 81 }, interval: '1500ms' },
  { name: 'grpc', grpc: { service: 'orders.v1' }, interval: '24h' },
  { name: 'ttl', ttl: { ttl: '1h' } },
  { name: 'script', script: { args: ['/bin/true'] }, deregisterCriticalServiceAfter: '90m' },
];

test('every kind of check is registered once: what the agent shows is as wished, and a second look writes nothing', async () => {
  const declared = spec({ checks: ALL_KINDS, tags: ['b', 'a'], meta: { x: '1' } });
  expect((await operator.turn(declared)).plan).toMatchObject({ kind: 'noop', drifted: [] });
  expect(operator.writes()).toEqual(['/v1/txn', REGISTER, '/v1/txn']);
  expect((await checks()).map(({ Type }) => Type).sort()).toEqual(['grpc', 'http', 'script', 'tcp', 'ttl']);
  operator.agentMirror.doubt();
  await operator.turn(declared);
  expect(operator.writes()).toEqual([]);
});

test('another process finds what stands, and writes nothing', async () => {
  const declared = spec({ checks: ALL_KINDS, connect: { sidecar: { port: 20_000 } } });
  await operator.turn(declared);
  const other = await aProcess();
  await other.turn(declared);
  expect(other.writes()).toEqual([]);
  await other.close();
  await operator.close();
  operator = await aProcess();
});

test('a changed header is registered, though the agent does not show it', async () => {
  const check = (value: string) => [{ name: 'c', http: { headers: { 'X-A': [value] } } }];
  await operator.turn(spec({ checks: check('1') }));
  operator.writes();
  await operator.turn(spec({ checks: check('2') }));
  expect(operator.writes()).toEqual(['/v1/txn', REGISTER, '/v1/txn']);
});

test('a script runs on the host of the agent', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'script-'));
  const program = join(folder, 'check');
  await writeFile(program, '#!/bin/sh\necho from the script\nexit 1\n', { mode: 0o755 });
  await operator.turn(spec({ checks: [{ name: 's', script: { args: [program] }, interval: '1s' }] }));
  await expect
    .poll(() => checks(), { timeout: 10_000 })
    .toMatchObject([{ Status: 'warning', Output: expect.stringContaining('from the script') }]);
  operator.agentMirror.doubt();
  expect(
    (await operator.turn(spec({ checks: [{ name: 's', script: { args: [program] }, interval: '1s' }] })))
      .status,
  ).toMatchObject({ registered: 1, warning: 1, summary: '0/1' });
  await rm(folder, { recursive: true });
});

test('the application says how it is by ttl, and nothing of ours starts that anew', async () => {
  const declared = spec({ checks: [{ name: 'beat', ttl: { ttl: '1h' } }] });
  await operator.turn(declared);
  await api.call('PUT', `/v1/agent/check/pass/service:${id}:beat?note=well`);
  operator.agentMirror.doubt();
  expect((await operator.turn(declared)).status).toMatchObject({ passing: 1, summary: '1/1' });
  expect(await checks()).toMatchObject([{ Status: 'passing', Output: 'well' }]);
});

describe('a sidecar', () => {
  const upstreams = [{ destinationName: 'pay', localBindPort: 9091 }];

  test('is expanded at a port that the agent chooses, and goes when it is declared no more', async () => {
    const proxy = `${id}-sidecar-proxy`;
    const declared = spec({ connect: { sidecar: { upstreams } } });
    await operator.turn(declared);
    expect(await seen(proxy)).toMatchObject({ Kind: 'connect-proxy', Port: expect.any(Number) });
    operator.writes();
    operator.agentMirror.doubt();
    await operator.turn(declared);
    expect(operator.writes()).toEqual([]);
    await operator.turn(spec());
    expect([await seen(proxy), (await seen()) === undefined]).toEqual([undefined, false]);
  });

  test('that somebody took out is put back', async () => {
    const proxy = `${id}-sidecar-proxy`;
    const declared = spec({ connect: { sidecar: { port: 20_001, upstreams } } });
    await operator.turn(declared);
    await api.call('PUT', `/v1/agent/service/deregister/${proxy}`);
    operator.agentMirror.doubt();
    await operator.turn(declared);
    expect(await seen(proxy)).toMatchObject({ Port: 20_001 });
  });
});

describe('an endpoint', () => {
  const kubernetes = { kubernetes: { service: 'orders' } };
  const ofPod = 'k8s:shop:orders:a';

  test('that is ready no more is critical, in the catalog too, until it is', async () => {
    operator.followed([anEndpoint({ conditions: READY })]);
    await operator.turn(kubernetes);
    operator.followed([anEndpoint({ conditions: NOT_READY })]);
    const { status } = await operator.turn(kubernetes);
    expect(status).toMatchObject({ registered: 1, critical: 1 });
    expect(await checks(ofPod)).toMatchObject([
      { Type: 'maintenance', Notes: expect.stringMatching(/^not ready in Kubernetes since 20/) },
    ]);
    const passing = async () =>
      JSON.parse((await api.call('GET', '/v1/health/service/orders?passing')).text) as unknown[];
    await expect.poll(passing).toEqual([]);
    operator.followed([anEndpoint({ conditions: READY })]);
    await operator.turn(kubernetes);
    await expect.poll(async () => (await passing()).length).toBe(1);
  });

  test('stays in maintenance when it is registered anew, and others keep their checks', async () => {
    operator.followed([anEndpoint({ conditions: READY })]);
    await operator.turn({ ...kubernetes, checks: [{ name: 'old', ttl: { ttl: '1h' } }] });
    const extra = JSON.stringify({ ID: 'extra', Name: 'extra', ServiceID: ofPod, TTL: '1h' });
    await api.call('PUT', '/v1/agent/check/register', extra);
    operator.followed([anEndpoint({ conditions: NOT_READY })]);
    operator.agentMirror.doubt();
    await operator.turn({ ...kubernetes, checks: [{ name: 'new', ttl: { ttl: '1h' } }] });
    expect((await checks(ofPod)).map(({ CheckID }) => CheckID).sort()).toEqual([
      `_service_maintenance:${ofPod}`,
      'extra',
      `service:${ofPod}:new`,
    ]);
  });
});

describe('what somebody else registered', () => {
  const foreign = (fields: object = {}) =>
    api.call(
      'PUT',
      REGISTER,
      JSON.stringify({ ID: id, Name: 'orders', Address: '192.0.2.10', Port: 80, ...fields }),
    );

  test('is taken when it is as declared, and marked', async () => {
    await foreign();
    await operator.turn(spec());
    expect(await seen()).toMatchObject({ Meta: { 'proconsul-owner': 'install-a/shop/orders' } });
  });

  test('is left alone when it is not', async () => {
    await foreign({ Port: 81 });
    expect((await operator.turn(spec())).plan).toMatchObject({ kind: 'refuse', reason: 'AlreadyExists' });
    await operator.turn(undefined);
    expect(await seen()).toMatchObject({ Port: 81 });
    await api.call('PUT', `/v1/agent/service/deregister/${id}`);
  });

  test('between the plan and the write is not written over', async () => {
    await operator.turn(spec({ instances: [{ id: `${id}-b`, address: '192.0.2.10' }] }));
    operator.writes();
    // The mirror has looked, and does not look again by itself for five seconds.
    await foreign({ Port: 81 });
    expect((await operator.turn(spec())).plan).toMatchObject({ kind: 'refuse', reason: 'AlreadyExists' });
    expect(operator.writes()).not.toContain(REGISTER);
    expect(operator.recorded().filter(name => name.endsWith(`/${id}`))).toEqual([]);
    expect(await seen()).toMatchObject({ Port: 81 });
    await api.call('PUT', `/v1/agent/service/deregister/${id}`);
  });

  test('is another install s when that has claimed it', async () => {
    const other = await aProcess('install-b');
    await other.turn(spec());
    await operator.close();
    operator = await aProcess();
    expect((await operator.turn(spec(), 'Always')).plan).toMatchObject({
      kind: 'refuse',
      reason: 'Conflict',
      message: expect.stringContaining('install install-b'),
    });
    await other.turn(undefined);
    await other.close();
  });
});

test('what one instance is refused for does not keep the others waiting', async () => {
  const [bad, good] = [parseServiceId(`${id}-bad`), parseServiceId(`${id}-good`)];
  const write = (service: ServiceRegistration): AgentWrite => ({
    verb: 'register',
    name: service.id,
    cause: 'create',
    fingerprint: 'fp',
    registration: { service, checks: [], sidecar: undefined, superseded: 'all' },
  });
  const writes = [write(aService(bad, { weights: { passing: 0, warning: 1 } })), write(aService(good))];
  const facts = { record: undefined, agent: await operator.agentMirror.current({ signal }) };
  const subject = { ref: operator.ref, deleting: false };
  const applied = operator.applier.apply(
    subject,
    { step: 'agent', writes },
    { facts: facts as never, signal },
  );
  await expect(applied).resolves.toMatchObject({ kind: 'applied' });
  expect([await seen(bad), (await seen(good))?.['ID']]).toEqual([undefined, good]);
  await api.call('PUT', `/v1/agent/service/deregister/${good}`);
});

test('an agent that comes back with nothing gets its services back', async () => {
  const { nodeName } = await operator.consul.agent.self({ signal });
  const declared = spec({ checks: [{ name: 'c', tcp: {}, deregisterCriticalServiceAfter: '1m' }] });
  await operator.turn(declared);
  const kept = await api.kvList('proconsul');
  const [server] = sandbox.servers;
  await server?.stop();
  await server?.start({ wipe: true });
  await operator.close();
  // A server is an agent with a catalog: what a client agent keeps when it loses its own memory is put back by hand.
  for (const [name, { value, session }] of kept) if (session === undefined) await api.kvPut(name, value);
  operator = await aProcess();
  expect(await seen()).toBeUndefined();
  expect((await operator.turn(declared)).plan).toMatchObject({ kind: 'noop' });
  expect(await seen()).toBeDefined();
  expect(operator.recorded()).toEqual([`/agent/${nodeName}/${id}`]);
});
