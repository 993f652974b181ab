import { NAMES_PER_SHARD, type OwnerRecord } from './record.ts';

/** Names in one shard have at most so many bytes, so that it fits beside the largest value. */
const MAX_SHARD_BYTES = 20_000;
/** Quotes, colon, comma and fingerprint around a name in a shard. */
const NAME_OVERHEAD = 30;

/** What becomes of one name in a record. `to`: the fingerprint to list it with; undefined takes the name out. */
export interface RecordEdit {
  readonly name: string;
  readonly to: string | undefined;
}

/** The names of some shards of a record, by number, as they will stand. */
export type ShardNames = ReadonlyMap<number, ReadonlyMap<string, string>>;

/** Where each changed name is listed: where it is, else in the first shard with room. Strangers have no place. */
export function placeNames(
  listed: ReadonlyMap<string, number>,
  changes: readonly RecordEdit[],
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

export function namesIn(record: OwnerRecord | undefined, number: number): Map<string, string> {
  return new Map(record?.shards.get(number)?.names);
}

/** The names of every touched shard as they will stand. */
export function editShards(
  changes: readonly RecordEdit[],
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

export function allEmptied(record: OwnerRecord | undefined): Map<number, Map<string, string>> {
  return new Map([...(record?.shards.keys() ?? [])].map(number => [number, new Map()]));
}
