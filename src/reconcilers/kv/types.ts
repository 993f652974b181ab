import type { AdoptionPolicy, DriftPolicy } from '../../api/v1alpha1/common.ts';
import type { ModifyIndex } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { ClaimsView } from '../../ownership/ledger.ts';
import type { Owner } from '../../ownership/owner.ts';
import type { Seen } from '../../mirror/key-mirror.ts';
import type { Head, OwnerRecord } from '../../ownership/record.ts';

export interface Stranger {
  readonly key: string;
  readonly seen: Seen;
  /** False for keys that `/v1/kv` and `/v1/txn` address differently: they are reported, never touched. */
  readonly addressable: boolean;
}

export interface ObservedKv {
  readonly record: OwnerRecord | undefined;
  /** Known for every name that the record lists: a removal must not be planned on ignorance. */
  readonly seen: (key: string) => Seen | undefined;
  readonly rival: (key: string) => Owner | undefined;
  readonly prefixRival: (prefix: string) => Owner | undefined;
  /** A name below the prefix that somebody else lists. */
  readonly rivalBeneath: (prefix: string) => { readonly name: string; readonly owner: Owner } | undefined;
  /** Keys below an exclusive prefix that the resource does not declare; empty without one. */
  readonly strangers: readonly Stranger[];
  readonly claims: ClaimsView;
}

/** The resource as the planner sees it: where its record is, what rides in it, and how its policies read. */
export interface Declarer {
  readonly installId: string;
  readonly ref: ResourceRef;
  readonly uid: string;
  readonly generation: number;
  readonly epoch: number;
  readonly onDelete: 'Delete' | 'Retain';
  readonly adoptionPolicy: AdoptionPolicy;
  readonly driftPolicy: DriftPolicy;
}

/** Why a key changes, for Events and metrics. */
export type Cause = 'create' | 'update' | 'adopt' | 'correct' | 'remove' | 'stranger' | 'record';

/** One name's part in a change. `to`: the fingerprint to record; undefined takes the name out of the record. */
export interface NameChange {
  readonly name: string;
  readonly cause: Cause;
  readonly to: string | undefined;
  /** What happens to the key; its precondition is the index. */
  readonly write:
    | { readonly verb: 'none' }
    | { readonly verb: 'put' | 'delete' | 'check'; readonly index: ModifyIndex };
}

export interface KvChanges {
  readonly changes: readonly NameChange[];
  /** The head as it should stand when all is done; undefined: the record goes. */
  readonly head: Head | undefined;
  /** All of it in one transaction, or nothing. */
  readonly atomic: boolean;
}

export type KvPlan =
  | { readonly kind: 'noop'; readonly drifted: readonly string[] }
  | ({ readonly kind: 'change'; readonly drifted: readonly string[] } & KvChanges)
  | {
      readonly kind: 'refuse';
      readonly reason: 'Conflict' | 'AlreadyExists' | 'TooLarge' | 'ConsulDenied' | 'UnsupportedByConsul';
      readonly message: string;
    };
