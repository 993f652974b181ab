import type { KubeClient } from './client.ts';
import { collectionPath } from './paths.ts';
import type { ResourceType } from './types.ts';

/** What a reflector reads: one kind, in one namespace or in all, all objects or those selected. */
export interface Collection {
  readonly client: KubeClient;
  readonly type: ResourceType;
  /** Undefined: the whole cluster. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Only `metadata` crosses the wire: neither the values of Secrets nor the bulk of ConfigMaps. */
  readonly metadataOnly?: boolean | undefined;
}

/** Path, selectors and representation, the same for lists and watches. */
export function collectionRequest(collection: Collection, as: 'list' | 'watch') {
  const { type, namespace, labelSelector, fieldSelector, metadataOnly = false } = collection;
  const shape = as === 'list' ? 'PartialObjectMetadataList' : 'PartialObjectMetadata';
  return {
    method: 'GET' as const,
    path: collectionPath(type, namespace),
    query: { labelSelector, fieldSelector },
    // No fallback to the whole object: rather no Secret metadata than a Secret's values.
    accept: metadataOnly ? `application/json;as=${shape};g=meta.k8s.io;v=v1` : 'application/json',
  };
}
