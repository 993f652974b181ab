import { expect, test } from 'vitest';
import { createHostJudge } from '../../../src/probes/host-judge.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const judge = (
  allow: { readonly family: 'ipv4'; readonly address: string; readonly prefix: number }[] = [],
) =>
  createHostJudge({
    allow,
    servers: () => ['consul.example'],
    clock: new FakeClock(),
    lookup: () => Promise.resolve(['10.0.0.5']),
  });

test.each([
  ['192.0.2.1', undefined],
  ['2001:db8::1', undefined],
  ['127.0.0.1', 'loopback'],
  ['::1', 'loopback'],
  ['169.254.169.254', 'metadata'],
  ['::ffff:169.254.169.254', 'metadata'],
  ['10.0.0.5', 'address of Consul'],
  // Who asks resolves a name, each time anew, to whatever its owner has it lead to by then.
  ['web.example', 'web.example is not an IP address'],
  ['metadata.google.internal', 'not an IP address'],
  ['localhost', 'not an IP address'],
  // Some resolvers take these for addresses.
  ['127.1', 'not an IP address'],
  ['0x7f000001', 'not an IP address'],
  ['', 'not an IP address'],
])('%s', async (host, refusal) => {
  const verdict = await judge()();
  if (refusal === undefined) expect(verdict?.(host)).toBeUndefined();
  else expect(verdict?.(host)).toContain(refusal);
});

test('what is allowed is allowed', async () => {
  const verdict = await judge([{ family: 'ipv4', address: '127.0.0.0', prefix: 8 }])();
  expect(verdict?.('127.0.0.1')).toBeUndefined();
  // What a name leads to is not known here.
  expect(verdict?.('localhost')).toContain('not an IP address');
});

test('nobody can judge while a server of ours has no address', async () => {
  const servers = () => ['consul.example'];
  const lookup = () => Promise.reject(new Error('ENOTFOUND'));
  expect(await createHostJudge({ allow: [], servers, clock: new FakeClock(), lookup })()).toBeUndefined();
});
