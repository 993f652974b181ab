import type { WriteOperation } from '../../commit/operations.ts';
import type { ResourceRef } from '../../core/resource.ts';
import {
  EMPTY_SHARD,
  encodeHead,
  type Head,
  listedNames,
  type OwnerRecord,
  shardKey,
} from '../../ownership/record.ts';
import type { RecordDraft } from '../../ownership/record-draft.ts';
import type { LeaseRecord } from './steps.ts';

/** What each write of a head tells beside what it is about. */
export interface Stamp {
  readonly generation: number;
  readonly epoch: number;
}

/** As the planner sees it. */
export function leaseRecordOf(record: OwnerRecord | undefined): LeaseRecord | undefined {
  return record && { head: record.head, names: listedNames(record) };
}

/** All names of a lease fit into the head's shard; others, which only somebody else can have made, are removed. */
export function recordWrite(
  installId: string,
  {
    ref,
    present,
    next,
    stamp,
  }: {
    readonly ref: ResourceRef;
    readonly present: OwnerRecord | undefined;
    readonly next: LeaseRecord | undefined;
    readonly stamp: Stamp;
  },
): Omit<RecordDraft, 'claim'> {
  const realm = 'record' as const;
  const shards = [...(present?.shards ?? [])].filter(([number]) => number > 0 || next === undefined);
  const removals = shards.map(([number, { index }]): WriteOperation => {
    return { realm, verb: 'delete-cas', key: shardKey(installId, ref, number), index };
  });
  if (next === undefined) return { operations: removals, after: () => undefined };
  const { uid, onDelete, lease } = next.head;
  const head: Head = { uid, ...stamp, onDelete, phase: 'settled', ...(lease === undefined ? {} : { lease }) };
  const key = shardKey(installId, ref, 0);
  const { index } = headShard(present);
  const value = encodeHead(head, next.names);
  return {
    operations: [{ realm, verb: 'cas', key, value, flags: 0n, index }, ...removals],
    after: indexOf => ({ ref, head, shards: new Map([[0, { index: indexOf(key), names: next.names }]]) }),
  };
}

function headShard(present: OwnerRecord | undefined) {
  return present?.shards.get(0) ?? EMPTY_SHARD;
}
