import type { Reason } from '../api/v1alpha1/reasons.ts';
import { clip } from '../core/conditions.ts';
import { AbortedError, ConflictError, messageOf, RetryableError, TerminalError } from '../core/errors.ts';
import { isTlsCode, socketCode } from '../core/socket-code.ts';
import type { KubeStatus } from './types.ts';

/** Every code this folder's errors carry. `docs/errors.md` is generated from it. */
export const KUBE_ERROR_CODES = {
  KUBE_UNREACHABLE: 'No connection to the API server, or it broke before the answer was complete.',
  KUBE_TLS: "The API server's certificate, or ours in its eyes, is not valid for this connection.",
  KUBE_TIMEOUT: 'The API server did not answer within the deadline of the request.',
  KUBE_THROTTLED: 'The API server answered 429: it asks for fewer requests.',
  KUBE_SERVER_ERROR: 'The API server answered 5xx.',
  KUBE_BAD_REPLY: 'The answer is not what a Kubernetes API server sends: no JSON, cut short, or a redirect.',
  KUBE_REPLY_TOO_LARGE: 'The answer is over the byte limit and was not read further.',
  KUBE_UNAUTHORIZED: 'The API server does not accept the credentials (401), also when read afresh.',
  KUBE_FORBIDDEN: "The operator's Role lacks the right for this request (403).",
  KUBE_NOT_FOUND: 'The object, its namespace or its kind does not exist (404).',
  KUBE_CONFLICT: 'The object changed since it was read, or was replaced by another of its name (409).',
  KUBE_ALREADY_EXISTS: 'An object of this name is there already (409).',
  KUBE_GONE: 'The resource version or continue token is older than what the API server keeps (410).',
  KUBE_INVALID: 'The API server refuses the request as it is written (400, 422 and other 4xx).',
  KUBE_CONFIG: 'The kubeconfig, or a file it names, cannot be used.',
} as const;

export type KubeErrorCode = keyof typeof KUBE_ERROR_CODES;
export type KubeError = RetryableError | ConflictError | TerminalError;

const CONFLICTS: ReadonlySet<KubeErrorCode> = new Set(['KUBE_CONFLICT', 'KUBE_ALREADY_EXISTS', 'KUBE_GONE']);
const TERMINALS: ReadonlySet<KubeErrorCode> = new Set([
  'KUBE_NOT_FOUND',
  'KUBE_INVALID',
  'KUBE_REPLY_TOO_LARGE',
  'KUBE_CONFIG',
]);
/** After these a write may have been carried out. */
const OUTCOME_UNKNOWN: ReadonlySet<KubeErrorCode> = new Set([
  'KUBE_UNREACHABLE',
  'KUBE_TIMEOUT',
  'KUBE_SERVER_ERROR',
  'KUBE_BAD_REPLY',
]);

/** What the API server answered, kept as the `cause` of the error made from it. */
export interface Refusal {
  readonly httpStatus: number;
  readonly statusReason: string | undefined;
  /** Fields that validation refused; empty when the refusal is not about a field. */
  readonly fields: readonly string[];
}

/** What was asked, as far as errors depend on it. */
export interface Asked {
  readonly method: string;
  readonly host: string;
}

interface KubeErrorExtras {
  readonly cause?: unknown;
  readonly retryAfterMs?: number | undefined;
  readonly outcomeUnknown?: boolean;
}

/** The one place that decides which class a code belongs to. */
export function kubeError(code: KubeErrorCode, message: string, extras: KubeErrorExtras = {}): KubeError {
  const reason: Reason = 'Progressing';
  const { cause, retryAfterMs, outcomeUnknown = false } = extras;
  const details = { code, reason, cause };
  if (CONFLICTS.has(code)) return new ConflictError(message, details);
  if (TERMINALS.has(code)) return new TerminalError(message, details);
  const pause = retryAfterMs === undefined ? {} : { retryAfterMs };
  return new RetryableError(message, { ...details, ...pause, outcomeUnknown });
}

/**
 * The HTTP status behind an error of this folder; undefined when there was no answer.
 * Callers tell 404, 403 and 410 apart by it, never by text.
 */
export function kubeStatus(error: unknown): number | undefined {
  return refusalBehind(error)?.httpStatus;
}

/** Milliseconds the server asked to wait, if it did. */
export function retryAfterOf(error: unknown): number | undefined {
  return error instanceof RetryableError ? error.retryAfterMs : undefined;
}

export function refusalBehind(error: unknown): Refusal | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'httpStatus' in cause
    ? (cause as Refusal)
    : undefined;
}

/**
 * The error for an answer that is no success.
 *
 * @param body the parsed answer, or undefined when it is no JSON; what is no `metav1.Status` is not quoted.
 */
export function errorOfAnswer(
  asked: Asked,
  httpStatus: number,
  body: unknown,
  retryAfter?: string,
): KubeError {
  const status = asStatus(body);
  const code = codeOfStatus(httpStatus, status?.reason);
  const text = status?.message === undefined ? '' : `: ${clip(status.message, MAX_QUOTED_CHARS)}`;
  return kubeError(code, `API server answered ${httpStatus} to ${asked.method}${text}`, {
    cause: refusalOf(httpStatus, status),
    retryAfterMs: retryAfterMs(retryAfter, status),
    outcomeUnknown: mayHaveWritten(asked, code),
  });
}

/** The error for an ERROR event of a watch, which carries the status in its object. */
export function errorOfWatchEvent(asked: Asked, object: unknown): KubeError {
  return errorOfAnswer(asked, asStatus(object)?.code ?? 500, object);
}

/** The error for a request that got no complete answer: whatever the socket, TLS or the HTTP parser threw. */
export function errorOfFailure(asked: Asked, thrown: unknown): KubeError {
  const code = socketCode(thrown);
  const text = `API server ${asked.host}: ${code ?? messageOf(thrown)}`;
  if (isTlsCode(code)) return kubeError('KUBE_TLS', text, { cause: thrown });
  const outcomeUnknown = mayHaveWritten(asked, 'KUBE_UNREACHABLE') && !CONNECT_CODES.has(code ?? '');
  return kubeError('KUBE_UNREACHABLE', text, { cause: thrown, outcomeUnknown });
}

export function errorOfDeadline(asked: Asked, deadlineMs: number): KubeError {
  const outcomeUnknown = mayHaveWritten(asked, 'KUBE_TIMEOUT');
  return kubeError(
    'KUBE_TIMEOUT',
    `API server ${asked.host}: no answer to ${asked.method} in ${deadlineMs} ms`,
    {
      outcomeUnknown,
    },
  );
}

/** Already one of our own classes: made where more was known. */
export function isOurs(error: unknown): error is KubeError | AbortedError {
  return (
    error instanceof RetryableError ||
    error instanceof ConflictError ||
    error instanceof TerminalError ||
    error instanceof AbortedError
  );
}

const MAX_QUOTED_CHARS = 512;

function codeOfStatus(httpStatus: number, reason: string | undefined): KubeErrorCode {
  // Watches report expiry as an ERROR event whose code some versions leave at 500.
  if (httpStatus === 410 || reason === 'Expired' || reason === 'Gone') return 'KUBE_GONE';
  if (httpStatus === 409) return reason === 'AlreadyExists' ? 'KUBE_ALREADY_EXISTS' : 'KUBE_CONFLICT';
  if (httpStatus === 401) return 'KUBE_UNAUTHORIZED';
  if (httpStatus === 403) return 'KUBE_FORBIDDEN';
  if (httpStatus === 404) return 'KUBE_NOT_FOUND';
  if (httpStatus === 408) return 'KUBE_TIMEOUT';
  if (httpStatus === 429) return 'KUBE_THROTTLED';
  if (httpStatus >= 500) return 'KUBE_SERVER_ERROR';
  return httpStatus >= 400 ? 'KUBE_INVALID' : 'KUBE_BAD_REPLY';
}

function refusalOf(httpStatus: number, status: KubeStatus | undefined): Refusal {
  const fields = (status?.details?.causes ?? []).flatMap(({ field }) => (field === undefined ? [] : [field]));
  return { httpStatus, statusReason: status?.reason, fields };
}

function asStatus(body: unknown): KubeStatus | undefined {
  const isStatus = typeof body === 'object' && body !== null && (body as KubeStatus).kind === 'Status';
  return isStatus ? (body as KubeStatus) : undefined;
}

function retryAfterMs(header: string | undefined, status: KubeStatus | undefined): number | undefined {
  const seconds = Number(header ?? status?.details?.retryAfterSeconds ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
}

function mayHaveWritten(asked: Asked, code: KubeErrorCode): boolean {
  return asked.method !== 'GET' && OUTCOME_UNKNOWN.has(code);
}

/** Nothing was sent yet. */
const CONNECT_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);
