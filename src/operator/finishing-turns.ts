import type { Objects, StoredObject } from '../runtime/objects.ts';

/**
 * Counts the turns that are at what comes after their last write to Consul: the status, and letting the object go.
 * Nobody who gathers writes needs to wait for those.
 */
export class FinishingTurns {
  readonly #onChange: () => void;
  #count = 0;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get count(): number {
    return this.#count;
  }

  watch<Raw extends StoredObject>(objects: Objects<Raw>): Objects<Raw> {
    return {
      get: ref => objects.get(ref),
      lookUp: (ref, signal) => objects.lookUp(ref, signal),
      addFinalizer: (object, signal) => objects.addFinalizer(object, signal),
      writeStatus: (object, status, signal) => this.during(() => objects.writeStatus(object, status, signal)),
      removeFinalizer: (object, signal) => this.during(() => objects.removeFinalizer(object, signal)),
      notify: (object, notice) => objects.notify(object, notice),
    };
  }

  /** Counts the turn that does this as finishing, for as long as it does. */
  async during<T>(lastStep: () => Promise<T>): Promise<T> {
    this.#count++;
    this.#onChange();
    try {
      return await lastStep();
    } finally {
      this.#count--;
    }
  }
}
