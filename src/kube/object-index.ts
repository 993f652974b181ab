import type { KubeObject } from './types.ts';

/** Values an object is filed under; none: it is not in the index. */
export type IndexFunction<T extends KubeObject> = (object: T) => readonly string[];

/** Finds objects by something they contain; kept up to date one object at a time. */
export class ObjectIndex<T extends KubeObject> {
  readonly #valuesOf: IndexFunction<T>;
  readonly #filed = new Map<string, Map<string, T>>();

  constructor(valuesOf: IndexFunction<T>) {
    this.#valuesOf = valuesOf;
  }

  lookup(value: string): readonly T[] {
    return [...(this.#filed.get(value)?.values() ?? [])];
  }

  add(key: string, object: T): void {
    for (const value of this.#valuesOf(object)) {
      const objects = this.#filed.get(value) ?? new Map<string, T>();
      this.#filed.set(value, objects.set(key, object));
    }
  }

  remove(key: string, object: T): void {
    for (const value of this.#valuesOf(object)) {
      const objects = this.#filed.get(value);
      objects?.delete(key);
      if (objects?.size === 0) this.#filed.delete(value);
    }
  }
}
