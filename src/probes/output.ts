import { escapeUnprintable } from '../core/printable.ts';

/** What Consul keeps of a check's output: `agent/checks/check.go`, DefaultBufSize. */
export const MAX_OUTPUT_BYTES = 4096;

/**
 * `text` as it may be stored and shown: on one line, without a character that a terminal would act upon, at most 4 KB
 * of UTF-8 and whole characters only. Clean text comes out as it went in.
 */
export function cleanOutput(text: string): string {
  const line = text.toWellFormed().replaceAll(/\s+/g, ' ').trim();
  return firstBytes(escapeUnprintable(line), MAX_OUTPUT_BYTES).trimEnd();
}

function firstBytes(text: string, limit: number): string {
  return text.slice(0, new TextEncoder().encodeInto(text, new Uint8Array(limit)).read);
}
