import { expect, test } from 'vitest';
import { secretsOf } from '../../../src/probes/http-headers.ts';
import type { HttpTarget } from '../../../src/probes/spec.ts';

const target = (path: string): HttpTarget => ({
  kind: 'http',
  host: '192.0.2.1',
  port: 80,
  tls: undefined,
  path,
  method: 'GET',
  headers: {},
  body: '',
});

test.each<[what: string, path: string, secrets: readonly string[]]>([
  ['no query', '/health', []],
  ['a value', '/health?token=s3cret', ['token=s3cret', 's3cret']],
  ['a value beside short ones', '/h?v=1&token=s3cret', ['v=1&token=s3cret', 's3cret']],
  ['a value that is encoded, in both forms', '/h?t=a%20b%2Fc', ['t=a%20b%2Fc', 'a%20b%2Fc', 'a b/c']],
  ['a space that is a plus', '/h?t=ab+cd', ['t=ab+cd', 'ab+cd', 'ab cd']],
  ['no name', '/h?s3cret', ['s3cret']],
  ['what cannot be decoded', '/h?t=100%', ['t=100%', '100%']],
  ['an equals sign in the value', '/h?t=abc==', ['t=abc==', 'abc==']],
  ['a fragment', '/h#s3cret', ['s3cret']],
])('of a query: %s', (_what, path, secrets) => {
  expect(secretsOf(target(path))).toEqual(secrets);
});
