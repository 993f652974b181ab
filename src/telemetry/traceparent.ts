import { type Link, type SpanContext } from '@opentelemetry/api';
import { TRACEPARENT_ANNOTATIONS } from './names.ts';

/** version "-" trace-id "-" parent-id "-" flags, then what later versions may append. */
const TRACEPARENT =
  /^(?<version>[0-9a-f]{2})-(?<traceId>[0-9a-f]{32})-(?<spanId>[0-9a-f]{16})-(?<flags>[0-9a-f]{2})(?<rest>-.*)?$/;
/** Later versions may be longer, but nothing that long is a traceparent. */
const MAX_LENGTH = 256;

/**
 * Parses a W3C `traceparent` strictly; undefined for anything malformed.
 *
 * Source: W3C Trace Context, 3.2: version ff and all-zero ids are invalid, version 00 ends after the flags, and
 * of a later version only the first four fields are read.
 */
export function parseTraceparent(value: string): SpanContext | undefined {
  if (value.length > MAX_LENGTH) return undefined;
  const { version, traceId, spanId, flags, rest } = TRACEPARENT.exec(value)?.groups ?? {};
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

/**
 * The caller's span to link a reconcile to: from `tracing.k8s.io/traceparent`, else `traceparent`. A link and
 * never a parent, because one edit may cause many reconciles, the last of them long after the caller's trace
 * has ended (KEP-5915).
 */
export function linkFromAnnotations(
  annotations: Readonly<Record<string, string>> | undefined,
): Link | undefined {
  for (const name of TRACEPARENT_ANNOTATIONS) {
    const value = annotations?.[name];
    const context = value === undefined ? undefined : parseTraceparent(value);
    if (context !== undefined) return { context };
  }
  return undefined;
}
