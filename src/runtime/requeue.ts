import { STALLING_REASONS } from '../api/v1alpha1/reasons.ts';
import { ConflictError, RetryableError, TerminalError } from '../core/errors.ts';
import type { Ending } from './ending.ts';
import { OUTAGE_GRACE_MS } from './status.ts';
import type { TurnResult } from './workers.ts';

/** A refusal is looked at again when what caused it changes; this is for changes that nobody can see. */
const LOOK_AGAIN_MS = 300_000;
/** How often a key is retried at most while Consul is away. */
const AWAY_CAP_MS = 30_000;

/** What the queue is told: exactly one of forget, requeue after, retry with backoff. */
export function nextFor(ending: Ending): TurnResult {
  switch (ending.kind) {
    case 'converged':
      return ending.againMs === undefined ? { kind: 'done' } : { kind: 'requeue', afterMs: ending.againMs };
    case 'withheld':
    case 'released':
      return { kind: 'done' };
    case 'waiting':
      return { kind: 'requeue', afterMs: ending.againMs ?? LOOK_AGAIN_MS };
    case 'refused':
      return STALLING_REASONS.has(ending.reason)
        ? { kind: 'requeue', afterMs: ending.againMs ?? LOOK_AGAIN_MS }
        : { kind: 'retry' };
    case 'failed':
      return ending.awayForMs === undefined ? nextAfter(ending.error) : nextWhileAway(ending.awayForMs);
  }
}

/** Told once the outage is worth it; then there is nothing to do until Consul is back, when all are looked at. */
function nextWhileAway(awayForMs: number): TurnResult {
  return awayForMs >= OUTAGE_GRACE_MS
    ? { kind: 'done' }
    : { kind: 'requeue', afterMs: OUTAGE_GRACE_MS - awayForMs };
}

function nextAfter(error: unknown): TurnResult {
  if (error instanceof RetryableError) {
    const minMs = error.retryAfterMs === undefined ? {} : { minMs: error.retryAfterMs };
    return error.reason === 'ConsulUnreachable'
      ? { kind: 'retry', capMs: AWAY_CAP_MS, ...minMs }
      : { kind: 'retry', ...minMs };
  }
  if (error instanceof ConflictError) return { kind: 'retry', capMs: AWAY_CAP_MS };
  if (error instanceof TerminalError) return { kind: 'requeue', afterMs: LOOK_AGAIN_MS };
  // A defect, which may well depend on the moment.
  return { kind: 'retry' };
}
