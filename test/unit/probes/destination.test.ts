import { describe, expect, test } from 'vitest';
import { AddressPolicy } from '../../../src/probes/address-policy.ts';
import { type DestinationOptions, findDestination } from '../../../src/probes/destination.ts';
import type { Lookup } from '../../../src/probes/dns.ts';
import { OwnServers } from '../../../src/probes/own-servers.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const { signal } = new AbortController();

/** The DNS as a table; what it was asked is kept. */
class Names {
  readonly asked: string[] = [];
  readonly table = new Map<string, readonly string[]>();
  readonly lookup: Lookup = async name => {
    this.asked.push(name);
    const found = this.table.get(name);
    if (found === undefined)
      throw Object.assign(new Error(`queryA ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
    return found;
  };
}

function surroundings(
  hosts: () => readonly string[] = () => [],
  discover: () => Promise<readonly string[]> = () => Promise.resolve([]),
) {
  const names = new Names();
  const clock = new FakeClock();
  const servers = new OwnServers({ hosts, discover, lookup: names.lookup, clock });
  const options: DestinationOptions = { policy: new AddressPolicy([]), servers, lookup: names.lookup };
  return {
    names,
    clock,
    servers,
    find: (host: string, until = signal) => findDestination(host, options, until),
  };
}

const refused = (why: string) => ({
  outcome: { status: 'critical', output: expect.stringContaining(why) as string },
});

describe('a host', () => {
  test('that is an address is taken as it is', async () => {
    const { find, names } = surroundings();
    expect(await find('192.0.2.1')).toEqual({ address: '192.0.2.1' });
    expect(await find('2001:db8::1')).toEqual({ address: '2001:db8::1' });
    expect(await find('169.254.169.254')).toEqual(
      refused('not probed: 169.254.169.254 is a metadata address'),
    );
    expect(names.asked).toEqual([]);
  });

  test('that is a name is resolved once, and the first of its addresses taken', async () => {
    const { find, names } = surroundings();
    names.table.set('db.example', ['192.0.2.1', '2001:db8::1']);
    expect(await find('db.example')).toEqual({ address: '192.0.2.1' });
    expect(names.asked).toEqual(['db.example']);
  });

  test.each([
    [['127.0.0.1']],
    [['192.0.2.1', '127.0.0.1']],
    [['192.0.2.1', '::ffff:127.0.0.1']],
    [['192.0.2.1', '2001:db8::1', 'fe80::1']],
    [['192.0.2.1', 'nonsense']],
    [[]],
  ])('whose addresses are %j is refused', async addresses => {
    const { find, names } = surroundings();
    names.table.set('db.example', addresses);
    expect(await find('db.example')).toEqual(refused('not probed: '));
  });

  test.each([
    '',
    ' ',
    'a b',
    'user@db.example',
    'db.example/x',
    'db.example:80',
    '[::1]',
    'fe80::1%lo',
    '-',
    'x'.repeat(254),
  ])('%j is neither address nor name, and is not looked up', async host => {
    const { find, names } = surroundings();
    expect(await find(host)).toEqual(refused('neither an IP address nor a DNS name'));
    expect(names.asked).toEqual([]);
  });

  test('that does not resolve is told by the error of the DNS', async () => {
    await expect(surroundings().find('gone.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });
});

describe("the operator's own servers", () => {
  test('are those that were found out, too; those stay while they cannot be asked for', async () => {
    let found: () => Promise<readonly string[]> = () => Promise.reject(new Error('away'));
    const { find, clock } = surroundings(
      () => ['10.0.0.1'],
      () => found(),
    );
    expect(await find('192.0.2.1')).toMatchObject({ outcome: { status: 'unknown' } });
    found = async () => ['10.0.0.2'];
    clock.advance(1_000);
    for (const host of ['10.0.0.1', '10.0.0.2'])
      expect(await find(host)).toEqual(refused('an address of Consul'));
    expect(await find('10.0.0.3')).toEqual({ address: '10.0.0.3' });
    found = () => Promise.reject(new Error('away'));
    clock.advance(60_000);
    await find('10.0.0.3');
    await find('10.0.0.3');
    expect(await find('10.0.0.2')).toEqual(refused('an address of Consul'));
    found = async () => ['10.0.0.4'];
    clock.advance(60_000);
    await find('10.0.0.3');
    await find('10.0.0.3');
    expect(await find('10.0.0.4')).toEqual(refused('an address of Consul'));
  });

  test('are refused by address, and by each address their names have', async () => {
    const { find, names } = surroundings(() => ['10.0.0.1', 'consul.example']);
    names.table.set('consul.example', ['192.0.2.7', '2001:db8::7']);
    names.table.set('alias.example', ['2001:db8::7']);
    for (const host of ['10.0.0.1', '192.0.2.7', '2001:db8::7', 'consul.example', 'alias.example']) {
      expect(await find(host), host).toEqual(refused('an address of Consul or of the API server'));
    }
    expect(await find('10.0.0.2')).toEqual({ address: '10.0.0.2' });
  });

  test('as long as their names have never resolved, nothing is probed, and nothing is said of the target', async () => {
    const { find, names } = surroundings(() => ['consul.example']);
    expect(await find('192.0.2.7')).toMatchObject({ outcome: { status: 'unknown' } });
    names.table.set('consul.example', ['192.0.2.7']);
    expect(await find('192.0.2.8')).toEqual({ address: '192.0.2.8' });
  });

  test('are resolved once a minute, and what they were stays known', async () => {
    const { find, names, clock } = surroundings(() => ['consul.example']);
    names.table.set('consul.example', ['192.0.2.7']);
    for (let n = 0; n < 10; n += 1) await find('192.0.2.1');
    expect(names.asked).toHaveLength(1);
    names.table.set('consul.example', ['192.0.2.8']);
    clock.advance(60_000);
    await find('192.0.2.1');
    await find('192.0.2.1');
    expect(names.asked).toHaveLength(2);
    for (const host of ['192.0.2.7', '192.0.2.8'])
      expect(await find(host)).toEqual(refused('an address of Consul'));
    names.table.clear();
    clock.advance(60_000);
    await find('192.0.2.1');
    expect(await find('192.0.2.8')).toEqual(refused('an address of Consul'));
  });

  test('a new one is known before the next probe', async () => {
    const hosts = ['10.0.0.1'];
    const { find } = surroundings(() => hosts);
    expect(await find('10.0.0.2')).toEqual({ address: '10.0.0.2' });
    hosts.push('10.0.0.2');
    expect(await find('10.0.0.2')).toEqual(refused('an address of Consul'));
    hosts.shift();
    expect(await find('10.0.0.1')).toEqual({ address: '10.0.0.1' });
  });

  test('a lookup that hangs keeps nobody waiting beyond its time', async () => {
    const { promise } = Promise.withResolvers<readonly string[]>();
    const servers = new OwnServers({
      hosts: () => ['consul.example'],
      lookup: () => promise,
      clock: new FakeClock(),
    });
    const options = { policy: new AddressPolicy([]), servers, lookup: () => promise };
    expect(await findDestination('192.0.2.1', options, AbortSignal.abort(new Error('late')))).toMatchObject({
      outcome: { status: 'unknown' },
    });
  });
});
