import type { SessionId } from '../consul/types.ts';

/** The lock of the leading replica: what every transaction proves to hold before anything else in it counts. */
export interface Fence {
  readonly lockKey: string;
  readonly session: SessionId;
}

/**
 * The time during which this process may write. Losing the lead ends it for good; leading again is a new tenure.
 *
 * Rules F1, F4 and F9 (docs/guarantees.md): one session a tenure, its check first in every transaction, and a
 * look at the remaining lease before each send.
 */
export interface Tenure {
  /** Grows with every tenure of this install, also over a rebuilt Consul. Written into owner records. */
  readonly epoch: number;
  readonly fence: Fence;
  /** Aborts when the tenure ends, and with it whatever is in flight. */
  readonly signal: AbortSignal;
  /** @throws AbortedError when the tenure is over or its lease has no margin left. */
  assertHeld(): void;
  /** Ends the tenure: Consul said that the fence is lost. */
  revoke(why: string): void;
}
