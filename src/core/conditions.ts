/** `metav1.Condition` as it is on the wire. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  /** RFC 3339, whole seconds. */
  readonly lastTransitionTime: string;
}

export type WantedCondition = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/** metav1.Condition allows 32,768 bytes; nobody reads that much. */
const MAX_MESSAGE_CHARS = 1024;

/**
 * The conditions a status should hold: exactly those wanted, in their order, each stamped with the generation it
 * speaks of. `lastTransitionTime` is kept from `previous` unless `status` flips.
 */
export function settleConditions(
  wanted: readonly WantedCondition[],
  previous: readonly Condition[],
  generation: number,
  now: string,
): Condition[] {
  return wanted.map(({ type, status, reason, message }) => {
    const before = previous.find(condition => condition.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now;
    return {
      type,
      status,
      reason,
      message: clip(message),
      observedGeneration: generation,
      lastTransitionTime,
    };
  });
}

/** RFC 3339 in whole seconds, as metav1.Time is written. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Shortens a message to what a condition or Event can carry, whole characters only. */
export function clip(message: string, maxChars: number = MAX_MESSAGE_CHARS): string {
  const chars = Array.from(message);
  return chars.length <= maxChars ? message : `${chars.slice(0, maxChars - 1).join('')}…`;
}
