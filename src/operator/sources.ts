import type { Config } from '../config/config.ts';
import type { ResourceRef } from '../core/resource.ts';
import { type KubeObject, Store } from '../kube/index.ts';
import { PRIORITY, type Priority } from '../runtime/queue.ts';
import type { Base } from './base.ts';
import { reportDefect } from './served-kind.ts';
import { CONFIG_MAPS, KubeSourceCatalog, SECRETS } from './source-catalog.ts';
import { identityOnly } from './triggers.ts';
import { openWatches, watchProblem } from './watches.ts';

export interface SourcesOptions {
  /** The resources that read this ConfigMap or Secret. */
  readonly referrers: (kind: 'ConfigMap' | 'Secret', object: KubeObject) => readonly ResourceRef[];
  readonly look: (refs: readonly ResourceRef[], priority: Priority) => void;
}

/** The ConfigMaps and Secrets that resources refer to: watched by their metadata, everywhere they may be read. */
export interface Sources {
  readonly catalog: KubeSourceCatalog;
  readonly settled: Promise<unknown>;
  problem(): string | undefined;
}

export function watchSources(base: Base, { referrers, look }: SourcesOptions): Sources {
  const { config } = base;
  const storeOf = (kind: 'ConfigMap' | 'Secret'): Store => {
    const wake = (object: KubeObject, priority: Priority): void => look(referrers(kind, object), priority);
    return new Store({
      transform: identityOnly,
      handlers: {
        onUpsert: (object, _previous, { initial }) =>
          wake(object, initial ? PRIORITY.resync : PRIORITY.specChange),
        onDelete: object => wake(object, PRIORITY.specChange),
        onError: reportDefect(base),
      },
    });
  };
  const configMaps = storeOf('ConfigMap');
  const secrets = storeOf('Secret');
  const configMapWatches = openWatches(base, CONFIG_MAPS, configMaps, {
    scope: config.namespaces,
    metadataOnly: true,
  });
  const secretScope = narrower(config.secretNamespaces, config.namespaces);
  const secretWatches = openWatches(base, SECRETS, secrets, { scope: secretScope, metadataOnly: true });
  const all = [configMapWatches, secretWatches].flatMap(watches => [...watches.values()]);
  return {
    catalog: new KubeSourceCatalog(base.client, {
      ConfigMap: { store: configMaps, reflectors: configMapWatches },
      Secret: { store: secrets, reflectors: secretWatches },
    }),
    settled: Promise.all(all.map(({ settled }) => settled)),
    // Secrets may be forbidden on purpose; the resources that need one say so themselves.
    problem: () => watchProblem(configMapWatches),
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
