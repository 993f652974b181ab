import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CheckResult, sameCheck, sameService } from '../../../../src/consul/registration.ts';
import { checkPlace, foldId } from '../../../../src/consul/service-ids.ts';
import { instanceName, readInstanceState } from '../../../../src/core/instance-names.ts';
import { CHECK_NOTES } from '../../../../src/reconcilers/service/checks.ts';
import { isDeclaredAlike } from '../../../../src/reconcilers/service/compare.ts';
import { worstOf } from '../../../../src/reconcilers/service/health.ts';
import { OWNER_MARK, ownerMark } from '../../../../src/reconcilers/service/marks.ts';
import type {
  SeenInstance,
  ServiceChange,
  WishedInstance,
} from '../../../../src/reconcilers/service/types.ts';
import { aCheckOf, anInstance, CRITICAL, INSTALL, PASSING } from './plan-builders.ts';
import { refOf, type ResourceSpec, ServiceWorld } from './service-world.ts';

const RESOURCES = ['r1', 'r2'];
const IDS = ['a', 'b', 'c'];
const NODES = ['vm', 'host-1'];
const LIMIT_MS = 60_000;

const resource = fc.constantFrom(...RESOURCES);
const id = fc.constantFrom(...IDS);
const node = fc.constantFrom(...NODES);
const result: fc.Arbitrary<CheckResult> = fc.constantFrom(PASSING, CRITICAL, {
  status: 'warning',
  output: '429',
});

/** Few of each, so that resources and people meet at the same ones. */
const instance = fc.record(
  {
    id,
    node,
    port: fc.constantFrom(80, 81),
    ready: fc.boolean(),
    probe: fc.constantFrom(true, { deregisterAfterMs: LIMIT_MS }, { intervalMs: 1_000 }),
    native: fc.boolean(),
    sidecar: fc.boolean(),
  },
  { requiredKeys: ['id', 'node'] },
);
const instances = fc
  .uniqueArray(instance, { maxLength: 3, selector: one => `${one.node}/${one.id}` })
  .map(all => all.map(one => (one.native === true ? { ...one, sidecar: false } : one)));

type Drift = ResourceSpec['driftPolicy'];
const declared = (driftPolicy: fc.Arbitrary<Drift>): fc.Arbitrary<ResourceSpec> =>
  fc.record({
    instances,
    onDelete: fc.constant('Delete' as const),
    adoptionPolicy: fc.constantFrom('Never' as const, 'IfEqual' as const, 'Always' as const),
    driftPolicy,
    drainMs: fc.constantFrom({ instances: 0, kubernetes: 5_000 }, { instances: 30_000, kubernetes: 30_000 }),
  });

type Act = (world: ServiceWorld) => void;

const byPeople: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(node, id, fc.constantFrom(80, 81, 82)).map(([at, which, port]) => (world: ServiceWorld) => {
    const { service } = anInstance({ id: which, node: at, port });
    world.catalog.edit(at, { ...service, meta: new Map([['team', 'shop']]) });
  }),
  fc.tuple(node, id).map(([at, which]) => (world: ServiceWorld) => {
    const seen = world.catalog.seen(at, which);
    if (seen !== undefined)
      world.catalog.edit(at, { ...seen.row.service, weights: { passing: 9, warning: 9 } });
  }),
  fc.tuple(node, id).map(
    ([at, which]) =>
      (world: ServiceWorld) =>
        world.catalog.remove(at, which),
  ),
  fc
    .tuple(node, id, fc.constantFrom('http', 'proconsul-readiness', 'theirs', 'mine'), result)
    .map(([at, which, name, says]) => (world: ServiceWorld) => {
      const notes = name === 'mine' ? CHECK_NOTES : '';
      const check = aCheckOf({ id: which as never, name: 'web' }, name, notes);
      world.catalog.editCheck(at, { id: check.id, serviceId: check.serviceId, check, ...says });
    }),
  fc.tuple(node, id, fc.constantFrom('http', 'proconsul-readiness', 'proconsul-draining')).map(
    ([at, which, name]) =>
      (world: ServiceWorld) =>
        world.catalog.removeCheck(at, `service:${which}:${name}`),
  ),
);

const health: fc.Arbitrary<Act> = fc.tuple(node, id, result).map(
  ([at, which, says]) =>
    (world: ServiceWorld) =>
      world.say(checkPlace(at, `service:${which}:http`), says),
);

/** People, checks and the operator take turns in any order, and every turn may be cut short after any step. */
const acts = (driftPolicy: fc.Arbitrary<Drift>): fc.Arbitrary<Act[]> =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: byPeople },
      { weight: 2, arbitrary: health },
      {
        weight: 3,
        arbitrary: fc.tuple(resource, declared(driftPolicy)).map(
          ([name, spec]) =>
            (world: ServiceWorld) =>
              world.declare(name, spec),
        ),
      },
      {
        weight: 1,
        arbitrary: resource.map(name => (world: ServiceWorld) => void world.resources.delete(name)),
      },
      {
        weight: 6,
        arbitrary: fc
          .tuple(resource, fc.integer({ min: 1, max: 4 }))
          .map(([name, steps]) => (world: ServiceWorld) => {
            for (let step = 0; step < steps; step++) stepSafely(world, name);
          }),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(resource, byPeople, fc.nat(1)).map(
          ([name, rival, registers]) =>
            (world: ServiceWorld) =>
              void stepSafely(world, name, { between: () => rival(world), registers }),
        ),
      },
      { weight: 1, arbitrary: resource.map(name => (world: ServiceWorld) => void tendSafely(world, name)) },
      {
        weight: 2,
        arbitrary: fc
          .constantFrom(1_000, 5_000, LIMIT_MS)
          .map(ms => (world: ServiceWorld) => void (world.nowMs += ms)),
      },
      {
        weight: 1,
        arbitrary: fc.constant((world: ServiceWorld) => {
          world.epoch += 1;
          world.forgetHealth();
        }),
      },
      { weight: 1, arbitrary: fc.constant((world: ServiceWorld) => world.tidyNodes()) },
    ),
    { maxLength: 30 },
  );

interface StepOptions {
  readonly between?: () => void;
  readonly registers?: number;
}

/** A step, which must leave everything alone that is not the resource's. @returns whether there was one. */
function stepSafely(
  world: ServiceWorld,
  name: string,
  { between = () => {}, registers }: StepOptions = {},
): boolean {
  const plan = world.plan(name);
  if (plan.kind !== 'change') return false;
  // Whoever writes over what is ours edits it.
  const owned = openTo(world, name);
  between();
  applySafely(world, name, plan.change, { registers, owned });
  return true;
}

/** What a suspended resource gets: no row comes, goes or changes. @returns whether there was anything. */
function tendSafely(world: ServiceWorld, name: string): boolean {
  const plan = world.plan(name);
  if (plan.kind !== 'change' || plan.tend === undefined) return false;
  const rows = servicesIn(world);
  const record = world.record(name);
  applySafely(world, name, plan.tend);
  expect(servicesIn(world)).toStrictEqual(rows);
  expect([...world.names(name)]).toStrictEqual(
    record === undefined ? [] : [...record.shards.values()].flatMap(({ names }) => [...names]),
  );
  return true;
}

function servicesIn(world: ServiceWorld): unknown {
  return [...world.catalog.all().values()].map(({ row }) => row);
}

interface ApplyOptions {
  readonly registers?: number | undefined;
  readonly owned?: ReadonlySet<string>;
}

function applySafely(
  world: ServiceWorld,
  name: string,
  change: ServiceChange,
  { registers, owned = new Set() }: ApplyOptions = {},
): void {
  const before = world.catalog.all();
  const mayTouch = new Set([...openTo(world, name), ...owned]);
  const wished = world.wished(name);
  world.apply(name, change, registers);
  const after = world.catalog.all();
  for (const [at, seen] of before) {
    if (!mayTouch.has(at)) expect(after.get(at)).toStrictEqual(seen);
    const now = after.get(at);
    const own = wished.get(`/service${at}`);
    if (now !== undefined) expect(foreignChecks(now, own)).toStrictEqual(foreignChecks(seen, own));
  }
  for (const at of after.keys()) expect(before.has(at) || wished.has(`/service${at}`)).toBe(true);
}

/** Where it owns what stands, or may take it over. */
function openTo(world: ServiceWorld, name: string): Set<string> {
  const open = [...world.catalog.all()].filter(([at, seen]) => isOpenTo(world, name, at, seen));
  return new Set(open.map(([at]) => at));
}

function isOpenTo(world: ServiceWorld, name: string, at: string, seen: SeenInstance): boolean {
  if (world.owns(name, `/service${at}`)) return true;
  const wished = world.wished(name).get(`/service${at}`);
  if (wished === undefined || world.isOwned(`/service${at}`)) return false;
  const policy = world.resources.get(name)?.adoptionPolicy;
  return policy === 'Always' || (policy === 'IfEqual' && isDeclaredAlike(wished, seen));
}

function foreignChecks({ checks }: SeenInstance, wished: WishedInstance | undefined): unknown {
  const ids = new Set<string>(wished?.checks.map(({ check }) => check.id));
  return checks.filter(
    ({ id, check }) =>
      check.notes !== CHECK_NOTES && !ids.has(foldId(id)) && !id.endsWith(':proconsul-draining'),
  );
}

const MOST_STEPS = 60;

/** Everybody's turns, again and again, until nobody has anything to do, however long they wait. */
function settle(world: ServiceWorld, step = stepSafely): void {
  for (let steps = 0; ; ) {
    let isIdle = true;
    for (const name of world.everybody()) {
      if (step(world, name)) isIdle = false;
      expect(++steps).toBeLessThan(MOST_STEPS * RESOURCES.length);
    }
    if (!isIdle || world.runNewChecks()) continue;
    world.tidyNodes();
    const waits = world.everybody().map(name => againIn(world, name));
    const nextMs = Math.min(...waits);
    if (nextMs === Number.POSITIVE_INFINITY) return;
    world.nowMs += nextMs;
  }
}

function againIn(world: ServiceWorld, name: string): number {
  const plan = world.plan(name);
  return (plan.kind === 'change' ? undefined : plan.againMs) ?? Number.POSITIVE_INFINITY;
}

/** The catalog holds what is declared, the records list it, and nothing that is not wished is anybody's. */
function expectAsDeclared(world: ServiceWorld): void {
  for (const name of world.everybody()) {
    const plan = world.plan(name);
    if (plan.kind === 'refuse') {
      expect(['Conflict', 'AlreadyExists']).toContain(plan.reason);
      continue;
    }
    expect(plan).toEqual({ kind: 'noop', drifted: [], againMs: undefined });
    const wished = world.wished(name);
    expect([...world.names(name).keys()].sort()).toEqual([...wished.keys()].sort());
    if (wished.size > 0) expect(world.record(name)?.head.phase).toBe('settled');
    for (const one of wished.values()) expectInstance(world, name, one);
  }
}

function expectInstance(world: ServiceWorld, name: string, wished: WishedInstance): void {
  const seen = world.seen(wished.name);
  const state = readInstanceState(world.names(name).get(wished.name) ?? '');
  expect(state).toHaveProperty('fingerprint', wished.fingerprint);
  if (state.kind === 'out') {
    expect(seen).toBeUndefined();
    expect(
      wished.checks.some(({ says }) => says.kind === 'probe' && says.deregisterAfterMs !== undefined),
    ).toBe(true);
    return;
  }
  if (seen === undefined) throw new Error(`${wished.name} does not stand`);
  expect(sameService(seen.row.service, wished.service)).toBe(true);
  const own = seen.checks.filter(({ check }) => check.notes === CHECK_NOTES);
  expect(own.map(({ id }) => id).sort()).toEqual(wished.checks.map(({ check }) => check.id).sort());
  for (const { check, says } of wished.checks) {
    const row = own.find(({ id: one }) => one === check.id);
    expect(row !== undefined && sameCheck(row.check, check)).toBe(true);
    if (says.kind === 'known') expect(row?.status).toBe(says.result.status);
    if (says.kind === 'follows') {
      const main = world.seen(instanceName({ kind: 'catalog', node: wished.node.node, id: says.serviceId }));
      expect(row?.status).toBe(
        main === undefined ? 'critical' : worstOf(main.checks.map(({ status }) => status)),
      );
    }
    if (says.kind !== 'probe') continue;
    const verdict = world.found.get(checkPlace(wished.node.node, check.id));
    if (verdict !== undefined) expect(row?.status).toBe(verdict.status);
  }
}

function play(acts: readonly Act[]): ServiceWorld {
  const world = new ServiceWorld();
  for (const act of acts) act(world);
  return world;
}

const correct = fc.constant('Correct' as const);
const anyDrift = fc.constantFrom('Correct' as const, 'Report' as const, 'Ignore' as const);
const RUNS = { numRuns: 300 };

describe('whatever resources, people and checks do, and wherever the operator dies', () => {
  test('in the end the catalog holds what is declared, and nothing else was touched', () => {
    fc.assert(
      fc.property(acts(correct), acts => {
        const world = play(acts);
        settle(world);
        expectAsDeclared(world);
      }),
      RUNS,
    );
  });

  test('what was just carried out is not planned again, in whichever tenure', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        settle(world);
        const { steps } = world;
        const { writes } = world.catalog;
        world.epoch += 1;
        for (const name of world.everybody()) expect(['noop', 'refuse']).toContain(world.plan(name).kind);
        settle(world);
        expect([world.steps, world.catalog.writes]).toEqual([steps, writes]);
      }),
      RUNS,
    );
  });

  test('when all resources are deleted, nothing of theirs is left, and no record', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        world.resources.clear();
        settle(world);
        expect(world.everybody()).toEqual([]);
        const left = [...world.catalog.all().values()].filter(({ row }) => row.service.meta.has(OWNER_MARK));
        expect(left).toEqual([]);
      }),
      RUNS,
    );
  });

  test('deleted under Retain they leave all as it stands, but for their marks', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        for (const [name, spec] of world.resources) world.declare(name, { ...spec, onDelete: 'Retain' });
        settle(world);
        const retained = world.everybody().filter(name => world.record(name)?.head.onDelete === 'Retain');
        const before = world.catalog.all();
        const owned = new Set(retained.flatMap(name => [...world.names(name).keys()].map(asPlace)));
        world.resources.clear();
        for (const name of retained) while (stepSafely(world, name));
        expect(retained.map(name => world.record(name))).toEqual(retained.map(() => undefined));
        const after = world.catalog.all();
        expect(unmarked(after)).toStrictEqual(unmarked(before));
        const marks = retained.map(name => ownerMark(INSTALL, refOf(name)));
        for (const [place, { row }] of after) {
          const wasMarked = marks.includes(before.get(place)?.row.service.meta.get(OWNER_MARK) ?? '');
          if (wasMarked && owned.has(place)) expect(row.service.meta.has(OWNER_MARK)).toBe(false);
        }
      }),
      RUNS,
    );
  });

  test('suspended ones get what their checks say, and no more', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        settle(world, tendSafely);
        for (const name of world.everybody()) {
          const plan = world.plan(name);
          if (plan.kind === 'change') expect(plan.tend).toBeUndefined();
        }
      }),
      RUNS,
    );
  });
});

/** What stands, without marks, and whenever it was written. */
function unmarked(all: ReadonlyMap<string, SeenInstance>): unknown {
  return [...all].map(([place, { row, checks }]) => {
    const meta = [...row.service.meta].filter(([key]) => key !== OWNER_MARK);
    return [place, { ...row, modifyIndex: 0, service: { ...row.service, meta } }, checks];
  });
}

function asPlace(name: string): string {
  return name.slice('/service'.length);
}

describe('a drain', () => {
  const pod = { id: 'a', node: 'vm', ready: true };
  const spec: ResourceSpec = {
    instances: [pod],
    onDelete: 'Delete',
    adoptionPolicy: 'IfEqual',
    driftPolicy: 'Correct',
    drainMs: { instances: 0, kubernetes: 5_000 },
  };
  const name = anInstance(pod).name;

  const pauses = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 10 });
  const ends = fc.constantFrom<[string, (world: ServiceWorld) => void]>(
    ['taken out of the spec', world => world.declare('r1', { ...spec, instances: [] })],
    ['deleted', world => world.resources.clear()],
  );

  test('lasts as long as it should, whoever looks, and however often', () => {
    fc.assert(
      fc.property(pauses, ends, ([...pauses], [, end]) => {
        const world = new ServiceWorld();
        world.declare('r1', spec);
        settle(world);
        end(world);
        const begunMs = world.nowMs;
        for (;;) {
          while (stepSafely(world, 'r1'));
          const elapsedMs = world.nowMs - begunMs;
          const seen = world.seen(name);
          expect(seen !== undefined).toBe(elapsedMs < 5_000);
          if (seen === undefined) break;
          expect(worstOf(seen.checks.map(({ status }) => status))).toBe('critical');
          expect(againIn(world, 'r1')).toBe(5_000 - elapsedMs);
          world.forgetHealth();
          world.epoch += 1;
          world.nowMs += pauses.shift() ?? 1_000;
        }
        expect([...world.names('r1')]).toEqual([]);
      }),
    );
  });

  test('ends when the instance is wished again, and begins anew after that', () => {
    const world = new ServiceWorld();
    world.declare('r1', spec);
    settle(world);
    for (let times = 0; times < 2; times++) {
      world.declare('r1', { ...spec, instances: [] });
      while (stepSafely(world, 'r1'));
      world.nowMs += 4_000;
      while (stepSafely(world, 'r1'));
      expect(worstOf(world.seen(name)?.checks.map(({ status }) => status) ?? [])).toBe('critical');
      world.declare('r1', spec);
      while (stepSafely(world, 'r1'));
      expect(world.seen(name)?.checks.map(({ status }) => status)).toEqual(['passing']);
    }
  });
});

test('what is taken out stays out as long as it is critical, and returns when it is not', () => {
  const watched = { id: 'a', node: 'vm', probe: { deregisterAfterMs: LIMIT_MS } };
  const place = checkPlace('vm', 'service:a:http');
  const { name } = anInstance(watched);
  fc.assert(
    fc.property(fc.array(fc.tuple(result, fc.integer({ min: 0, max: 90_000 })), { maxLength: 12 }), says => {
      const world = new ServiceWorld();
      world.declare('r1', {
        instances: [watched],
        onDelete: 'Delete',
        adoptionPolicy: 'IfEqual',
        driftPolicy: 'Correct',
        drainMs: { instances: 0, kubernetes: 0 },
      });
      world.say(place, PASSING);
      while (stepSafely(world, 'r1'));
      let criticalSinceMs: number | undefined;
      for (const [one, ms] of says) {
        world.say(place, one);
        criticalSinceMs = one.status === 'critical' ? (criticalSinceMs ?? world.nowMs) : undefined;
        while (stepSafely(world, 'r1'));
        world.nowMs += ms;
        while (stepSafely(world, 'r1'));
        const isOverdue = criticalSinceMs !== undefined && world.nowMs - criticalSinceMs >= LIMIT_MS;
        expect(world.seen(name) === undefined).toBe(isOverdue);
        expect(readInstanceState(world.names('r1').get(name) ?? '').kind).toBe(isOverdue ? 'out' : 'settled');
        if (!isOverdue) expect(world.seen(name)?.checks[0]?.status).toBe(one.status);
      }
    }),
  );
});

const PLAIN = {
  onDelete: 'Delete',
  adoptionPolicy: 'IfEqual',
  driftPolicy: 'Correct',
  drainMs: { instances: 0, kubernetes: 0 },
} as const;

test('what a change that was cut short left behind is no outside edit: taking the change back is a change', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('Report' as const, 'Ignore' as const),
      fc.constantFrom({}, { native: true }, { sidecar: true }),
      fc.nat(5),
      fc.nat(2),
      (driftPolicy, mesh, steps, registers) => {
        const world = new ServiceWorld();
        const declare = (port: number): void =>
          world.declare('r1', {
            ...PLAIN,
            driftPolicy,
            instances: [{ id: 'a', node: 'vm', probe: true, port, ...mesh }],
          });
        declare(80);
        settle(world);
        declare(81);
        for (let step = 0; step < steps; step++) stepSafely(world, 'r1', { registers });
        declare(80);
        settle(world);
        expectAsDeclared(world);
      },
    ),
  );
});

test('an instance that moves to another node stands somewhere all the time', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.nat(2), (native, registers) => {
      const world = new ServiceWorld();
      const declare = (node: string): void =>
        world.declare('r1', { ...PLAIN, instances: [{ id: 'a', node, native }] });
      const standing = (): number => [...world.catalog.all().keys()].filter(at => at.endsWith('/a')).length;
      declare('vm');
      settle(world);
      declare('host-1');
      for (let steps = 0; steps < 9 && stepSafely(world, 'r1', { registers }); steps++)
        expect(standing()).toBeGreaterThan(0);
      settle(world);
      expect([...world.catalog.all().keys()]).toEqual(['/host-1/a']);
    }),
  );
});

test('one that changes among many is one transaction of a few operations', () => {
  const world = new ServiceWorld();
  const spec: ResourceSpec = {
    instances: Array.from({ length: 300 }, (_, at) => ({ id: `p${at}`, node: 'vm', ready: true })),
    onDelete: 'Delete',
    adoptionPolicy: 'IfEqual',
    driftPolicy: 'Correct',
    drainMs: { instances: 0, kubernetes: 5_000 },
  };
  world.declare('r1', spec);
  while (stepSafely(world, 'r1'));
  expect(world.catalog.all().size).toBe(300);
  const before = { steps: world.steps, writes: world.catalog.writes };
  const instances = spec.instances.map(one => (one.id === 'p7' ? { ...one, ready: false } : one));
  world.declare('r1', { ...spec, instances });
  while (stepSafely(world, 'r1'));
  expect([world.steps - before.steps, world.catalog.writes - before.writes]).toEqual([1, 1]);
});
