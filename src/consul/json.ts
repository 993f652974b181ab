/**
 * JSON without losing digits. KV flags and the hashes of config entries use all 64 bits, and `JSON.parse` rounds
 * what is over 2^53: the flags of Go's `api.Lock`, 3304740253564472344, would come back as …472300.
 */

/** Only a run of 16 digits can be a number over 2^53; without one the plain parser is right, and much faster. */
const MAY_OVERFLOW = /\d{16}/;

const INTEGER = /^-?\d+$/;

/** Integers outside the safe range come back as bigint, everything else as from `JSON.parse`. @throws SyntaxError */
export function parseJson(text: string): unknown {
  return MAY_OVERFLOW.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const digits = context?.source ?? '';
  return INTEGER.test(digits) ? BigInt(digits) : value;
}

// TypeScript's library does not know it yet: https://tc39.es/proposal-json-parse-with-source/
const { rawJSON } = JSON as unknown as { rawJSON(this: void, text: string): unknown };

/** `JSON.stringify` that writes a bigint as the number it is. */
export function encodeJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'bigint' ? rawJSON(member.toString()) : member,
  );
}
