import type { AgentOptions } from 'node:https';
import { createRequire } from 'node:module';
import { delimiter } from 'node:path';
import type * as ClientNode from '@kubernetes/client-node';
import { type Access, accessOf, type AccessSource, unusable } from './access.ts';
import { kubeError } from './errors.ts';
import type { TlsMaterial } from './transport.ts';

/**
 * A user and a cluster as kubeconfig files name them.
 *
 * @param paths as in `KUBECONFIG`; undefined: the environment's own, then ~/.kube/config.
 * @throws TerminalError (`KUBE_CONFIG`) naming the file or the field that is wrong.
 */
export function openKubeconfig(paths: string | undefined): AccessSource {
  const config = loadKubeConfig(paths);
  const server = serverOf(config);
  const source: AccessSource = {
    server,
    contextNamespace: config.getContextObject(config.getCurrentContext())?.namespace?.trim(),
    readAccess: () =>
      readAccess(config).catch((error: unknown) => {
        throw unusable('kubeconfig', error);
      }),
    renewed: refused => {
      // A new KubeConfig has no cached token; an exec plugin's cache is kept, as running it is slow and it knows
      // its own expiry.
      if (!refused && config.getCurrentUser()?.exec != null) return source;
      return openKubeconfig(paths);
    },
  };
  return source;
}

/**
 * client-node resolves users, files, exec plugins and impersonation, and would then build a new dispatcher for
 * every request (kubernetes-client.md §3.2). Both methods it offers for that are public: one hands out the
 * headers, the other the TLS options.
 */
async function readAccess(config: ClientNode.KubeConfig): Promise<Access> {
  const headers: Record<string, string> = {};
  let tlsOptions: AgentOptions = {};
  config.createDispatcherOptions = (_cluster, agentOptions) => {
    tlsOptions = agentOptions;
    return { type: 'none' };
  };
  const setHeaderParam = (name: string, value: string): void => {
    headers[name.toLowerCase()] = value.trim();
  };
  await config.applySecurityAuthentication({ setHeaderParam } as ClientNode.RequestContext);
  const { ca, cert, key, passphrase, rejectUnauthorized, servername } = tlsOptions;
  const all = { ca, cert, key, passphrase, rejectUnauthorized, servername };
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return accessOf(headers, Object.fromEntries(given) as TlsMaterial);
}

function loadKubeConfig(paths = ''): ClientNode.KubeConfig {
  const config = newKubeConfig();
  try {
    const [first, ...others] = paths.split(delimiter).filter(file => file !== '');
    if (first === undefined) config.loadFromDefault();
    else config.loadFromFile(first);
    for (const file of others) {
      const other = newKubeConfig();
      other.loadFromFile(file);
      config.mergeConfig(other, true);
    }
  } catch (error) {
    throw unusable('kubeconfig', error);
  }
  return config;
}

const require = createRequire(import.meta.url);

/** Loaded when there is a kubeconfig and not before: its 1,000 modules cost memory that a Pod need not spend. */
function newKubeConfig(): ClientNode.KubeConfig {
  const clientNode = require('@kubernetes/client-node') as typeof ClientNode;
  return new clientNode.KubeConfig();
}

function serverOf(config: ClientNode.KubeConfig): URL {
  const context = config.getCurrentContext();
  const cluster = config.getCurrentCluster();
  // What client-node makes up when it finds neither a kubeconfig nor a Pod's account.
  if (context === 'loaded-context') throw kubeError('KUBE_CONFIG', 'no kubeconfig found: set KUBECONFIG');
  if (cluster === null)
    throw kubeError('KUBE_CONFIG', `kubeconfig: the current context ${context} has no cluster`);
  if (cluster.proxyUrl) throw kubeError('KUBE_CONFIG', 'kubeconfig: proxy-url is not supported');
  if (!URL.canParse(cluster.server))
    throw kubeError('KUBE_CONFIG', `kubeconfig: ${cluster.server} is no URL`);
  return new URL(cluster.server);
}
