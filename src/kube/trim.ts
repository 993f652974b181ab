import type { KubeObject } from './types.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * The object without what nobody here reads and what is most of its size: `managedFields` and kubectl's copy of
 * the manifest. Copies instead of deleting, as V8 keeps objects with deleted fields in a larger form.
 */
export function trimMetadata<T extends KubeObject>(object: T): T {
  if (isTrimmed(object)) return object;
  const { managedFields: _, annotations, ...metadata } = object.metadata;
  if (annotations === undefined) return { ...object, metadata };
  const { [LAST_APPLIED]: __, ...kept } = annotations;
  return { ...object, metadata: { ...metadata, annotations: kept } };
}

function isTrimmed({ metadata }: KubeObject): boolean {
  return metadata.managedFields === undefined && metadata.annotations?.[LAST_APPLIED] === undefined;
}
