import type { Source, SourceRef } from './desire.ts';

/** A ConfigMap or Secret as far as it is needed. */
export interface SourceObject {
  readonly metadata: { readonly resourceVersion: string };
  readonly data?: Readonly<Record<string, string>> | null;
  readonly binaryData?: Readonly<Record<string, string>> | null;
}

/** What is known of the sources of one namespace by watching their metadata. */
export interface SourceCatalog {
  /** `forbidden`: this kind may not be read in this namespace. Else the version that exists now, if any does. */
  version(namespace: string, ref: SourceRef): { readonly resourceVersion: string } | 'missing' | 'forbidden';
  /** Reads the whole object. Undefined: it is gone. 'forbidden': a right is missing. */
  fetch(
    namespace: string,
    ref: SourceRef,
    signal: AbortSignal,
  ): Promise<SourceObject | undefined | 'forbidden'>;
}

const MAX_CACHED_BYTES = 32 * 1024 * 1024;

interface Cached {
  readonly resourceVersion: string;
  readonly data: ReadonlyMap<string, Buffer>;
  readonly bytes: number;
}

/**
 * Reads ConfigMaps and Secrets that specs refer to: metadata is watched, the content is read when its version
 * moves and kept, least recently used first out, up to 32 MiB.
 */
export class SourceReader {
  readonly #catalog: SourceCatalog;
  readonly #cache = new Map<string, Cached>();
  #cachedBytes = 0;

  constructor(catalog: SourceCatalog) {
    this.#catalog = catalog;
  }

  async read(namespace: string, ref: SourceRef, signal: AbortSignal): Promise<Source> {
    const id = `${ref.kind}/${namespace}/${ref.name}`;
    const version = this.#catalog.version(namespace, ref);
    if (version === 'forbidden' || version === 'missing') {
      this.#drop(id);
      return { kind: version };
    }
    const cached = this.#cache.get(id);
    if (cached?.resourceVersion === version.resourceVersion) {
      this.#cache.delete(id);
      this.#cache.set(id, cached);
      return { kind: 'found', data: cached.data };
    }
    const object = await this.#catalog.fetch(namespace, ref, signal);
    this.#drop(id);
    if (object === undefined) return { kind: 'missing' };
    if (object === 'forbidden') return { kind: 'forbidden' };
    const data = contentOf(object, ref.kind);
    this.#keep(id, object.metadata.resourceVersion, data);
    return { kind: 'found', data };
  }

  #keep(id: string, resourceVersion: string, data: ReadonlyMap<string, Buffer>): void {
    let bytes = 0;
    for (const [name, value] of data) bytes += name.length + value.length;
    this.#cache.set(id, { resourceVersion, data, bytes });
    this.#cachedBytes += bytes;
    for (const oldest of this.#cache.keys()) {
      if (this.#cachedBytes <= MAX_CACHED_BYTES) break;
      this.#drop(oldest);
    }
  }

  #drop(id: string): void {
    const cached = this.#cache.get(id);
    if (cached === undefined) return;
    this.#cache.delete(id);
    this.#cachedBytes -= cached.bytes;
  }
}

function contentOf({ data, binaryData }: SourceObject, kind: SourceRef['kind']): Map<string, Buffer> {
  const content = new Map<string, Buffer>();
  const dataEncoding = kind === 'Secret' ? 'base64' : 'utf8';
  for (const [name, value] of Object.entries(data ?? {})) content.set(name, Buffer.from(value, dataEncoding));
  for (const [name, value] of Object.entries(binaryData ?? {}))
    content.set(name, Buffer.from(value, 'base64'));
  return content;
}
