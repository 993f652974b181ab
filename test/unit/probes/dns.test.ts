import { expect, test } from 'vitest';
import { createDnsLookup } from '../../../src/probes/dns.ts';
import { DnsServer } from '../../support/dns-server.ts';

const { signal } = new AbortController();

test.each([
  { ipv4: 'failure', ipv6: [], code: 'ESERVFAIL' },
  { ipv4: [], ipv6: 'failure', code: 'ESERVFAIL' },
  { ipv4: [], ipv6: [], code: 'ENODATA' },
] as const)('a name with IPv4 $ipv4 and IPv6 $ipv6 ends in $code', async ({ ipv4, ipv6, code }) => {
  await using server = await DnsServer.start(() => ipv4, ipv6);
  const lookup = createDnsLookup({ servers: [server.address] });

  await expect(lookup('db.example.com', signal)).rejects.toMatchObject({ code });
});

test('what there is of one family is enough, whatever becomes of the other', async () => {
  await using server = await DnsServer.start(() => ['192.0.2.1'], 'failure');

  expect(await createDnsLookup({ servers: [server.address] })('db.example.com', signal)).toEqual([
    '192.0.2.1',
  ]);
});
