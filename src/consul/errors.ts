/**
 * What an answer or a broken connection means. The one place that looks at status codes, at the texts of Consul and
 * at the codes of sockets; everybody else asks for class, code and reason.
 *
 * Consul has no error codes of its own: handlers answer 500 and a text for a lost leader as for a spec that can
 * never be right (`wrap` in `agent/http.go`). So the texts have to be known, and contract tests hold them against a
 * real server.
 */
import { clip } from '../core/conditions.ts';
import { ConflictError, RetryableError, TerminalError } from '../core/errors.ts';
import { isTlsCode, socketCode } from '../core/socket-code.ts';
import { CONSUL_ERROR_CODES, type ConsulErrorCode } from './error-codes.ts';

export { CONSUL_ERROR_CODES, type ConsulErrorCode } from './error-codes.ts';

export type ConsulError = RetryableError | ConflictError | TerminalError;

/** What was asked, and of whom. */
export interface RequestSite {
  /** Origin of the server. */
  readonly address: string;
  readonly datacenter: string | undefined;
  /** Method and path template, `PUT /v1/txn`. */
  readonly operation: string;
  /** Whether carrying it out changes anything; only then can an outcome be unknown. */
  readonly writes: boolean;
}

interface Circumstances {
  readonly cause?: unknown;
  readonly outcomeUnknown?: boolean;
  readonly retryAfterMs?: number;
}

const CLASS_OF = { retry: RetryableError, conflict: ConflictError, stop: TerminalError } as const;

/** An error by its code. `problem` is a clause without a full stop; never a token, never a value. */
export function consulError(
  code: ConsulErrorCode,
  problem: string,
  circumstances: Circumstances = {},
): ConsulError {
  const { effect, reason, wayOut } = CONSUL_ERROR_CODES[code];
  return new CLASS_OF[effect](`${problem}. ${wayOut}`, { code, reason, ...circumstances });
}

/** The connection could not be made, or broke. @param sent whether any byte may have reached the server. */
export function connectionError(cause: unknown, site: RequestSite, sent: boolean): ConsulError {
  const symbol = socketCode(cause) ?? 'no code';
  const circumstances = { cause, outcomeUnknown: site.writes && sent };
  if (isTlsCode(symbol)) {
    return consulError(
      'CONSUL_TLS',
      `${server(site)} offers no acceptable TLS session (${symbol})`,
      circumstances,
    );
  }
  return sent
    ? consulError(
        'CONSUL_CONNECTION_LOST',
        `${server(site)} broke off ${site.operation} (${symbol})`,
        circumstances,
      )
    : consulError('CONSUL_UNREACHABLE', `${server(site)} cannot be reached (${symbol})`, circumstances);
}

export function timeoutError(site: RequestSite, deadlineMs: number, sent: boolean): ConsulError {
  const problem = `${server(site)} did not answer ${site.operation} within ${deadlineMs / 1000} s`;
  return consulError('CONSUL_TIMEOUT', problem, { outcomeUnknown: site.writes && sent });
}

/** A 200 that cannot be what Consul sent. `problem` names the shape, never the content: that may be a Secret's value. */
export function badReply(site: RequestSite, problem: string): ConsulError {
  const message = `${server(site)} answered ${site.operation} with ${problem}`;
  return consulError('CONSUL_BAD_REPLY', message, { outcomeUnknown: site.writes });
}

export function replyTooLarge(site: RequestSite, maxBytes: number): ConsulError {
  const message = `${server(site)} answered ${site.operation} with more than ${maxBytes} bytes`;
  return consulError('CONSUL_REPLY_TOO_LARGE', message, { outcomeUnknown: site.writes });
}

export function denied(site: RequestSite, problem: string): ConsulError {
  return consulError('CONSUL_DENIED', `${server(site)} denied ${site.operation}: ${problem}`);
}

export function tokenFileError(path: string, problem: string, cause?: unknown): ConsulError {
  return consulError('CONSUL_TOKEN_FILE', `the token file ${path} ${problem}`, { cause });
}

export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
  /** The text may hold a value: it is classified and not quoted. */
  readonly confidential?: boolean;
}

/** An answer whose status is none that the endpoint knows as an answer. */
export function refusal(
  { status, text, retryAfter, confidential = false }: Refusal,
  site: RequestSite,
): ConsulError {
  const code = codeOfStatus(status, text);
  // What comes with a status below 400 is content.
  const words = confidential || status < 400 ? '' : quote(text);
  const problem = `${server(site)} answered ${site.operation} with ${status}${words}`;
  return consulError(code, problem, {
    // Names what is missing, which the quote may cut off.
    ...(code === 'CONSUL_DEPENDENCY' && { cause: new Error(text) }),
    outcomeUnknown: site.writes && MAY_HAVE_BEEN_APPLIED.has(code),
    ...retryAfterMs(retryAfter),
  });
}

const MAY_HAVE_BEEN_APPLIED: ReadonlySet<ConsulErrorCode> = new Set([
  'CONSUL_NO_LEADER',
  'CONSUL_SERVER_ERROR',
  'CONSUL_UNREACHABLE',
  'CONSUL_BAD_REPLY',
]);

function codeOfStatus(status: number, text: string): ConsulErrorCode {
  if (status >= 300 && status < 400) return 'CONSUL_REDIRECTED';
  if (status === 401 || status === 403 || status === 407) return 'CONSUL_DENIED';
  if (status === 413) return 'CONSUL_TOO_LARGE';
  if (status === 429) return 'CONSUL_RATE_LIMITED';
  if (status === 502 || status === 504) return 'CONSUL_UNREACHABLE';
  if (/^\s*</.test(text)) return status === 503 ? 'CONSUL_UNREACHABLE' : 'CONSUL_BAD_REPLY';
  if (status === 400) return text.includes('to an HTTPS server') ? 'CONSUL_TLS' : 'CONSUL_BAD_REQUEST';
  if (status < 500) return 'CONSUL_BAD_REPLY';
  return codeOfText(text) ?? (status === 503 ? 'CONSUL_UNREACHABLE' : 'CONSUL_SERVER_ERROR');
}

/** The first that matches: what passes comes before what is for good, for that one is matched by single words. */
const SERVER_TEXTS: readonly (readonly [RegExp, ConsulErrorCode])[] = [
  [/invalid session "|missing session/, 'CONSUL_INVALID_SESSION'],
  [/Missing node registration/, 'CONSUL_NODE_MISSING'],
  [
    /No cluster leader|leadership lost|not the leader|Not ready to serve consistent reads/,
    'CONSUL_NO_LEADER',
  ],
  [/rpc error making call: EOF|rpc error getting client/, 'CONSUL_NO_LEADER'],
  [/No path to datacenter|Remote DC has no server/, 'CONSUL_DATACENTER'],
  [/Permission denied|ACL not found/, 'CONSUL_DENIED'],
  [/rate limit/i, 'CONSUL_RATE_LIMITED'],
  [/is incompatible with L7|Referenced JWT Provider/i, 'CONSUL_DEPENDENCY'],
  [
    /Port or SocketPath must be set|Proxy\.DestinationServiceName must|upstreams cannot contain duplicates/,
    'CONSUL_INVALID',
  ],
  [
    /Must provide|[Ii]nvalid|Sources\[|At least one source|Missing check|exceeds|load metadata|^Name|JWT provider name is/,
    'CONSUL_INVALID',
  ],
];

function codeOfText(text: string): ConsulErrorCode | undefined {
  return SERVER_TEXTS.find(([pattern]) => pattern.test(text))?.[1];
}

export function isConsulError(thrown: unknown): thrown is ConsulError {
  const { code } = (thrown ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' && Object.hasOwn(CONSUL_ERROR_CODES, code);
}

/** The server is there, but busy or failing at this one thing. */
const SERVER_IS_UP: ReadonlySet<string> = new Set<ConsulErrorCode>([
  'CONSUL_RATE_LIMITED',
  'CONSUL_SERVER_ERROR',
  'CONSUL_REPLY_TOO_LARGE',
]);

/** Whether `error` says that this address does not serve us now; another one may. */
export function isOutage(error: ConsulError): boolean {
  return error.reason === 'ConsulUnreachable' && !SERVER_IS_UP.has(error.code);
}

/** What one failed operation of a transaction means. */
export type TxnErrorKind = 'lost-fence' | 'denied' | 'precondition' | 'other';

/**
 * Reads one entry of `Errors` of a 409. Only the first operation is the fence, and only these two texts say that it
 * is lost (`agent/consul/state/kvs.go`): a denial or a failed commit at index 0 is no reason to abdicate.
 * All patterns hold on to the start, because the rest quotes keys, which users choose.
 */
export function classifyTxnError(error: { readonly opIndex: number; readonly what: string }): TxnErrorKind {
  if (/^failed (?:session check|to check session)/.test(error.what)) {
    return error.opIndex === 0 ? 'lost-fence' : 'precondition';
  }
  if (/^(?:Permission denied|ACL not found)/.test(error.what)) return 'denied';
  return PRECONDITIONS.some(pattern => pattern.test(error.what)) ? 'precondition' : 'other';
}

const PRECONDITIONS: readonly RegExp[] = [
  /^(?:failed to (?:set|delete|lock|unlock) key ".*|failed index check .*|failed to check index.*|key ".*" (?:exists|doesn't exist))$/,
  /^failed to set node ".*", index is stale$/,
  /^failed to (?:set|delete) (?:service|check) ".*" on node ".*", index is stale$/,
  /^service ".*" on node ".*" doesn't exist$/,
  // The node of a service went, or the service of a check.
  /^Missing (?:node|service) registration$/,
];

/** Why a transaction that takes or gives up a lock was refused. `moved`: the key is not as `check-index` believes. */
export type LockRefusal = 'held' | 'lock-delay' | 'invalid-session' | 'moved' | 'denied' | 'other';

/**
 * Reads the `Errors` of a 409 on a `lock` or `unlock`, or on the `cas` that makes its key. Consul looks at rights and at the lock-delay before anything
 * else (`preCheck` in `agent/txn_endpoint.go`), and then names every operation that fails.
 */
export function classifyLockRefusal(errors: readonly { readonly what: string }[]): LockRefusal {
  const found = LOCK_REFUSALS.find(([pattern]) => errors.some(({ what }) => pattern.test(what)));
  return found?.[1] ?? 'other';
}

/** Held to the start, because the rest quotes keys; without a session nothing else counts. */
const LOCK_REFUSALS: readonly (readonly [RegExp, LockRefusal])[] = [
  [/^(?:Permission denied|ACL not found)/, 'denied'],
  [/^(?:invalid session "|missing session)/, 'invalid-session'],
  [
    /^failed to (?:lock|unlock) key ".*", lock (?:is already held|isn't held, or is held by another session)$/,
    'held',
  ],
  [/^failed to lock key ".*" due to lock delay$/, 'lock-delay'],
  [
    /^(?:failed index check|failed to check index|failed to set key ".*", index is stale$|key ".*" exists$)/,
    'moved',
  ],
];

function server({ address, datacenter }: RequestSite): string {
  return `Consul at ${address}${datacenter === undefined ? '' : ` (datacenter ${datacenter})`}`;
}

const MAX_QUOTED_CHARS = 200;

/** The server's own words, in one line that can do no harm in a terminal. */
function quote(text: string): string {
  const line = text.replace(/[\p{C}\p{Z}]+/gu, ' ').trim();
  return line === '' ? '' : `: ${clip(line, MAX_QUOTED_CHARS)}`;
}

/** A server that asks for an hour is not obeyed that long: the caller's own backoff goes on. */
const MAX_RETRY_AFTER_SECONDS = 300;

function retryAfterMs(header: string | undefined): { retryAfterMs?: number } {
  if (header === undefined || !/^\d{1,9}$/.test(header)) return {};
  return { retryAfterMs: Math.min(Number(header), MAX_RETRY_AFTER_SECONDS) * 1000 };
}
