import type { Config } from '../config/config.ts';
import type { ResourceRef } from '../core/resource.ts';
import { type KubeObject, type Reflector, Store, type StoreHandlers } from '../kube/index.ts';
import type { Logger } from '../core/logger.ts';
import { CONSUL_KVS } from './kinds.ts';
import { CONFIG_MAPS, KubeSourceCatalog, SECRETS } from './source-catalog.ts';
import { BY_SOURCE, identityOnly, referrers, sourcesOf } from './triggers.ts';
import { isListed, openWatches, type WatchContext, watchProblem } from './watches.ts';

export interface ClusterOptions extends WatchContext {
  readonly config: Config;
  readonly handlers: Omit<StoreHandlers<KubeObject>, 'onError'>;
  /** Something that these resources read has changed. */
  readonly onSourceChange: (refs: readonly ResourceRef[]) => void;
}

/** What is known of Kubernetes: the resources, and what they refer to. */
export interface Cluster {
  readonly resources: Store;
  readonly catalog: KubeSourceCatalog;
  /** Every watch has read its first list, or has been told that it may not. */
  readonly settled: Promise<void>;
  /** The resources have been listed, which may come long after: the CRD or a right may be missing at first. */
  readonly listed: Promise<void>;
  /** Whether a resource that is not in the store does not exist. */
  isListed(namespace: string): boolean;
  /** Why the watches do not show the world as it is. */
  problem(): string | undefined;
}

/** Opens a constant number of watches: the resources, and the metadata of ConfigMaps and Secrets. */
export function watchCluster(options: ClusterOptions): Cluster {
  const { config, client, handlers, onSourceChange } = options;
  const onError = reportDefect(options.logger);
  const resources = new Store({ indexes: { [BY_SOURCE]: sourcesOf }, handlers: { ...handlers, onError } });
  const sourceStore = (kind: 'ConfigMap' | 'Secret'): Store => {
    const wake = (object: KubeObject): void => onSourceChange(referrers(resources, kind, object));
    return new Store({ transform: identityOnly, handlers: { onUpsert: wake, onDelete: wake, onError } });
  };
  const configMaps = sourceStore('ConfigMap');
  const secrets = sourceStore('Secret');
  const watches = openWatches(options, CONSUL_KVS, resources, config.namespaces);
  const configMapWatches = openWatches(options, CONFIG_MAPS, configMaps, config.namespaces, true);
  const secretScope = narrower(config.secretNamespaces, config.namespaces);
  const secretWatches = openWatches(options, SECRETS, secrets, secretScope, true);
  const all: Reflector[] = [watches, configMapWatches, secretWatches].flatMap(each => [...each.values()]);
  return {
    resources,
    catalog: new KubeSourceCatalog(client, {
      ConfigMap: { store: configMaps, reflectors: configMapWatches },
      Secret: { store: secrets, reflectors: secretWatches },
    }),
    settled: Promise.all(all.map(({ settled }) => settled)).then(() => {}),
    listed: Promise.all([...watches.values()].map(({ synced }) => synced)).then(() => {}),
    isListed: namespace => isListed(watches, namespace),
    // Secrets may be forbidden on purpose; the resources that need one say so themselves.
    problem: () => watchProblem(watches) ?? watchProblem(configMapWatches),
  };
}

/** Secrets are read where both settings allow it. */
function narrower(
  secretScope: Config['secretNamespaces'],
  scope: Config['namespaces'],
): Config['namespaces'] {
  if (secretScope === 'all') return scope;
  return scope === 'all' ? secretScope : secretScope.filter(namespace => scope.includes(namespace));
}

function reportDefect(logger: Logger) {
  return (error: unknown, { metadata: { namespace, name } }: KubeObject): void =>
    logger.error({ namespace, name, err: error }, 'a watch handler threw, which is a defect');
}
