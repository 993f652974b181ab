import { SharedPlaces } from './shared-places.ts';

/** Who asks for a place. */
export interface Claimant {
  /** Whose check it is. */
  readonly owner: string;
  /** Its target has answered in time when it was last asked, or but for the last time. */
  readonly proven: boolean;
}

/**
 * How many checks run at once. Those whose target does not answer in time, or has not been asked yet, share half of
 * the places: however many of them hang until their time is up, the other half is free for targets that answer. One owner
 * has at most half of all, and a quarter of those for targets that may hang; where owners wait they take turns.
 */
export class Places {
  readonly #all: SharedPlaces;
  readonly #unproven: SharedPlaces;

  constructor(count: number) {
    const half = part(count, 2);
    this.#all = new SharedPlaces(count, half);
    this.#unproven = new SharedPlaces(half, part(half, 4));
  }

  /** How many wait in line. */
  get waiting(): number {
    return this.#all.waiting + this.#unproven.waiting;
  }

  /**
   * Waits in line for a place and holds it until the returned function is called, once.
   * @throws AbortedError when `signal` aborts first.
   */
  async acquire({ owner, proven }: Claimant, signal: AbortSignal): Promise<() => void> {
    if (proven) return this.#all.acquire(owner, signal);
    const leaveHalf = await this.#unproven.acquire(owner, signal);
    try {
      const leave = await this.#all.acquire(owner, signal);
      return () => {
        leave();
        leaveHalf();
      };
    } catch (thrown) {
      leaveHalf();
      throw thrown;
    }
  }
}

function part(count: number, of: number): number {
  return Math.max(1, Math.floor(count / of));
}
