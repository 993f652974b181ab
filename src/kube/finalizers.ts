import type { KubeClient } from './client.ts';
import { kubeError, refusalBehind } from './errors.ts';
import { objectPath } from './paths.ts';
import { type WriteResult, written } from './status-writer.ts';
import type { KubeObject, ResourceType } from './types.ts';

export interface FinalizerChange<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType;
  /** As it was read: its uid and resourceVersion are the precondition. */
  readonly object: T;
  readonly finalizer: string;
  readonly signal: AbortSignal;
}

type JsonPatch = readonly {
  readonly op: 'test' | 'add' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}[];

/**
 * Adds our finalizer beside those of others; `unchanged` when it is there. To be done before the first write to
 * Consul, and not to an object that is being deleted, where the API server refuses it.
 *
 * @throws ConflictError when the object changed since it was read; otherwise as `KubeClient.request`.
 */
export async function addFinalizer<T extends KubeObject>(
  change: FinalizerChange<T>,
): Promise<WriteResult<T>> {
  const { finalizers = [] } = change.object.metadata;
  if (finalizers.includes(change.finalizer)) return { result: 'unchanged' };
  return patch(
    change,
    finalizers.length === 0
      ? [{ op: 'add', path: '/metadata/finalizers', value: [change.finalizer] }]
      : [{ op: 'add', path: '/metadata/finalizers/-', value: change.finalizer }],
  );
}

/**
 * Takes our finalizer off and leaves those of others; `unchanged` when it is not there, `gone` when the object is
 * not. Only for after a consistent read has shown that nothing is left in Consul (rule F8).
 *
 * @throws ConflictError when the object changed since it was read; otherwise as `KubeClient.request`.
 */
export async function removeFinalizer<T extends KubeObject>(
  change: FinalizerChange<T>,
): Promise<WriteResult<T>> {
  const index = (change.object.metadata.finalizers ?? []).indexOf(change.finalizer);
  if (index === -1) return { result: 'unchanged' };
  const path = `/metadata/finalizers/${index}`;
  return patch(change, [
    { op: 'test', path, value: change.finalizer },
    { op: 'remove', path },
  ]);
}

/** Tests for the uid too: an object deleted and made again under the same name is another object. */
async function patch<T extends KubeObject>(
  change: FinalizerChange<T>,
  operations: JsonPatch,
): Promise<WriteResult<T>> {
  const { client, type, object, signal } = change;
  const { uid, resourceVersion } = object.metadata;
  const preconditions: JsonPatch = [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
  ];
  try {
    return await written(
      client.request<T>({
        method: 'PATCH',
        path: objectPath(type, object.metadata),
        contentType: 'application/json-patch+json',
        body: [...preconditions, ...operations],
        signal,
      }),
    );
  } catch (error) {
    throw isFailedTest(error)
      ? kubeError('KUBE_CONFLICT', 'the object changed since it was read', { cause: error })
      : error;
  }
}

/** A `test` that does not hold is a 422 about no field; a 422 of validation names the fields. */
function isFailedTest(error: unknown): boolean {
  const refusal = refusalBehind(error);
  return refusal?.httpStatus === 422 && refusal.fields.length === 0;
}
