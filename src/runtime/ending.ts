import { messageOf, TerminalError } from '../core/errors.ts';
import type { Report } from './kind.ts';

/** How a turn ended. `settle.ts` makes of it one status, one Event, one metric and one decision about the queue. */
export type Ending =
  /** Consul equals the spec, or differs only as `driftPolicy` allows. */
  | {
      readonly kind: 'converged';
      readonly report: Report;
      readonly drifted: readonly string[];
      readonly againMs?: number | undefined;
    }
  /** Consul differs and stays so: suspended, or a dry run. */
  | {
      readonly kind: 'withheld';
      readonly reason: 'Suspended' | 'DryRun';
      readonly message: string;
      readonly report: Report | undefined;
    }
  | (Halt & { readonly kind: 'waiting'; readonly againMs?: number | undefined })
  | (Halt & { readonly kind: 'refused'; readonly againMs?: number | undefined })
  /** What the resource owned is gone, or was let go of: nothing holds the resource any longer. */
  | { readonly kind: 'released' }
  | {
      readonly kind: 'failed';
      readonly error: unknown;
      /** Set when what was seen of Consul holds all the same. */
      readonly report?: Report;
      /** Set when not this resource's turn failed but Consul has been away for everyone, for so long. */
      readonly awayForMs?: number;
    };

interface Halt {
  readonly reason: string;
  readonly message: string;
  /** Undefined: what the status tells of Consul stays as it was. */
  readonly report?: Report | undefined;
}

/** What repeating cannot help is a state, not a failure; a dry run is one, too: it is refused at the choke point. */
export function endingOf(error: unknown): Ending {
  if (!(error instanceof TerminalError) || error.reason === 'Progressing') return { kind: 'failed', error };
  const { reason, message } = error;
  if (reason === 'DryRun') return { kind: 'withheld', reason, message, report: undefined };
  return { kind: 'refused', reason, message };
}

/** One line for logs and spans. */
export function describeEnding(ending: Ending): string {
  if (ending.kind === 'failed') return `failed: ${messageOf(ending.error)}`;
  return 'message' in ending ? `${ending.kind}: ${ending.message}` : ending.kind;
}
