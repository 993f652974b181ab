import { CLAIMS_KEY, type RefusedOperation, type WriteOperation } from '../commit/operations.ts';
import type { WriteGate } from '../commit/write-gate.ts';
import { type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { ConflictError, RetryableError, TerminalError } from '../core/errors.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Claim, Ledger } from './ledger.ts';
import type { RecordAfter } from './record-draft.ts';

/** A transaction that changes, or relies on, an owner record. */
export interface RecordCommit {
  readonly ref: ResourceRef;
  /** What it takes for the first time. */
  readonly claim: Claim;
  readonly operations: readonly WriteOperation[];
  /** The record once it is committed. */
  readonly after: RecordAfter;
  /** See `WriteUnit`. */
  readonly isUrgent?: true;
}

/** `refused`: nothing was written; which operations Consul named, or none if somebody in this process was faster. */
export type RecordOutcome =
  | { readonly kind: 'applied'; readonly indexes: ReadonlyMap<string, ModifyIndex> }
  | { readonly kind: 'refused'; readonly operations: readonly RefusedOperation[] };

/**
 * Commits a transaction and keeps the ledger true to what became of it: what it claims is reserved meanwhile, and what
 * Consul named as stale, or did not answer for, is not trusted until it was read again.
 *
 * @throws RetryableError `ConsulDenied` when the token may not do one of the operations; others as `WriteGate.commit`.
 */
export async function commitRecord(
  { gate, ledger }: { readonly gate: WriteGate; readonly ledger: Ledger },
  { ref, claim, operations, after, isUrgent }: RecordCommit,
): Promise<RecordOutcome> {
  if (!ledger.reserve(ref, claim)) return { kind: 'refused', operations: [] };
  const unit = { owner: ref, operations, ...(isUrgent === undefined ? {} : { isUrgent }) };
  const outcome = await gate.commit(unit).catch((error: unknown) => {
    // Committed or not: the record has to be read before it is used.
    if (isUnwritten(error)) ledger.giveBack(ref);
    else ledger.mistrust(ref);
    throw error;
  });
  if (outcome.kind === 'applied') {
    ledger.committed(
      ref,
      after(key => outcome.indexes.get(key) ?? NOT_THERE),
      outcome.indexes,
    );
    return outcome;
  }
  ledger.giveBack(ref);
  if (outcome.kind === 'denied') throw denied(outcome.operations[0]?.what ?? '');
  for (const { operation } of outcome.operations) doubt(operation, ref, ledger);
  return outcome;
}

/** Whether the error says that the write was not carried out. One that was aborted may have been. */
export function isUnwritten(error: unknown): boolean {
  if (error instanceof RetryableError) return !error.outcomeUnknown;
  return error instanceof ConflictError || error instanceof TerminalError;
}

/** Consul names every operation that failed: what the others believed was right. */
function doubt(operation: WriteOperation, ref: ResourceRef, ledger: Ledger): void {
  if (operation.realm !== 'record') return;
  if (operation.key !== CLAIMS_KEY) ledger.mistrust(ref);
  // If our own adoptions moved the claims key, what is known of other installs still holds.
  else if ('index' in operation && ledger.claims.index === operation.index) ledger.mistrustClaims();
}

function denied(what: string): RetryableError {
  return new RetryableError(what, { code: 'CONSUL_DENIED', reason: 'ConsulDenied' });
}
