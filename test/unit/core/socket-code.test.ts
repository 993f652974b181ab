import { describe, expect, test } from 'vitest';
import { isTlsCode, socketCode } from '../../../src/core/socket-code.ts';

const failure = (code: unknown) => Object.assign(new Error('boom'), { code });

describe('the code', () => {
  test.each([
    ['of an error', failure('ECONNRESET'), 'ECONNRESET'],
    [
      'of several addresses: the first',
      new AggregateError([failure('ECONNREFUSED'), failure('ENETUNREACH')]),
      'ECONNREFUSED',
    ],
    ['of an error with none', new Error('boom'), undefined],
    ['of an error with a number', failure(23), undefined],
    ['of no addresses', new AggregateError([]), undefined],
    ['of what is no error', { code: 'ECONNRESET' }, undefined],
    ['of nothing', undefined, undefined],
  ])('%s', (_, thrown, code) => expect(socketCode(thrown)).toBe(code));
});

test.each([
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_OSSL_EVP_UNSUPPORTED',
  'EPROTO',
  'CERT_HAS_EXPIRED',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'HOSTNAME_MISMATCH',
  'INVALID_CA',
])('%s is about TLS', code => expect(isTlsCode(code)).toBe(true));

test.each(['ECONNREFUSED', 'ENOTFOUND', 'UND_ERR_SOCKET', undefined])('%s is not', code =>
  expect(isTlsCode(code)).toBe(false),
);
