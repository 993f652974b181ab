import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { agentNamesIn } from '../../../../src/reconcilers/service/agent-compare.ts';
import { AgentWorld, idsIn, type Spec } from './agent-world.ts';
import { aVm } from './spec-builders.ts';

/** Declarations among which a resource may move; `vm-3` stands without an owner. */
const spec: fc.Arbitrary<Spec> = fc.record({
  instances: fc
    .uniqueArray(fc.constantFrom('vm-1', 'vm-2'), { minLength: 1 })
    .map(ids => ids.map(id => aVm({ id }))),
  checks: fc.constantFrom(
    [],
    [{ name: 'a', http: {} }],
    [{ name: 'a', http: { path: '/b' } }],
    [
      { name: 'a', http: {} },
      { name: 'b', ttl: { ttl: '1m' } },
    ],
  ),
  tags: fc.constantFrom([], ['v1']),
  connect: fc.constantFrom({}, { sidecar: {} }),
});

type Happening = (world: AgentWorld, wished: Spec) => void;

/** As many steps of one turn, and then a crash. */
const steps: fc.Arbitrary<Happening> = fc.integer({ min: 0, max: 4 }).map(count => (world, wished) => {
  for (let made = 0; made < count; made += 1) {
    const plan = world.plan(wished);
    if (plan.kind === 'change') world.apply(plan.change);
  }
});

const edit: fc.Arbitrary<Happening> = fc.constantFrom<Happening[]>(
  world => world.agent.deregister('vm-1'),
  world => world.agent.removeCheck('service:vm-1:a'),
  world => world.agent.addCheck('vm-1', 'extra'),
  world => world.agent.maintain('vm-2', 'by hand'),
  world => world.agent.lose(),
  world => world.agent.say('passing'),
  world => {
    world.nowMs += 3_000;
  },
  world => {
    const service = world.agent.services.get('vm-1');
    if (service !== undefined) world.agent.services.set('vm-1', { ...service, port: 1 });
  },
);

const history = fc.array(fc.tuple(spec, fc.array(fc.oneof(steps, edit), { maxLength: 3 })), {
  minLength: 1,
  maxLength: 5,
});
const drainSeconds = fc.constantFrom(0, 5);

const foreign = { id: 'vm-3' as never, name: 'web', address: '192.0.2.3', port: 80 };

function aWorld(drain: number): AgentWorld {
  const world = new AgentWorld();
  const drainMs = { instances: drain * 1000, kubernetes: drain * 1000 };
  world.declarer = { ...world.declarer, drainMs };
  const rest = { tags: [], meta: new Map(), weights: { passing: 1, warning: 1 } };
  const service = { ...foreign, ...rest, enableTagOverride: false, connect: undefined };
  world.agent.register({ service, checks: [], sidecar: undefined, superseded: 'all' });
  return world;
}

test('whatever happens, and wherever a turn is cut off, in the end the agent has what is wished last', () => {
  fc.assert(
    fc.property(history, drainSeconds, (chapters, drain) => {
      const world = aWorld(drain);
      for (const [wished, happenings] of chapters) for (const happen of happenings) happen(world, wished);
      const [last] = chapters.at(-1) ?? [{}];
      world.settle(last);
      world.nowMs += 60_000;
      world.settle(last);
      expect(world.plan(last)).toMatchObject({ kind: 'noop', drifted: [] });

      const fresh = aWorld(drain);
      fresh.agent.memory = world.agent.memory;
      fresh.settle(last);
      const of = (one: AgentWorld) => idsIn(one.agent).filter(id => id !== foreign.id);
      expect(of(world)).toEqual(of(fresh));
      for (const id of of(fresh)) expect(world.agent.services.get(id)).toEqual(fresh.agent.services.get(id));
      for (const [id, check] of fresh.agent.defined) expect(world.agent.defined.get(id)).toEqual(check);
      expect([...world.agent.defined.keys()].sort()).toEqual([...fresh.agent.defined.keys()].sort());
      expect([...agentNamesIn(world.record)].sort()).toEqual([...agentNamesIn(fresh.record)].sort());
    }),
  );
});

test('what nobody declared is never touched, and nothing is left behind when the resource goes', () => {
  fc.assert(
    fc.property(history, drainSeconds, (chapters, drain) => {
      const world = aWorld(drain);
      const mayLose = (): boolean => !world.agent.services.has(foreign.id);
      const before = world.agent.services.get(foreign.id);
      for (const [wished, happenings] of chapters) for (const happen of happenings) happen(world, wished);
      world.converge(() => world.planEnd());
      world.nowMs += 60_000;
      world.converge(() => world.planEnd());
      expect(idsIn(world.agent)).toEqual(mayLose() ? [] : [foreign.id]);
      if (!mayLose()) expect(world.agent.services.get(foreign.id)).toBe(before);
      expect(world.record).toBeUndefined();
    }),
  );
});

test('what stands as wished is never registered again', () => {
  fc.assert(
    fc.property(spec, spec, (one, other) => {
      const world = aWorld(0);
      world.settle(one);
      world.settle(other);
      const { registrations } = world.agent;
      world.settle(other);
      expect(world.agent.registrations).toBe(registrations);
    }),
  );
});
