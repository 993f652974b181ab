import type { ResourceRef } from '../core/resource.ts';
import { isWritten, listedNames, type OwnerRecord } from './record.ts';

/** A resource of another install. */
export interface ForeignOwner {
  readonly install: string;
  readonly ref: ResourceRef;
}

interface InstallClaims {
  readonly names: ReadonlyMap<string, ResourceRef>;
  /** Those of the names that are claimed and not yet written. */
  readonly unwritten: ReadonlySet<string>;
  readonly exclusive: ReadonlyMap<string, ResourceRef>;
}

/** What the other installs on the same Consul have claimed, as their records were last read. */
export class ForeignClaims {
  readonly #installs = new Map<string, InstallClaims>();

  installs(): string[] {
    return [...this.#installs.keys()];
  }

  /** Takes over the records of one install, all of them; returns names and prefixes that it no longer claims. */
  replace(install: string, records: readonly OwnerRecord[]): string[] {
    const before = this.#installs.get(install);
    const claims = claimsIn(records);
    if (claims.names.size === 0 && claims.exclusive.size === 0) this.#installs.delete(install);
    else this.#installs.set(install, claims);
    if (before === undefined) return [];
    return [
      ...[...before.names.keys()].filter(name => !claims.names.has(name)),
      ...[...before.exclusive.keys()].filter(prefix => !claims.exclusive.has(prefix)),
    ];
  }

  /** Who lists the name. `written`: only those who have written there already. */
  listerOf(name: string, { written }: { readonly written: boolean }): ForeignOwner | undefined {
    for (const [install, { names, unwritten }] of this.#installs) {
      const ref = names.get(name);
      if (ref !== undefined && !(written && unwritten.has(name))) return { install, ref };
    }
    return undefined;
  }

  /** Who has claimed exactly this prefix. */
  claimantOf(prefix: string): ForeignOwner | undefined {
    for (const [install, { exclusive }] of this.#installs) {
      const ref = exclusive.get(prefix);
      if (ref !== undefined) return { install, ref };
    }
    return undefined;
  }

  /** Who has claimed a prefix that overlaps this one. */
  overlapping(prefix: string): ForeignOwner | undefined {
    for (const [install, { exclusive }] of this.#installs) {
      for (const [claimed, ref] of exclusive) if (overlaps(claimed, prefix)) return { install, ref };
    }
    return undefined;
  }

  /** A name below the prefix that somebody lists. */
  nameBeneath(prefix: string): (ForeignOwner & { readonly name: string }) | undefined {
    for (const [install, { names }] of this.#installs) {
      for (const [name, ref] of names) if (name.startsWith(prefix)) return { install, ref, name };
    }
    return undefined;
  }
}

function claimsIn(records: readonly OwnerRecord[]): InstallClaims {
  const names = new Map<string, ResourceRef>();
  const unwritten = new Set<string>();
  const exclusive = new Map<string, ResourceRef>();
  for (const record of records) {
    for (const [name, fingerprint] of listedNames(record)) {
      names.set(name, record.ref);
      if (!isWritten(fingerprint)) unwritten.add(name);
    }
    if (record.head.exclusive !== undefined) exclusive.set(record.head.exclusive, record.ref);
  }
  return { names, unwritten, exclusive };
}

export function overlaps(one: string, other: string): boolean {
  return one.startsWith(other) || other.startsWith(one);
}
