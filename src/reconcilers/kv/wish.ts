import type { ConsulKVSpec } from '../../api/v1alpha1/consulkv.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import { type DesireResult, desireKv, type Source, type SourceRef, sourceRefs } from './desire.ts';
import type { KvSubject } from './observe.ts';
import type { SourceReader } from './sources.ts';

/** What a resource wants, as its sources are now. */
export interface Wish {
  /** Undefined: it is being deleted, or cannot be read. */
  readonly desire: DesireResult | undefined;
  /** Fingerprint of every desired name. */
  readonly wishes: ReadonlyMap<string, string>;
}

/** A wish, and what it was computed from. */
interface Computed {
  readonly wish: Wish;
  readonly sources: ReadonlyMap<string, Source>;
  readonly key: Buffer | undefined;
}

const NOTHING: Wish = { desire: undefined, wishes: new Map() };

/**
 * Computes wishes. A change of many transactions asks before each of them, in one turn with one parsed spec: as
 * long as that and the sources are the same, nothing is decoded and hashed again.
 */
export class WishReader {
  readonly #sources: SourceReader;
  readonly #fingerprinter: Fingerprinter;
  /** By spec, so that no value outlives the turn that parsed it. */
  readonly #computed = new WeakMap<ConsulKVSpec, Computed>();

  constructor(sources: SourceReader, fingerprinter: Fingerprinter) {
    this.#sources = sources;
    this.#fingerprinter = fingerprinter;
  }

  async read({ ref, resource, deleting }: KvSubject, signal: AbortSignal): Promise<Wish> {
    if (resource === undefined || deleting) return NOTHING;
    const { spec } = resource;
    const sources = new Map<string, Source>();
    for (const source of sourceRefs(spec)) {
      if (sources.has(idOf(source))) continue;
      sources.set(idOf(source), await this.#sources.read(ref.namespace, source, signal));
    }
    const { key } = this.#fingerprinter;
    const known = this.#computed.get(spec);
    if (known !== undefined && known.key === key && isSame(known.sources, sources)) return known.wish;
    const wish = this.#compute(spec, sources);
    this.#computed.set(spec, { wish, sources, key });
    return wish;
  }

  #compute(spec: ConsulKVSpec, sources: ReadonlyMap<string, Source>): Wish {
    const desire = desireKv(spec, source => sources.get(idOf(source)) ?? { kind: 'missing' });
    const wishes = new Map<string, string>();
    if (desire.kind === 'desired') {
      for (const [name, content] of desire.desired.contents)
        wishes.set(name, this.#fingerprinter.of(name, content));
    }
    return { desire, wishes };
  }
}

function idOf({ kind, name }: SourceRef): string {
  return `${kind}/${name}`;
}

/** The reader hands out the same content as long as its version has not moved. */
function isSame(one: ReadonlyMap<string, Source>, other: ReadonlyMap<string, Source>): boolean {
  return [...one].every(([id, source]) => contentOf(source) === contentOf(other.get(id)));
}

function contentOf(source: Source | undefined): unknown {
  return source?.kind === 'found' ? source.data : source?.kind;
}
