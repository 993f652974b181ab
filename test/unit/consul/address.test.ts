import { expect, test } from 'vitest';
import { AddressRing, parseAddress } from '../../../src/consul/address.ts';

test.each([
  ['127.0.0.1:8500', false, 'http://127.0.0.1:8500', '127.0.0.1', 8500, ''],
  [' consul.example:8500 ', false, 'http://consul.example:8500', 'consul.example', 8500, ''],
  ['https://consul.example', false, 'https://consul.example', 'consul.example', 443, ''],
  [
    'http://consul.example/behind/proxy/',
    false,
    'http://consul.example',
    'consul.example',
    80,
    '/behind/proxy',
  ],
  ['[::1]:8501', true, 'https://[::1]:8501', '::1', 8501, ''],
  ['consul.example:8501', true, 'https://consul.example:8501', 'consul.example', 8501, ''],
])('%s with TLS %s is %s', (text, tls, origin, host, port, basePath) => {
  expect(parseAddress(text, tls)).toEqual({ origin, host, port, basePath });
});

test.each([
  ['', 'is not host:port or a URL'],
  ['http://', 'is not host:port or a URL'],
  ['unix:///var/run/consul.sock', 'has to begin with http'],
  ['http://user:secret@consul:8500', 'must not carry a user name'],
  ['http://consul:8500?token=secret', 'must not carry a query'],
])('%j is refused: it %s', (text, problem) => {
  expect(() => parseAddress(text, false)).toThrow(problem);
  expect(() => parseAddress(text, false)).not.toThrow('secret');
});

test('http is refused once TLS files are set: the token would go in clear', () => {
  expect(() => parseAddress('http://consul:8500', true)).toThrow('use https://');
});

test('the ring moves on from what failed, once, however many say so', () => {
  const [one, two] = ['http://one:1', 'http://two:2'].map(text => parseAddress(text, false));
  const ring = new AddressRing([one, two] as never);
  expect(ring.current).toBe(one);
  ring.moveOnFrom(one as never);
  ring.moveOnFrom(one as never);
  expect(ring.current).toBe(two);
  ring.moveOnFrom(two as never);
  expect(ring.current).toBe(one);
});

test('a single address stays', () => {
  const only = parseAddress('one:1', false);
  const ring = new AddressRing([only]);
  ring.moveOnFrom(only);
  expect(ring.current).toBe(only);
});

test('no address at all is a wrong setting', () => {
  expect(() => new AddressRing([])).toThrow('CONSUL_HTTP_ADDR');
});
