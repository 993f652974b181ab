import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConflictError, TerminalError } from '../../src/core/errors.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { createEventRecorder } from '../../src/kube/events.ts';
import { addFinalizer, removeFinalizer } from '../../src/kube/finalizers.ts';
import { objectPath } from '../../src/kube/paths.ts';
import { type WriteResult, writeStatus } from '../../src/kube/status-writer.ts';
import { type KubeObject, referenceTo } from '../../src/kube/types.ts';
import { systemClock } from '../../src/runtime/system-clock.ts';
import { KubeWorld } from './kube-support.ts';

const { signal } = new AbortController();
const finalizer = 'proconsul.dev/consul';

let world: KubeWorld;
let client: KubeClient;
beforeAll(async () => {
  world = await KubeWorld.create();
  client = await world.client();
});
afterAll(() => world.close());

let made = 0;
async function aWidget(fields: { finalizers?: string[] } = {}): Promise<KubeObject> {
  made += 1;
  const widget = world.widget(`w-${made}`, fields);
  await world.api.create(widget);
  return read(widget.metadata.name);
}

function read(name: string): Promise<KubeObject> {
  const path = objectPath(world.type, { name, namespace: 'default' });
  return client.request<KubeObject>({ method: 'GET', path, signal });
}

function objectOf(write: WriteResult<KubeObject>): KubeObject {
  if (write.result !== 'written') throw new Error(`expected a write, got ${write.result}`);
  return write.object;
}

describe('the status', () => {
  test('becomes exactly what is wanted, and the spec and its generation stay', async () => {
    const object = await aWidget();
    const first = { ready: true, old: 1, nested: { a: 1, b: 2 }, list: [1, 2, 3] };
    const written = objectOf(await writeStatus({ client, type: world.type, object, status: first, signal }));
    expect(written.status).toEqual(first);
    const second = { ready: false, nested: { b: 2 }, list: [3] };
    const rewritten = objectOf(
      await writeStatus({ client, type: world.type, object: written, status: second, signal }),
    );
    expect(rewritten).toMatchObject({ spec: { size: 1 }, metadata: { generation: 1 } });
    expect(rewritten.status).toEqual(second);
    expect(await read(object.metadata.name)).toEqual(rewritten);
    expect(
      await writeStatus({ client, type: world.type, object: rewritten, status: second, signal }),
    ).toEqual({
      result: 'unchanged',
    });
  });

  test('decided on an older version is refused, and so is one meant for another object of that name', async () => {
    const object = await aWidget();
    await world.api.patch(world.widget(object.metadata.name), { spec: { size: 2 } });
    const stale = writeStatus({ client, type: world.type, object, status: { a: 1 }, signal });
    await expect(stale).rejects.toBeInstanceOf(ConflictError);
    const second = await read(object.metadata.name);
    await world.api.delete(world.widget(object.metadata.name));
    expect(await writeStatus({ client, type: world.type, object: second, status: { a: 1 }, signal })).toEqual(
      { result: 'gone' },
    );
    await world.api.create(world.widget(object.metadata.name));
    const misplaced = writeStatus({ client, type: world.type, object: second, status: { a: 1 }, signal });
    await expect(misplaced).rejects.toBeInstanceOf(ConflictError);
  });
});

describe('our finalizer', () => {
  test.each([
    ['where there is none', []],
    ['beside those of others', ['other.example/x', 'other.example/y']],
  ])('comes and goes %s', async (_, finalizers) => {
    const object = await aWidget({ finalizers });
    const change = { client, type: world.type, finalizer, signal };
    const added = objectOf(await addFinalizer({ ...change, object }));
    expect(added.metadata.finalizers).toEqual([...finalizers, finalizer]);
    const removed = objectOf(await removeFinalizer({ ...change, object: added }));
    expect(removed.metadata.finalizers ?? []).toEqual(finalizers);
  });

  test('lets a deleted object go when it was the last, and taking it off again finds it gone', async () => {
    const object = await aWidget({ finalizers: [finalizer] });
    await world.api.delete(world.widget(object.metadata.name));
    const deleting = await read(object.metadata.name);
    expect(deleting.metadata.deletionTimestamp).toBeDefined();
    const change = { client, type: world.type, finalizer, signal };
    expect(await removeFinalizer({ ...change, object: deleting })).toMatchObject({ result: 'written' });
    expect(await world.api.get(world.widget(object.metadata.name))).toBeUndefined();
    expect(await removeFinalizer({ ...change, object: deleting })).toEqual({ result: 'gone' });
  });

  test('is not touched on an object that changed, or that is another of the same name', async () => {
    const object = await aWidget({ finalizers: [finalizer] });
    const change = { client, type: world.type, finalizer, signal };
    await world.api.patch(world.widget(object.metadata.name), { spec: { size: 2 } });
    await expect(removeFinalizer({ ...change, object })).rejects.toBeInstanceOf(ConflictError);
    await expect(
      addFinalizer({ ...change, finalizer: 'proconsul.dev/other', object }),
    ).rejects.toBeInstanceOf(ConflictError);
    const other = await aWidget({ finalizers: [finalizer] });
    const { uid } = object.metadata;
    const mistaken = { ...other, metadata: { ...other.metadata, uid } };
    await expect(removeFinalizer({ ...change, object: mistaken })).rejects.toBeInstanceOf(ConflictError);
    expect((await read(other.metadata.name)).metadata.finalizers).toEqual([finalizer]);
  });

  test('that validation refuses, or that comes too late, is no conflict', async () => {
    const object = await aWidget();
    const change = { client, type: world.type, signal };
    const invalid = addFinalizer({ ...change, object, finalizer: 'not a name' });
    await expect(invalid).rejects.toBeInstanceOf(TerminalError);
    const held = await aWidget({ finalizers: ['other.example/x'] });
    await world.api.delete(world.widget(held.metadata.name));
    const late = addFinalizer({ ...change, object: await read(held.metadata.name), finalizer });
    await expect(late).rejects.toBeInstanceOf(TerminalError);
    await removeFinalizer({
      ...change,
      object: await read(held.metadata.name),
      finalizer: 'other.example/x',
    });
  });
});

test('Events are accepted, and equal ones counted as a series', async () => {
  const regarding = referenceTo(world.type, await aWidget());
  const dropped: unknown[] = [];
  const recorder = createEventRecorder({
    client,
    clock: systemClock,
    instance: 'test-pod',
    onDropped: (cause, error) => dropped.push(cause, error),
  });
  const notice = {
    regarding,
    type: 'Warning',
    reason: 'Conflict',
    action: 'Reconcile',
    note: 'ä'.repeat(1_000),
  } as const;
  for (let times = 0; times < 3; times += 1) {
    recorder.emit(notice);
    await recorder.flush(signal);
  }
  recorder.emit({ ...notice, note: 'another' });
  await recorder.flush(signal);
  expect(dropped).toEqual([]);
  const events = await world.api.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' }, 'default');
  const ours = events.filter(event => event['regarding'].uid === regarding.uid);
  expect(ours).toHaveLength(2);
  const counts = ours.map(event => event['series']?.count);
  expect(new Set(counts)).toEqual(new Set([3, undefined]));
});
