import { expect, test } from 'vitest';
import { ConflictError, RetryableError, TerminalError } from '../../../src/core/errors.ts';
import {
  errorOfAnswer,
  errorOfDeadline,
  errorOfFailure,
  errorOfWatchEvent,
  KUBE_ERROR_CODES,
  type KubeErrorCode,
  kubeError,
  kubeStatus,
} from '../../../src/kube/errors.ts';

const read = { method: 'GET', host: 'api:6443' };
const write = { method: 'PATCH', host: 'api:6443' };

function status(code: number, reason: string): object {
  return { kind: 'Status', code, reason, message: 'because' };
}

test.each([
  [400, 'BadRequest', 'KUBE_INVALID', TerminalError],
  [401, 'Unauthorized', 'KUBE_UNAUTHORIZED', RetryableError],
  [403, 'Forbidden', 'KUBE_FORBIDDEN', RetryableError],
  [404, 'NotFound', 'KUBE_NOT_FOUND', TerminalError],
  [408, 'Timeout', 'KUBE_TIMEOUT', RetryableError],
  [409, 'Conflict', 'KUBE_CONFLICT', ConflictError],
  [409, 'AlreadyExists', 'KUBE_ALREADY_EXISTS', ConflictError],
  [410, 'Expired', 'KUBE_GONE', ConflictError],
  [410, 'Gone', 'KUBE_GONE', ConflictError],
  [413, 'RequestEntityTooLarge', 'KUBE_INVALID', TerminalError],
  [422, 'Invalid', 'KUBE_INVALID', TerminalError],
  [429, 'TooManyRequests', 'KUBE_THROTTLED', RetryableError],
  [500, 'InternalError', 'KUBE_SERVER_ERROR', RetryableError],
  [503, 'ServiceUnavailable', 'KUBE_SERVER_ERROR', RetryableError],
  [504, 'Timeout', 'KUBE_SERVER_ERROR', RetryableError],
  [302, 'Found', 'KUBE_BAD_REPLY', RetryableError],
])('an answer of %i %s is %s', (code, reason, expected, expectedClass) => {
  const error = errorOfAnswer(read, code, status(code, reason));
  expect(error).toBeInstanceOf(expectedClass);
  expect(error).toMatchObject({ code: expected, message: `API server answered ${code} to GET: because` });
  expect(kubeStatus(error)).toBe(code);
});

test('an ERROR event that says Expired counts as 410 whatever its code', () => {
  expect(errorOfWatchEvent(read, status(500, 'Expired'))).toMatchObject({ code: 'KUBE_GONE' });
  expect(errorOfWatchEvent(read, { kind: 'Nonsense' })).toMatchObject({ code: 'KUBE_SERVER_ERROR' });
});

test('text that is no Status is not quoted: it may be a page of something in between', () => {
  expect(errorOfAnswer(read, 502, undefined).message).toBe('API server answered 502 to GET');
  expect(errorOfAnswer(read, 502, { message: '<html>' }).message).toBe('API server answered 502 to GET');
});

test('a long message is cut', () => {
  const long = { kind: 'Status', message: 'x'.repeat(10_000) };
  expect(errorOfAnswer(read, 400, long).message.length).toBeLessThan(600);
});

test('Retry-After comes from the header or else from the Status', () => {
  expect(errorOfAnswer(read, 429, undefined, '2')).toMatchObject({ retryAfterMs: 2000 });
  expect(errorOfAnswer(read, 429, { kind: 'Status', details: { retryAfterSeconds: 3 } })).toMatchObject({
    retryAfterMs: 3000,
  });
  expect(errorOfAnswer(read, 429, undefined, 'Wed, 21 Oct 2026 07:28:00 GMT')).toMatchObject({
    retryAfterMs: undefined,
  });
});

test('after a write without a clear answer the outcome is unknown; after a read, or a refusal, it is not', () => {
  const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  expect(errorOfFailure(write, reset)).toMatchObject({ code: 'KUBE_UNREACHABLE', outcomeUnknown: true });
  expect(errorOfDeadline(write, 10)).toMatchObject({ code: 'KUBE_TIMEOUT', outcomeUnknown: true });
  expect(errorOfAnswer(write, 500, undefined)).toMatchObject({ outcomeUnknown: true });
  expect(errorOfFailure(write, refused)).toMatchObject({ code: 'KUBE_UNREACHABLE', outcomeUnknown: false });
  expect(errorOfAnswer(write, 429, undefined)).toMatchObject({ outcomeUnknown: false });
  expect(errorOfFailure(read, reset)).toMatchObject({ outcomeUnknown: false });
});

test.each(['DEPTH_ZERO_SELF_SIGNED_CERT', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID'])(
  '%s is told apart from an unreachable server',
  code => {
    expect(errorOfFailure(read, Object.assign(new Error('tls'), { code }))).toMatchObject({
      code: 'KUBE_TLS',
    });
  },
);

test('what got no answer has no status', () => {
  expect(kubeStatus(errorOfDeadline(read, 10))).toBeUndefined();
  expect(kubeStatus(errorOfFailure(read, new Error('reset')))).toBeUndefined();
  expect(kubeStatus('no error')).toBeUndefined();
});

test.each(Object.keys(KUBE_ERROR_CODES) as KubeErrorCode[])('%s makes an error that says so', code => {
  expect(kubeError(code, 'text')).toMatchObject({ code, message: 'text', reason: 'Progressing' });
});
