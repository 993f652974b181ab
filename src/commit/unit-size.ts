import { encodedBytes, MAX_TXN_BYTES, MAX_TXN_OPERATIONS } from '../consul/txn.ts';
import type { WriteOperation } from './operations.ts';

/** One operation is kept for the leader's fence, and some bytes for it and the brackets. */
const MAX_UNIT_OPERATIONS = MAX_TXN_OPERATIONS - 1;
export const MAX_UNIT_BYTES = MAX_TXN_BYTES - 1_000;

export interface UnitSize {
  readonly operations: number;
  /** Of the operations in the transaction's body, each with its comma. */
  readonly bytes: number;
}

/** What the operations take of a transaction, to the byte. */
export function unitSize(operations: readonly WriteOperation[]): UnitSize {
  let bytes = 0;
  for (const operation of operations) bytes += encodedBytes(operation) + 1;
  return { operations: operations.length, bytes };
}

/** Whether a unit is carried by a transaction of its own, whichever fence opens that. */
export function fitsAlone({ operations, bytes }: UnitSize): boolean {
  return operations <= MAX_UNIT_OPERATIONS && bytes <= MAX_UNIT_BYTES;
}
