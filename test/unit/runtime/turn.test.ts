import { beforeEach, describe, expect, test } from 'vitest';
import { type CommonStatus, FINALIZER } from '../../../src/api/v1alpha1/common.ts';
import { RetryableError } from '../../../src/core/errors.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import { crashed } from '../../support/kv-process.ts';
import { KvWorld, names } from '../../support/kv-world.ts';

let world: KvWorld;
beforeEach(() => {
  world = new KvWorld();
});

const KEY = { key: 'k', value: 'v' };

const statusOf = (ref: ResourceRef) => (world.cluster.get(ref)?.status ?? {}) as CommonStatus;
const reasonsTold = () => world.cluster.notices.map(({ reason }) => reason);
const finalizersOf = (ref: ResourceRef) => world.cluster.get(ref)?.metadata.finalizers ?? [];
/** Writes to both sides, without those of status. */
const writes = () => [world.consul.transactions.length, world.cluster.finalizerWrites];

/** Does something once, right after Consul was written. */
function afterNextWrite(act: () => void): void {
  world.consul.afterWrite = () => {
    world.consul.afterWrite = () => {};
    act();
  };
}

/** A resource that got its finalizer from a process that died before it wrote anything. */
async function heldForNothing(): Promise<ResourceRef> {
  const ref = world.cluster.apply('held', KEY);
  const dying = await world.start();
  world.consul.beforeWrite = () => {
    throw crashed();
  };
  await expect(dying.turn(ref)).rejects.toThrow('the process is gone');
  world.consul.beforeWrite = () => {};
  expect(finalizersOf(ref)).toEqual([FINALIZER]);
  return ref;
}

describe('what was written to Consul is told', () => {
  test('though the status behind it lost a race: the Event once, the time by the next turn', async () => {
    const operator = await world.start();
    const appliedAt = '2026-01-01T00:00:00Z';
    operator.clock.advance(Date.parse(appliedAt) - operator.clock.now());
    const ref = world.cluster.apply('one', KEY);
    afterNextWrite(() => world.cluster.annotate(ref, { by: 'somebody' }));
    expect(await operator.turn(ref)).toMatchObject({ kind: 'retry' });
    expect(statusOf(ref)).toEqual({});

    operator.clock.advance(60_000);
    const before = writes();
    expect(await operator.turn(ref)).toEqual({ kind: 'done' });
    expect(writes()).toEqual(before);
    expect(statusOf(ref).lastAppliedTime).toBe(appliedAt);
    expect(reasonsTold()).toEqual(['Created']);

    const told = world.cluster.statusWrites;
    await operator.turn(ref);
    expect([world.cluster.statusWrites, reasonsTold()]).toEqual([told, ['Created']]);
  });

  test('when the spec changed meanwhile as well: both changes', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', KEY);
    afterNextWrite(() => world.cluster.apply('one', { ...KEY, value: 'changed' }));
    await operator.turn(ref);
    await operator.settle(ref);
    expect(reasonsTold()).toEqual(['Created', 'Updated']);
  });

  test('as one change when it took several turns', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('tree', { prefix: 't/', data: names(200) });
    afterNextWrite(() => {
      world.consul.beforeWrite = () => {
        throw new RetryableError('away', { code: 'CONSUL_UNREACHABLE', reason: 'ConsulUnreachable' });
      };
    });
    expect(await operator.turn(ref)).toMatchObject({ kind: 'retry' });
    expect(reasonsTold()).toEqual([]);
    world.consul.beforeWrite = () => {};
    await operator.settle(ref);
    expect(Object.keys(world.data())).toHaveLength(200);
    expect(reasonsTold()).toEqual(['Created']);
  });

  test('of a deletion when the finalizer is off, which may take another turn', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', KEY);
    await operator.settle(ref);
    world.cluster.delete(ref);
    afterNextWrite(() => world.cluster.annotate(ref, { by: 'somebody' }));
    expect(await operator.turn(ref)).toMatchObject({ kind: 'retry' });
    expect(reasonsTold()).toEqual(['Created']);
    await operator.settle(ref);
    expect(world.cluster.get(ref)).toBeUndefined();
    expect(reasonsTold()).toEqual(['Created', 'Deleted']);
  });

  test('of no other resource that comes later under the same name', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('one', { ...KEY, deletionPolicy: 'Retain' });
    afterNextWrite(() => world.cluster.delete(ref));
    await operator.turn(ref);
    await operator.settle(ref);
    world.cluster.apply('one', { ...KEY, suspend: true });
    await operator.settle(ref);
    expect(world.reasons(ref)).toEqual(['Suspended']);
    expect(statusOf(ref)).not.toHaveProperty('lastAppliedTime');
  });
});

describe('a dry run', () => {
  test('adds no finalizer, so the resource goes when it is deleted', async () => {
    const dry = await world.start({ dryRun: true });
    const ref = world.cluster.apply('one', KEY);
    await dry.settle(ref);
    expect(world.reasons(ref)).toEqual(['DryRun']);
    expect([writes(), finalizersOf(ref)]).toEqual([[0, 0], []]);
    world.cluster.delete(ref);
    expect(world.cluster.get(ref)).toBeUndefined();
  });

  test('holds back the deletion of what owns something, and says so, until it ends', async () => {
    const ref = world.cluster.apply('one', KEY);
    await (await world.start()).settle(ref);
    const before = writes();
    const dry = await world.start({ dryRun: true });
    world.cluster.delete(ref);
    await dry.settle(ref);
    expect(world.cluster.condition(ref)).toBe('False DryRun: dry run: would delete k');
    expect([writes(), world.data()]).toEqual([before, { k: 'v' }]);
    await (await world.start()).settle(ref);
    expect([world.cluster.get(ref), world.data()]).toEqual([undefined, {}]);
  });

  test('tells what a transaction would be refused for, too', async () => {
    world.consul.store.put('k', 'foreign');
    const ref = world.cluster.apply('one', KEY);
    const dry = await world.start({ dryRun: true });
    await dry.settle(ref);
    expect(world.reasons(ref)).toEqual(['AlreadyExists']);
  });

  test('leaves a finalizer where it is, whatever it would be good for', async () => {
    const held = await heldForNothing();
    const retained = world.cluster.apply('retained', { key: 'r', value: 'v' });
    const operator = await world.start();
    await operator.settle(retained);
    world.cluster.apply('retained', { key: 'r', value: 'v', deletionPolicy: 'Retain' });
    world.consul.store.put('k', 'foreign');
    const before = writes();
    const dry = await world.start({ dryRun: true });
    for (const ref of [held, retained, held, retained]) await dry.settle(ref);
    expect(writes()).toEqual(before);
    expect([held, retained].map(finalizersOf)).toEqual([[FINALIZER], [FINALIZER]]);
  });

  test('lets a resource go that owns nothing', async () => {
    const held = await heldForNothing();
    const before = world.consul.transactions.length;
    const dry = await world.start({ dryRun: true });
    world.cluster.delete(held);
    await dry.settle(held);
    expect(world.cluster.get(held)).toBeUndefined();
    expect(world.consul.transactions).toHaveLength(before);
  });
});

describe('a resource that is refused', () => {
  test('by the transaction itself keeps no finalizer, and is not tried again by the next process', async () => {
    world.consul.store.put('k', 'foreign');
    const ref = world.cluster.apply('one', KEY);
    const operator = await world.start();
    await operator.settle(ref);
    expect(world.reasons(ref)).toEqual(['AlreadyExists']);
    expect(finalizersOf(ref)).toEqual([]);
    const before = [...writes(), world.cluster.statusWrites];
    await operator.settle(ref);
    await (await world.start()).settle(ref);
    expect([...writes(), world.cluster.statusWrites]).toEqual(before);
    expect(world.data()).toEqual({ k: 'foreign' });
  });

  test('for what another install owns keeps no finalizer, and is not tried again', async () => {
    const theirs = world.cluster.apply('theirs', KEY);
    await (await world.start({ installId: 'install-b' })).settle(theirs);
    const ours = world.cluster.apply('ours', KEY);
    await (await world.start()).settle(ours);
    expect(world.reasons(ours)).toEqual(['Conflict']);
    expect(finalizersOf(ours)).toEqual([]);
    const before = writes();
    await (await world.start()).settle(ours);
    expect(writes()).toEqual(before);
  });

  test('keeps its finalizer while it owns something', async () => {
    const operator = await world.start();
    const ref = world.cluster.apply('tree', { prefix: 't/', data: { a: '1' } });
    await operator.settle(ref);
    world.consul.store.put('t/b', 'foreign');
    world.cluster.apply('tree', { prefix: 't/', data: { a: '1', b: '2' } });
    await operator.settle(ref);
    expect(world.reasons(ref)).toEqual(['AlreadyExists']);
    expect(finalizersOf(ref)).toEqual([FINALIZER]);
  });

  test('goes at once when it is deleted, though a finalizer was left behind', async () => {
    const held = await heldForNothing();
    const before = world.consul.transactions.length;
    world.cluster.delete(held);
    await (await world.start()).settle(held);
    expect(world.cluster.get(held)).toBeUndefined();
    expect(world.consul.transactions).toHaveLength(before);
  });
});

describe('a leader whose watch is behind that of the one before', () => {
  test('does not take back what that one has applied', async () => {
    const ref = world.cluster.apply('one', { key: 'k', value: 'old' });
    await (await world.start()).settle(ref);
    const older = world.cluster.get(ref);
    world.cluster.apply('one', { key: 'k', value: 'new' });
    await (await world.start()).settle(ref);
    expect(world.data()).toEqual({ k: 'new' });

    world.cluster.hear(ref, older);
    const behind = await world.start();
    const before = writes();
    await behind.settle(ref);
    expect([world.data(), writes()]).toEqual([{ k: 'new' }, before]);
  });

  test('does not remove what belongs to a resource it has not heard of', async () => {
    const ref = world.cluster.apply('one', KEY);
    await (await world.start()).settle(ref);
    world.cluster.hear(ref, undefined);
    await (await world.start()).settle(ref);
    expect(world.data()).toEqual({ k: 'v' });
  });
});
