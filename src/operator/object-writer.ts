import { ConflictError } from '../core/errors.ts';
import {
  collectionPath,
  type KubeClient,
  type KubeObject,
  kubeStatus,
  objectPath,
  type ResourceType,
  type Store,
} from '../kube/index.ts';
import type { WriteOutcome } from '../reconcilers/lease/cluster.ts';

export interface ObjectWriterOptions {
  /** Asks at the last moment before each write whether this process still may. */
  readonly client: KubeClient;
  readonly signal: AbortSignal;
}

/** One kind, and where what is learned of its objects goes. */
export interface WrittenKind {
  readonly type: ResourceType;
  readonly store: Store;
}

type Name = { readonly namespace: string; readonly name: string };

/**
 * Writes objects that are not resources of ours. Each write is conditional on what was read; when that is not so any
 * more the object is read again, so that the next plan goes by what is there.
 */
export class ObjectWriter {
  readonly #options: ObjectWriterOptions;

  constructor(options: ObjectWriterOptions) {
    this.#options = options;
  }

  async create({ type, store }: WrittenKind, namespace: string, body: object): Promise<WriteOutcome> {
    const path = collectionPath(type, namespace);
    // One that is there already is looked at by its name before the next try.
    return this.#write(async signal => {
      store.upsert(await this.#options.client.request<KubeObject>({ method: 'POST', path, body, signal }));
    });
  }

  /** A JSON merge patch that has uid and resourceVersion in its metadata. */
  async patch(kind: WrittenKind, name: Name, patch: object): Promise<WriteOutcome> {
    const request = {
      method: 'PATCH',
      path: objectPath(kind.type, name),
      contentType: 'application/merge-patch+json',
      body: patch,
    } as const;
    return this.#write(
      async signal => {
        kind.store.upsert(await this.#options.client.request<KubeObject>({ ...request, signal }));
      },
      () => this.#readAgain(kind, name),
    );
  }

  async delete(kind: WrittenKind, { metadata }: KubeObject): Promise<WriteOutcome> {
    const { namespace = '', name, uid, resourceVersion } = metadata;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid, resourceVersion },
    };
    const path = objectPath(kind.type, { namespace, name });
    return this.#write(
      async signal => {
        await this.#options.client.request({ method: 'DELETE', path, body, signal });
        kind.store.delete({ metadata });
      },
      () => this.#readAgain(kind, { namespace, name }),
    );
  }

  /** As the API server has it now; undefined: there is none. */
  async read(type: ResourceType, name: Name, signal: AbortSignal): Promise<KubeObject | undefined> {
    try {
      const path = objectPath(type, name);
      return await this.#options.client.request<KubeObject>({ method: 'GET', path, signal });
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      throw error;
    }
  }

  async #write(
    send: (signal: AbortSignal) => Promise<void>,
    whenOutdated: () => Promise<void> = async () => {},
  ): Promise<WriteOutcome> {
    try {
      await send(this.#options.signal);
      return 'done';
    } catch (error) {
      // A 404: deleted since it was read.
      if (!(error instanceof ConflictError) && kubeStatus(error) !== 404) throw error;
      await whenOutdated();
      return 'outdated';
    }
  }

  async #readAgain({ type, store }: WrittenKind, name: Name): Promise<void> {
    const found = await this.read(type, name, this.#options.signal);
    const known = store.get(name.namespace, name.name);
    if (found !== undefined) store.upsert(found);
    else if (known !== undefined) store.delete(known);
  }
}
