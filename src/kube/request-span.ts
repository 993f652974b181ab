import { context, propagation, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AbortedError } from '../core/errors.ts';
import { ATTRIBUTES, SCOPE } from '../telemetry/names.ts';
import { isOurs, kubeStatus } from './errors.ts';
import { urlTemplate } from './paths.ts';

export interface TracedRequest {
  readonly method: string;
  readonly path: string;
  readonly server: URL;
  /** How often this request was sent before. */
  readonly resend: number;
}

/**
 * One client span around one HTTP request, by OpenTelemetry's HTTP conventions; `send` gets the headers that carry
 * its context to the API server. No body, query, name or token is recorded.
 */
export async function traceRequest<T>(
  request: TracedRequest,
  send: (headers: Record<string, string>, answered: (status: number) => void) => Promise<T>,
): Promise<T> {
  const span = trace.getTracer(SCOPE).startSpan(spanName(request), {
    kind: SpanKind.CLIENT,
    attributes: attributesOf(request),
  });
  const headers: Record<string, string> = {};
  propagation.inject(trace.setSpan(context.active(), span), headers);
  try {
    return await send(headers, status => span.setAttribute(ATTRIBUTES.httpStatus, status));
  } catch (error) {
    recordFailure(span, error);
    throw error;
  } finally {
    span.end();
  }
}

function spanName({ method, path }: TracedRequest): string {
  return `${method} ${urlTemplate(path)}`;
}

function attributesOf({ method, path, server, resend }: TracedRequest): Record<string, string | number> {
  return {
    [ATTRIBUTES.httpMethod]: method,
    [ATTRIBUTES.urlTemplate]: urlTemplate(path),
    [ATTRIBUTES.serverAddress]: server.hostname,
    [ATTRIBUTES.serverPort]: portOf(server),
    ...(resend > 0 ? { [ATTRIBUTES.httpResend]: resend } : {}),
  };
}

/** The status code when there is one, as the conventions ask; else our own code. What we cut short is no failure. */
function recordFailure(span: Span, error: unknown): void {
  if (error instanceof AbortedError) return;
  const status = kubeStatus(error);
  const code = isOurs(error) ? error.code : 'UNKNOWN';
  span.setAttribute(ATTRIBUTES.errorType, status === undefined ? code : String(status));
  span.setStatus({ code: SpanStatusCode.ERROR });
}

function portOf(server: URL): number {
  if (server.port !== '') return Number(server.port);
  return server.protocol === 'https:' ? 443 : 80;
}
