import type { Config } from '../config/config.ts';
import type { ConsulClientOptions } from '../consul/client.ts';

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
