import type { LeaseSessions } from '../commit/lease-sessions.ts';
import type { Session } from '../consul/session.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Ledger } from '../ownership/ledger.ts';
import { readSessionName } from '../reconcilers/lease/sessions.ts';
import type { Logger } from '../telemetry/logger.ts';
import { CONSUL_LEADER_LEASES } from './kinds.ts';

export interface StraySessionsOptions {
  readonly ledger: Ledger;
  readonly leaseSessions: LeaseSessions;
  readonly logger: Logger;
  readonly isLeading: () => boolean;
  readonly exists: (ref: ResourceRef) => boolean;
  readonly isAbsenceKnown: (ref: ResourceRef) => boolean;
}

/** The lease that a session was made for, if it was made for one. */
export function leaseOf({ name: text }: Session): ResourceRef | undefined {
  const named = readSessionName(text);
  return named && { kind: CONSUL_LEADER_LEASES.kind, ...named.lease };
}

/**
 * Ends sessions whose lease is gone and left no record. No turn would: nothing is declared and nothing owned. They hold
 * nothing, for no lock is taken without a record, but would be renewed for ever.
 */
export async function endStraySessions(
  sessions: readonly Session[],
  { ledger, leaseSessions, logger, isLeading, exists, isAbsenceKnown }: StraySessionsOptions,
): Promise<void> {
  for (const session of sessions) {
    const ref = leaseOf(session);
    if (ref === undefined || exists(ref) || !isAbsenceKnown(ref)) continue;
    if (!isLeading() || !ledger.isLoaded || ledger.record(ref) !== undefined) continue;
    try {
      await leaseSessions.destroy(ref, session.id);
    } catch (error) {
      logger.debug({ sessionId: session.id, err: error }, 'a session of no lease could not be ended yet');
    }
  }
}
