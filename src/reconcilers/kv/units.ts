import { CLAIMS_KEY, type WriteOperation } from '../../commit/operations.ts';
import { MAX_TXN_BYTES, MAX_TXN_OPERATIONS } from '../../consul/txn.ts';
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
 * else, first       [head unchanged, shards without what is only let go of] …
 * then              [head claiming, shards listing the new names] …                    every name is claimed
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

/** One operation is kept for the leader's fence, some bytes for it and the brackets. */
const MAX_OPERATIONS = MAX_TXN_OPERATIONS - 1;
const MAX_BYTES = MAX_TXN_BYTES - 1_000;
/** JSON around key and value in one operation, with room for 20-digit numbers. */
const OPERATION_OVERHEAD = 130;
/** Names in one shard have at most so many bytes, so that it fits beside the largest value. */
const MAX_SHARD_BYTES = 20_000;
/** Quotes, colon, comma and fingerprint around a name in a shard. */
const NAME_OVERHEAD = 30;

/** @returns the whole change, if it fits or must be atomic; else the next part of it. */
export function cutUnit(change: KvChanges, context: CutContext): Cut {
  const draft = drafter(change.changes, context);
  const whole = draft(change);
  return change.atomic || fits(whole.operations) ? whole : chunk(nextPart(change, context.record), draft);
}

/** Some of a change, with the head that belongs to it. */
type Part = Pick<KvChanges, 'changes' | 'head'>;
type Draft = (part: Part) => Cut;

/** The part of a too large change that comes next, itself perhaps too large; see the table above. */
function nextPart({ changes, head }: Part, record: OwnerRecord | undefined): Part {
  if (head === undefined) return { changes, head: record && { ...record.head, phase: 'claiming' } };
  const letGo = changes.filter(({ to, write }) => to === undefined && write.verb === 'none');
  if (record !== undefined && letGo.length > 0) return { changes: letGo, head: record.head };
  const claiming = claimingHead(head, record?.head);
  const listed = record === undefined ? new Map<string, number>() : locateNames(record);
  const unlisted = changes.filter(({ name, to }) => to !== undefined && !listed.has(name));
  if (record === undefined || unlisted.length > 0 || !isSameHead(record.head, claiming)) {
    return { changes: unlisted.map(asClaim), head: claiming };
  }
  const puts = changes.filter(({ to }) => to !== undefined);
  return { changes: puts.length > 0 ? puts : changes, head: record.head };
}

function claimingHead(wanted: Head, present: Head | undefined): Head {
  const isFirstClaim = wanted.exclusive !== undefined && present?.exclusive !== wanted.exclusive;
  const claiming: Head = { ...wanted, phase: 'claiming' };
  return isFirstClaim || present?.clearing === true ? { ...claiming, clearing: true } : claiming;
}

/** The first half of a change: the name is listed, the key is not yet touched. */
function asClaim(change: NameChange): NameChange {
  return { ...change, to: UNWRITTEN, write: { verb: 'none' } };
}

/** As many of the part's changes as one transaction carries, and at least one. */
function chunk({ changes, head }: Part, draft: Draft): Cut {
  let fitting = draft({ changes: changes.slice(0, 1), head });
  let [low, high] = [1, changes.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const tried = draft({ changes: changes.slice(0, middle), head });
    if (fits(tried.operations)) {
      fitting = tried;
      low = middle;
    } else high = middle - 1;
  }
  return fitting;
}

/** Drafts parts of one change: a name keeps its place whatever part it is in. */
function drafter(all: readonly NameChange[], context: CutContext): Draft {
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

function namesIn(record: OwnerRecord | undefined, number: number): Map<string, string> {
  return new Map(record?.shards.get(number)?.names);
}

/** The names of every touched shard as they will stand. */
function editShards(
  changes: readonly NameChange[],
  places: ReadonlyMap<string, number>,
  record: OwnerRecord | undefined,
): Map<number, Map<string, string>> {
  const edited = new Map<number, Map<string, string>>();
  for (const { name, to } of changes) {
    const number = places.get(name);
    if (number === undefined) continue;
    const names = edited.get(number) ?? namesIn(record, number);
    edited.set(number, names);
    if (to === undefined) names.delete(name);
    else names.set(name, to);
  }
  return edited;
}

function allEmptied(record: OwnerRecord | undefined): Map<number, Map<string, string>> {
  return new Map([...(record?.shards.keys() ?? [])].map(number => [number, new Map()]));
}

function recordAfter(
  shards: ReadonlyMap<number, ReadonlyMap<string, string>>,
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
  shards: ReadonlyMap<number, ReadonlyMap<string, string>>,
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

/** Where each changed name is listed: where it is, else in the first shard with room. Strangers have no place. */
function placeNames(
  listed: ReadonlyMap<string, number>,
  changes: readonly NameChange[],
): Map<string, number> {
  const fill = new Map<number, { count: number; bytes: number }>();
  const add = (number: number, name: string): void => {
    const { count, bytes } = fill.get(number) ?? { count: 0, bytes: 0 };
    fill.set(number, { count: count + 1, bytes: bytes + nameBytes(name) });
  };
  const hasRoom = (number: number, name: string): boolean => {
    const { count, bytes } = fill.get(number) ?? { count: 0, bytes: 0 };
    return count < NAMES_PER_SHARD && bytes + nameBytes(name) <= MAX_SHARD_BYTES;
  };
  for (const [name, number] of listed) add(number, name);
  const placed = new Map<string, number>();
  let open = 0;
  for (const { name, to } of changes) {
    const known = listed.get(name);
    if (known !== undefined) placed.set(name, known);
    else if (to !== undefined) {
      while (!hasRoom(open, name)) open++;
      add(open, name);
      placed.set(name, open);
    }
  }
  return placed;
}

function nameBytes(name: string): number {
  return Buffer.byteLength(JSON.stringify(name)) + NAME_OVERHEAD;
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
