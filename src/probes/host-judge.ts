import type { Cidr } from '../core/cidr.ts';
import type { Clock } from '../core/clock.ts';
import { AddressPolicy } from './address-policy.ts';
import { type Lookup, systemLookup } from './dns.ts';
import { parseIpAddress } from './ip-address.ts';
import { OwnServers } from './own-servers.ts';

export interface HostJudgeOptions {
  /** As in `ProberOptions`. */
  readonly allow: readonly Cidr[];
  readonly servers: () => readonly string[];
  readonly discover?: () => Promise<readonly string[]>;
  readonly clock: Clock;
  /** Default: as this machine resolves names. */
  readonly lookup?: Lookup;
}

/** Why no check may ask the host; undefined: it may. */
export type HostVerdict = (host: string) => string | undefined;

/**
 * Judges hosts that somebody else is to ask for us, and who resolves names by itself: what one leads to there, and by then, nobody
 * knows here, so none may be asked.
 *
 * @returns undefined while a name among our own servers has never been resolved: then nobody knows which addresses to spare.
 */
export function createHostJudge({
  allow,
  servers,
  discover,
  clock,
  lookup = systemLookup,
}: HostJudgeOptions): () => Promise<HostVerdict | undefined> {
  const policy = new AddressPolicy(allow);
  const own = new OwnServers({ hosts: servers, discover, lookup, clock });
  return async () => {
    const ranges = await own.ranges();
    if (ranges === undefined) return undefined;
    return host => {
      const address = parseIpAddress(host);
      if (address !== undefined) return policy.refusal(address, ranges);
      return `${host} is not an IP address, and where a name leads to is not known beforehand`;
    };
  };
}
