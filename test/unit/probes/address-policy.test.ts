import { describe, expect, test } from 'vitest';
import { AddressPolicy } from '../../../src/probes/address-policy.ts';
import { IpRanges, parseIpAddress } from '../../../src/probes/ip-address.ts';
import type { Cidr } from '../../../src/core/cidr.ts';

const NOBODY = new IpRanges([]);

function range(text: string): Cidr {
  const [address = '', prefix] = text.split('/');
  return { family: address.includes(':') ? 'ipv6' : 'ipv4', address, prefix: Number(prefix) };
}

function refusal(text: string, allowed: readonly string[] = [], servers = NOBODY): string | undefined {
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return new AddressPolicy(allowed.map(range)).refusal(address, servers);
}

describe('refused, whatever way it is written', () => {
  test.each([
    ['127.0.0.1', 'a loopback address'],
    ['127.255.255.254', 'a loopback address'],
    ['::1', 'a loopback address'],
    ['0:0:0:0:0:0:0:1', 'a loopback address'],
    ['::ffff:127.0.0.1', 'a loopback address'],
    ['::ffff:7f00:1', 'a loopback address'],
    ['0:0:0:0:0:FFFF:7F00:0001', 'a loopback address'],
    ['64:ff9b::127.0.0.1', 'a loopback address'],
    ['64:ff9b::7f00:1', 'a loopback address'],
    ['::127.0.0.1', 'a transition address'],
    ['::ffff:0:127.0.0.1', 'a transition address'],
    ['2002:7f00:1::', 'a transition address'],
    ['2001:0:1::80ff:fffe', 'a transition address'],
    ['64:ff9b:1::7f00:1', 'a transition address'],
    ['0.0.0.0', 'an unspecified address'],
    ['0.1.2.3', 'an unspecified address'],
    ['::', 'an unspecified address'],
    ['::ffff:0.0.0.0', 'an unspecified address'],
    ['64:ff9b::', 'an unspecified address'],
    ['64:ff9b::1', 'an unspecified address'],
    ['169.254.169.254', 'a metadata address'],
    ['::ffff:169.254.169.254', 'a metadata address'],
    ['::ffff:a9fe:a9fe', 'a metadata address'],
    ['64:ff9b::a9fe:a9fe', 'a metadata address'],
    ['100.100.100.200', 'a metadata address'],
    ['168.63.129.16', 'a metadata address'],
    ['fd00:ec2::254', 'a metadata address'],
    ['fd00:0ec2:0:0:0:0:0:0254', 'a metadata address'],
    ['fd00:ec2::23', 'a metadata address'],
    ['fd00:ec2:1::1', 'a metadata address'],
    ['169.254.0.1', 'a link-local address'],
    ['fe80::1', 'a link-local address'],
    ['febf::1', 'a link-local address'],
    ['224.0.0.1', 'a multicast address'],
    ['239.255.255.255', 'a multicast address'],
    ['ff02::1', 'a multicast address'],
    ['240.0.0.1', 'a reserved address'],
    ['255.255.255.255', 'a reserved address'],
  ])('%s is %s', (text, what) => {
    expect(refusal(text)).toContain(`is ${what}: only PROCONSUL_PROBE_ALLOW_CIDRS`);
  });
});

test.each([
  '10.0.0.1',
  '172.16.0.1',
  '192.168.1.1',
  '203.0.113.7',
  '100.64.0.1',
  '126.255.255.255',
  '128.0.0.0',
])('%s may be reached', text => {
  expect(refusal(text)).toBeUndefined();
  expect(refusal(`::ffff:${text}`)).toBeUndefined();
  expect(refusal(`64:ff9b::${text}`)).toBeUndefined();
});

test.each(['fd00::1', '2001:db8::1', '2a00:1450::1', 'fe7f::1', 'fec0::1'])('%s may be reached', text => {
  expect(refusal(text)).toBeUndefined();
});

describe('the servers of Consul and Kubernetes are refused', () => {
  const servers = new IpRanges([range('10.0.0.5/32'), range('fd00::5/128')]);
  test.each(['10.0.0.5', '::ffff:10.0.0.5', '64:ff9b::a00:5', 'fd00::5', 'fd00:0:0::0005'])('%s', text => {
    expect(refusal(text, [], servers)).toContain('is an address of Consul or of the API server');
    expect(refusal(text, ['10.0.0.0/24', 'fd00::/64'], servers)).toBeUndefined();
  });
  test.each(['10.0.0.4', 'fd00::6'])('not so %s', text => {
    expect(refusal(text, [], servers)).toBeUndefined();
  });
});

describe('what is allowed is allowed in its range, and in its family', () => {
  test.each([
    { allowed: '127.0.0.0/8', text: '127.9.9.9', may: true },
    { allowed: '127.0.0.0/8', text: '::ffff:127.0.0.1', may: true },
    { allowed: '127.0.0.1/32', text: '127.0.0.2', may: false },
    { allowed: '::1/128', text: '::1', may: true },
    { allowed: '::1/128', text: '127.0.0.1', may: false },
    { allowed: '127.0.0.0/8', text: '::1', may: false },
    { allowed: '169.254.0.0/16', text: '169.254.169.254', may: true },
    { allowed: '::/0', text: '169.254.169.254', may: false },
    { allowed: '::/0', text: '::ffff:169.254.169.254', may: false },
    { allowed: '::/0', text: '64:ff9b::a9fe:a9fe', may: false },
    { allowed: '::ffff:0:0/96', text: '127.0.0.1', may: false },
    { allowed: '0.0.0.0/0', text: '169.254.169.254', may: true },
    { allowed: '0.0.0.0/0', text: 'fe80::1', may: false },
  ])('$allowed, $text: $may', ({ allowed, text, may }) => {
    expect(refusal(text, [allowed]) === undefined).toBe(may);
  });
});
