import { messageOf } from '../core/errors.ts';
import { socketCode } from '../core/socket-code.ts';
import type { AddressPolicy } from './address-policy.ts';
import type { Lookup } from './dns.ts';
import { type IpAddress, type IpRanges, parseIpAddress } from './ip-address.ts';
import { isAnswerOfTheDns } from './own-faults.ts';
import type { OwnServers } from './own-servers.ts';
import type { ProbeOutcome } from './spec.ts';
import { untilAborted } from './until-aborted.ts';

export interface DestinationOptions {
  readonly policy: AddressPolicy;
  readonly servers: OwnServers;
  readonly lookup: Lookup;
}

/** Where a check may connect to, or what to say instead of connecting. */
export type Destination = { readonly address: string } | { readonly outcome: ProbeOutcome };

/**
 * What can stand in a DNS question; it keeps `127.1` and its like, which some resolvers take for addresses, for names.
 */
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?\.?$/i;

/**
 * Finds the address to connect to. A name is resolved once, here: every one of its addresses has to be permitted, and
 * the connection goes to the first by its number, so that a second answer of the DNS cannot lead elsewhere. A DNS that cannot be
 * asked, or does not answer before `signal` aborts, says nothing of the target.
 *
 * @throws Error with a `code` when the name does not resolve.
 */
export async function findDestination(
  host: string,
  options: DestinationOptions,
  signal: AbortSignal,
): Promise<Destination> {
  const { policy, servers, lookup } = options;
  const own = await untilAborted(servers.ranges(), signal).catch(() => undefined);
  if (own === undefined) {
    return unknown('the addresses of Consul and of the API server, which must not be probed, are not known');
  }
  const addresses = await addressesOf(host, lookup, signal);
  if ('why' in addresses) return unknown(addresses.why);
  const [address] = addresses;
  if (address === undefined) return critical('the host is neither an IP address nor a DNS name');
  const refusal = firstRefusal(addresses, policy, own);
  return refusal === undefined ? { address } : critical(refusal);
}

async function addressesOf(
  host: string,
  lookup: Lookup,
  signal: AbortSignal,
): Promise<readonly string[] | { readonly why: string }> {
  if (parseIpAddress(host) !== undefined) return [host];
  if (!DNS_NAME.test(host)) return [];
  try {
    return await lookup(host, signal);
  } catch (thrown) {
    const code = socketCode(thrown);
    if (signal.aborted) return { why: `the DNS has not told in time where ${host} is` };
    // What has no code is a defect.
    if (code === undefined || isAnswerOfTheDns(code)) throw thrown;
    return { why: `the DNS cannot be asked where ${host} is: ${messageOf(thrown)}` };
  }
}

function firstRefusal(
  addresses: readonly string[],
  policy: AddressPolicy,
  servers: IpRanges,
): string | undefined {
  return addresses
    .map(text => {
      const address: IpAddress | undefined = parseIpAddress(text);
      return address === undefined ? 'the name has no IP address' : policy.refusal(address, servers);
    })
    .find(refusal => refusal !== undefined);
}

function critical(why: string): Destination {
  return { outcome: { status: 'critical', output: `not probed: ${why}` } };
}

function unknown(why: string): Destination {
  return { outcome: { status: 'unknown', output: `not probed: ${why}` } };
}
