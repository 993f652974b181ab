/** Measures what has a bound, from the moment it was made, and prints both. */
export class Stopwatch {
  readonly #beganAt = performance.now();

  /** @returns the milliseconds since it was made. */
  tell(what: string, boundMs: number): number {
    const tookMs = Math.round(performance.now() - this.#beganAt);
    process.stdout.write(`${what} took ${tookMs} ms; bound: ${boundMs} ms\n`);
    return tookMs;
  }
}
