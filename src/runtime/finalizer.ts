import { FINALIZER } from '../api/v1alpha1/common.ts';
import { ConflictError } from '../core/errors.ts';
import { isDeleting, type Objects, type StoredObject } from './objects.ts';
import type { TurnState } from './turn-state.ts';

export interface FinalizerOptions<Raw extends StoredObject> {
  readonly objects: Objects<Raw>;
  readonly dryRun: boolean;
}

/**
 * Our finalizer: on a resource before its first write to Consul, and off once nothing is owned there that its
 * deletion would have to remove. A dry run writes nothing, so it adds none and leaves those that are there; only a
 * resource that is being deleted and owns nothing is let go, since nothing of it is held back by the dry run.
 */
export class Finalizer<Raw extends StoredObject> {
  readonly #options: FinalizerOptions<Raw>;

  constructor(options: FinalizerOptions<Raw>) {
    this.#options = options;
  }

  /** @throws ConflictError when the object changed since it was read, or is gone. */
  async ensurePresent(turn: TurnState<Raw>): Promise<void> {
    const { object, signal } = turn;
    const { objects, dryRun } = this.#options;
    if (dryRun || object === undefined || isDeleting(object) || isHeld(object)) return;
    turn.object = await objects.addFinalizer(object, signal);
    if (turn.object === undefined) throw goneMeanwhile();
  }

  /** @throws ConflictError when the object changed since it was read. */
  async ensureAbsent(turn: TurnState<Raw>): Promise<void> {
    const { object, signal } = turn;
    const { objects, dryRun } = this.#options;
    if (object === undefined || !isHeld(object) || (dryRun && !isDeleting(object))) return;
    turn.object = await objects.removeFinalizer(object, signal);
  }
}

function isHeld({ metadata }: StoredObject): boolean {
  return metadata.finalizers?.includes(FINALIZER) ?? false;
}

function goneMeanwhile(): ConflictError {
  return new ConflictError('the resource was deleted meanwhile', {
    code: 'TURN_GONE',
    reason: 'Progressing',
  });
}
