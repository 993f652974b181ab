import { type IndexFunction, ObjectIndex } from './object-index.ts';
import { compareResourceVersions } from './resource-version.ts';
import { Tombstones } from './tombstones.ts';
import { trimMetadata } from './trim.ts';
import type { KubeObject } from './types.ts';

/** Told of every change of a store, once each, after it has been made. Must be quick. */
export interface StoreHandlers<T extends KubeObject> {
  /** `initial`: part of the first complete list, so not urgent. */
  onUpsert(object: T, previous: T | undefined, context: { readonly initial: boolean }): void;
  /** `inferred`: nobody saw it deleted; it is missing from a list, or another object has taken its name. */
  onDelete(object: T, context: { readonly inferred: boolean }): void;
  /** One of the two has thrown, which is a defect; the store goes on with the next object. */
  onError(error: unknown, object: T): void;
}

export interface StoreOptions<T extends KubeObject> {
  readonly handlers?: StoreHandlers<T>;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
  /** Applied to each object on entry; default `trimMetadata`. */
  readonly transform?: (object: T) => T;
}

/** A complete list, taken in at once. */
export interface Snapshot<T extends KubeObject> {
  readonly objects: readonly T[];
  /** That of the list. */
  readonly resourceVersion: string;
  /** What was listed; undefined: the whole cluster. */
  readonly namespace: string | undefined;
  readonly initial: boolean;
  /** The server's history has gone back, as after a restored backup: versions known so far mean nothing. */
  readonly rewound: boolean;
}

/** `namespace/name`, or `/name` for what has no namespace. */
export function storeKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

/**
 * The objects of one kind as last heard of. Fed by one reflector, or by one for each namespace, and by the answers
 * to own writes. The order and number of these does not matter: an object only ever moves to a newer version, and
 * a deleted one stays deleted. Objects are frozen.
 */
export class Store<T extends KubeObject = KubeObject> {
  readonly #handlers: StoreHandlers<T> | undefined;
  readonly #indexFunctions: Readonly<Record<string, IndexFunction<T>>>;
  readonly #transform: (object: T) => T;
  readonly #tombstones = new Tombstones();
  #objects = new Map<string, T>();
  #indexes: ReadonlyMap<string, ObjectIndex<T>>;

  constructor({ handlers, indexes = {}, transform = trimMetadata }: StoreOptions<T> = {}) {
    this.#handlers = handlers;
    this.#indexFunctions = indexes;
    this.#transform = transform;
    this.#indexes = this.#buildIndexes(this.#objects);
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(storeKey(namespace, name));
  }

  /** What the store keeps of an object. For whoever collects many of them before handing them over. */
  trim(object: T): T {
    return this.#transform(object);
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  /** What the index named `index` files under `value`. */
  byIndex(index: string, value: string): readonly T[] {
    return this.#indexes.get(index)?.lookup(value) ?? [];
  }

  /**
   * Takes in an object as a watch, or the answer to an own write, tells it. False when it was known already, is
   * older than what is known, or has been deleted since.
   */
  upsert(untrimmed: T): boolean {
    const key = keyOf(untrimmed);
    const previous = this.#objects.get(key);
    if (previous !== undefined && !isNewer(untrimmed, previous)) return false;
    if (this.#tombstones.covers(key, untrimmed.metadata.resourceVersion)) return false;
    const object = this.#enter(untrimmed);
    this.#put(key, object, previous);
    this.#tellUpsert(object, previous, false);
    return true;
  }

  /** Takes in a deletion; `last` is the object's last state, at the version of its deletion. */
  delete(last: T): boolean {
    const key = keyOf(last);
    const previous = this.#objects.get(key);
    this.#tombstones.add(key, last.metadata.resourceVersion);
    if (previous === undefined || isNewer(previous, last)) return false;
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) index.remove(key, previous);
    const isLast = previous.metadata.uid === last.metadata.uid;
    this.#tellDelete(isLast ? this.#enter(last) : previous, !isLast);
    return true;
  }

  /** Swaps everything the snapshot covers, then tells the differences. */
  replace(snapshot: Snapshot<T>): void {
    const before = this.#objects;
    if (snapshot.rewound) this.#tombstones.clear();
    this.#objects = this.#merge(snapshot);
    this.#indexes = this.#buildIndexes(this.#objects);
    for (const [key, object] of before) {
      if (!this.#objects.has(key)) {
        this.#tombstones.add(key, snapshot.resourceVersion);
        this.#tellDelete(object, true);
      }
    }
    for (const [key, object] of this.#objects) {
      const previous = before.get(key);
      if (object !== previous) this.#tellUpsert(object, previous, snapshot.initial);
    }
  }

  /** What the store is to hold after the snapshot: its objects, what it does not cover, and what is newer than it. */
  #merge({ objects, resourceVersion, namespace, rewound }: Snapshot<T>): Map<string, T> {
    const merged = new Map<string, T>();
    for (const [key, object] of this.#objects) {
      const covered = namespace === undefined || object.metadata.namespace === namespace;
      // Known from an own write made after the list's moment; the watch that follows the list will tell of it.
      const newer = !rewound && compareResourceVersions(object.metadata.resourceVersion, resourceVersion) > 0;
      if (!covered || newer) merged.set(key, object);
    }
    for (const object of objects) {
      const key = keyOf(object);
      if (!merged.has(key)) merged.set(key, this.#unlessSame(key, object));
    }
    return merged;
  }

  #unlessSame(key: string, object: T): T {
    const known = this.#objects.get(key);
    const same =
      known?.metadata.uid === object.metadata.uid &&
      known.metadata.resourceVersion === object.metadata.resourceVersion;
    return same ? known : this.#enter(object);
  }

  #put(key: string, object: T, previous: T | undefined): void {
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) {
      if (previous !== undefined) index.remove(key, previous);
      index.add(key, object);
    }
  }

  #buildIndexes(objects: ReadonlyMap<string, T>): ReadonlyMap<string, ObjectIndex<T>> {
    const built = new Map<string, ObjectIndex<T>>();
    for (const [name, valuesOf] of Object.entries(this.#indexFunctions)) {
      const index = new ObjectIndex<T>(object => this.#fileUnder(object, valuesOf));
      for (const [key, object] of objects) index.add(key, object);
      built.set(name, index);
    }
    return built;
  }

  /** An object that an index cannot read must not hold up the others. */
  #fileUnder(object: T, valuesOf: IndexFunction<T>): readonly string[] {
    try {
      return valuesOf(object);
    } catch (error) {
      this.#handlers?.onError(error, object);
      return [];
    }
  }

  #enter(object: T): T {
    const entered = this.#transform(object);
    Object.freeze(entered.metadata);
    return Object.freeze(entered);
  }

  #tellUpsert(object: T, previous: T | undefined, initial: boolean): void {
    const replaced = previous !== undefined && previous.metadata.uid !== object.metadata.uid;
    if (replaced) this.#tellDelete(previous, true);
    this.#tell(object, handlers => handlers.onUpsert(object, replaced ? undefined : previous, { initial }));
  }

  #tellDelete(object: T, inferred: boolean): void {
    this.#tell(object, handlers => handlers.onDelete(object, { inferred }));
  }

  #tell(object: T, call: (handlers: StoreHandlers<T>) => void): void {
    if (this.#handlers === undefined) return;
    try {
      call(this.#handlers);
    } catch (error) {
      this.#handlers.onError(error, object);
    }
  }
}

function keyOf({ metadata }: KubeObject): string {
  return storeKey(metadata.namespace, metadata.name);
}

function isNewer(object: KubeObject, than: KubeObject): boolean {
  return compareResourceVersions(object.metadata.resourceVersion, than.metadata.resourceVersion) > 0;
}
