import { Semaphore } from './semaphore.ts';

interface Lane {
  readonly place: Semaphore;
  /** Who is in it or waits for it. */
  users: number;
}

/** One at a time in each lane, first come, first served; what happens in one holds up no other. */
export class Lanes {
  readonly #lanes = new Map<string, Lane>();

  /** Lanes that somebody is in. */
  get size(): number {
    return this.#lanes.size;
  }

  /**
   * Waits until the lane is free and holds it until the returned function is called, once.
   * @throws AbortedError, caused by the signal's reason, when that aborts first.
   */
  enter(name: string, signal: AbortSignal): Promise<() => void> {
    const lane = this.#lanes.get(name) ?? { place: new Semaphore(1), users: 0 };
    this.#lanes.set(name, lane);
    lane.users += 1;
    const leave = (): void => {
      lane.users -= 1;
      if (lane.users === 0) this.#lanes.delete(name);
    };
    return lane.place.acquire(signal).then(
      release => () => {
        release();
        leave();
      },
      (error: unknown) => {
        leave();
        throw error;
      },
    );
  }
}
