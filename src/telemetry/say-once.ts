/** Kinds of messages remembered; beyond that the oldest is forgotten, at the cost of one more line. */
const MAX_KEYS = 256;

/** Calls `say` unless it has been called for the same `key` within the period; counts what it left out since. */
export type SayOnce = (key: string, say: (suppressed: number) => void) => void;

/**
 * For messages that an outage would repeat thousands of times: the first one counts, and then one a period.
 *
 * @param monotonic milliseconds, from the clock.
 */
export function createSayOnce(monotonic: () => number, periodMs: number): SayOnce {
  const said = new Map<string, { atMs: number; suppressed: number }>();
  return (key, say) => {
    const now = monotonic();
    const before = said.get(key);
    if (before !== undefined && now - before.atMs < periodMs) {
      before.suppressed++;
      return;
    }
    said.delete(key);
    said.set(key, { atMs: now, suppressed: 0 });
    if (said.size > MAX_KEYS) said.delete(said.keys().next().value as string);
    say(before?.suppressed ?? 0);
  };
}
