const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
/** Finer than that there is none: `1.001s` are 1001 ms, and not the number next to it. */
const NS_PER_MS = 1e6;
/** Longer than any duration in use, short enough to be harmless to the pattern. */
const MAX_LENGTH = 32;
const WHOLE = /^(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s))+$/;
const PART = /(\d+(?:\.\d+)?)(h|ms|m|s)/g;

/**
 * Milliseconds of a duration as Kubernetes and Consul users write it: `15s`, `1m30s`, `1.5h`. Undefined for anything
 * else; a bare number is none, for nobody can tell its unit.
 *
 * https://pkg.go.dev/time#ParseDuration, without signs and without units below the millisecond.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text.length > MAX_LENGTH || !WHOLE.test(text)) return undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(PART))
    ms += Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
  return Math.round(ms * NS_PER_MS) / NS_PER_MS;
}
