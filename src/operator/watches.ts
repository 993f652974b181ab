import type { NamespaceScope } from '../config/values.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { Logger } from '../core/logger.ts';
import {
  createReflector,
  type KubeClient,
  type Reflector,
  type ResourceType,
  type Store,
} from '../kube/index.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export interface WatchContext {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Reflectors of one kind by namespace; one for the whole cluster stands under the empty string. */
export type Watches = ReadonlyMap<string, Reflector>;

/** Which objects of a kind, and how much of them. */
export interface WatchScope {
  readonly scope: NamespaceScope;
  readonly metadataOnly?: boolean;
  readonly labelSelector?: string;
}

/** Watches one kind in its scope: a single watch of the cluster, or one a namespace. */
export function openWatches(
  context: WatchContext,
  type: ResourceType,
  store: Store,
  { scope, metadataOnly = false, labelSelector }: WatchScope,
): Watches {
  const { client, clock, random, logger, metrics } = context;
  const namespaces = scope === 'all' ? [undefined] : scope;
  metrics.store(type.plural, () => store.size);
  return new Map(
    namespaces.map(namespace => {
      const counted = metrics.reflector(type.plural, clock);
      const observer = {
        relisted: (reason: string): void => counted.relisted(reason),
        heard: (): void => counted.heard(),
        failed: (
          error: unknown,
          during: { readonly during: 'list' | 'watch'; readonly retryInMs: number },
        ): void => {
          counted.failed(error, during);
          logger.warn(
            {
              resources: [type.plural],
              ...(namespace ? { namespace } : {}),
              retryInMs: during.retryInMs,
              err: error,
            },
            'watch of the API server interrupted',
          );
        },
      };
      const reflector = createReflector({
        client,
        type,
        store,
        namespace,
        clock,
        random,
        metadataOnly,
        labelSelector,
        observer,
      });
      return [namespace ?? '', reflector];
    }),
  );
}

/** Whether a complete list has been taken in for this namespace: only then does absence mean anything. */
export function isListed(watches: Watches, namespace: string): boolean {
  const reflector = watches.get('') ?? watches.get(namespace);
  return reflector !== undefined && reflector.state.synced && reflector.state.unavailable === undefined;
}

/** Why these watches do not show the world as it is, for `/readyz`. */
export function watchProblem(watches: Watches): string | undefined {
  for (const [namespace, { state }] of watches) {
    if (state.unavailable !== undefined) return `${state.unavailable.message}${where(namespace)}`;
    if (!state.synced) return unread(namespace);
  }
  return undefined;
}

/** The same of watches that are opened where somebody needs them, and may be forbidden elsewhere. */
export function unreadProblem(watches: Watches): string | undefined {
  for (const [namespace, { state }] of watches) {
    if (!state.synced && state.unavailable === undefined) return unread(namespace);
  }
  return undefined;
}

function unread(namespace: string): string {
  return `the first list${where(namespace)} has not been read yet`;
}

function where(namespace: string): string {
  return namespace === '' ? '' : ` in namespace ${namespace}`;
}
