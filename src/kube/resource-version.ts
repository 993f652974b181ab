const DECIMAL = /^[1-9]\d*$/;

/**
 * Orders two resource versions of the same resource type: negative when `a` is older. The API server promises
 * decimal numbers that may outgrow 64 bits (KEP-5504), so they are compared by length, then digit by digit.
 * What is no such number counts as newer than anything it differs from: taking it in beats ignoring it for ever.
 */
export function compareResourceVersions(a: string, b: string): number {
  if (a === b) return 0;
  if (!DECIMAL.test(a) || !DECIMAL.test(b)) return 1;
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : 1;
}
