/** Time as a parameter, so that tests own it. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch: for timestamps shown to people. */
  now(): number;
  /** Never goes back, milliseconds: for every duration and deadline. */
  monotonic(): number;
  /** Calls back once after `ms`; the returned function cancels. The timer never keeps the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** A number in [0, 1). Injected wherever jitter is drawn. */
export type Random = () => number;
