import type { ConsulIntentionSpec } from '../../api/v1alpha1/consulintention.ts';
import type { ConfigEntry } from '../../consul/config-entry.ts';
import { claimName } from '../../core/intention-claims.ts';
import type { Fingerprinter } from '../../ownership/fingerprint.ts';
import {
  canonicalJson,
  canonicalJwt,
  type CanonicalJwt,
  canonicalSource,
  type CanonicalSource,
} from './canonical.ts';
import { claimsIn, contentOf, readEntry } from './entry.ts';
import type { IntentionWish, SeenEntry, WishedClaim } from './types.ts';

/** What was computed, and under which key. */
interface Computed<T> {
  readonly value: T;
  readonly key: Buffer | undefined;
}

/**
 * Gives names to what is declared and to what stands in Consul, so that the two can be compared with each other and with
 * the record. A destination's entry is shared by many turns: as long as it is the same, nothing is hashed again.
 */
export class ClaimReader {
  readonly #fingerprinter: Fingerprinter;
  readonly #wishes = new WeakMap<ConsulIntentionSpec, Computed<IntentionWish>>();
  readonly #entries = new WeakMap<ConfigEntry, Computed<SeenEntry>>();

  constructor(fingerprinter: Fingerprinter) {
    this.#fingerprinter = fingerprinter;
  }

  wish(spec: ConsulIntentionSpec): IntentionWish {
    return this.#remembered(this.#wishes, spec, () => this.#computeWish(spec));
  }

  /** @param destination As declared: to Consul `Orders` and `orders` are one entry. */
  entry(destination: string, entry: ConfigEntry): SeenEntry {
    return this.#remembered(this.#entries, entry, () => this.#computeEntry(destination, entry));
  }

  #remembered<Of extends object, T>(known: WeakMap<Of, Computed<T>>, of: Of, compute: () => T): T {
    const { key } = this.#fingerprinter;
    const remembered = known.get(of);
    if (remembered !== undefined && remembered.key === key) return remembered.value;
    const value = compute();
    known.set(of, { value, key });
    return value;
  }

  #computeWish({ destination, sources, jwt }: ConsulIntentionSpec): IntentionWish {
    const claims = new Map<string, WishedClaim>();
    for (const source of sources) {
      const { name, peer = '' } = source;
      const claim = claimName({ kind: 'source', destination, peer, source: name });
      const content = canonicalSource(source);
      claims.set(claim, { kind: 'source', content, fingerprint: this.#fingerprint(claim, content) });
    }
    const content = canonicalJwt(jwt);
    if (content !== undefined) {
      const claim = claimName({ kind: 'jwt', destination });
      claims.set(claim, { kind: 'jwt', content, fingerprint: this.#fingerprint(claim, content) });
    }
    return { destination, claims };
  }

  #computeEntry(destination: string, { body, modifyIndex: index }: ConfigEntry): SeenEntry {
    const contents = readEntry(destination, body);
    const fingerprints = new Map<string, string>();
    for (const name of claimsIn(contents)) {
      const content = contentOf(contents, name);
      if (content !== undefined) fingerprints.set(name, this.#fingerprint(name, content));
    }
    return { index, contents, fingerprints };
  }

  #fingerprint(name: string, content: CanonicalSource | CanonicalJwt): string {
    return this.#fingerprinter.of(name, { value: Buffer.from(canonicalJson(content)), flags: 0n });
  }
}
