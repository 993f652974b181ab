import type { Config } from '../config/config.ts';
import { AbortedError, RetryableError } from '../core/errors.ts';
import { type KubeObject, type ResourceType, Store, type StoreHandlers } from '../kube/index.ts';
import { isListed, openWatches, type WatchContext, watchProblem, type Watches } from './watches.ts';

export interface LazyWatchOptions {
  readonly type: ResourceType;
  readonly labelSelector?: string;
  readonly transform?: (object: KubeObject) => KubeObject;
  readonly indexes: Readonly<Record<string, (object: KubeObject) => readonly string[]>>;
  readonly handlers: StoreHandlers<KubeObject>;
}

/** A kind of objects that is watched from the moment on that somebody needs them. */
export class LazyWatch {
  readonly type: ResourceType;
  readonly store: Store;
  readonly #context: WatchContext & { readonly config: Config };
  readonly #labelSelector: string | undefined;
  #watches: Watches | undefined;

  constructor(context: WatchContext & { readonly config: Config }, options: LazyWatchOptions) {
    const { type, labelSelector, ...store } = options;
    this.type = type;
    this.store = new Store(store);
    this.#context = context;
    this.#labelSelector = labelSelector;
  }

  open(): void {
    this.#watches ??= openWatches(this.#context, this.type, this.store, {
      scope: this.#context.config.namespaces,
      ...(this.#labelSelector === undefined ? {} : { labelSelector: this.#labelSelector }),
    });
  }

  /** Why it does not show the world as it is; nothing while it is closed. */
  problem(): string | undefined {
    return this.#watches && watchProblem(this.#watches);
  }

  /**
   * Resolves once what the store lacks in this namespace does not exist.
   * @throws RetryableError while that cannot be told.
   */
  async listed(namespace: string, signal: AbortSignal): Promise<void> {
    this.open();
    const watches = this.#watches as Watches;
    if (isListed(watches, namespace)) return;
    const reflector = watches.get('') ?? watches.get(namespace);
    await Promise.race([reflector?.settled, abortOf(signal)]);
    if (signal.aborted) throw new AbortedError('aborted', signal.reason);
    if (isListed(watches, namespace)) return;
    const why = reflector?.state.unavailable?.message ?? 'the namespace is not watched';
    throw new RetryableError(`${this.type.plural} cannot be listed: ${why}`, {
      code: 'CLUSTER_NOT_LISTED',
      reason: 'Progressing',
    });
  }
}

function abortOf(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
