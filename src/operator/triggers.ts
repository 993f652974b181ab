import { ANNOTATION_RECONCILE_AT, FINALIZER } from '../api/v1alpha1/common.ts';
import { parseConsulKV } from '../api/v1alpha1/consulkv.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { KubeObject, ResourceType, Store } from '../kube/index.ts';
import { sourceRefs } from '../reconcilers/kv/desire.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import { CONSUL_KVS } from './kinds.ts';

/** The index of resources by the ConfigMaps and Secrets they read. */
export const BY_SOURCE = 'source';

export function refOf(
  { kind }: ResourceType,
  { metadata: { namespace = '', name } }: KubeObject,
): ResourceRef {
  return { kind, namespace, name };
}

/** Whether a change of an object asks for a turn, and how urgently: its status is ours and never does. */
export function priorityOf(
  { metadata: now }: KubeObject,
  previous: KubeObject | undefined,
  initial: boolean,
): Priority | undefined {
  const before = previous?.metadata;
  if (now.deletionTimestamp !== undefined && before?.deletionTimestamp === undefined)
    return PRIORITY.deletion;
  if (initial) return PRIORITY.resync;
  if (before === undefined || before.uid !== now.uid || before.generation !== now.generation) {
    return PRIORITY.specChange;
  }
  if (before.annotations?.[ANNOTATION_RECONCILE_AT] !== now.annotations?.[ANNOTATION_RECONCILE_AT]) {
    return PRIORITY.specChange;
  }
  const lostFinalizer = before.finalizers?.includes(FINALIZER) && !now.finalizers?.includes(FINALIZER);
  return lostFinalizer ? PRIORITY.resync : undefined;
}

/** What a resource reads: `ConfigMap/shop/orders`. */
export function sourcesOf(object: KubeObject): readonly string[] {
  const parsed = parseConsulKV(object);
  if (!parsed.ok) return [];
  const { namespace } = parsed.value.metadata;
  return sourceRefs(parsed.value.spec).map(({ kind, name }) => `${kind}/${namespace}/${name}`);
}

/** The resources that read this ConfigMap or Secret. */
export function referrers(
  resources: Store,
  kind: 'ConfigMap' | 'Secret',
  { metadata }: KubeObject,
): ResourceRef[] {
  const source = `${kind}/${metadata.namespace}/${metadata.name}`;
  return resources.byIndex(BY_SOURCE, source).map(resource => refOf(CONSUL_KVS, resource));
}

/** Of a ConfigMap or Secret only that it exists, and in which version: its labels and annotations are not ours. */
export function identityOnly({
  metadata: { name, namespace, uid, resourceVersion },
}: KubeObject): KubeObject {
  return { metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion } };
}
