import { beforeEach, describe, expect, test } from 'vitest';
import type { AgentRegistration } from '../../../../src/consul/agent-services.ts';
import type { ServiceRegistration } from '../../../../src/consul/registration.ts';
import { parseServiceId } from '../../../../src/consul/service-ids.ts';
import type { KubernetesSource } from '../../../../src/reconcilers/service/endpoints.ts';
import { agentReadyMessage, agentServiceStatus } from '../../../../src/reconcilers/service/agent-status.ts';
import { AgentWorld, idsIn, NOW_MS, nameOf, type Spec } from './agent-world.ts';
import { aKubeService, anEndpoint, aSlice, NOT_READY, READY } from './kube-builders.ts';
import { aVm } from './spec-builders.ts';

let world: AgentWorld;
beforeEach(() => {
  world = new AgentWorld();
});

const HTTP = { name: 'health', http: { path: '/health' } };
const HTTP2 = { name: 'slow', http: { path: '/slow' } };
const REAPING = { name: 'health', tcp: {}, deregisterCriticalServiceAfter: '2m' };
const one = (fields: Spec = {}): Spec => ({ instances: [aVm()], checks: [HTTP], ...fields });
const NONE: Spec = { instances: [aVm({ id: 'other' })] };

/** Somebody else's, as it would be if ours were registered, but for our marks. */
function standForeign(spec: Spec, id = 'vm-1'): void {
  world.settle(spec);
  const service = world.agent.services.get(id);
  if (service === undefined) throw new Error('not registered');
  world.agent.services.set(id, { ...service, meta: new Map() });
  for (const [at, check] of world.agent.checks) world.agent.checks.set(at, { ...check, notes: '' });
  world.names.clear();
  world.head = undefined;
}

function foreignAt(id: string): AgentRegistration {
  const service: ServiceRegistration = {
    id: parseServiceId(id),
    name: 'theirs',
    address: '192.0.2.99',
    port: 1,
    tags: [],
    meta: new Map(),
    weights: { passing: 1, warning: 1 },
    enableTagOverride: false,
    connect: undefined,
  };
  return { service, checks: [], sidecar: undefined, superseded: 'all' };
}

describe('what is wished', () => {
  test('is claimed, registered, and recorded; then nothing is left to do', () => {
    expect(world.settle(one())).toEqual([
      'claiming(vm-1=claimed)',
      'register vm-1 (create)',
      'settled(vm-1=settled)',
    ]);
    expect(world.plan(one())).toMatchObject({ kind: 'noop', drifted: [] });
    expect(idsIn(world.agent)).toEqual(['vm-1']);
  });

  test('claims move the key at which installs meet: no agent compares', () => {
    expect(world.plan(one())).toMatchObject({ kind: 'change', change: { step: 'commit', adopts: true } });
  });

  test('is registered again when its declaration changes, also where an agent shows nothing of it', () => {
    world.settle(one());
    const other = one({ checks: [{ name: 'health', http: { path: '/other' } }] });
    expect(world.settle(other)).toEqual([
      'claiming(vm-1=claimed)',
      'register vm-1 (update)',
      'settled(vm-1=settled)',
    ]);
    expect(world.agent.defined.get('service:vm-1:health')).toMatchObject({
      kind: { url: 'http://192.0.2.10:5432/other' },
    });
  });

  test('is registered before what is not wished any more is taken out', () => {
    world.settle(one());
    const moved = one({ instances: [aVm({ id: 'vm-2' })] });
    expect(world.settle(moved)).toEqual([
      'claiming(vm-2=claimed)',
      'register vm-2 (create), deregister vm-1',
      'settled(vm-2=settled,vm-1=none)',
    ]);
    expect(idsIn(world.agent)).toEqual(['vm-2']);
  });

  test('a crash after the claim changes nothing about the end', () => {
    const plan = world.plan(one());
    if (plan.kind === 'change') world.apply(plan.change);
    expect(world.settle(one())).toEqual(['register vm-1 (create)', 'settled(vm-1=settled)']);
  });

  test('a crash after the registration registers nothing twice', () => {
    for (let steps = 0; steps < 2; steps += 1) {
      const plan = world.plan(one());
      if (plan.kind === 'change') world.apply(plan.change);
    }
    expect(world.settle(one())).toEqual(['settled(vm-1=settled)']);
    expect(world.agent.registrations).toBe(1);
  });

  test('what was registered for another wish before a crash is no outside edit', () => {
    const other = one({ checks: [{ name: 'health', http: { path: '/other' } }] });
    world.settle(one());
    world.declarer = { ...world.declarer, driftPolicy: 'Report' };
    for (let steps = 0; steps < 2; steps += 1) {
      const plan = world.plan(other);
      if (plan.kind === 'change') world.apply(plan.change);
    }
    expect(world.settle(one())).toEqual(['register vm-1 (update)', 'settled(vm-1=settled)']);
    expect(world.agent.defined.get('service:vm-1:health')).toMatchObject({
      kind: { url: 'http://192.0.2.10:5432/health' },
    });
  });

  test('a namesake of the resource takes over the record and writes nothing else', () => {
    world.settle(one());
    world.declarer = { ...world.declarer, uid: 'u-2' };
    expect(world.settle(one())).toEqual(['settled()']);
  });

  test('what a namesake left undone is no outside edit', () => {
    world.settle(one());
    world.agent.removeCheck('service:vm-1:health');
    world.declarer = { ...world.declarer, uid: 'u-2', driftPolicy: 'Report' };
    expect(world.plan(one())).toMatchObject({ kind: 'change', drifted: [] });
    expect(world.settle(one())).toContain('register vm-1 (update)');
  });

  test('what a namesake left behind under Retain stays where it is', () => {
    world.declarer = { ...world.declarer, onDelete: 'Retain' };
    world.settle(one());
    world.declarer = { ...world.declarer, uid: 'u-2' };
    world.settle(NONE);
    expect(idsIn(world.agent)).toEqual(['other', 'vm-1']);
  });
});

describe('an outside edit', () => {
  const sidecar = { port: 20_000, upstreams: [{ destinationName: 'pay', localBindPort: 9091 }] };
  const edits: [string, Spec, () => void][] = [
    ['the service', one(), () => patch({ port: 1 })],
    ['our mark', one(), () => patch({ meta: new Map() })],
    ['the service, gone', one(), () => world.agent.deregister('vm-1')],
    ['a check, gone', one(), () => world.agent.removeCheck('service:vm-1:health')],
    ['the interval of a check', one(), () => patchCheck({ interval: '1m0s' })],
    ['the timeout of a check', one(), () => patchCheck({ timeout: '1s' })],
    ['the kind of a check', one(), () => patchCheck({ type: 'tcp' })],
    ['the name of a check', one(), () => patchCheck({ name: 'x' })],
    ['the notes of a check', one(), () => patchCheck({ notes: 'x' })],
    [
      'a check with our notes',
      one(),
      () => world.agent.addCheck('vm-1', 'service:vm-1:x', { notes: 'Declared by Proconsul: x' }),
    ],
    [
      'the sidecar, gone',
      one({ connect: { sidecar } }),
      () => world.agent.services.delete('vm-1-sidecar-proxy'),
    ],
    [
      'the port of the sidecar',
      one({ connect: { sidecar } }),
      () => patch({ port: 1 }, 'vm-1-sidecar-proxy'),
    ],
    [
      'the upstreams of the sidecar',
      one({ connect: { sidecar } }),
      () => {
        const proxy = world.agent.services.get('vm-1-sidecar-proxy');
        if (proxy?.connect?.kind !== 'proxy') throw new Error('no sidecar');
        patch({ connect: { ...proxy.connect, upstreams: [] } }, 'vm-1-sidecar-proxy');
      },
    ],
  ];

  function patch(fields: object, id = 'vm-1'): void {
    const service = world.agent.services.get(id);
    if (service === undefined) throw new Error('not registered');
    world.agent.services.set(id, { ...service, ...fields });
  }
  function patchCheck(fields: object): void {
    const check = world.agent.checks.get('service:vm-1:health');
    if (check === undefined) throw new Error('not registered');
    world.agent.checks.set(check.id, { ...check, ...fields });
  }

  test.each(edits)('of %s is put back, without a word in the record', (_, spec, edit) => {
    world.settle(spec);
    edit();
    expect(world.plan(spec)).toMatchObject({ kind: 'change', drifted: ['vm-1 on agent-1'] });
    expect(world.settle(spec)).toEqual(['register vm-1 (correct)']);
  });

  test.each(edits)('of %s is shown under Report, and left', (_, spec, edit) => {
    world.settle(spec);
    edit();
    world.declarer = { ...world.declarer, driftPolicy: 'Report' };
    expect(world.plan(spec)).toMatchObject({ kind: 'noop', drifted: ['vm-1 on agent-1'] });
  });

  test.each(edits)('of %s is nothing under Ignore', (_, spec, edit) => {
    world.settle(spec);
    edit();
    world.declarer = { ...world.declarer, driftPolicy: 'Ignore' };
    expect(world.plan(spec)).toMatchObject({ kind: 'noop', drifted: [] });
  });

  test('a changed declaration is written whatever the policy', () => {
    world.settle(one());
    world.declarer = { ...world.declarer, driftPolicy: 'Ignore' };
    expect(world.settle(one({ tags: ['v2'] }))).toContain('register vm-1 (update)');
  });

  test.each([
    ['the result of a check', () => world.agent.say('passing')],
    ['a check that somebody added', () => world.agent.addCheck('vm-1', 'extra')],
    ['a service of somebody else', () => world.agent.register(foreignAt('x'))],
  ])('%s is none', (_, edit) => {
    world.settle(one());
    edit();
    expect(world.plan(one())).toMatchObject({ kind: 'noop', drifted: [] });
  });
});

describe('what else hangs on a service that is registered anew', () => {
  test('goes with it where it is all ours', () => {
    world.settle(one({ checks: [HTTP, { name: 'port', tcp: {} }] }));
    world.agent.removeCheck('service:vm-1:port');
    expect(world.plan(one({ checks: [HTTP, { name: 'port', tcp: {} }] }))).toMatchObject({
      change: { writes: [{ registration: { superseded: 'all' } }] },
    });
    world.settle(one());
    expect([...world.agent.checks.keys()]).toEqual(['service:vm-1:health']);
  });

  test('stays where somebody added to it: of our own checks those that are wished no more go', () => {
    world.settle(one({ checks: [HTTP, { name: 'port', tcp: {} }] }));
    world.agent.addCheck('vm-1', 'extra');
    world.agent.maintain('vm-1', 'by hand');
    world.settle(one());
    expect([...world.agent.checks.keys()].sort()).toEqual([
      '_service_maintenance:vm-1',
      'extra',
      'service:vm-1:health',
    ]);
  });

  test('a sidecar that is declared no more is deregistered', () => {
    world.settle(one({ connect: { sidecar: { port: 20_000 } } }));
    expect(idsIn(world.agent)).toEqual(['vm-1', 'vm-1-sidecar-proxy']);
    expect(world.settle(one())).toContain('register vm-1 (update), deregister vm-1-sidecar-proxy');
    expect(idsIn(world.agent)).toEqual(['vm-1']);
  });

  test('a service of that id that is no sidecar of it stays', () => {
    world.settle(one());
    const service = world.agent.services.get('vm-1');
    world.agent.services.set('vm-1-sidecar-proxy', { ...service, id: 'vm-1-sidecar-proxy' } as never);
    expect(world.settle(one({ tags: ['v2'] }))).toContain('register vm-1 (update)');
    expect(idsIn(world.agent)).toEqual(['vm-1', 'vm-1-sidecar-proxy']);
  });
});

describe('tags that others may change', () => {
  const tagged = (tags: readonly string[], more: Spec = {}) =>
    one({ enableTagOverride: true, tags, ...more });
  const retag = (tags: readonly string[]) => {
    const service = world.agent.services.get('vm-1');
    if (service !== undefined) world.agent.services.set('vm-1', { ...service, tags });
  };

  test('stay, also when something else is declared', () => {
    world.settle(tagged(['a']));
    retag(['theirs']);
    expect(world.plan(tagged(['a']))).toMatchObject({ kind: 'noop', drifted: [] });
    expect(world.settle(tagged(['a'], { meta: { x: '1' } }))).toContain('claiming(vm-1=claimed)');
    expect(world.agent.services.get('vm-1')?.tags).toEqual(['theirs']);
  });

  test('are written when other ones are declared', () => {
    world.settle(tagged(['a']));
    retag(['theirs']);
    world.settle(tagged(['b']));
    expect(world.agent.services.get('vm-1')?.tags).toEqual(['b']);
  });
});

describe('an instance that stands without an owner', () => {
  test.each([
    ['Never', one(), { kind: 'refuse', reason: 'AlreadyExists' }],
    ['IfEqual', one(), { kind: 'change' }],
    ['IfEqual', one({ tags: ['x'] }), { kind: 'refuse', reason: 'AlreadyExists' }],
    ['IfEqual', one({ checks: [] }), { kind: 'refuse', reason: 'AlreadyExists' }],
    ['Always', one({ tags: ['x'] }), { kind: 'change' }],
  ] as const)('under %s', (adoptionPolicy, spec, plan) => {
    standForeign(one());
    world.declarer = { ...world.declarer, adoptionPolicy };
    expect(world.plan(spec)).toMatchObject(plan);
  });

  test('is marked as ours when it is taken', () => {
    standForeign(one());
    expect(world.settle(one())).toEqual([
      'claiming(vm-1=claimed)',
      'register vm-1 (adopt)',
      'settled(vm-1=settled)',
    ]);
  });

  test('is not taken while not all claims can be read', () => {
    standForeign(one());
    world.claimsComplete = false;
    expect(world.plan(one())).toMatchObject({ kind: 'refuse', reason: 'ConsulDenied' });
  });

  test('one with a check that others added is not the declared one', () => {
    standForeign(one());
    world.agent.addCheck('vm-1', 'extra');
    expect(world.plan(one())).toMatchObject({ kind: 'refuse', reason: 'AlreadyExists' });
  });

  test('that was faster than a claim is not taken for ours', () => {
    const plan = world.plan(one());
    if (plan.kind === 'change') world.apply(plan.change);
    const claimed = new Map(world.names);
    standForeign(one({ tags: ['theirs'] }));
    world.head = { uid: 'u', generation: 1, epoch: 1, onDelete: 'Delete', phase: 'claiming' };
    for (const [name, recorded] of claimed) world.names.set(name, recorded);
    expect(world.converge(() => world.planEnd()).done).toEqual(['end(vm-1=none)']);
    expect(idsIn(world.agent)).toEqual(['vm-1']);
  });

  test('that was faster than a claim is waited for by nobody else', () => {
    const plan = world.plan(one());
    if (plan.kind === 'change') world.apply(plan.change);
    world.agent.register(foreignAt('vm-1'));
    const { done, last } = world.converge(() => world.plan(one()));
    expect([done, last]).toMatchObject([
      ['claiming(vm-1=none)'],
      { kind: 'refuse', reason: 'AlreadyExists' },
    ]);
  });

  test('a service where the sidecar would go is in the way', () => {
    world.settle(NONE);
    const service = world.agent.services.get('other');
    world.agent.services.set('vm-1-sidecar-proxy', { ...service, id: 'vm-1-sidecar-proxy' } as never);
    const spec = { instances: [aVm({ id: 'other' }), aVm()], connect: { sidecar: {} } };
    expect(world.plan(spec)).toMatchObject({
      kind: 'refuse',
      reason: 'AlreadyExists',
      message: expect.stringContaining('its sidecar'),
    });
  });
});

test('what another resource owns is a conflict, and nothing is written', () => {
  world.rivals.add('vm-1');
  const spec = one({ instances: [aVm(), aVm({ id: 'vm-2' })] });
  expect(world.plan(spec)).toMatchObject({ kind: 'refuse', reason: 'Conflict' });
});

describe('an agent that the operator did not register with', () => {
  beforeEach(() => {
    world.settle(one());
    world.agent.node = 'agent-2';
    world.agent.lose();
  });

  test('is left alone: the resource waits', () => {
    expect(world.plan(one())).toMatchObject({ kind: 'wait', reason: 'DependencyNotReady' });
    expect(world.planEnd()).toMatchObject({ kind: 'wait', reason: 'DependencyNotReady' });
  });

  test('is not needed to let go of what stays', () => {
    expect(world.converge(() => world.planEnd('Retain')).done).toEqual(['end(vm-1=none)']);
  });
});

describe('an agent that lost its memory', () => {
  test.each(['Correct', 'Report', 'Ignore'] as const)('gets its services back under %s', driftPolicy => {
    world.settle(one());
    world.declarer = { ...world.declarer, driftPolicy };
    world.agent.lose();
    expect(world.plan(one())).toMatchObject({ kind: 'change', drifted: [] });
    expect(world.settle(one())).toEqual(['register vm-1 (return)', 'settled(vm-1=settled)']);
  });

  test('also what it might have taken out for being critical', () => {
    world.settle(one({ checks: [REAPING] }));
    world.agent.criticalMs.set('service:vm-1:health', 120_000);
    world.agent.lose();
    expect(world.settle(one({ checks: [REAPING] }))).toContain('register vm-1 (return)');
  });

  test('one that has another id and kept its services gets nothing', () => {
    world.settle(one());
    world.agent.memory = '33333333-0000-0000-0000-000000000000';
    expect(world.settle(one())).toEqual(['settled(vm-1=settled)']);
  });
});

describe('an instance that an agent may have taken out', () => {
  const spec = one({ checks: [REAPING, HTTP2] });
  beforeEach(() => void world.settle(spec));
  const vanish = (criticalMs = 120_000, check = 'health') => {
    world.agent.deregister('vm-1');
    world.agent.criticalMs.set(`service:vm-1:${check}`, criticalMs);
  };

  // Of two minutes what lies between two looks is not seen, at the beginning and at the end.
  test.each([120_000, 105_000, 3_600_000])('stays out when it was seen critical for %i ms', criticalMs => {
    vanish(criticalMs);
    expect(world.settle(spec)).toEqual(['settled(vm-1=out)']);
    expect(world.plan(spec)).toMatchObject({ kind: 'noop', drifted: [] });
  });

  test.each([0, 5_000, 104_999])('was taken out by somebody else after %i ms', criticalMs => {
    vanish(criticalMs);
    expect(world.settle(spec)).toEqual(['register vm-1 (correct)']);
  });

  test('was taken out by somebody else where another check was critical, which takes nothing out', () => {
    vanish(3_600_000, 'slow');
    expect(world.settle(spec)).toEqual(['register vm-1 (correct)']);
  });

  test('stays out of an agent that loses its memory, for it did not have it', () => {
    vanish();
    world.settle(spec);
    world.agent.lose();
    expect(world.settle(spec)).toEqual([]);
  });

  test('returns when its declaration changes', () => {
    vanish();
    world.settle(spec);
    const other = one({ checks: [{ ...REAPING, interval: '20s' }, HTTP2] });
    expect(world.settle(other)).toEqual(['register vm-1 (return)', 'settled(vm-1=settled)']);
  });

  test('that is there after all is taken for what it is', () => {
    const before = world.agent.services.get('vm-1');
    const checks = [...world.agent.checks];
    vanish();
    world.settle(spec);
    if (before !== undefined) world.agent.services.set('vm-1', before);
    for (const [id, check] of checks) world.agent.checks.set(id, check);
    expect(world.settle(spec)).toEqual(['settled(vm-1=settled)']);
  });

  test('leaves the record when it is wished no more', () => {
    vanish();
    world.settle(spec);
    expect(world.settle(NONE)[0]).toBe('claiming(other=claimed,vm-1=none)');
  });

  test('is counted', () => {
    vanish();
    world.settle(spec);
    const { instances } = agentServiceStatus(world.facts(), world.declarer);
    expect(instances).toMatchObject({ registered: 0, removed: 1, summary: '0/0' });
    expect(agentReadyMessage(instances, 'agent-1')).toBe(
      '0 instances with the agent of agent-1 as declared; taken out for having been critical too long: 1',
    );
  });
});

describe('what the token does not show', () => {
  test('of what is recorded is not taken for gone', () => {
    world.settle(one());
    world.agent.services.clear();
    world.agent.isWhole = false;
    expect(world.plan(one())).toMatchObject({ kind: 'refuse', reason: 'ConsulDenied' });
    expect(world.planEnd()).toMatchObject({ kind: 'refuse', reason: 'ConsulDenied' });
  });

  test('of others is nobody s business', () => {
    world.agent.isWhole = false;
    world.settle(one());
    expect(world.plan(one())).toMatchObject({ kind: 'noop' });
  });
});

const KUBE = { kubernetes: { service: 'orders' } };
const ID = 'k8s:shop:orders:a';
const endpoints = (conditions?: object): KubernetesSource => ({
  service: aKubeService(),
  slices: [
    aSlice({
      endpoints: conditions === undefined ? [] : [anEndpoint({ conditions: { ...conditions } })],
    }),
  ],
});

describe('an endpoint', () => {
  test('is registered once it is ready', () => {
    expect(world.settle(KUBE, endpoints(NOT_READY))).toEqual([]);
    expect(world.settle(KUBE, endpoints(READY))).toContain(`register ${ID} (create)`);
  });

  test('that is ready no more is in maintenance, whatever else is in the way, until it is', () => {
    world.settle(KUBE, endpoints(READY));
    world.rivals.add(ID);
    const { done, last } = world.converge(() => world.plan(KUBE, endpoints(NOT_READY)));
    expect(done).toEqual([`not ready in Kubernetes since 2026-02-01T12:00:00.000Z: ${ID}`]);
    expect(last).toMatchObject({ kind: 'refuse', reason: 'Conflict' });
    const back = world.converge(() => world.plan(KUBE, endpoints(READY)));
    expect(back.done).toEqual([`end maintenance: ${ID}`]);
  });

  test('its readiness is tended while the resource is suspended', () => {
    world.settle(KUBE, endpoints(READY));
    const plan = world.plan(KUBE, endpoints(NOT_READY));
    expect(plan).toMatchObject({ kind: 'change', tend: { step: 'agent', writes: [{ verb: 'maintain' }] } });
    world.settle(KUBE, endpoints(NOT_READY));
    const other = world.plan({ ...KUBE, tags: ['v2'] }, endpoints(NOT_READY));
    expect(other).toMatchObject({ kind: 'change' });
    expect('tend' in other && other.tend).toBeFalsy();
  });

  test('that is gone begins to drain while the resource is suspended; a fixed instance stays as it is', () => {
    world.settle({ ...KUBE, ...one() }, endpoints(READY));
    const plan = world.plan({ ...KUBE, tags: ['v2'] }, endpoints());
    const reason = 'draining since 2026-02-01T12:00:00.000Z';
    expect(plan).toMatchObject({ tend: { step: 'agent', writes: [{ verb: 'maintain', id: ID, reason }] } });
  });

  test.each([
    { of: 'not ready', conditions: NOT_READY, done: 'not ready in Kubernetes' },
    { of: 'gone', conditions: undefined, done: 'draining' },
  ])('that is $of is in maintenance although nobody can tell its port', ({ conditions, done }) => {
    const spec = { ...KUBE, ...one() };
    world.settle(spec, endpoints(READY));
    const unclear = { ...spec, kubernetes: { ...KUBE.kubernetes, port: 'no-such' } };
    const found = world.converge(() => world.plan(unclear, endpoints(conditions)));
    expect(found.done).toEqual([`${done} since 2026-02-01T12:00:00.000Z: ${ID}`]);
    expect(['wait', 'refuse']).toContain(found.last.kind);
    const back = world.converge(() => world.plan(unclear, endpoints(READY)));
    expect(back.done).toEqual([`end maintenance: ${ID}`]);
  });

  test('maintenance by somebody else is theirs to end', () => {
    world.settle(KUBE, endpoints(READY));
    world.agent.maintain(ID, 'disk is being replaced');
    expect(world.settle(KUBE, endpoints(READY))).toEqual([]);
    expect(world.settle(KUBE, endpoints(NOT_READY))).toEqual([]);
  });

  test('stays in maintenance when it is registered anew', () => {
    world.settle(KUBE, endpoints(READY));
    world.settle(KUBE, endpoints(NOT_READY));
    world.settle({ ...KUBE, tags: ['v2'] }, endpoints(NOT_READY));
    expect([...world.agent.checks.keys()]).toEqual([`_service_maintenance:${ID}`]);
  });

  test('that is not ready and not there is missed by nobody', () => {
    world.settle(KUBE, endpoints(READY));
    world.agent.deregister(ID);
    expect(world.plan(KUBE, endpoints(NOT_READY))).toMatchObject({ kind: 'noop', drifted: [] });
  });

  test('of a Service that is gone is drained, and then the resource waits for it', () => {
    world.settle(KUBE, endpoints(READY));
    const nothing = { service: undefined, slices: [] };
    const { done, last } = world.converge(() => world.plan(KUBE, nothing));
    expect(done).toEqual([`draining since 2026-02-01T12:00:00.000Z: ${ID}`]);
    expect(last).toMatchObject({ kind: 'wait', reason: 'SourceNotFound', againMs: 5_000 });
    world.nowMs += 5_000;
    expect(world.settle(KUBE, nothing)).toEqual([`deregister ${ID}`, `settled(${ID}=none)`]);
  });
});

describe('draining', () => {
  beforeEach(() => {
    world.declarer = { ...world.declarer, drainMs: { instances: 10_000, kubernetes: 5_000 } };
    world.settle(one());
  });

  test('begins although something else is in the way of its end', () => {
    world.rivals.add('taken');
    const { done, last } = world.converge(() => world.plan({ instances: [aVm({ id: 'taken' })] }));
    expect(done).toEqual(['draining since 2026-02-01T12:00:00.000Z: vm-1']);
    expect(last).toMatchObject({ kind: 'refuse', reason: 'Conflict' });
  });

  test('makes it critical first, and says when to look again', () => {
    const { done, last } = world.converge(() => world.plan(NONE));
    expect(done).toContain('register other (create), draining since 2026-02-01T12:00:00.000Z: vm-1');
    expect(last).toMatchObject({ kind: 'noop', againMs: 10_000 });
    world.nowMs += 9_999;
    expect(world.plan(NONE)).toMatchObject({ kind: 'noop', againMs: 1 });
    world.nowMs += 1;
    expect(world.settle(NONE)).toEqual(['deregister vm-1', 'settled(vm-1=none)']);
  });

  test('ends when it is wished again', () => {
    world.settle(NONE);
    const both = one({ instances: [aVm(), aVm({ id: 'other' })] });
    expect(world.settle(both)[0]).toBe('end maintenance: vm-1');
    expect(world.agent.checks.has('_service_maintenance:vm-1')).toBe(false);
  });

  test('what has been critical for being not ready has been drained meanwhile', () => {
    world.agent.maintain('vm-1', `not ready in Kubernetes since ${new Date(NOW_MS - 60_000).toISOString()}`);
    expect(world.settle(NONE)).toContain('register other (create), deregister vm-1');
  });

  test('what others put into maintenance is called by nobody', () => {
    world.agent.maintain('vm-1', 'by hand');
    expect(world.settle(NONE)).toContain('register other (create), deregister vm-1');
  });

  test('a clock that was put back does not make it longer', () => {
    world.settle(NONE);
    world.nowMs -= 3_600_000;
    expect(world.plan(NONE)).toMatchObject({ kind: 'noop', againMs: 10_000 });
  });

  test('holds up a deletion', () => {
    const { done, last } = world.converge(() => world.planEnd());
    expect(done).toEqual(['draining since 2026-02-01T12:00:00.000Z: vm-1']);
    expect(last).toMatchObject({
      kind: 'wait',
      reason: 'Progressing',
      message: 'draining 1 instance',
      againMs: 10_000,
    });
    world.nowMs += 10_000;
    expect(world.converge(() => world.planEnd()).done).toEqual(['deregister vm-1', 'end(vm-1=none)']);
    expect([idsIn(world.agent), world.record]).toEqual([[], undefined]);
  });
});

describe('the end', () => {
  test('under Retain lets go of the record alone', () => {
    world.settle(one());
    expect(world.converge(() => world.planEnd('Retain')).done).toEqual(['end(vm-1=none)']);
    expect(idsIn(world.agent)).toEqual(['vm-1']);
  });

  test('of nothing is nothing', () => {
    expect(world.planEnd()).toEqual({ kind: 'noop', drifted: [] });
  });

  test('leaves what turned out to be somebody else s', () => {
    world.settle(one());
    world.rivals.add('vm-1');
    expect(world.converge(() => world.planEnd()).done).toEqual(['end(vm-1=none)']);
    expect(idsIn(world.agent)).toEqual(['vm-1']);
  });

  test('does not let go of names of the catalog', () => {
    world.settle(one());
    const name = '/service/proconsul-x-services-0/vm-9';
    world.names.set(name, 'fp');
    world.converge(() => (world.names.size > 1 ? world.planEnd() : { kind: 'noop', drifted: [] }));
    expect([...world.names.keys()]).toEqual([name]);
    expect(world.head).toBeDefined();
  });
});

test('instances are counted by their worst check, those of the node among them', () => {
  world.settle(one({ instances: [aVm(), aVm({ id: 'vm-2' }), aVm({ id: 'vm-3' })] }));
  world.agent.say('passing');
  world.agent.addCheck('vm-2', 'extra', { status: 'warning' });
  world.agent.maintain('vm-3', 'by hand');
  expect(agentServiceStatus(world.facts(), world.declarer).instances).toEqual({
    registered: 3,
    passing: 1,
    warning: 1,
    critical: 1,
    removed: 0,
    summary: '1/3',
  });
  world.agent.addCheck('', 'disk', { status: 'critical' });
  expect(agentServiceStatus(world.facts(), world.declarer).instances).toMatchObject({ critical: 3 });
  expect(world.recorded('vm-1')).toBeDefined();
  expect(nameOf('vm-1')).toBe('/agent/agent-1/vm-1');
});

test('what is somebody else s, or stands with another agent, is not counted', () => {
  const plan = world.plan(one());
  if (plan.kind === 'change') world.apply(plan.change);
  world.agent.register(foreignAt('vm-1'));
  expect(agentServiceStatus(world.facts(), world.declarer).instances).toMatchObject({ registered: 0 });
  world = new AgentWorld();
  world.settle(one());
  world.agent.node = 'agent-2';
  expect(agentServiceStatus(world.facts(), world.declarer).instances).toMatchObject({ registered: 0 });
});
