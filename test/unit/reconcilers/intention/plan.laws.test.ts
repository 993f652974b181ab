import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { markClaimed, parseClaimName } from '../../../../src/core/intention-claims.ts';
import { epochKey } from '../../../../src/reconcilers/intention/entry.ts';
import { canonicalJwt } from '../../../../src/reconcilers/intention/canonical.ts';
import type { IntentionChange } from '../../../../src/reconcilers/intention/types.ts';
import { anyJwt, anySource, jwtName, sourceName, wishFor } from './builders.ts';
import { INSTALL, type Resource, World } from './world.ts';

const RESOURCES = ['r1', 'r2', 'r3'];
const DESTINATIONS = ['orders', '*'];

const resource = fc.constantFrom(...RESOURCES);
const destination = fc.constantFrom('orders', 'orders', 'orders', '*');
/** Few, so that resources and people meet at the same ones. */
const source = anySource(fc.constantFrom('web', 'api', '*')).map(({ description = '', peer, ...rest }) => ({
  ...rest,
  description,
  ...(peer === 'dc3' ? { peer } : {}),
}));
const sources = fc.uniqueArray(source, {
  minLength: 1,
  maxLength: 3,
  selector: ({ name, peer }) => `${peer}/${name}`,
});
const raw = fc.record(
  {
    Name: fc.constantFrom('web', 'api', '*'),
    Peer: fc.constant('dc3'),
    Action: fc.constantFrom('allow', 'deny'),
    Description: fc.constantFrom('by hand', 'by another hand'),
    Someday: fc.constant({ deep: ['kept'] }),
  },
  { requiredKeys: ['Name', 'Action'] },
);

const policies = {
  onDelete: fc.constantFrom('Delete' as const, 'Delete' as const, 'Retain' as const),
  adoptionPolicy: fc.constantFrom('Never' as const, 'IfEqual' as const, 'Always' as const),
};
const declared = (driftPolicy: fc.Arbitrary<Resource['driftPolicy']>) =>
  fc.record({
    destination,
    sources,
    jwt: fc.option(anyJwt, { nil: undefined, freq: 2 }),
    ...policies,
    driftPolicy,
  });

type Act = (world: World) => void;

const byPeople: fc.Arbitrary<Act> = fc.oneof(
  fc.tuple(destination, anyJwt).map(([destination, jwt]) => (world: World) => {
    const JWT = { ...canonicalJwt(jwt), Someday: 1 };
    world.editJwt(destination, JWT);
  }),
  fc.tuple(destination, raw).map(
    ([destination, raw]) =>
      (world: World) =>
        world.edit(destination, raw),
  ),
  fc.tuple(destination, fc.nat()).map(([destination, which]) => (world: World) => {
    const standing = [...world.raw(destination).keys()];
    const claim = standing[which % Math.max(1, standing.length)];
    if (claim !== undefined) world.remove(destination, claim);
  }),
);

/** People and the operator take turns in any order, and every turn may be cut short after any step. */
const acts = (driftPolicy: fc.Arbitrary<Resource['driftPolicy']>): fc.Arbitrary<Act[]> => {
  const act: fc.Arbitrary<Act> = fc.oneof(
    { weight: 2, arbitrary: byPeople },
    {
      weight: 2,
      arbitrary: fc.tuple(resource, declared(driftPolicy)).map(([name, declared]) => (world: World) => {
        const before = world.resources.get(name)?.destination;
        world.declare(name, before === undefined ? declared : { ...declared, destination: before });
      }),
    },
    {
      weight: 1,
      arbitrary: resource.map(name => (world: World) => void world.resources.delete(name)),
    },
    {
      weight: 5,
      arbitrary: fc.tuple(resource, fc.integer({ min: 1, max: 4 })).map(([name, steps]) => (world: World) => {
        for (let step = 0; step < steps; step++) stepSafely(world, name);
      }),
    },
    {
      weight: 2,
      arbitrary: fc.tuple(resource, byPeople).map(
        ([name, rival]) =>
          (world: World) =>
            stepSafely(world, name, () => rival(world)),
      ),
    },
    { weight: 1, arbitrary: fc.constant((world: World) => void (world.epoch += 1)) },
  );
  return fc.array(act, { maxLength: 24 });
};

/** A step, which must leave everything alone that is not the resource's. */
function stepSafely(world: World, name: string, between: () => void = () => {}): boolean {
  const plan = world.plan(name);
  if (plan.kind !== 'change') return false;
  between();
  const { change } = plan;
  const before = new Map(DESTINATIONS.map(destination => [destination, world.raw(destination)]));
  const others = DESTINATIONS.map(destination => unknownFields(world, destination));
  const mayTouch = touchable(world, name, change);
  const done = world.apply(name, change);
  for (const [destination, standing] of before) {
    const after = world.raw(destination);
    for (const [claim, raw] of standing) {
      // Consul keeps no JWT requirement without a source, whoever wrote it.
      const isLost = claim === jwtName(destination) && after.size === 0;
      if (!mayTouch(claim) && !isLost) expect(after.get(claim)).toStrictEqual(raw);
    }
    for (const claim of after.keys()) if (!mayTouch(claim)) expect(standing.has(claim)).toBe(true);
    if (after.size > 0) continue;
    expect(world.entries.get(destination)).toBeUndefined();
  }
  for (const [at, destination] of DESTINATIONS.entries()) {
    const isKept = others[at] !== undefined && world.entries.get(destination) !== undefined;
    if (isKept) expect(unknownFields(world, destination)).toStrictEqual(others[at]);
  }
  return done;
}

/** All that is not sources, JWT or our own mark. */
function unknownFields(world: World, destination: string): unknown {
  const { body } = world.entries.get(destination) ?? {};
  if (body === undefined) return undefined;
  const { Sources: _sources, JWT: _jwt, Meta, ...rest } = body;
  const meta = Object.entries(Meta ?? {}).filter(([key]) => key !== epochKey(INSTALL));
  return { ...rest, meta };
}

/** Of what stands, only what the record says is owned, or announced as about to be taken. */
function touchable(world: World, name: string, change: IntentionChange): (claim: string) => boolean {
  if (change.step !== 'entry') return () => false;
  const wished = world.resources.get(name);
  const claims = wished === undefined ? new Map() : wishFor(wished).claims;
  const standing = world.raw(change.destination);
  const touchable = new Set<string>();
  for (const [claim, recorded] of world.names(name)) {
    const isAnnounced = recorded === markClaimed(claims.get(claim)?.fingerprint);
    const isTakeable = !standing.has(claim) || wished?.adoptionPolicy === 'Always';
    if (world.isOwned(claim, change.destination) || (isAnnounced && isTakeable)) touchable.add(claim);
  }
  return claim => touchable.has(claim);
}

const MOST_STEPS = 40;

/** Everybody's turns, again and again, until nobody has anything to do. */
function settle(world: World): void {
  for (let steps = 0, idle = 0; idle < RESOURCES.length; ) {
    idle = 0;
    for (const name of RESOURCES) {
      if (!stepSafely(world, name)) idle += 1;
      expect(++steps).toBeLessThan(MOST_STEPS * RESOURCES.length);
    }
  }
}

function isRefused(world: World, name: string): boolean {
  return world.plan(name).kind === 'refuse';
}

/** Consul holds what people wrote and what resources declare, and the records list exactly what stands. */
function expectMerged(world: World): void {
  const wanted = new Map<string, string>();
  for (const name of RESOURCES) {
    const resource = world.resources.get(name);
    const plan = world.plan(name);
    expect(['noop', 'refuse']).toContain(plan.kind);
    if (plan.kind === 'refuse') {
      // It keeps what it has, and writes nothing at all.
      expect(['Conflict', 'AlreadyExists']).toContain(plan.reason);
      continue;
    }
    const claims = resource === undefined ? new Map() : wishFor(resource).claims;
    const fingerprints = new Map([...claims].map(([claim, { fingerprint }]) => [claim, fingerprint]));
    expect(new Map(world.names(name))).toEqual(fingerprints);
    expect(world.recorded(name)?.head.phase).toBe(resource === undefined ? undefined : 'settled');
    for (const [claim, fingerprint] of fingerprints) wanted.set(claim, fingerprint);
  }
  const refused = RESOURCES.filter(name => isRefused(world, name));
  for (const destination of DESTINATIONS) {
    const seen = world.seen(destination)?.fingerprints ?? new Map<string, string>();
    const raw = world.raw(destination);
    for (const [claim, fingerprint] of seen) {
      if (wanted.has(claim)) expect(fingerprint).toBe(wanted.get(claim));
      else if (world.hand.has(claim)) expect(raw.get(claim)).toStrictEqual(world.hand.get(claim));
      else expect(refused.some(name => world.names(name).has(claim))).toBe(true);
    }
    const isHere = (claim: string): boolean => parseClaimName(claim)?.destination === destination;
    const expected = [...wanted.keys(), ...world.hand.keys()].filter(isHere);
    expect([...seen.keys()]).toEqual(expect.arrayContaining(expected));
  }
}

function markIn(world: World, destination: string): unknown {
  const meta = world.entries.get(destination)?.body['Meta'] as Record<string, unknown> | undefined;
  return meta?.[epochKey(INSTALL)];
}

function play(acts: readonly Act[]): World {
  const world = new World();
  for (const act of acts) act(world);
  return world;
}

const correct = fc.constant('Correct' as const);
const anyDrift = fc.constantFrom('Correct' as const, 'Report' as const, 'Ignore' as const);

describe('whatever resources and people do, and wherever the operator dies', () => {
  test('in the end Consul holds what people wrote and what is declared, and records list what stands', () => {
    fc.assert(
      fc.property(acts(correct), acts => {
        const world = play(acts);
        settle(world);
        expectMerged(world);
      }),
      { numRuns: 200 },
    );
  });

  test('what was just carried out is not planned again', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        settle(world);
        const { writes } = world.entries;
        const { recordWrites } = world;
        world.epoch += 1;
        for (const name of RESOURCES) expect(['noop', 'refuse']).toContain(world.plan(name).kind);
        settle(world);
        expect([world.entries.writes, world.recordWrites]).toEqual([writes, recordWrites]);
      }),
      { numRuns: 200 },
    );
  });

  test('when all resources are deleted, what people wrote is all that is left, and no record', () => {
    fc.assert(
      fc.property(acts(anyDrift), acts => {
        const world = play(acts);
        world.resources.clear();
        settle(world);
        for (const name of RESOURCES) expect(world.recorded(name)).toBeUndefined();
        const standing = DESTINATIONS.flatMap(destination => [...world.raw(destination)]);
        expect(new Map(standing)).toStrictEqual(
          new Map([...standing].filter(([claim]) => world.hand.has(claim))),
        );
        expect(standing.length).toBe(world.hand.size);
      }),
      { numRuns: 200 },
    );
  });

  test('our mark is in an entry exactly as long as something of ours is, with the tenure that wrote last', () => {
    const byUs = fc.array(
      fc.oneof(
        fc.tuple(resource, declared(correct)).map(([name, declared]) => (world: World) => {
          world.declare(name, { ...declared, destination: 'orders', onDelete: 'Delete' });
        }),
        resource.map(name => (world: World) => void world.resources.delete(name)),
        resource.map(name => (world: World) => void stepSafely(world, name)),
        fc.constant((world: World) => void (world.epoch += 1)),
      ),
      { maxLength: 24 },
    );
    fc.assert(
      fc.property(byUs, acts => {
        const world = new World();
        world.edit('orders', { Name: 'audit', Action: 'allow' });
        for (const act of acts) act(world);
        settle(world);
        const isAnyOurs = [...world.raw('orders').keys()].some(claim => world.isOwned(claim, 'orders'));
        expect(markIn(world, 'orders') !== undefined).toBe(isAnyOurs);
        const { writes } = world.entries;
        world.epoch += 1;
        world.resources.clear();
        world.declare('r1', { ...PLAIN, sources: [{ name: 'new', action: 'deny' }] });
        settle(world);
        expect(world.entries.writes).toBeGreaterThan(writes);
        expect(markIn(world, 'orders')).toBe(String(world.epoch));
      }),
      { numRuns: 200 },
    );
  });
});

const PLAIN = {
  destination: 'orders',
  onDelete: 'Delete',
  adoptionPolicy: 'IfEqual',
  driftPolicy: 'Correct',
} as const;

/** One resource with the sources a and b, settled; `b` is edited from outside. */
function edited(driftPolicy: Resource['driftPolicy']): World {
  const world = new World();
  world.edit('orders', { Name: 'audit', Action: 'allow' });
  const sources = [
    { name: 'a', action: 'allow' },
    { name: 'b', action: 'allow' },
  ] as const;
  world.declare('r1', { ...PLAIN, driftPolicy, sources });
  settle(world);
  world.edit('orders', { Name: 'b', Action: 'deny', Description: 'by hand' });
  return world;
}

describe.each(['Report', 'Ignore'] as const)('under driftPolicy %s an outside edit', driftPolicy => {
  const b = sourceName('b');

  test('stays, whatever else is declared meanwhile, and wherever the operator dies', () => {
    const step = fc.oneof(
      fc.constantFrom('allow' as const, 'deny' as const).map(action => (world: World) => {
        const sources = [
          { name: 'a', action, description: 'new' },
          { name: 'b', action: 'allow' },
        ] as const;
        world.declare('r1', { ...PLAIN, driftPolicy, sources });
      }),
      fc.constant((world: World) => {
        world.declare('r1', { ...PLAIN, driftPolicy, sources: [{ name: 'b', action: 'allow' }] });
      }),
      fc.constant((world: World) => void stepSafely(world, 'r1')),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), steps => {
        const world = edited(driftPolicy);
        const raw = world.raw('orders').get(b);
        for (const step of steps) step(world);
        settle(world);
        expect(world.raw('orders').get(b)).toStrictEqual(raw);
        expect(world.plan('r1')).toEqual({ kind: 'noop', drifted: driftPolicy === 'Report' ? ['b'] : [] });
      }),
    );
  });

  test('is written over by a new wish for that source', () => {
    const world = edited(driftPolicy);
    world.declare('r1', {
      ...PLAIN,
      driftPolicy,
      sources: [{ name: 'b', action: 'allow', description: 'new' }],
    });
    settle(world);
    expect(world.raw('orders').get(b)).toMatchObject({ Action: 'allow', Description: 'new' });
  });
});

test('what a change that was cut short left behind is no outside edit: taking the change back is a change', () => {
  fc.assert(
    fc.property(fc.nat(3), fc.constantFrom('Report' as const, 'Ignore' as const), (steps, driftPolicy) => {
      const world = new World();
      const declare = (...names: readonly string[]): void => {
        const sources = names.map(name => ({ name, action: 'allow' as const }));
        world.declare('r1', { ...PLAIN, driftPolicy, sources });
      };
      declare('a', 'b');
      settle(world);
      world.declare('r1', { ...PLAIN, driftPolicy, sources: [{ name: 'a', action: 'deny' }] });
      for (let step = 0; step < steps; step++) stepSafely(world, 'r1');
      declare('a', 'b');
      settle(world);
      expect(world.plan('r1')).toEqual({ kind: 'noop', drifted: [] });
      expectMerged(world);
    }),
  );
});

test('an outside edit is put back by one request, and the record is not touched', () => {
  const world = edited('Correct');
  const { writes } = world.entries;
  const { recordWrites } = world;
  settle(world);
  expect([world.entries.writes - writes, world.recordWrites - recordWrites]).toEqual([1, 0]);
  expectMerged(world);
});

test('deleted under Retain: no entry is touched', () => {
  fc.assert(
    fc.property(acts(anyDrift), acts => {
      const world = play(acts);
      for (const [name, resource] of world.resources)
        world.declare(name, { ...resource, onDelete: 'Retain' });
      settle(world);
      const before = DESTINATIONS.map(destination => world.entries.get(destination));
      world.resources.clear();
      for (const name of world.everybody()) {
        if (world.recorded(name)?.head.onDelete !== 'Retain') continue;
        while (stepSafely(world, name));
        expect(world.recorded(name)).toBeUndefined();
      }
      expect(DESTINATIONS.map(destination => world.entries.get(destination))).toStrictEqual(before);
    }),
    { numRuns: 200 },
  );
});
