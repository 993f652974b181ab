import { describe, expect, test } from 'vitest';
import {
  badReply,
  CONSUL_ERROR_CODES,
  classifyTxnError,
  connectionError,
  consulError,
  type ConsulErrorCode,
  isOutage,
  refusal,
  timeoutError,
} from '../../../src/consul/errors.ts';
import { ConflictError, RetryableError, TerminalError } from '../../../src/core/errors.ts';

const READ = {
  address: 'http://consul:8500',
  datacenter: undefined,
  operation: 'GET /v1/kv/{key}',
  writes: false,
};
const WRITE = { ...READ, operation: 'PUT /v1/txn', writes: true };

const refused = (status: number, text: string, retryAfter?: string) =>
  refusal({ status, text, retryAfter }, WRITE);

describe('an answer with another status', () => {
  test.each([
    [301, '', 'CONSUL_REDIRECTED', RetryableError, false],
    [307, '', 'CONSUL_REDIRECTED', RetryableError, false],
    [400, 'Failed to parse body: json: unknown field "Zork"', 'CONSUL_BAD_REQUEST', TerminalError, false],
    [400, 'Client sent an HTTP request to an HTTPS server.\n', 'CONSUL_TLS', RetryableError, false],
    [400, '<html>', 'CONSUL_BAD_REPLY', RetryableError, true],
    [401, '', 'CONSUL_DENIED', RetryableError, false],
    [403, 'ACL not found', 'CONSUL_DENIED', RetryableError, false],
    [403, 'Permission denied: anonymous token lacks permission', 'CONSUL_DENIED', RetryableError, false],
    [404, 'Invalid URL path: not a recognized HTTP API endpoint', 'CONSUL_BAD_REPLY', RetryableError, true],
    [413, 'Request body(524342 bytes) too large', 'CONSUL_TOO_LARGE', TerminalError, false],
    [418, '', 'CONSUL_BAD_REPLY', RetryableError, true],
    [429, '', 'CONSUL_RATE_LIMITED', RetryableError, false],
    [500, 'No cluster leader', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'rpc error making call: No cluster leader', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'rpc error making call: EOF', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'rpc error getting client: failed to get conn', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'leadership lost while committing log', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'Not ready to serve consistent reads', 'CONSUL_NO_LEADER', RetryableError, true],
    [500, 'No path to datacenter', 'CONSUL_DATACENTER', RetryableError, false],
    [500, 'Remote DC has no server currently reachable', 'CONSUL_DATACENTER', RetryableError, false],
    [500, 'raft apply failed: invalid session "1111"', 'CONSUL_INVALID_SESSION', ConflictError, false],
    [500, 'raft apply failed: missing session', 'CONSUL_INVALID_SESSION', ConflictError, false],
    [500, 'apply failed: Missing node registration', 'CONSUL_NODE_MISSING', ConflictError, false],
    [500, 'Invalid Session TTL 1000000000, must be between', 'CONSUL_INVALID', TerminalError, false],
    [500, 'invalid key name, leading/trailing spaces', 'CONSUL_INVALID', TerminalError, false],
    [500, 'At least one source is required', 'CONSUL_INVALID', TerminalError, false],
    [
      500,
      'service "q" has protocol "tcp", which is incompatible with L7',
      'CONSUL_DEPENDENCY',
      RetryableError,
      false,
    ],
    [500, 'rpc error making call: Permission denied', 'CONSUL_DENIED', RetryableError, false],
    [500, 'something quite new', 'CONSUL_SERVER_ERROR', RetryableError, true],
    [500, '<html>invalid</html>', 'CONSUL_BAD_REPLY', RetryableError, true],
    [502, '<html>', 'CONSUL_UNREACHABLE', RetryableError, true],
    [503, '<html>', 'CONSUL_UNREACHABLE', RetryableError, true],
    [503, 'rate limit exceeded, try again later', 'CONSUL_RATE_LIMITED', RetryableError, false],
    [504, '', 'CONSUL_UNREACHABLE', RetryableError, true],
  ])('%i %j is %s', (status, text, code, type, outcomeUnknown) => {
    const error = refused(status, text);
    expect(error).toBeInstanceOf(type);
    expect(error.code).toBe(code);
    expect(error instanceof RetryableError && error.outcomeUnknown).toBe(outcomeUnknown);
  });

  test('of a read has no unknown outcome', () => {
    expect(refusal({ status: 500, text: 'EOF', retryAfter: undefined }, READ)).toMatchObject({
      outcomeUnknown: false,
    });
  });

  test('asks for a pause, within bounds', () => {
    expect(refused(429, '', '7')).toMatchObject({ retryAfterMs: 7000 });
    expect(refused(429, '', '999999')).toMatchObject({ retryAfterMs: 300_000 });
    expect(refused(429, '', 'tomorrow')).toMatchObject({ retryAfterMs: undefined });
  });
});

describe('a message', () => {
  test('names server, datacenter and request, quotes Consul and ends in the way out', () => {
    const error = refusal(
      { status: 403, text: 'ACL not found', retryAfter: undefined },
      { ...WRITE, datacenter: 'dc7' },
    );
    expect(error.message).toBe(
      `Consul at http://consul:8500 (datacenter dc7) answered PUT /v1/txn with 403: ACL not found. ${CONSUL_ERROR_CODES.CONSUL_DENIED.wayOut}`,
    );
  });

  test('quotes at most 200 characters in one harmless line', () => {
    const { message } = refused(500, `\u001b\u202e\u0000${'é😀'.repeat(300)}\r\nmore`);
    const quoted = message.slice(message.indexOf('é'), message.indexOf('…') + 1);
    expect(message).not.toMatch(/[\p{C}\r\n]/u);
    expect(Array.from(quoted)).toHaveLength(200);
  });
});

describe('a broken connection', () => {
  const failure = (code: string) => Object.assign(new Error('boom'), { code });

  test.each([
    ['ECONNREFUSED', false, 'CONSUL_UNREACHABLE'],
    ['ENOTFOUND', false, 'CONSUL_UNREACHABLE'],
    ['UND_ERR_CONNECT_TIMEOUT', false, 'CONSUL_UNREACHABLE'],
    ['ECONNRESET', true, 'CONSUL_CONNECTION_LOST'],
    ['UND_ERR_SOCKET', true, 'CONSUL_CONNECTION_LOST'],
    ['SELF_SIGNED_CERT_IN_CHAIN', false, 'CONSUL_TLS'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', false, 'CONSUL_TLS'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', true, 'CONSUL_TLS'],
  ])('by %s, sent %s, is %s', (symbol, sent, code) => {
    const error = connectionError(failure(symbol), WRITE, sent);
    expect(error).toMatchObject({ code, outcomeUnknown: sent, reason: 'ConsulUnreachable' });
    expect(error.message).toContain(symbol);
  });

  test('on every address of a name speaks with the first', () => {
    const cause = new AggregateError([failure('ECONNREFUSED'), failure('ENETUNREACH')]);
    expect(connectionError(cause, READ, false).message).toContain('ECONNREFUSED');
  });

  test('or a late answer leaves the outcome of a write open once it was sent', () => {
    expect(timeoutError(WRITE, 15_000, true)).toMatchObject({ code: 'CONSUL_TIMEOUT', outcomeUnknown: true });
    expect(timeoutError(WRITE, 15_000, false)).toMatchObject({ outcomeUnknown: false });
    expect(timeoutError(READ, 10_000, true)).toMatchObject({ outcomeUnknown: false });
    expect(badReply(WRITE, 'HTML')).toMatchObject({ outcomeUnknown: true });
  });
});

describe('an error of a transaction', () => {
  const session = 'session "a"';
  test.each([
    [0, 'failed session check for key "l", current session "" != "a"', 'lost-fence'],
    [0, `failed to check session, key "l" doesn't exist`, 'lost-fence'],
    [1, 'failed session check for key "l", current session "" != "a"', 'precondition'],
    [0, `Permission denied: token lacks permission 'key:read' on "l"`, 'denied'],
    [3, 'ACL not found', 'denied'],
    [1, 'failed to set key "k", index is stale', 'precondition'],
    [1, 'failed to delete key "k", index is stale', 'precondition'],
    [1, 'failed index check for key "k", current modify index 19 != 1', 'precondition'],
    [1, `failed to check index, key "k" doesn't exist`, 'precondition'],
    [1, 'key "k" exists', 'precondition'],
    [1, 'failed to set key "Permission denied", index is stale', 'precondition'],
    [0, 'key "failed session check" exists', 'precondition'],
    [0, 'failed to commit', 'other'],
    [1, 'unknown KV operation: zork', 'other'],
    [0, session, 'other'],
  ] as const)('at %i, %j, is %s', (opIndex, what, kind) => {
    expect(classifyTxnError({ opIndex, what })).toBe(kind);
  });
});

test.each(Object.entries(CONSUL_ERROR_CODES))(
  '%s makes an error of the class its table names',
  (code, { effect, reason }) => {
    const error = consulError(code as ConsulErrorCode, 'it broke');
    const type = { retry: RetryableError, conflict: ConflictError, stop: TerminalError }[effect];
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ code, reason });
  },
);

test('an overloaded server is no outage, a refusal neither', () => {
  expect(isOutage(refused(429, ''))).toBe(false);
  expect(isOutage(refused(403, ''))).toBe(false);
  expect(isOutage(refused(500, 'No cluster leader'))).toBe(true);
  expect(isOutage(badReply(READ, 'HTML'))).toBe(true);
});
