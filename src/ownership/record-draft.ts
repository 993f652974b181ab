import { CLAIMS_KEY, type WriteOperation } from '../commit/operations.ts';
import { type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import type { ResourceRef } from '../core/resource.ts';
import type { Claim } from './ledger.ts';
import {
  EMPTY_SHARD,
  encodeHead,
  encodeShard,
  type Head,
  isSameHead,
  locateNames,
  type OwnerRecord,
  type Shard,
  shardKey,
  UNWRITTEN,
} from './record.ts';
import { allEmptied, editShards, namesIn, placeNames, type RecordEdit, type ShardNames } from './shards.ts';

/** The record that a change starts from. */
export interface RecordContext {
  readonly installId: string;
  readonly ref: ResourceRef;
  readonly record: OwnerRecord | undefined;
  /** ModifyIndex of the claims key as last read; undefined: not all claims can be read. */
  readonly claimsIndex: ModifyIndex | undefined;
}

/** Some edits of a record, with the head that belongs to them. */
export interface RecordPart {
  readonly edits: readonly RecordEdit[];
  /** As it should stand afterwards; undefined: the record goes. */
  readonly head: Head | undefined;
  /** Something that stands without an owner is taken. */
  readonly adopts: boolean;
}

/** A change of an owner record, as part of a transaction. */
export interface RecordDraft {
  readonly operations: readonly WriteOperation[];
  /** What the operations take for the first time. */
  readonly claim: Claim;
  /** The record once the operations are committed; the indexes are those that the commit returns. */
  readonly after: RecordAfter;
}

export type RecordAfter = (indexOf: (key: string) => ModifyIndex) => OwnerRecord | undefined;

/**
 * Drafts parts of one change of a record: a name keeps its place whatever part it is in. Each draft compares and sets
 * the head, or checks it, so none can be committed on a record that has moved.
 */
export function recordDrafter(
  all: readonly RecordEdit[],
  context: RecordContext,
): (part: RecordPart) => RecordDraft {
  const { record } = context;
  const listed = record === undefined ? new Map<string, number>() : locateNames(record);
  const places = placeNames(listed, all);
  return part => {
    const { edits, head } = part;
    const shards = head === undefined ? allEmptied(record) : editShards(edits, places, record);
    if (head !== undefined && movesHead(head, record) && !shards.has(0)) shards.set(0, namesIn(record, 0));
    const names = edits.filter(({ name, to }) => to !== undefined && !listed.has(name));
    const claim = { names: names.map(({ name }) => name), exclusive: newPrefix(head, record) };
    const operations = [...claimsOperation(part, claim, context), ...recordOperations(shards, head, context)];
    return { operations, claim, after: recordAfter(shards, head, context) };
  };
}

/** Moves the key at which installs meet who take what may have had no owner. */
export function claimsMoved(installId: string, index: ModifyIndex): WriteOperation {
  // The content differs every time: Consul keeps the index of a key that is written with what it holds.
  const value = Buffer.from(JSON.stringify({ install: installId, after: index }));
  return { realm: 'record', verb: 'cas', key: CLAIMS_KEY, value, flags: 0n, index };
}

/** That the record is still the one that was read. */
export function recordUnchanged({
  installId,
  ref,
  record,
}: Pick<RecordContext, 'installId' | 'ref' | 'record'>): WriteOperation {
  const { index } = record?.shards.get(0) ?? EMPTY_SHARD;
  const place = { realm: 'record', key: shardKey(installId, ref, 0) } as const;
  return index === NOT_THERE
    ? { ...place, verb: 'check-not-exists' }
    : { ...place, verb: 'check-index', index };
}

function movesHead(head: Head, record: OwnerRecord | undefined): boolean {
  return record === undefined || !isSameHead(record.head, head);
}

function newPrefix(head: Head | undefined, record: OwnerRecord | undefined): string | undefined {
  return head?.exclusive === record?.head.exclusive ? undefined : head?.exclusive;
}

function recordAfter(
  shards: ShardNames,
  head: Head | undefined,
  { installId, ref, record }: RecordContext,
): RecordAfter {
  return indexOf => {
    if (head === undefined) return undefined;
    const merged = new Map<number, Shard>(record?.shards);
    for (const [number, names] of shards) {
      if (number > 0 && names.size === 0) merged.delete(number);
      else merged.set(number, { index: indexOf(shardKey(installId, ref, number)), names });
    }
    return { ref, head: shards.has(0) ? head : (record?.head ?? head), shards: merged };
  };
}

/**
 * What may have had no owner is taken, or listed without being written: installs must not race for it.
 * Creating needs no such care, its compare-and-set is enough.
 */
function claimsOperation(
  { adopts, edits }: RecordPart,
  { exclusive }: Claim,
  { claimsIndex, installId }: RecordContext,
): WriteOperation[] {
  const races = adopts || edits.some(({ to }) => to === UNWRITTEN);
  if (claimsIndex === undefined || !(races || exclusive !== undefined)) return [];
  return [claimsMoved(installId, claimsIndex)];
}

/** The head is always part of it: its index says that the record is still the one that was read. */
function recordOperations(
  shards: ShardNames,
  head: Head | undefined,
  context: RecordContext,
): WriteOperation[] {
  const { installId, ref, record } = context;
  const at = (number: number) => {
    const { index } = record?.shards.get(number) ?? EMPTY_SHARD;
    return { realm: 'record', key: shardKey(installId, ref, number), index } as const;
  };
  const operations: WriteOperation[] = [];
  if (!shards.has(0)) operations.push(recordUnchanged(context));
  for (const [number, names] of [...shards].sort(([one], [other]) => one - other)) {
    const isNeeded = names.size > 0 || (number === 0 && head !== undefined);
    const value = number === 0 && head !== undefined ? encodeHead(head, names) : encodeShard(names);
    if (isNeeded) operations.push({ ...at(number), verb: 'cas', value, flags: 0n });
    else if (at(number).index !== NOT_THERE) operations.push({ ...at(number), verb: 'delete-cas' });
  }
  return operations;
}
