import { untilAborted } from '../core/pause.ts';
import type { Config } from '../config/config.ts';
import { AbortedError, RetryableError } from '../core/errors.ts';
import { type KubeObject, type ResourceType, Store, type StoreHandlers } from '../kube/index.ts';
import { isListed, openWatches, type WatchContext, unreadProblem, type Watches } from './watches.ts';

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

  /** Why it does not show the world as it is; nothing while it is closed, or may not be: who needs it says so itself. */
  problem(): string | undefined {
    return this.#watches && unreadProblem(this.#watches);
  }

  /**
   * Resolves once what the store lacks in this namespace does not exist; when that is optional, also once it is known
   * that it may not be listed.
   * @throws RetryableError while that cannot be told; `SourceForbidden` when a right is missing.
   */
  async listed(
    namespace: string,
    { isOptional, signal }: { readonly isOptional: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    this.open();
    const watches = this.#watches as Watches;
    if (isListed(watches, namespace)) return;
    const reflector = watches.get('') ?? watches.get(namespace);
    await Promise.race([reflector?.settled, untilAborted(signal)]);
    if (signal.aborted) throw new AbortedError('aborted', signal.reason);
    if (isListed(watches, namespace)) return;
    const refused = reflector?.state.unavailable;
    if (isOptional && refused !== undefined) return;
    throw refused === undefined ? this.#notListed('the namespace is not watched') : this.#forbidden(refused);
  }

  #forbidden({ message }: { readonly message: string }): RetryableError {
    const { plural } = this.type;
    const wayOut = `the operator's Role lacks list and watch on ${plural}`;
    return this.#notListed(`${wayOut} (${message})`, 'SourceForbidden');
  }

  #notListed(why: string, reason = 'Progressing'): RetryableError {
    const message = `${this.type.plural} cannot be listed: ${why}`;
    return new RetryableError(message, { code: 'CLUSTER_NOT_LISTED', reason });
  }
}
