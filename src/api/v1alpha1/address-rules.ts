/** The rules on the address of an instance or a node, in CEL and once more in code. */
import { isIP, SocketAddress } from 'node:net';
import type { CelRule } from './common.ts';
import { unless } from './key-cel.ts';

export const MAX_ADDRESS_CHARS = 253;

const LABEL = '[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?';
/**
 * A DNS name whose last label begins with a letter: resolvers take `0`, `127.1` and `0x7f000001` for IP addresses, and
 * not all of them for the same.
 */
export const HOST_NAME = new RegExp(`^(${LABEL}[.])*[A-Za-z]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$`);

const FORM =
  'must be an IP address or a DNS name whose last part begins with a letter, without a port, a scheme or brackets';
const UNSPECIFIED = 'must not be 0.0.0.0 or ::, at which nobody can be called: give the address of the host';

/** The field, where it is given, is an address that somebody can call. */
export function addressRules(field: string): readonly CelRule[] {
  const address = `self.${field}`;
  const fieldPath = `.${field}`;
  return [
    {
      rule: unless(field, `isIP(${address}) || ${address}.matches('${HOST_NAME.source}')`),
      message: `${field} ${FORM}`,
      fieldPath,
    },
    {
      rule: unless(field, `!isIP(${address}) || !ip(${address}).isUnspecified()`),
      message: `${field} ${UNSPECIFIED}`,
      fieldPath,
    },
  ];
}

/** What is wrong with an address, in a sentence that starts with `path`. Nothing is wrong with none. */
export function addressProblem(path: string, address: string | undefined): string | undefined {
  if (address === undefined || HOST_NAME.test(address)) return undefined;
  const canonical = canonicalIp(address);
  if (canonical === undefined) return `${path} ${FORM}`;
  return canonical === '0.0.0.0' || canonical === '::' ? `${path} ${UNSPECIFIED}` : undefined;
}

/** As `isIP` of Kubernetes: no zone (which names an interface of one machine), no IPv4 address wrapped in IPv6. */
function canonicalIp(text: string): string | undefined {
  const version = text.includes('%') ? 0 : isIP(text);
  if (version !== 6) return version === 0 ? undefined : text;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  return /^::ffff:.*[.]/.test(address) ? undefined : address;
}
