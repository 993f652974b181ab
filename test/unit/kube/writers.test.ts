import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConflictError, TerminalError } from '../../../src/core/errors.ts';
import type { KubeClient } from '../../../src/kube/client.ts';
import { addFinalizer, removeFinalizer } from '../../../src/kube/finalizers.ts';
import { createKubeClient } from '../../../src/kube/http-client.ts';
import { writeStatus } from '../../../src/kube/status-writer.ts';
import type { KubeObject, ResourceType } from '../../../src/kube/types.ts';
import { FakeApiServer, reply, replyStatus, statusOf } from '../../support/fake-api-server.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const type: ResourceType = {
  group: 'test.proconsul.dev',
  version: 'v1',
  plural: 'widgets',
  kind: 'Widget',
  namespaced: true,
};
const { signal } = new AbortController();
const path = '/apis/test.proconsul.dev/v1/namespaces/shop/widgets/a';
const finalizer = 'proconsul.dev/consul';

let server: FakeApiServer;
let client: KubeClient;

beforeEach(async () => {
  server = await FakeApiServer.start();
  client = createKubeClient({ clock: new FakeClock(), kubeconfig: server.kubeconfig() });
});
afterEach(async () => {
  await client.close();
  await server.stop();
});

function aWidget(fields: { finalizers?: string[]; status?: object } = {}): KubeObject {
  const { finalizers, status } = fields;
  const metadata = { name: 'a', namespace: 'shop', uid: 'u1', resourceVersion: '7' };
  return {
    metadata: finalizers === undefined ? metadata : { ...metadata, finalizers },
    ...(status && { status }),
  };
}

describe('the status', () => {
  test('is patched by what differs, on the version it was decided on', async () => {
    const object = aWidget({ status: { ready: 1, old: true, conditions: [{ type: 'Ready' }] } });
    const status = { ready: 2, conditions: [{ type: 'Ready' }], added: { deep: undefined } };
    const written = await writeStatus({ client, type, object, status, signal });
    expect(server.requests).toMatchObject([{ method: 'PATCH', path: `${path}/status` }]);
    expect(server.requests[0]?.headers['content-type']).toBe('application/merge-patch+json');
    expect(server.requests[0]?.body).toEqual({
      metadata: { resourceVersion: '7' },
      status: { ready: 2, old: null, added: {} },
    });
    expect(written).toEqual({ result: 'written', object: server.requests[0]?.body });
  });

  test('that is so already sends nothing', async () => {
    const status = { list: [1, { a: 'b' }], at: '2026-01-01T00:00:00Z' };
    const object = aWidget({ status });
    expect(
      await writeStatus({ client, type, object, status: { ...status, absent: undefined }, signal }),
    ).toEqual({
      result: 'unchanged',
    });
    expect(server.requests).toEqual([]);
  });

  test('of an object that is gone is a result; of one that changed, a conflict', async () => {
    const write = { client, type, object: aWidget(), status: { a: 1 }, signal };
    server.failNext((_, response) => replyStatus(response, 404, 'NotFound'));
    expect(await writeStatus(write)).toEqual({ result: 'gone' });
    server.failNext((_, response) => replyStatus(response, 409, 'Conflict'));
    await expect(writeStatus(write)).rejects.toBeInstanceOf(ConflictError);
  });
});

const preconditions = [
  { op: 'test', path: '/metadata/uid', value: 'u1' },
  { op: 'test', path: '/metadata/resourceVersion', value: '7' },
];

describe('our finalizer', () => {
  test.each([
    [
      'makes the list where there is none',
      undefined,
      { op: 'add', path: '/metadata/finalizers', value: [finalizer] },
    ],
    ['makes the list where it is empty', [], { op: 'add', path: '/metadata/finalizers', value: [finalizer] }],
    ['joins those of others', ['other/x'], { op: 'add', path: '/metadata/finalizers/-', value: finalizer }],
  ])('when added %s', async (_, finalizers, operation) => {
    const object = aWidget(finalizers === undefined ? {} : { finalizers });
    const { result } = await addFinalizer({ client, type, object, finalizer, signal });
    expect(result).toBe('written');
    expect(server.requests).toMatchObject([{ method: 'PATCH', path, body: [...preconditions, operation] }]);
    expect(server.requests[0]?.headers['content-type']).toBe('application/json-patch+json');
  });

  test('when removed leaves those of others', async () => {
    const object = aWidget({ finalizers: ['other/x', finalizer, 'other/y'] });
    const { result } = await removeFinalizer({ client, type, object, finalizer, signal });
    expect(result).toBe('written');
    expect(server.requests[0]?.body).toEqual([
      ...preconditions,
      { op: 'test', path: '/metadata/finalizers/1', value: finalizer },
      { op: 'remove', path: '/metadata/finalizers/1' },
    ]);
  });

  test('that is as wanted sends nothing', async () => {
    const change = { client, type, finalizer, signal };
    expect(await addFinalizer({ ...change, object: aWidget({ finalizers: [finalizer] }) })).toEqual({
      result: 'unchanged',
    });
    expect(await removeFinalizer({ ...change, object: aWidget() })).toEqual({ result: 'unchanged' });
    expect(server.requests).toEqual([]);
  });

  test('of an object that is gone needs no removal', async () => {
    server.failNext((_, response) => replyStatus(response, 404, 'NotFound'));
    const object = aWidget({ finalizers: [finalizer] });
    expect(await removeFinalizer({ client, type, object, finalizer, signal })).toEqual({ result: 'gone' });
  });

  test.each([
    [409, statusOf(409, 'Conflict')],
    [422, { ...statusOf(422, 'Invalid'), details: {} }],
  ])('meets a conflict when the object has changed (%i)', async (code, body) => {
    server.failNext((_, response) => reply(response, code, body));
    const object = aWidget({ finalizers: [finalizer] });
    await expect(removeFinalizer({ client, type, object, finalizer, signal })).rejects.toBeInstanceOf(
      ConflictError,
    );
  });

  test('that validation refuses is no conflict', async () => {
    const details = { causes: [{ reason: 'FieldValueInvalid', field: 'spec.size' }] };
    server.failNext((_, response) => reply(response, 422, { ...statusOf(422, 'Invalid'), details }));
    await expect(addFinalizer({ client, type, object: aWidget(), finalizer, signal })).rejects.toBeInstanceOf(
      TerminalError,
    );
  });
});
