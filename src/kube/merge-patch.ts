import { isDeepStrictEqual } from 'node:util';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The JSON merge patch (RFC 7386) that turns `before` into `after`: what vanished is null, arrays go whole.
 * Undefined when there is nothing to change. A merge patch cannot set null, so null in `after` means absent.
 */
export function mergePatch(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const patch: Record<string, unknown> = {};
  for (const name of Object.keys(before)) {
    if (before[name] != null && after[name] == null) patch[name] = null;
  }
  for (const [name, value] of Object.entries(after)) {
    const change = value == null ? undefined : changeOf(before[name], value);
    if (change !== undefined) patch[name] = change;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

function changeOf(before: unknown, after: unknown): unknown {
  if (isJsonObject(before) && isJsonObject(after)) return mergePatch(before, after);
  return isDeepStrictEqual(before, after) ? undefined : after;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
