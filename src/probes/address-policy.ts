import type { Cidr, IpFamily } from '../core/cidr.ts';
import { type IpAddress, IpRanges } from './ip-address.ts';

/**
 * Addresses that no check may reach, since whoever writes a resource would reach them with the operator's rights and
 * place in the network. After the IANA special-purpose registries and the clouds' metadata pages; private ranges are
 * where services live, so they are open.
 */
const FORBIDDEN: Readonly<Record<string, readonly string[]>> = {
  // What only instances see and tells them their credentials: AWS, GCP and Azure within the link-local range, and
  // beside it Alibaba, Oracle, Azure's WireServer, and the IPv6 ones of AWS, GCP and Scaleway. They come first, to be
  // called by name.
  'a metadata address': [
    '169.254.169.254/32',
    '100.100.100.200/32',
    '192.0.0.192/32',
    '168.63.129.16/32',
    'fd00:ec2::/32',
    'fd20:ce::254/128',
    'fd00:42::42/128',
  ],
  'a loopback address': ['127.0.0.0/8', '::1/128'],
  // Linux takes 0.0.0.0 and :: for the machine itself.
  'an unspecified address': ['0.0.0.0/8', '::/128'],
  'a link-local address': ['169.254.0.0/16', 'fe80::/10'],
  'a multicast address': ['224.0.0.0/4', 'ff00::/8'],
  // The broadcast address is among them.
  'a reserved address': ['240.0.0.0/4'],
  // They carry an IPv4 address in a form that is not looked into, and nobody needs them: IPv4-compatible, SIIT,
  // local NAT64, Teredo, 6to4.
  'a transition address': ['::/96', '::ffff:0:0:0/96', '64:ff9b:1::/48', '2001::/32', '2002::/16'],
};

/** Which addresses checks may reach. */
export class AddressPolicy {
  readonly #forbidden = Object.entries(FORBIDDEN).map(
    ([what, ranges]) => [what, new IpRanges(ranges.map(cidrOf))] as const,
  );
  readonly #allowed: IpRanges;

  /** @param allowed ranges that may be reached though they are forbidden, or the operator's own servers are there. */
  constructor(allowed: readonly Cidr[]) {
    this.#allowed = new IpRanges(allowed);
  }

  /** Why no check may reach `address`; undefined: it may. `servers`: those of Kubernetes and Consul. */
  refusal(address: IpAddress, servers: IpRanges): string | undefined {
    if (this.#allowed.has(address)) return undefined;
    const what =
      this.#forbidden.find(([, ranges]) => ranges.has(address))?.[0] ??
      (servers.has(address) ? 'an address of Consul or of the API server' : undefined);
    return what && `${address.address} is ${what}: only PROCONSUL_PROBE_ALLOW_CIDRS could allow it`;
  }
}

function cidrOf(text: string): Cidr {
  const [address = '', prefix] = text.split('/');
  const family: IpFamily = address.includes(':') ? 'ipv6' : 'ipv4';
  return { family, address, prefix: Number(prefix) };
}
