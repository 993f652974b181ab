import { VIRTUAL_NODES } from '../commit/catalog-nodes.ts';
import type { Config } from '../config/config.ts';
import type { ConsulClientOptions } from '../consul/client.ts';
import { MAX_WATCHED_PREFIXES } from '../mirror/folders.ts';

/** Owner records, sessions of leases, intentions. */
const OTHER_BLOCKING_QUERIES = 3;

/**
 * Connections to Consul, 16 in all however many resources there are. Each blocking query that is ever open has one, so that
 * none waits for another to end. Four transactions may be under way at a time, which leaves one for reads.
 */
export const WORKING_CONNECTIONS = {
  maxConnections: 5,
  maxBlockingConnections: MAX_WATCHED_PREFIXES + VIRTUAL_NODES + OTHER_BLOCKING_QUERIES,
};
/** Of its own: a renewal that waits behind other requests could cost the lead. */
export const ELECTING_CONNECTIONS = { maxConnections: 2, maxBlockingConnections: 1 };

/** The part of the settings that says how to reach Consul. */
export function consulOptions({ consul }: Config): Omit<ConsulClientOptions, 'clock'> {
  const { addresses, token, tokenFile, tls, datacenter } = consul;
  return { addresses, token: token?.reveal(), tokenFile, datacenter, tls: given(tls) };
}

/** The TLS settings that are set; none: plain HTTP, or HTTPS by the system's CAs. */
function given(tls: Config['consul']['tls']): ConsulClientOptions['tls'] {
  const set = Object.entries(tls).filter(([, value]) => value !== undefined);
  return set.length === 0 ? undefined : Object.fromEntries(set);
}
