import { type Collection, collectionRequest } from './collection.ts';
import { kubeError } from './errors.ts';
import type { KubeList, KubeObject } from './types.ts';

/** Enough for a page of the largest objects over a slow line. */
const PAGE_DEADLINE_MS = 60_000;

export interface ListOptions<T extends KubeObject> {
  readonly pageSize: number;
  /** What is kept of an object, applied as it comes: whole objects are several times as large. */
  readonly trim: (object: T) => T;
  readonly signal: AbortSignal;
  /** Called after each page. */
  readonly onContact: () => void;
}

export interface Listed<T extends KubeObject> {
  readonly objects: readonly T[];
  /** The moment the list shows, and where a watch takes over. */
  readonly resourceVersion: string;
}

/**
 * All objects at one moment, page by page. Asks for the most recent state, never for one from a lagging cache.
 *
 * @throws ConflictError (`KUBE_GONE`) when the server has forgotten that moment between two pages: start over.
 * @throws RetryableError (`KUBE_BAD_REPLY`) when an answer is no list: half of one must never pass for the whole.
 */
export async function listAll<T extends KubeObject>(
  collection: Collection,
  { pageSize, trim, signal, onContact }: ListOptions<T>,
): Promise<Listed<T>> {
  const objects: T[] = [];
  const base = collectionRequest(collection, 'list');
  let page: KubeList<T> | undefined;
  do {
    const query = { ...base.query, limit: pageSize, continue: page?.metadata.continue };
    page = asList<T>(
      await collection.client.request({ ...base, query, signal, deadlineMs: PAGE_DEADLINE_MS }),
      collection.client.host,
    );
    onContact();
    for (const object of page.items ?? []) objects.push(trim(object));
  } while (page.metadata.continue);
  return { objects, resourceVersion: page.metadata.resourceVersion };
}

function asList<T extends KubeObject>(answer: unknown, host: string): KubeList<T> {
  const list = answer as Partial<KubeList<T>> | null;
  const complete =
    typeof list?.kind === 'string' &&
    list.kind.endsWith('List') &&
    typeof list.metadata?.resourceVersion === 'string' &&
    (list.items === null || (Array.isArray(list.items) && list.items.every(isObject)));
  if (!complete) throw kubeError('KUBE_BAD_REPLY', `API server ${host}: answer is no list`);
  return list as KubeList<T>;
}

/** Carries what stores and watches rely on. */
export function isObject(value: unknown): value is KubeObject {
  const metadata = (value as Partial<KubeObject> | null)?.metadata;
  return typeof metadata?.name === 'string' && typeof metadata.resourceVersion === 'string';
}
