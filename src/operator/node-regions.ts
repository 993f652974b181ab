import { isDeepStrictEqual } from 'node:util';
import { type KubeObject, type ResourceType, Store } from '../kube/index.ts';
import type { Config } from '../config/config.ts';
import { reportDefect } from './served-kind.ts';
import { isListed, openWatches, type WatchContext, type Watches } from './watches.ts';

const NODES: ResourceType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };
/** https://kubernetes.io/docs/reference/labels-annotations-taints/#topologykubernetesioregion */
const REGION_LABEL = 'topology.kubernetes.io/region';

export type NodeRegionsContext = WatchContext &
  Parameters<typeof reportDefect>[0] & { readonly config: Pick<Config, 'namespaces'> };

/**
 * In which region the Nodes of Kubernetes are: an EndpointSlice tells the zone alone. One watch of metadata, where the
 * operator serves all namespaces; a Role for some of them could not allow it, and without the right there are no regions.
 */
export class NodeRegions {
  readonly #context: NodeRegionsContext;
  readonly #store: Store;
  #watches: Watches | undefined;

  /** @param onMoved a Node of this name has another region than before. */
  constructor(context: NodeRegionsContext, onMoved: (node: string) => void) {
    this.#context = context;
    this.#store = new Store({
      transform: trimNode,
      indexes: {},
      handlers: {
        onUpsert: (node, previous, { initial }) => {
          if (initial || isDeepStrictEqual(regionIn(node), previous && regionIn(previous))) return;
          onMoved(node.metadata.name);
        },
        // What stood on it is gone with it, or about to be.
        onDelete() {},
        onError: reportDefect(context),
      },
    });
  }

  open(): void {
    if (this.#context.config.namespaces !== 'all') return;
    this.#watches ??= openWatches(this.#context, NODES, this.#store, { scope: 'all', metadataOnly: true });
  }

  async close(): Promise<void> {
    await Promise.all([...(this.#watches?.values() ?? [])].map(watch => watch.close()));
  }

  /** Resolves once the Nodes have been listed, or it is known that they may not be. */
  get settled(): Promise<unknown> {
    return Promise.all([...(this.#watches?.values() ?? [])].map(({ settled }) => settled));
  }

  /** Whether a Node that is not there has none; also where they are not asked for. */
  get areKnown(): boolean {
    return this.#watches === undefined || isListed(this.#watches, '');
  }

  of(node: string): string | undefined {
    const found = this.#store.get('', node);
    return found && regionIn(found);
  }
}

function regionIn({ metadata: { labels } }: KubeObject): string | undefined {
  return labels?.[REGION_LABEL];
}

function trimNode({ metadata }: KubeObject): KubeObject {
  const { name, uid, resourceVersion } = metadata;
  const region = metadata.labels?.[REGION_LABEL];
  return {
    metadata: {
      name,
      uid,
      resourceVersion,
      ...(region === undefined ? {} : { labels: { [REGION_LABEL]: region } }),
    },
  };
}
