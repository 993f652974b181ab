import {
  addFinalizer,
  type EventRecorder,
  type KubeClient,
  type KubeObject,
  kubeStatus,
  objectPath,
  referenceTo,
  removeFinalizer,
  type ResourceType,
  type Store,
  type WriteResult,
  writeStatus,
} from '../kube/index.ts';
import { FINALIZER } from '../api/v1alpha1/common.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Notice } from '../runtime/notices.ts';
import type { Objects } from '../runtime/objects.ts';

export interface KubeObjectsOptions {
  readonly client: KubeClient;
  /** For statuses. */
  readonly telling: KubeClient;
  readonly type: ResourceType;
  readonly store: Store;
  readonly events: EventRecorder;
}

/** The shell's way to Kubernetes: reads come from the store, and what a write returns goes back into it. */
export class KubeObjects implements Objects<KubeObject> {
  readonly #options: KubeObjectsOptions;

  constructor(options: KubeObjectsOptions) {
    this.#options = options;
  }

  get({ namespace, name }: ResourceRef): KubeObject | undefined {
    return this.#options.store.get(namespace, name);
  }

  async lookUp(ref: ResourceRef, signal: AbortSignal): Promise<KubeObject | undefined> {
    const { client, type, store } = this.#options;
    try {
      const path = objectPath(type, ref);
      const object = await client.request<KubeObject>({ method: 'GET', path, signal });
      store.upsert(object);
      return object;
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  async writeStatus(
    object: KubeObject,
    status: object,
    signal: AbortSignal,
  ): Promise<KubeObject | undefined> {
    const { telling, type } = this.#options;
    return this.#adopt(object, await writeStatus({ client: telling, type, object, status, signal }));
  }

  async addFinalizer(object: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined> {
    const { client, type } = this.#options;
    return this.#adopt(object, await addFinalizer({ client, type, object, finalizer: FINALIZER, signal }));
  }

  async removeFinalizer(object: KubeObject, signal: AbortSignal): Promise<KubeObject | undefined> {
    const { client, type } = this.#options;
    return this.#adopt(object, await removeFinalizer({ client, type, object, finalizer: FINALIZER, signal }));
  }

  notify(object: KubeObject, notice: Notice): void {
    const { events, type } = this.#options;
    events.emit({ ...notice, regarding: referenceTo(type, object) });
  }

  #adopt(object: KubeObject, result: WriteResult<KubeObject>): KubeObject | undefined {
    if (result.result === 'gone') return undefined;
    if (result.result === 'unchanged') return object;
    // The answer to the patch that lets an object go carries the version of before, so no upsert would take it.
    if (isReleased(result.object)) this.#options.store.delete(result.object);
    else this.#options.store.upsert(result.object);
    return result.object;
  }
}

/** Nothing holds it back any more: the API server has removed it with the patch. */
function isReleased({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).length === 0;
}
