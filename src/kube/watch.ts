import { parseJson } from '../core/json.ts';
import type { Clock } from '../core/clock.ts';
import { AbortedError } from '../core/errors.ts';
import { type Collection, collectionRequest } from './collection.ts';
import { errorOfWatchEvent, kubeError } from './errors.ts';
import { IdleWatchdog } from './idle-watchdog.ts';
import { splitLines } from './lines.ts';
import { isObject } from './list.ts';
import type { KubeObject } from './types.ts';

/** etcd takes objects of 1.5 MiB; JSON may be somewhat longer than what it stores. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024;

export interface WatchEvent<T extends KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

export interface WatchOptions {
  /** On top of what the collection asks for. */
  readonly query: Readonly<Record<string, string | number | boolean>>;
  readonly clock: Clock;
  readonly idleTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Called for each chunk of bytes. */
  readonly onContact: () => void;
}

/** An accepted watch. */
export interface Watch<T extends KubeObject> {
  /**
   * Ends when the server ends the watch.
   *
   * @throws RetryableError when the connection breaks, falls silent, or the server reports an error.
   * @throws ConflictError (`KUBE_GONE`) when the server has forgotten the version to watch from.
   */
  readonly events: AsyncGenerator<WatchEvent<T>>;
  setIdleTimeout(ms: number): void;
}

/**
 * Opens a watch. A connection may die without a sign (a dropped NAT entry, a cut cable): when not a byte arrives
 * for `idleTimeoutMs` it is destroyed. Bookmarks come about once a minute, so silence is never just quiet.
 *
 * @throws as `KubeClient.stream`.
 */
export async function openWatch<T extends KubeObject>(
  collection: Collection,
  { query, clock, idleTimeoutMs, signal, onContact }: WatchOptions,
): Promise<Watch<T>> {
  const { client } = collection;
  const base = collectionRequest(collection, 'watch');
  const cut = new AbortController();
  const chunks = await client.stream({
    ...base,
    query: { ...base.query, watch: true, allowWatchBookmarks: true, ...query },
    signal: AbortSignal.any([signal, cut.signal]),
  });
  const watchdog = new IdleWatchdog(clock, idleTimeoutMs, () => cut.abort());
  async function* heard(): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      watchdog.touch();
      onContact();
      yield chunk;
    }
  }
  async function* events(): AsyncGenerator<WatchEvent<T>> {
    try {
      for await (const line of splitLines(heard(), MAX_EVENT_BYTES)) yield parseEvent<T>(line, client.host);
    } catch (error) {
      if (!(error instanceof AbortedError) || signal.aborted) throw error;
      throw kubeError('KUBE_TIMEOUT', `API server ${client.host}: watch fell silent`, { cause: error });
    } finally {
      watchdog.stop();
    }
  }
  return { events: events(), setIdleTimeout: ms => watchdog.reset(ms) };
}

function parseEvent<T extends KubeObject>(line: string, host: string): WatchEvent<T> {
  const { type, object } = parse(line, host);
  if (type === 'ERROR') throw errorOfWatchEvent({ method: 'GET', host }, object);
  const known = type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED';
  if (known && isObject(object)) return { type, object: object as T };
  const version = (object as Partial<KubeObject> | undefined)?.metadata?.resourceVersion;
  if (type === 'BOOKMARK' && typeof version === 'string') return { type, object: object as T };
  throw kubeError('KUBE_BAD_REPLY', `API server ${host}: no watch event`);
}

function parse(line: string, host: string): { readonly type?: unknown; readonly object?: unknown } {
  try {
    return parseJson(line) ?? {};
  } catch {
    throw kubeError('KUBE_BAD_REPLY', `API server ${host}: watch event is no JSON`);
  }
}
