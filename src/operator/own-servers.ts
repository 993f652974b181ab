import type { ConsulReads } from '../consul/client.ts';
import { collectionPath, type KubeClient, kubeStatus } from '../kube/index.ts';
import { ENDPOINT_SLICES } from '../reconcilers/lease/routing.ts';
import type { Base } from './base.ts';
import { SERVICE_LABEL } from './followed-services.ts';

/** Which hosts no health check may ask. */
export interface SparedHosts {
  /** By which the operator itself reaches Consul and the API server, by address or name. */
  readonly servers: () => readonly string[];
  /** Those that stand behind a proxy or a Service: what servers of Consul and API servers say of themselves. */
  readonly discover: () => Promise<readonly string[]>;
}

export function sparedHosts({
  config,
  client,
  consul,
  signal,
}: Pick<Base, 'config' | 'client' | 'signal'> & {
  readonly consul: { readonly agent: Pick<ConsulReads['agent'], 'peers'> };
}): SparedHosts {
  const servers = ownHosts({ config, client });
  return {
    servers: () => servers,
    discover: async () => {
      const [peers, addresses] = await Promise.all([
        consul.agent.peers({ signal }),
        apiServers(client, signal),
      ]);
      return [...peers.map(hostOf), ...addresses];
    },
  };
}

/** Hosts of Consul and of the API server, by address or name. */
export function ownHosts({ config, client }: Pick<Base, 'config' | 'client'>): string[] {
  const origins = [...config.consul.addresses, `https://${client.host}`];
  return [...new Set(origins.map(hostIn))];
}

/** Of `host:port`. */
function hostOf(address: string): string {
  return hostIn(`tcp://${address}`);
}

function hostIn(origin: string): string {
  return new URL(origin).hostname.replaceAll(/^\[|\]$/g, '');
}

interface Slices {
  readonly items?: readonly { readonly endpoints?: readonly { readonly addresses?: readonly string[] }[] }[];
}

/** Each API server enters itself there. None where the operator has no right to look, as when it serves other namespaces only. */
async function apiServers(client: KubeClient, signal: AbortSignal): Promise<readonly string[]> {
  const path = collectionPath(ENDPOINT_SLICES, 'default');
  const query = { labelSelector: `${SERVICE_LABEL}=kubernetes` };
  try {
    const { items = [] } = await client.request<Slices>({ method: 'GET', path, query, signal });
    return items.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ addresses }) => addresses ?? []));
  } catch (error) {
    if (kubeStatus(error) === 403) return [];
    throw error;
  }
}
