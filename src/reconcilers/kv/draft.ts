import { CLAIMS_KEY, type WriteOperation } from '../../commit/operations.ts';
import { type ModifyIndex, NOT_THERE } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import type { Claim } from '../../ownership/ledger.ts';
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
} from '../../ownership/record.ts';
import { allEmptied, editShards, namesIn, placeNames, type ShardNames } from './shards.ts';
import type { KvChanges, NameChange } from './types.ts';

export interface CutContext {
  readonly installId: string;
  readonly ref: ResourceRef;
  readonly record: OwnerRecord | undefined;
  /** What is to be written at a name. */
  readonly content: (name: string) => Content;
  /** ModifyIndex of the claims key as last read; undefined: not all claims can be read. */
  readonly claimsIndex: ModifyIndex | undefined;
}

export interface Cut {
  readonly operations: readonly WriteOperation[];
  /** What the operations take for the first time. */
  readonly claim: Claim;
  /** Changes whose keys are written by these operations. */
  readonly done: readonly NameChange[];
  /** The record once the operations are committed; the indexes are those that the commit returns. */
  readonly after: (indexOf: (key: string) => ModifyIndex) => OwnerRecord | undefined;
}

/** Some of a change, with the head that belongs to it. */
export type Part = Pick<KvChanges, 'changes' | 'head'>;
export type Draft = (part: Part) => Cut;

/** Drafts parts of one change: a name keeps its place whatever part it is in. */
export function drafter(all: readonly NameChange[], context: CutContext): Draft {
  const { record } = context;
  const listed = record === undefined ? new Map<string, number>() : locateNames(record);
  const places = placeNames(listed, all);
  return part => {
    const shards = part.head === undefined ? allEmptied(record) : editShards(part.changes, places, record);
    if (part.head !== undefined && movesHead(part.head, record) && !shards.has(0)) {
      shards.set(0, namesIn(record, 0));
    }
    const names = part.changes.filter(({ name, to }) => to !== undefined && !listed.has(name));
    const claim = { names: names.map(({ name }) => name), exclusive: newPrefix(part.head, record) };
    const operations = [
      ...claimsOperation(part.changes, claim, context),
      ...recordOperations(shards, part.head, context),
      ...part.changes.flatMap(change => dataOperation(change, context)),
    ];
    const done = part.changes.filter(({ write }) => write.verb !== 'none');
    return { operations, claim, done, after: recordAfter(shards, part.head, context) };
  };
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
  { installId, ref, record }: CutContext,
): Cut['after'] {
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
 * Creating a key needs no such care, its compare-and-set is enough.
 */
function claimsOperation(
  changes: readonly NameChange[],
  { exclusive }: Claim,
  { claimsIndex, installId }: CutContext,
): WriteOperation[] {
  const races = changes.some(({ cause, to }) => cause === 'adopt' || to === UNWRITTEN);
  if (claimsIndex === undefined || !(races || exclusive !== undefined)) return [];
  // The content differs every time: Consul keeps the index of a key that is written with what it holds.
  const value = Buffer.from(JSON.stringify({ install: installId, after: claimsIndex }));
  return [{ realm: 'record', verb: 'cas', key: CLAIMS_KEY, value, flags: 0n, index: claimsIndex }];
}

/** The head is always part of it: its index says that the record is still the one that was read. */
function recordOperations(
  shards: ShardNames,
  head: Head | undefined,
  { installId, ref, record }: CutContext,
): WriteOperation[] {
  const realm = 'record' as const;
  const at = (number: number) => {
    const { index } = record?.shards.get(number) ?? EMPTY_SHARD;
    return { realm, key: shardKey(installId, ref, number), index };
  };
  const operations: WriteOperation[] = [];
  if (!shards.has(0)) operations.push(unchanged(at(0)));
  for (const [number, names] of [...shards].sort(([one], [other]) => one - other)) {
    const isNeeded = names.size > 0 || (number === 0 && head !== undefined);
    const value = number === 0 && head !== undefined ? encodeHead(head, names) : encodeShard(names);
    if (isNeeded) operations.push({ ...at(number), verb: 'cas', value, flags: 0n });
    else if (at(number).index !== NOT_THERE) operations.push({ ...at(number), verb: 'delete-cas' });
  }
  return operations;
}

function unchanged(place: { realm: 'record'; key: string; index: ModifyIndex }): WriteOperation {
  const { realm, key, index } = place;
  return index === NOT_THERE ? { realm, key, verb: 'check-not-exists' } : { ...place, verb: 'check-index' };
}

function dataOperation({ name, write }: NameChange, { content }: CutContext): WriteOperation[] {
  const realm = 'data' as const;
  switch (write.verb) {
    case 'none':
      return [];
    case 'put':
      return [{ realm, verb: 'cas', key: name, ...content(name), index: write.index }];
    case 'delete':
      return [{ realm, verb: 'delete-cas', key: name, index: write.index }];
    case 'check':
      return [{ realm, verb: 'check-index', key: name, index: write.index }];
  }
}
