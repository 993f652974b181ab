import { BlockList, isIP, SocketAddress } from 'node:net';
import type { Cidr, IpFamily } from '../core/cidr.ts';

/** An address as it is judged: one that only wraps an IPv4 address is that address. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly address: string;
}

/** IPv4-mapped (RFC 4291 §2.5.5.2): the socket speaks IPv4. */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;
/** The well-known prefix of NAT64 (RFC 6052): a gateway turns it into IPv4. Undefined groups are zero. */
const NAT64 = /^64:ff9b::(?:(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4}))?$/;

/**
 * Undefined when `text` is no IP address in the one form that nobody can misread, or has a zone, which names an
 * interface of ours.
 */
export function parseIpAddress(text: string): IpAddress | undefined {
  const version = text.includes('%') ? 0 : isIP(text);
  if (version === 0) return undefined;
  if (version === 4) return { family: 'ipv4', address: text };
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  const ipv4 = MAPPED.exec(address)?.[1] ?? behindNat64(address);
  return ipv4 === undefined ? { family: 'ipv6', address } : { family: 'ipv4', address: ipv4 };
}

function behindNat64(address: string): string | undefined {
  const match = NAT64.exec(address);
  if (match === null) return undefined;
  const [high, low] = [match[1] ?? '0', match[2] ?? '0'].map(group => Number.parseInt(group, 16));
  return [high, low].flatMap((group = 0) => [group >> 8, group & 0xff]).join('.');
}

/**
 * A set of addresses. Each family has its own list: node:net's BlockList finds IPv4 addresses in `::/0` too, and who
 * allows all of IPv6 has not allowed 169.254.169.254.
 */
export class IpRanges {
  readonly #lists: Readonly<Record<IpFamily, BlockList>> = { ipv4: new BlockList(), ipv6: new BlockList() };

  constructor(ranges: readonly Cidr[]) {
    for (const { family, address, prefix } of ranges) this.#lists[family].addSubnet(address, prefix, family);
  }

  has({ family, address }: IpAddress): boolean {
    return this.#lists[family].check(address, family);
  }
}
