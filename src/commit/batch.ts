import type { Context } from '@opentelemetry/api';
import { classifyTxnError } from '../consul/errors.ts';
import { checkPlace, foldId, nodePlace, servicePlace } from '../consul/service-ids.ts';
import {
  encodeOperation,
  MAX_TXN_BYTES,
  MAX_TXN_OPERATIONS,
  type TxnOutcome,
  type WrittenRow,
} from '../consul/txn.ts';
import type { ModifyIndex } from '../consul/types.ts';
import { AbortedError, RetryableError } from '../core/errors.ts';
import {
  CLAIMS_KEY,
  type CatalogWrite,
  type Place,
  type RefusedOperation,
  type UnitOutcome,
  type WriteOperation,
  type WriteUnit,
} from './operations.ts';
import type { Tenure } from './tenure.ts';

/** A unit that waits for its transaction, or for its answer. */
export interface Pending {
  readonly unit: WriteUnit;
  readonly fragments: readonly string[];
  /** What proves the tenure, first in the transaction. */
  readonly fence: string;
  readonly tenure: Tenure;
  readonly context: Context;
  readonly sinceMs: number;
  readonly resolve: (outcome: UnitOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** @throws TypeError for a session that is none: the check of an empty one passes while nobody holds the lock. */
export function fenceFragment({ fence }: Tenure): string {
  return encodeOperation({ verb: 'check-session', key: fence.lockKey, session: fence.session });
}

interface Carrier {
  readonly pending: Pending;
  readonly operation: WriteOperation;
}

/**
 * What several units of a transaction may carry, and stands once then: the compare-and-set of the claims key of those
 * that adopt at the same time, and the node that all of them need.
 */
function isShared(operation: WriteOperation): boolean {
  return movesClaims(operation) || operation.verb === 'node-create';
}

function movesClaims(operation: WriteOperation): boolean {
  return operation.realm === 'record' && operation.key === CLAIMS_KEY;
}

export function carriesClaims({ operations }: WriteUnit): boolean {
  return operations.some(movesClaims);
}

/** The units, from the oldest, that could go as one transaction now. */
export interface Cut {
  /** How many; 0 when the first has to wait for another transaction that moves the claims key. */
  readonly units: number;
  /** Nothing that comes later could join them. */
  readonly isClosed: boolean;
  /** Less than a quarter of what fits. */
  readonly isSmall: boolean;
}

/** What a unit takes at least, but for rare ones: one key and the record that lists it. */
const USUAL_OPERATIONS = 2;

/** One tenure, within Consul's limits, and nothing that moves the claims key beside another one that does. */
export function cut(pending: readonly Pending[], isClaiming: boolean): Cut {
  const { tenure, fence } = pending[0] as Pending;
  let operations = 1;
  let bytes = 2 + Buffer.byteLength(fence) + 1;
  const shared = new Set<string>();
  const taken = (units: number, isClosed: boolean): Cut => {
    const isSmall = operations * 4 < MAX_TXN_OPERATIONS && bytes * 4 < MAX_TXN_BYTES;
    return { units, isClosed, isSmall };
  };
  for (const [position, { unit, fragments, tenure: held }] of pending.entries()) {
    // Whoever comes now belongs to the newer tenure.
    if (held !== tenure) return taken(position, true);
    if (isClaiming && carriesClaims(unit)) return taken(position, false);
    for (const [at, fragment] of fragments.entries()) {
      if (shared.has(fragment)) continue;
      if (isShared(unit.operations[at] as WriteOperation)) shared.add(fragment);
      operations++;
      bytes += Buffer.byteLength(fragment) + 1;
    }
    const fits = operations <= MAX_TXN_OPERATIONS && bytes <= MAX_TXN_BYTES;
    // A unit over the limits travels alone, so that it alone hears of it.
    if (!fits) return taken(Math.max(position, 1), true);
  }
  return taken(pending.length, operations + USUAL_OPERATIONS > MAX_TXN_OPERATIONS);
}

/** The transaction's operations in order, and for each whom it concerns. The fence concerns all: it has none. */
export function layOut(batch: readonly Pending[]): { fragments: string[]; carriers: Carrier[][] } {
  const fragments: string[] = [];
  const carriers: Carrier[][] = [];
  const shared = new Map<string, Carrier[]>();
  const place = (fragment: string, carrying: Carrier[]): void => {
    fragments.push(fragment);
    carriers.push(carrying);
  };
  const { fence } = batch[0] as Pending;
  place(fence, []);
  for (const pending of batch) {
    for (const [position, fragment] of pending.fragments.entries()) {
      const carrier = { pending, operation: pending.unit.operations[position] as WriteOperation };
      const carrying = shared.get(fragment);
      if (carrying !== undefined) {
        carrying.push(carrier);
        continue;
      }
      const first = [carrier];
      if (isShared(carrier.operation)) shared.set(fragment, first);
      place(fragment, first);
    }
  }
  return { fragments, carriers };
}

type Applied = Extract<TxnOutcome, { applied: true }>;

/** Where the transaction has left what it wrote. */
export function indexesOf(
  { entries, rows }: Pick<Applied, 'entries' | 'rows'>,
  carriers: readonly (readonly Carrier[])[],
): ReadonlyMap<Place, ModifyIndex> {
  const indexes = new Map<Place, ModifyIndex>(entries.map(({ key, modifyIndex }) => [key, modifyIndex]));
  const services = serviceWrites(carriers);
  for (const row of rows) {
    const place = placeOfRow(row, services);
    if (place !== undefined) indexes.set(place, row.modifyIndex);
  }
  return indexes;
}

type ServiceWrite = Extract<CatalogWrite, { verb: 'service-cas' | 'service-get' }>;

function serviceWrites(carriers: readonly (readonly Carrier[])[]): ServiceWrite[] {
  return carriers
    .map(([carrier]) => carrier?.operation)
    .filter(operation => operation?.verb === 'service-cas' || operation?.verb === 'service-get');
}

/** Consul answers in the order of the operations, but names a service without its node: it is the next one of that id. */
function placeOfRow({ table, node, id }: WrittenRow, services: ServiceWrite[]): Place | undefined {
  if (table === 'node') return nodePlace(node);
  if (table === 'check') return checkPlace(node, id);
  const at = services.findIndex(write => idOf(write) === foldId(id));
  const [write] = at < 0 ? [] : services.splice(at, 1);
  return write && servicePlace(write.node, id);
}

function idOf(write: ServiceWrite): string {
  return write.verb === 'service-cas' ? write.service.id : write.id;
}

/**
 * Answers the units that a refusal names; returns the others, which may be sent again.
 *
 * @throws AbortedError when the fence is lost: then the tenure is over.
 * @throws RetryableError when no unit explains the refusal.
 */
export function answerRefused(
  batch: readonly Pending[],
  errors: readonly { readonly opIndex: number; readonly what: string }[],
  carriers: readonly (readonly Carrier[])[],
  tenure: Tenure,
): readonly Pending[] {
  const refused = new Map<Pending, RefusedOperation[]>();
  const denied = new Map<Pending, RefusedOperation[]>();
  for (const error of errors) {
    const cause = classifyTxnError(error);
    const concerned = carriers[error.opIndex] ?? [];
    if (cause === 'lost-fence') {
      tenure.revoke(error.what);
      throw new AbortedError(`the lead was lost: ${error.what}`);
    }
    if (concerned.length === 0) throw refusedAsAWhole(cause, error.what);
    const verdicts = cause === 'denied' ? denied : refused;
    for (const { pending, operation } of concerned) {
      const operations = verdicts.get(pending) ?? [];
      operations.push({ operation, what: error.what });
      verdicts.set(pending, operations);
    }
  }
  if (refused.size === 0 && denied.size === 0) throw refusedAsAWhole('invalid', 'no operation was named');
  for (const [{ resolve }, operations] of refused) resolve({ kind: 'refused', operations });
  for (const [pending, operations] of denied) {
    if (!refused.has(pending)) pending.resolve({ kind: 'denied', operations });
  }
  return batch.filter(pending => !refused.has(pending) && !denied.has(pending));
}

/**
 * Answers waiting units that believe the claims key to stand where a batch that was committed found it: Consul would
 * only refuse them, and what they have to look at again is in memory. Returns the others.
 */
export function answerOutrun(waiting: readonly Pending[], committed: readonly Pending[]): Pending[] {
  const moved = committed.map(({ unit }) => claimsIndex(unit)).find(index => index !== undefined);
  if (moved === undefined) return [...waiting];
  return waiting.filter(({ unit, resolve }) => {
    const operation = unit.operations.find(movesClaims);
    if (operation === undefined || claimsIndex(unit) !== moved) return true;
    resolve({
      kind: 'refused',
      operations: [{ operation, what: 'an own transaction moved the claims key' }],
    });
    return false;
  });
}

function claimsIndex({ operations }: WriteUnit): number | undefined {
  const operation = operations.find(movesClaims);
  return operation?.verb === 'cas' ? operation.index : undefined;
}

/** An error that no operation of ours explains: at the fence, or from the commit itself. */
function refusedAsAWhole(cause: string, what: string): RetryableError {
  const denied = cause === 'denied';
  return new RetryableError(`Consul refused the transaction: ${what}`, {
    code: denied ? 'CONSUL_DENIED' : 'CONSUL_TXN_REFUSED',
    reason: denied ? 'ConsulDenied' : 'ConsulUnreachable',
  });
}
