import {
  type KubeClient,
  kubeStatus,
  objectPath,
  type Reflector,
  type ResourceType,
  type Store,
} from '../kube/index.ts';
import type { SourceRef } from '../reconcilers/kv/desire.ts';
import type { SourceCatalog, SourceObject } from '../reconcilers/kv/sources.ts';

export const CONFIG_MAPS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'configmaps',
  kind: 'ConfigMap',
  namespaced: true,
};
export const SECRETS: ResourceType = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  namespaced: true,
};

/** One kind of source: the metadata that is watched, and where. */
export interface WatchedSources {
  readonly store: Store;
  /** By namespace; the empty string for a watch of the whole cluster. */
  readonly reflectors: ReadonlyMap<string, Reflector>;
}

/** Answers from watched metadata, reads content by GET. */
export class KubeSourceCatalog implements SourceCatalog {
  readonly #client: KubeClient;
  readonly #sources: Readonly<Record<SourceRef['kind'], WatchedSources>>;

  constructor(client: KubeClient, sources: Readonly<Record<SourceRef['kind'], WatchedSources>>) {
    this.#client = client;
    this.#sources = sources;
  }

  version(
    namespace: string,
    { kind, name }: SourceRef,
  ): { readonly resourceVersion: string } | 'missing' | 'forbidden' {
    const { store, reflectors } = this.#sources[kind];
    const reflector = reflectors.get('') ?? reflectors.get(namespace);
    // Not watched there, or not allowed to: what the store does not show may well exist.
    if (reflector === undefined || (reflector.state.unavailable !== undefined && !reflector.state.synced))
      return 'forbidden';
    return store.get(namespace, name)?.metadata ?? 'missing';
  }

  async fetch(
    namespace: string,
    { kind, name }: SourceRef,
    signal: AbortSignal,
  ): Promise<SourceObject | undefined | 'forbidden'> {
    const path = objectPath(kind === 'Secret' ? SECRETS : CONFIG_MAPS, { namespace, name });
    try {
      return await this.#client.request<SourceObject>({ method: 'GET', path, signal });
    } catch (error) {
      if (kubeStatus(error) === 404) return undefined;
      if (kubeStatus(error) === 403) return 'forbidden';
      throw error;
    }
  }
}
