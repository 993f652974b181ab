import type { KubeClient } from './client.ts';
import { kubeStatus } from './errors.ts';
import { isJsonObject, mergePatch } from './merge-patch.ts';
import { objectPath } from './paths.ts';
import type { KubeObject, ResourceType } from './types.ts';

export interface StatusWrite<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType;
  /** As it was read: its resourceVersion is the precondition, its status what the patch is made against. */
  readonly object: T;
  /** The whole status as it should be; what it lacks is removed. */
  readonly status: object;
  readonly signal: AbortSignal;
}

/** How a write ended; failures are thrown. */
export type WriteResult<T extends KubeObject> =
  /** It was so already; nothing was sent. */
  | { readonly result: 'unchanged' }
  /** The object as the server answered it, for `Store.upsert`. */
  | { readonly result: 'written'; readonly object: T }
  /** There is no such object any more. */
  | { readonly result: 'gone' };

/**
 * Makes the status of an object what it should be: one JSON merge patch on `/status`, or nothing when it is so
 * already. The object's resourceVersion goes along, so that a status decided on an older state never overwrites a
 * newer one (rule F8).
 *
 * @throws ConflictError when the object changed since it was read; otherwise as `KubeClient.request`.
 */
export async function writeStatus<T extends KubeObject>(write: StatusWrite<T>): Promise<WriteResult<T>> {
  const { client, type, object, status, signal } = write;
  const before = isJsonObject(object.status) ? object.status : {};
  const patch = mergePatch(before, JSON.parse(JSON.stringify(status)));
  if (patch === undefined) return { result: 'unchanged' };
  const { resourceVersion } = object.metadata;
  return written(
    client.request<T>({
      method: 'PATCH',
      path: objectPath(type, object.metadata, 'status'),
      contentType: 'application/merge-patch+json',
      body: { metadata: { resourceVersion }, status: patch },
      signal,
    }),
  );
}

/** Waits for the answer to a PATCH; a 404 is a result, not an error. */
export async function written<T extends KubeObject>(answer: Promise<T>): Promise<WriteResult<T>> {
  try {
    return { result: 'written', object: await answer };
  } catch (error) {
    if (kubeStatus(error) === 404) return { result: 'gone' };
    throw error;
  }
}
