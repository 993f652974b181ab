import { AbortedError } from '../core/errors.ts';

/**
 * At most so many holders at a time, and so many of one owner. Owners that wait take turns, and what one owner waits for is
 * served in order: however much of it there is, another owner waits for one of it at most.
 */
export class SharedPlaces {
  readonly #mostEach: number;
  readonly #held = new Map<string, number>();
  /** By owner, the one whose turn is next first. */
  readonly #lines = new Map<string, Set<() => void>>();
  #free: number;

  constructor(places: number, mostEach: number) {
    this.#free = places;
    this.#mostEach = mostEach;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return [...this.#lines.values()].reduce((sum, line) => sum + line.size, 0);
  }

  /**
   * Waits for a place and holds it until the returned function is called, once.
   * @throws AbortedError, caused by the signal's reason, when that aborts first.
   */
  acquire(owner: string, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#leaveLine(owner, proceed);
        reject(new AbortedError('aborted', signal.reason));
      };
      const proceed = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(() => this.#release(owner));
      };
      if (signal.aborted) return giveUp();
      signal.addEventListener('abort', giveUp, { once: true });
      this.#lines.set(owner, (this.#lines.get(owner) ?? new Set()).add(proceed));
      this.#admit();
    });
  }

  #release(owner: string): void {
    const held = (this.#held.get(owner) ?? 0) - 1;
    if (held > 0) this.#held.set(owner, held);
    else this.#held.delete(owner);
    this.#free += 1;
    this.#admit();
  }

  #admit(): void {
    while (this.#free > 0) {
      const owner = this.#nextOwner();
      if (owner === undefined) return;
      const line = this.#lines.get(owner) ?? new Set();
      const [first] = line;
      // To the end of the line of owners.
      this.#lines.delete(owner);
      if (first === undefined) continue;
      line.delete(first);
      if (line.size > 0) this.#lines.set(owner, line);
      this.#held.set(owner, (this.#held.get(owner) ?? 0) + 1);
      this.#free -= 1;
      first();
    }
  }

  /** Few can have all that one may have, so this does not look far. */
  #nextOwner(): string | undefined {
    for (const owner of this.#lines.keys()) {
      if ((this.#held.get(owner) ?? 0) < this.#mostEach) return owner;
    }
    return undefined;
  }

  #leaveLine(owner: string, who: () => void): void {
    const line = this.#lines.get(owner);
    line?.delete(who);
    if (line?.size === 0) this.#lines.delete(owner);
  }
}
