import type { AdoptionPolicy, DeletionPolicy, DriftPolicy } from '../../api/v1alpha1/common.ts';
import type { ConfigEntryBody } from '../../consul/config-entry.ts';
import type { ModifyIndex } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { ClaimsView } from '../../ownership/ledger.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { Head, OwnerRecord } from '../../ownership/record.ts';
import type { CanonicalJwt, CanonicalSource } from './canonical.ts';
import type { EntryContents } from './entry.ts';

/** What a resource declares for one destination, by claim name. */
export interface IntentionWish {
  readonly destination: string;
  /** At least one source among them. */
  readonly claims: ReadonlyMap<string, WishedClaim>;
}

export type WishedClaim =
  | { readonly kind: 'source'; readonly content: CanonicalSource; readonly fingerprint: string }
  | { readonly kind: 'jwt'; readonly content: CanonicalJwt; readonly fingerprint: string };

/** A destination's entry as last read. */
export interface SeenEntry {
  readonly index: ModifyIndex;
  readonly contents: EntryContents;
  /** Of each claim that stands in it, made of its canonical form as those of the wish are. */
  readonly fingerprints: ReadonlyMap<string, string>;
}

export interface IntentionFacts {
  readonly record: OwnerRecord | undefined;
  /**
   * Undefined: no such entry stands. Known for the destination of the wish and for every one that the record names:
   * a removal must not be planned on ignorance.
   */
  readonly entry: (destination: string) => SeenEntry | undefined;
  readonly rival: (name: string) => Owner | undefined;
  /** Records of other resources of this install that list claims on the destination. */
  readonly neighbours: (destination: string) => Iterable<OwnerRecord>;
  readonly claims: ClaimsView;
  /** Why Consul refused the last entry: what other objects have to bring about first. */
  readonly refused: Refused | undefined;
}

export interface Refused {
  /** Of the resource when it was refused: a later one may need less. */
  readonly generation: number;
  /** Each a phrase that names an object: `jwt-provider/okta does not exist`. */
  readonly missing: readonly string[];
}

/** In whose name an entry is written. */
export interface Writer {
  readonly installId: string;
  readonly epoch: number;
}

/** The resource as the planner sees it: what rides in its record, and how its policies read. */
export interface Declarer extends Writer {
  readonly ref: ResourceRef;
  readonly uid: string;
  readonly generation: number;
  readonly onDelete: DeletionPolicy;
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
}

/** Why a claim changes, for Events and metrics. */
export type Cause = 'create' | 'update' | 'adopt' | 'correct' | 'remove' | 'record';

/** One name in a record. `to`: what it is to say; undefined takes the name out. */
export interface ClaimEdit {
  readonly name: string;
  readonly cause: Cause;
  readonly to: string | undefined;
}

/** What becomes of a claim in its entry. */
export interface EntryEdit {
  readonly name: string;
  readonly cause: Cause;
  readonly verb: 'put' | 'remove' | 'none';
}

/**
 * One thing to do: the planner is asked again after each, so that what a crash leaves behind is planned from like
 * anything else. In this order:
 *
 * ```
 * claim    the record lists what comes and marks what changes     one transaction
 * entry    the entry is written, or deleted                       one request, then read back
 * settle   the record says what stands                            one transaction
 * end      the record goes                                        one transaction
 * ```
 */
export type IntentionChange =
  | {
      readonly step: 'claim' | 'settle';
      readonly edits: readonly ClaimEdit[];
      readonly head: Head;
      /** Something is taken that another install might be taking: the transaction must move the claims key. */
      readonly adopts: boolean;
    }
  | ({ readonly step: 'entry'; readonly isFirst: boolean } & EntryWrite)
  | { readonly step: 'end'; readonly edits: readonly ClaimEdit[] };

export interface EntryWrite {
  readonly destination: string;
  /** Undefined: nothing is left, the entry goes. */
  readonly body: ConfigEntryBody | undefined;
  /** Of the entry that was read; 0: there was none. */
  readonly index: ModifyIndex;
  readonly edits: readonly EntryEdit[];
}
