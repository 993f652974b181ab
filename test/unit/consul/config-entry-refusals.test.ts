import { describe, expect, test } from 'vitest';
import { classifyEntryRefusal, describeDependency } from '../../../src/consul/config-entry-refusals.ts';
import { refusal } from '../../../src/consul/errors.ts';
import { RetryableError } from '../../../src/core/errors.ts';

const SITE = {
  address: 'http://consul:8500',
  datacenter: undefined,
  operation: 'PUT /v1/config',
  writes: true,
};
const classified = (text: string, status = 500) =>
  classifyEntryRefusal(refusal({ status, text, retryAfter: undefined }, SITE));
const provider = (name: string) => `\t* Referenced JWT Provider does not exist. Provider Name: ${name}\n`;

describe('what Consul refuses an entry for', () => {
  test('is a destination that is not http, by its name', () => {
    const text = 'service "orders" has protocol "tcp", which is incompatible with L7 intentions permissions';
    const missing = [{ kind: 'protocol', service: 'orders' }] as const;
    expect(classified(text)).toEqual({ kind: 'dependency', missing });
    expect(missing.map(describeDependency)).toEqual([
      'service-defaults/orders: protocol must be http, http2 or grpc',
    ]);
  });

  test('is every provider that is missing, once, however many: also those that the message has no room for', () => {
    const names = Array.from({ length: 20 }, (_, number) => `provider-${number}`);
    const text = `21 errors occurred:\n${[...names, 'provider-3'].map(provider).join('')}\n`;
    const missing = names.map(name => ({ kind: 'jwt-provider', name }) as const);
    expect(classified(text)).toEqual({ kind: 'dependency', missing });
    expect(missing.slice(0, 1).map(describeDependency)).toEqual(['jwt-provider/provider-0 does not exist']);
  });

  test('may be named in words that are not known', () => {
    expect(classified('x is incompatible with L7')).toEqual({ kind: 'dependency', missing: [] });
  });

  test.each([
    ['Sources[0].Description exceeds maximum length 512', 500, 'invalid'],
    ["Name: wildcard character '*' cannot be used with partial values", 500, 'invalid'],
    ['Name is required', 500, 'invalid'],
    ['1 error occurred:\n\t* JWT provider name is required\n\n', 500, 'invalid'],
    ['Request decoding failed: 1 error occurred:\n\t* invalid config key "Zork"', 400, 'unsupported'],
    ['too large', 413, 'tooLarge'],
  ])('%j (%d) is %s', (text, status, kind) => {
    expect(classified(text, status)).toEqual({ kind });
  });

  test.each([
    refusal({ status: 500, text: 'No cluster leader', retryAfter: undefined }, SITE),
    refusal({ status: 403, text: 'Permission denied', retryAfter: undefined }, SITE),
    new RetryableError('x', { code: 'OTHER', reason: 'x' }),
    new Error('x'),
    undefined,
  ])('is nothing of the entry for %s', error => {
    expect(classifyEntryRefusal(error)).toBeUndefined();
  });
});
