import type { CommonStatus, DeletionPolicy, EventReason } from '../api/v1alpha1/common.ts';
import type { Parsed, Resource } from '../api/v1alpha1/resource.ts';
import type { ResourceRef } from '../core/resource.ts';

/** What one turn is about. */
export interface Subject<Spec, Status extends CommonStatus> {
  readonly ref: ResourceRef;
  /** Undefined: the resource is gone, or cannot be read, and only what it owns is left to deal with. */
  readonly resource: Resource<Spec, Status> | undefined;
  /** Towards nothing. */
  readonly deleting: boolean;
  /** What deleting does to what is in Consul. Undefined: as the owner record says. */
  readonly onDelete: DeletionPolicy | undefined;
}

/** A planner's decision; `wait` and `refuse` are results, not errors. */
export type KindPlan<Change> =
  | {
      readonly kind: 'noop';
      readonly drifted: readonly string[];
      /** When to look again, although nothing may have changed by then. */
      readonly againMs?: number | undefined;
    }
  | {
      readonly kind: 'change';
      readonly change: Change;
      readonly drifted: readonly string[];
      /** What would be written, for a suspended resource: names, never values. */
      readonly summary: string;
      /** Consul equals the spec already: the change is one of the owner record alone. */
      readonly equal: boolean;
      /** The part of it that a suspended resource gets too, such as results of checks. Undefined: nothing. */
      readonly tend?: Change | undefined;
    }
  /** Something is needed that is not there yet. */
  | (Obstacle & { readonly kind: 'wait'; readonly againMs?: number | undefined })
  /** It cannot be, or must not be, as declared. */
  | (Obstacle & { readonly kind: 'refuse'; readonly againMs?: number | undefined });

interface Obstacle {
  readonly reason: string;
  readonly message: string;
  /** The report holds all the same: what is there has been seen. */
  readonly isSeen?: true;
}

/**
 * What one transaction of a turn did. `refused`: a precondition was stale, and the kind has dropped what it believed.
 * `tidied`: something was done, in Consul or in Kubernetes, of which nobody needs to hear. `failed`: it was not done, and
 * what was observed before holds all the same, so it can be told.
 */
export type Receipt =
  | ({ readonly kind: 'applied' } & AppliedWork)
  | { readonly kind: 'tidied' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'failed'; readonly error: unknown };

/** What transactions did, as one Event tells it. */
export interface AppliedWork {
  readonly event: EventReason;
  readonly note: string;
  /** Keys that had been changed from outside and were put back. */
  readonly corrected: number;
  /** Says better what the change was than the transactions before it. */
  readonly supersedes?: true;
}

/** What the status says about a resource that equals its spec. */
export interface Report {
  /** For Ready=True. */
  readonly message: string;
  readonly driftSeen: 'Watched' | 'Swept';
  readonly datacenter: string;
  /** The kind's own status fields. */
  readonly status: Readonly<Record<string, unknown>>;
}

/**
 * What a kind supplies to the shell (`turn.ts`): five small functions. Only `observe` and `apply` do I/O, and only
 * `apply` writes, through the choke point.
 *
 * A change may take several transactions. `plan` is asked again after each one and `apply` does one at a time, so
 * that what a crash leaves behind is planned from like anything else.
 */
export interface Kind<Spec, Status extends CommonStatus, Observed, Change> {
  readonly name: string;
  parse(object: unknown): Parsed<Spec, Status>;
  /** `fresh`: the user asks for a look at Consul itself: read all, consistently, whatever is remembered. */
  observe(
    subject: Subject<Spec, Status>,
    options: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<Observed>;
  plan(subject: Subject<Spec, Status>, observed: Observed): KindPlan<Change>;
  apply(subject: Subject<Spec, Status>, change: Change, observed: Observed): Promise<Receipt>;
  report(subject: Subject<Spec, Status>, observed: Observed): Report;
  /** `status.effective`, but for what the report tells. Left out: the policies. */
  effective?(ref: ResourceRef, spec: Spec): Readonly<Record<string, unknown>>;
  /** Whether a record says that the resource left something somewhere: then its deletion has work to do. */
  owns(ref: ResourceRef): boolean;
  /** It is driven also while its spec cannot be read, with neither resource nor deletion: what it holds may have to go. */
  readonly tendsUnreadable?: true;
  /** Of which resource the record is, and what that one was like when it was last written. */
  recorded(ref: ResourceRef): { readonly uid: string; readonly generation: number } | undefined;
  /** Nothing is declared and nothing owned any more. */
  forget(ref: ResourceRef): void;
}
