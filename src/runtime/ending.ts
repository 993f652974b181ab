import type { EventReason } from '../api/v1alpha1/common.ts';
import type { Report } from './kind.ts';

/** How a turn ended. `settle.ts` makes of it one status, one Event, one metric and one decision about the queue. */
export type Ending =
  /** Consul equals the spec, or differs only as `driftPolicy` allows. */
  | {
      readonly kind: 'converged';
      readonly report: Report;
      readonly drifted: readonly string[];
      readonly applied: AppliedWork | undefined;
    }
  /** Consul differs and stays so: suspended, or a dry run. */
  | {
      readonly kind: 'withheld';
      readonly reason: 'Suspended' | 'DryRun';
      readonly message: string;
      readonly report: Report | undefined;
    }
  | { readonly kind: 'waiting'; readonly reason: string; readonly message: string }
  | { readonly kind: 'refused'; readonly reason: string; readonly message: string }
  /** What the resource owned is gone, or was let go of: nothing holds the resource any longer. */
  | { readonly kind: 'released'; readonly applied: AppliedWork | undefined }
  | {
      readonly kind: 'failed';
      readonly error: unknown;
      /** Set when not this resource's turn failed but Consul has been away for everyone, for so long. */
      readonly awayForMs?: number;
    };

/** What the transactions of a turn did, as one Event tells it. */
export interface AppliedWork {
  readonly event: EventReason;
  readonly note: string;
  /** Keys that had been changed from outside and were put back. */
  readonly corrected: number;
}
