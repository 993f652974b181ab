import {
  foldId,
  type NodeName,
  parseNodeName,
  parseServiceId,
  type ServiceId,
} from '../consul/service-ids.ts';
import { parseInstanceName } from '../core/instance-names.ts';
import { type ResourceKey, resourceKey, resourceRef, type ResourceRef } from '../core/resource.ts';

/** Where an instance stands, or should. */
export interface Instance {
  readonly node: NodeName;
  readonly id: ServiceId;
}

/** Those of the catalog among the names of an owner record. */
export function catalogInstances(names: Iterable<string>): Instance[] {
  return [...names].flatMap(name => {
    const parsed = parseInstanceName(name);
    if (parsed?.kind !== 'catalog') return [];
    return [{ node: parseNodeName(parsed.node), id: parseServiceId(parsed.id) }];
  });
}

/** Who has to do with which instances. */
export class TrackedInstances {
  readonly #byResource = new Map<ResourceKey, readonly Instance[]>();
  readonly #byNode = new Map<string, Map<string, Set<ResourceKey>>>();

  /** From now on what happens to these instances, and to no others, concerns the resource. */
  track(ref: ResourceRef, instances: readonly Instance[]): void {
    const key = resourceKey(ref);
    for (const instance of this.#byResource.get(key) ?? []) this.#drop(instance, key);
    if (instances.length === 0) this.#byResource.delete(key);
    else this.#byResource.set(key, instances);
    for (const instance of instances) this.#add(instance, key);
  }

  nodes(): NodeName[] {
    return [...this.#byNode.keys()] as NodeName[];
  }

  has(node: string): boolean {
    return this.#byNode.has(node);
  }

  trackersOf(node: string, ids: Iterable<string>, except: Iterable<ResourceRef> = []): ResourceRef[] {
    const found = new Set<ResourceKey>();
    for (const id of ids) for (const key of this.#byNode.get(node)?.get(foldId(id)) ?? []) found.add(key);
    for (const ref of except) found.delete(resourceKey(ref));
    return [...found].map(resourceRef);
  }

  all(): ResourceRef[] {
    return [...this.#byResource.keys()].map(resourceRef);
  }

  #add({ node, id }: Instance, key: ResourceKey): void {
    const ids = this.#byNode.get(node) ?? new Map<string, Set<ResourceKey>>();
    this.#byNode.set(node, ids);
    const trackers = ids.get(foldId(id)) ?? new Set();
    ids.set(foldId(id), trackers.add(key));
  }

  #drop({ node, id }: Instance, key: ResourceKey): void {
    const ids = this.#byNode.get(node);
    const trackers = ids?.get(foldId(id));
    trackers?.delete(key);
    if (trackers?.size === 0) ids?.delete(foldId(id));
    if (ids?.size === 0) this.#byNode.delete(node);
  }
}
