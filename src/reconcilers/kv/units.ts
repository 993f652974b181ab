import { CLAIMS_KEY, type WriteOperation } from '../../commit/operations.ts';
import { MAX_TXN_BYTES, MAX_TXN_OPERATIONS } from '../../consul/txn.ts';
import type { ModifyIndex } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { Content } from '../../ownership/fingerprint.ts';
import {
  EMPTY_SHARD,
  encodeHead,
  encodeShard,
  type Head,
  locateNames,
  NAMES_PER_SHARD,
  type OwnerRecord,
  type Shard,
  shardKey,
  UNWRITTEN,
} from '../../ownership/record.ts';
import type { KvChanges, NameChange } from './plan.ts';

/**
 * Cuts a change into transactions, one at a time: the next one is planned from what the last one left, so a crash
 * between any two is a state to go on from like any other.
 *
 * ```
 * all fits          [head settled, shards, keys]                                       one transaction
 * else, first       [head claiming, shards listing the new names]                      every name is claimed
 * then              [head unchanged, shard fingerprints, keys written] …               additions and updates
 * then              [head unchanged, shards without the names, keys removed] …         removals
 * last              [head settled, what is left]
 * ```
 */
export interface CutContext {
  readonly installId: string;
  readonly ref: ResourceRef;
  readonly record: OwnerRecord | undefined;
  /** What is to be written at a name. */
  readonly content: (name: string) => Content;
  /** ModifyIndex of the claims key as last read. */
  readonly claimsIndex: ModifyIndex;
}

export interface Cut {
  readonly operations: readonly WriteOperation[];
  /** Changes whose keys are written by these operations. */
  readonly done: readonly NameChange[];
  /** The record once the operations are committed; the indexes are those that the commit returns. */
  readonly after: (indexOf: (key: string) => ModifyIndex) => OwnerRecord | undefined;
}

/** One operation is kept for the leader's fence, some bytes for it and the brackets. */
const MAX_OPERATIONS = MAX_TXN_OPERATIONS - 1;
const MAX_BYTES = MAX_TXN_BYTES - 1_000;
/** JSON around key and value in one operation, with room for 20-digit numbers. */
const OPERATION_OVERHEAD = 130;

export function cutUnit(change: KvChanges, context: CutContext): Cut {
  const places = placeNames(context.record, change.changes);
  const whole = draft(change.changes, change.head, places, context);
  if (fits(whole.operations)) return whole;
  const { record } = context;
  if (change.head === undefined) return chunk(change.changes, claimingHead(record), places, context);
  const claiming: Head = { ...change.head, phase: 'claiming' };
  const located = record === undefined ? new Map<string, number>() : locateNames(record);
  const unclaimed = change.changes.filter(({ name, to }) => to !== undefined && !located.has(name));
  if (unclaimed.length > 0 || record === undefined || !isClaiming(record.head, claiming)) {
    const claims = unclaimed.map(asClaim);
    return chunk(claims, claiming, places, context);
  }
  const puts = change.changes.filter(({ to }) => to !== undefined);
  const rest = puts.length > 0 ? puts : change.changes;
  return chunk(rest, record.head, places, context);
}

function claimingHead(record: OwnerRecord | undefined): Head {
  return { ...(record as OwnerRecord).head, phase: 'claiming' };
}

function isClaiming(present: Head, wanted: Head): boolean {
  return (
    present.phase === 'claiming' &&
    present.uid === wanted.uid &&
    present.onDelete === wanted.onDelete &&
    present.exclusive === wanted.exclusive
  );
}

/** The first half of a change: the name is listed, the key is not yet touched. */
function asClaim(change: NameChange): NameChange {
  return { ...change, to: UNWRITTEN, write: { verb: 'none' } };
}

/** As many of the changes as one transaction carries, at least one. */
function chunk(
  changes: readonly NameChange[],
  head: Head,
  places: ReadonlyMap<string, number>,
  context: CutContext,
): Cut {
  let operations = 2; // the head and, perhaps, the claims key
  let bytes = 0;
  const touched = new Set<number>();
  let taken = 0;
  for (const change of changes) {
    const shard = places.get(change.name);
    if (shard !== undefined && !touched.has(shard)) {
      touched.add(shard);
      operations++;
      bytes += shardBytes(shard, changes, places, context.record);
    }
    if (change.write.verb !== 'none') {
      operations++;
      bytes += dataBytes(change, context);
    }
    if (taken > 0 && (operations > MAX_OPERATIONS || bytes > MAX_BYTES)) break;
    taken++;
  }
  return draft(changes.slice(0, taken), head, places, context);
}

function draft(
  changes: readonly NameChange[],
  head: Head | undefined,
  places: ReadonlyMap<string, number>,
  context: CutContext,
): Cut {
  const shards =
    head === undefined ? allEmptied(context.record) : editShards(changes, places, context.record);
  const operations = [
    ...claimOperations(changes, head, context),
    ...recordOperations(shards, head, context),
    ...changes.flatMap(change => dataOperation(change, context)),
  ];
  const after: Cut['after'] = indexOf => {
    if (head === undefined) return undefined;
    const merged = new Map(context.record?.shards);
    const reindexed = (number: number, names: ReadonlyMap<string, string>): Shard => {
      const key = shardKey(context.installId, context.ref, number);
      return { index: indexOf(key), names };
    };
    for (const [number, names] of shards) {
      if (number > 0 && names.size === 0) merged.delete(number);
      else merged.set(number, reindexed(number, names));
    }
    return { ref: context.ref, head: shards.has(0) ? head : (context.record?.head ?? head), shards: merged };
  };
  return { operations, done: changes.filter(({ write }) => write.verb !== 'none'), after };
}

/** The names of every touched shard as they will stand. Shard 0 is touched whenever the head changes. */
function editShards(
  changes: readonly NameChange[],
  places: ReadonlyMap<string, number>,
  record: OwnerRecord | undefined,
): Map<number, Map<string, string>> {
  const edited = new Map<number, Map<string, string>>();
  for (const { name, to } of changes) {
    const number = places.get(name);
    if (number === undefined) continue;
    const names = edited.get(number) ?? new Map(record?.shards.get(number)?.names);
    edited.set(number, names);
    if (to === undefined) names.delete(name);
    else names.set(name, to);
  }
  return edited;
}

function allEmptied(record: OwnerRecord | undefined): Map<number, Map<string, string>> {
  return new Map([...(record?.shards.keys() ?? [])].map(number => [number, new Map()]));
}

/** A name or prefix that is taken for the first time and may have had no owner: installs must not race for it. */
function claimOperations(
  changes: readonly NameChange[],
  head: Head | undefined,
  context: CutContext,
): WriteOperation[] {
  const { record, claimsIndex, installId } = context;
  const located = record === undefined ? new Map<string, number>() : locateNames(record);
  const adopts = changes.some(({ name, cause }) => cause === 'adopt' && !located.has(name));
  const claimsPrefix = head?.exclusive !== undefined && head.exclusive !== record?.head.exclusive;
  if (!adopts && !claimsPrefix) return [];
  // The content differs every time: Consul keeps the index of a key that is written with what it holds.
  const value = Buffer.from(JSON.stringify({ install: installId, after: claimsIndex }));
  return [{ realm: 'record', verb: 'cas', key: CLAIMS_KEY, value, flags: 0n, index: claimsIndex }];
}

/** The head is always part of it: its index says that the record is still the one that was read. */
function recordOperations(
  shards: Map<number, Map<string, string>>,
  head: Head | undefined,
  { installId, ref, record }: CutContext,
): WriteOperation[] {
  const realm = 'record' as const;
  const operations: WriteOperation[] = [];
  const present = (number: number): Shard => record?.shards.get(number) ?? EMPTY_SHARD;
  if (head !== undefined && !shards.has(0)) {
    const same = record !== undefined && sameRecordHead(record.head, head);
    if (same) {
      const { index } = present(0);
      operations.push({ realm, verb: 'check-index', key: shardKey(installId, ref, 0), index });
    } else shards.set(0, new Map(present(0).names));
  }
  for (const [number, names] of [...shards].sort(([one], [other]) => one - other)) {
    const key = shardKey(installId, ref, number);
    const { index } = present(number);
    const goes = names.size === 0 && (number > 0 || head === undefined);
    if (goes) {
      if (index > 0) operations.push({ realm, verb: 'delete-cas', key, index });
      continue;
    }
    const value = number === 0 && head !== undefined ? encodeHead(head, names) : encodeShard(names);
    operations.push({ realm, verb: 'cas', key, value, flags: 0n, index });
  }
  return operations;
}

function sameRecordHead(one: Head, other: Head): boolean {
  return (
    one.uid === other.uid &&
    one.onDelete === other.onDelete &&
    one.phase === other.phase &&
    one.exclusive === other.exclusive
  );
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

/** Where each changed name is listed: where it is, else in the first shard with room. Strangers have no place. */
function placeNames(record: OwnerRecord | undefined, changes: readonly NameChange[]): Map<string, number> {
  const located = record === undefined ? new Map<string, number>() : locateNames(record);
  const fill = new Map<number, number>();
  for (const number of located.values()) fill.set(number, (fill.get(number) ?? 0) + 1);
  const placed = new Map<string, number>();
  let open = 0;
  for (const { name, to } of changes) {
    const known = located.get(name);
    if (known !== undefined) placed.set(name, known);
    else if (to !== undefined) {
      while ((fill.get(open) ?? 0) >= NAMES_PER_SHARD) open++;
      fill.set(open, (fill.get(open) ?? 0) + 1);
      placed.set(name, open);
    }
  }
  return placed;
}

function fits(operations: readonly WriteOperation[]): boolean {
  if (operations.length > MAX_OPERATIONS) return false;
  let bytes = 0;
  for (const operation of operations) {
    bytes += operationBytes(operation.key, operation.verb === 'cas' ? operation.value.length : 0);
  }
  return bytes <= MAX_BYTES;
}

function operationBytes(key: string, valueBytes: number): number {
  return OPERATION_OVERHEAD + Buffer.byteLength(JSON.stringify(key)) + Math.ceil(valueBytes / 3) * 4;
}

function dataBytes({ name, write }: NameChange, { content }: CutContext): number {
  return operationBytes(name, write.verb === 'put' ? content(name).value.length : 0);
}

/** An upper bound for the shard with all the names it holds or may be given. */
function shardBytes(
  number: number,
  changes: readonly NameChange[],
  places: ReadonlyMap<string, number>,
  record: OwnerRecord | undefined,
): number {
  const names = new Set(record?.shards.get(number)?.names.keys());
  for (const { name } of changes) if (places.get(name) === number) names.add(name);
  let bytes = 400;
  for (const name of names) bytes += Buffer.byteLength(JSON.stringify(name)) + 30;
  return operationBytes('x'.repeat(600), bytes);
}
