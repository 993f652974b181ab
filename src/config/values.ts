import { isIP } from 'node:net';
import { z } from 'zod';
import type { Cidr } from '../core/cidr.ts';
import { parseDurationMs } from '../core/duration.ts';
import { Secret } from './secret.ts';

/**
 * How each sort of setting is written. A message says what would be right, to follow the setting's name, and never
 * repeats the value: it may be a secret in the wrong place.
 */

export const flag = z
  .enum(['true', 'false', '1', '0'], 'must be true, false, 1 or 0')
  .transform(text => text === 'true' || text === '1');

const PORT = 'must be a port: a number from 0 to 65535, where 0 is any free port';
export const port = z
  .string()
  .regex(/^\d{1,5}$/, PORT)
  .transform(Number)
  .refine(number => number <= 65_535, PORT);

/** Whole seconds within bounds, written as `20s` or `1m30s`; read as a number of seconds. */
export function seconds(bounds: { readonly least: number; readonly most: number }) {
  const { least, most } = bounds;
  return z.string().transform((text, context): number => {
    const duration = (parseDurationMs(text) ?? Number.NaN) / 1000;
    if (Number.isInteger(duration) && duration >= least && duration <= most) return duration;
    context.addIssue(`must be whole seconds from ${least}s to ${most}s, such as ${least}s`);
    return z.NEVER;
  });
}

export const ipAddress = z
  .string()
  .refine(text => isIP(text) !== 0, 'must be an IP address to listen on, such as 127.0.0.1, 0.0.0.0 or ::');

export const logLevel = z
  .string()
  .toLowerCase()
  .pipe(
    z.enum(
      ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      'must be trace, debug, info, warn, error, fatal or silent',
    ),
  );

export const filePath = z.string();

export const token = z
  .string()
  .regex(/^[\x21-\x7e]+$/, 'must be one ACL token: printable ASCII without spaces')
  .transform(text => new Secret(text));

export const installId = z
  .string()
  .regex(/^[a-z0-9-]{8,40}$/, 'must be 8 to 40 characters of a-z, 0-9 and -');

export const datacenter = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be the name of a datacenter: up to 64 of a-z, A-Z, 0-9, - and _');

export const hostName = z
  .string()
  .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, 'must be a host name, such as server.dc1.consul');

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export const dnsLabel = z
  .string()
  .regex(DNS_LABEL, 'must be a DNS label: up to 63 of a-z, 0-9 and -, with no - at an end');

/** A name Kubernetes gave: taken as it is, but bounded. */
export const kubernetesName = z.string().max(253, 'must be at most 253 characters');

/** Which namespaces: every one there is, or only these. */
export type NamespaceScope = 'all' | readonly string[];

/** `*`, or names separated by commas; nothing between the quotes is no namespace at all. */
export const namespaceScope = z.string().transform((text, context): NamespaceScope => {
  if (text === '*') return 'all';
  const names = text === '' ? [] : text.split(',').map(name => name.trim());
  if (names.every(name => DNS_LABEL.test(name))) return [...new Set(names)];
  context.addIssue('must be * or namespaces separated by commas, such as shop,billing');
  return z.NEVER;
});

const MAX_RANGES = 64;

/** Ranges of addresses separated by commas; an address alone is a range of one. */
export const cidrs = z.string().transform((text, context): readonly Cidr[] => {
  const ranges = text.split(',').map(part => cidr(part.trim()));
  if (ranges.length <= MAX_RANGES && ranges.every(range => range !== undefined)) return ranges;
  context.addIssue(
    `must be up to ${MAX_RANGES} ranges of addresses separated by commas, such as 10.0.0.0/8,fd00::/8, IPv4 ones in their own form`,
  );
  return z.NEVER;
});

function cidr(text: string): Cidr | undefined {
  const [, address = '', prefix] = /^([0-9a-f.:]{2,45})(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  const version = isIP(address);
  // An IPv6 range in which IPv4 addresses are wrapped would match nothing: they are unwrapped before they are looked at.
  if (version === 0 || (version === 6 && address.includes('.'))) return undefined;
  const most = version === 4 ? 32 : 128;
  const bits = Number(prefix ?? most);
  return bits <= most ? { family: `ipv${version as 4 | 6}`, address, prefix: bits } : undefined;
}

/** One Consul address as written; which scheme a bare one gets depends on the TLS settings. */
export interface WrittenAddress {
  readonly scheme: 'http' | 'https' | undefined;
  readonly hostAndPort: string;
}

const MAX_ADDRESSES = 16;

export const consulAddresses = z.string().transform((text, context): readonly WrittenAddress[] => {
  const addresses = text.split(',').map(part => writtenAddress(part.trim()));
  if (addresses.length <= MAX_ADDRESSES && addresses.every(address => address !== undefined))
    return addresses;
  context.addIssue(
    `must be up to ${MAX_ADDRESSES} addresses separated by commas, each host:port or http(s)://host:port ` +
      'without path, query, user name or password',
  );
  return z.NEVER;
});

function writtenAddress(text: string): WrittenAddress | undefined {
  const [, scheme, hostAndPort = ''] = /^(?:(https?):\/\/)?([^/?#@\s]+)\/?$/.exec(text) ?? [];
  if (URL.parse(`http://${hostAndPort}`) === null) return undefined;
  return { scheme: scheme as WrittenAddress['scheme'], hostAndPort };
}
