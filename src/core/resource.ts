/** Names one custom resource. Plain data: compare by `resourceKey`. */
export interface ResourceRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `Kind/namespace/name`: the key of queues, caches and owner records. Kubernetes forbids `/` in all three parts. */
export type ResourceKey = string & { readonly __brand: 'ResourceKey' };

export function resourceKey(ref: ResourceRef): ResourceKey {
  return `${ref.kind}/${ref.namespace}/${ref.name}` as ResourceKey;
}

export function resourceRef(key: ResourceKey): ResourceRef {
  const [kind = '', namespace = '', name = ''] = key.split('/');
  return { kind, namespace, name };
}

/** How a resource is named in messages to users: `ConsulKV shop/orders`. */
export function describeResource(ref: ResourceRef): string {
  return `${ref.kind} ${ref.namespace}/${ref.name}`;
}
