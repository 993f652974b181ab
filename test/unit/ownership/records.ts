import type { KvEntry, ModifyIndex } from '../../../src/consul/types.ts';
import type { ResourceRef } from '../../../src/core/resource.ts';
import type { Head, OwnerRecord } from '../../../src/ownership/record.ts';

export const HEAD: Head = { uid: 'u-1', generation: 3, epoch: 2, onDelete: 'Delete', phase: 'settled' };

export const ref = (name: string): ResourceRef => ({ kind: 'ConsulKV', namespace: 'shop', name });

/** A record of one shard; names by fingerprint, or as a list of written ones. */
export function aRecord(
  name: string,
  names: readonly string[] | Readonly<Record<string, string>> = [],
  head: Partial<Head> = {},
  at = 7,
): OwnerRecord {
  const entries = Array.isArray(names) ? names.map(each => [each, 'fp'] as const) : Object.entries(names);
  return {
    ref: ref(name),
    head: { ...HEAD, ...head },
    shards: new Map([[0, { index: at as ModifyIndex, names: new Map(entries as [string, string][]) }]]),
  };
}

export function anEntry(key: string, value: string | Buffer, modifyIndex = 7): KvEntry {
  return {
    key,
    value: Buffer.from(value),
    flags: 0n,
    createIndex: 1,
    modifyIndex: modifyIndex as ModifyIndex,
    lockIndex: 0,
    session: undefined,
  };
}
