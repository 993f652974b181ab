import { describe, expect, test } from 'vitest';
import { createDnsLookup } from '../../src/probes/dns.ts';
import type { ProbeTarget } from '../../src/probes/spec.ts';
import { DnsServer } from '../support/dns-server.ts';
import { aGrpcTarget, anHttpTarget, aProber, ask, aTcpTarget, Listener } from '../support/probe-targets.ts';
import { until } from '../support/until.ts';

const KINDS: Readonly<Record<string, (host: string, port: number) => ProbeTarget>> = {
  http: (host, port) => anHttpTarget(port, { host }),
  https: (host, port) => anHttpTarget(port, { host, tls: { serverName: undefined, skipVerify: true } }),
  tcp: (host, port) => aTcpTarget(port, host),
  grpc: (host, port) => aGrpcTarget(port, { host }),
};
const ONE = [{ family: 'ipv4', address: '127.0.0.2', prefix: 32 }] as const;

describe.each(Object.keys(KINDS))('%s', kind => {
  const target = KINDS[kind] ?? aTcpTarget.bind(undefined, 0);

  test('an address that is not allowed gets no connection, however it is written or named', async () => {
    await using server = await Listener.tcp(socket => void socket.end('HTTP/1.1 200 OK\r\n\r\n'), '::');
    await using dns = await DnsServer.start(name =>
      name === 'mixed.example' ? ['192.0.2.1', '127.0.0.1'] : ['127.0.0.1'],
    );
    const probe = aProber({ allow: [], lookup: createDnsLookup({ servers: [dns.address] }) });
    const disguises = [
      '127.0.0.1',
      '127.1.2.3',
      '0.0.0.0',
      '::1',
      '::',
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '64:ff9b::7f00:1',
      '127.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      'localhost',
      'rebinding.example',
      'mixed.example',
      'mixed.example.',
    ];
    for (const host of disguises) {
      const found = await ask(target(host, server.port), probe);
      expect(found, host).toMatchObject({ status: 'critical' });
    }
    // One that is allowed gets through, so the server does count.
    await ask(target('127.0.0.1', server.port));
    await until(() => server.accepted > 0);
    expect(server.accepted).toBe(1);
  });

  test('the DNS is asked once a run, and cannot send the connection elsewhere by a second answer', async () => {
    await using forbidden = await Listener.tcp(() => {}, '127.0.0.1');
    await using permitted = await Listener.tcp(socket => void socket.destroy(), '127.0.0.2', forbidden.port);
    let answer = 0;
    await using dns = await DnsServer.start(() => (answer++ % 2 === 0 ? ['127.0.0.2'] : ['127.0.0.1']));
    const probe = aProber({ allow: ONE, lookup: createDnsLookup({ servers: [dns.address] }) });
    for (let run = 1; run <= 6; run += 1) {
      const { output } = await ask(target('rebinding.example', permitted.port), probe);
      expect(dns.asked).toHaveLength(run);
      expect(output.includes('is a loopback address')).toBe(run % 2 === 0);
    }
    expect([permitted.accepted, forbidden.accepted]).toEqual([3, 0]);
  });
});

test('a Host header does not change where the request goes', async () => {
  await using dns = await DnsServer.start(() => ['127.0.0.1']);
  const hosts: (string | undefined)[] = [];
  await using other = await Listener.tcp(() => {}, '127.0.0.1');
  await using server = await Listener.http(
    (request, response) => {
      hosts.push(request.headers.host);
      response.end();
    },
    '127.0.0.2',
    other.port,
  );
  const probe = aProber({ allow: ONE, lookup: createDnsLookup({ servers: [dns.address] }) });
  const headers = { Host: [`127.0.0.1:${server.port}`] };
  expect(await ask(anHttpTarget(server.port, { host: '127.0.0.2', headers }), probe)).toMatchObject({
    status: 'passing',
  });
  expect([hosts, other.accepted, dns.asked]).toEqual([[`127.0.0.1:${server.port}`], 0, []]);
});

test("the operator's own servers are not probed on any port, unless their range is allowed", async () => {
  await using server = await Listener.tcp(() => {}, '127.0.0.2');
  const everything = [{ family: 'ipv4', address: '127.0.0.0', prefix: 8 }] as const;
  const servers = (): readonly string[] => ['127.0.0.2', 'localhost'];
  const refused = await ask(aTcpTarget(server.port, '127.0.0.2'), aProber({ allow: [], servers }));
  expect(refused).toMatchObject({ status: 'critical' });
  expect(server.accepted).toBe(0);
  const allowed = await ask(aTcpTarget(server.port, '127.0.0.2'), aProber({ allow: everything, servers }));
  expect(allowed).toMatchObject({ status: 'passing' });
});

describe('a name', () => {
  test('that does not exist is critical', async () => {
    await using dns = await DnsServer.start(() => []);
    const probe = aProber({ lookup: createDnsLookup({ servers: [dns.address] }) });
    expect(await ask(aTcpTarget(80, 'gone.example'), probe)).toEqual({
      status: 'critical',
      output: 'TCP gone.example:80: queryA ENODATA gone.example',
    });
  });

  test('that the DNS is silent about teaches nothing of the target when time is up', async () => {
    await using dns = await DnsServer.start(() => 'nothing');
    const probe = aProber({ lookup: createDnsLookup({ servers: [dns.address] }) });
    expect(await ask(aTcpTarget(80, 'silent.example'), probe, 300)).toEqual({
      status: 'unknown',
      output: 'not probed: the DNS has not told in time where silent.example is',
    });
    expect(dns.asked).toEqual(['silent.example']);
  });
});
