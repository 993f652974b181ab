import { type KvEntry, type ModifyIndex, NOT_THERE } from '../consul/types.ts';
import { parseInstanceName } from '../core/instance-names.ts';
import { parseClaimName, readClaimState } from '../core/intention-claims.ts';
import { parseJson } from '../core/json.ts';
import { keyProblem, prefixProblem } from '../core/keys.ts';
import { isDefaultSlotKey } from '../core/lease-keys.ts';
import type { ResourceRef } from '../core/resource.ts';

/**
 * Owner records: what a resource owns in Consul, kept in Consul, so that status may be lost without harm and a
 * crash between any two writes leaves enough to go on from.
 *
 * ```
 * proconsul/<install>/owners/<kind>/<namespace>/<name>      head: who, and the first 40 names
 * proconsul/<install>/owners/<kind>/<namespace>/<name>/<n>  shard n ≥ 1: 40 more names each
 * ```
 *
 * A name maps to the fingerprint of what was last written there; the empty fingerprint means claimed and not yet
 * written. An operation on a key travels with the compare-and-set of the shard that lists it; what no transaction can
 * carry is announced there first (`core/intention-claims.ts`, `core/instance-names.ts`).
 */
export interface OwnerRecord {
  readonly ref: ResourceRef;
  readonly head: Head;
  /** By number; 0 lives in the head's key. */
  readonly shards: ReadonlyMap<number, Shard>;
}

export interface Head {
  readonly uid: string;
  readonly generation: number;
  readonly epoch: number;
  readonly onDelete: 'Delete' | 'Retain';
  /** `claiming` while a change that needs several transactions is under way. */
  readonly phase: 'claiming' | 'settled';
  /** The prefix below which strangers are removed. */
  readonly exclusive?: string;
  /** Strangers stood there when the prefix was claimed, and are still being removed: no drift, whatever its policy. */
  readonly clearing?: true;
  /** Of a lease: what outlives its keys. */
  readonly lease?: LeaseHistory;
}

export interface LeaseHistory {
  /** The highest fencing token ever granted, in digits. */
  readonly token: string;
  /** How often a slot that had been granted was granted anew. */
  readonly transitions: number;
  /** Key of the label that Pods may carry on its behalf: no other is put on one before the record says so. */
  readonly label?: string;
}

/** Whether both say the same. Generation, epoch and the history of a lease ride along with a change; they are never the cause of one. */
export function isSameHead(one: Head, other: Head): boolean {
  return (
    one.uid === other.uid &&
    one.onDelete === other.onDelete &&
    one.phase === other.phase &&
    one.exclusive === other.exclusive &&
    one.clearing === other.clearing
  );
}

export interface Shard {
  /** ModifyIndex of the key that holds it; 0 = the key does not exist. */
  readonly index: ModifyIndex;
  readonly names: ReadonlyMap<string, string>;
}

/** Fingerprint of a name that is claimed and not yet written. */
export const UNWRITTEN = '';

export const NAMES_PER_SHARD = 40;

export const EMPTY_SHARD: Shard = { index: NOT_THERE, names: new Map() };

export function ownersPrefix(installId: string): string {
  return `proconsul/${installId}/owners/`;
}

export function shardKey(installId: string, ref: ResourceRef, number: number): string {
  const head = `${ownersPrefix(installId)}${ref.kind}/${ref.namespace}/${ref.name}`;
  return number === 0 ? head : `${head}/${number}`;
}

export function encodeHead(head: Head, names: ReadonlyMap<string, string>): Buffer {
  return Buffer.from(JSON.stringify({ ...head, names: toEntries(names) }));
}

export function encodeShard(names: ReadonlyMap<string, string>): Buffer {
  return Buffer.from(JSON.stringify({ names: toEntries(names) }));
}

/** The kinds whose names are no keys, with what reads one. */
const NAMES: Readonly<Record<string, (name: string) => unknown>> = {
  ConsulIntention: parseClaimName,
  ConsulService: parseInstanceName,
};

/** Whether the names in its record are keys of the key/value store, and not of another part of Consul (`NAMES`). */
export function ownsKeys({ kind }: Pick<ResourceRef, 'kind'>): boolean {
  return !Object.hasOwn(NAMES, kind);
}

/** Whether what a record says of a name is more than that it is claimed: claims are marked alike in every kind. */
export function isWritten(recorded: string): boolean {
  return readClaimState(recorded).kind !== 'claimed';
}

/** Which shard lists each name. */
export function locateNames(record: OwnerRecord): Map<string, number> {
  const located = new Map<string, number>();
  for (const [number, { names }] of record.shards) for (const name of names.keys()) located.set(name, number);
  return located;
}

/** Every name the record lists, with its fingerprint. */
export function listedNames(record: OwnerRecord): Map<string, string> {
  const listed = new Map<string, string>();
  for (const { names } of record.shards.values()) {
    for (const [name, fingerprint] of names) listed.set(name, fingerprint);
  }
  return listed;
}

/**
 * The records in what a recursive read below `ownersPrefix` returned. Never throws: an entry that is no record of
 * ours is skipped, and a damaged one keeps its index and lists nothing, so that it can be written over and what it
 * listed falls to the adoption rules instead of being deleted.
 */
export function decodeRecords(installId: string, entries: readonly KvEntry[]): OwnerRecord[] {
  const prefix = ownersPrefix(installId);
  const found = new Map<string, { ref: ResourceRef; head: Head; shards: Map<number, Shard> }>();
  for (const entry of entries) {
    if (!entry.key.startsWith(prefix)) continue;
    const [kind, namespace, name, shard, ...rest] = entry.key.slice(prefix.length).split('/');
    if (!kind || !namespace || !name || rest.length > 0) continue;
    if (shard !== undefined && !SHARD_NUMBER.test(shard)) continue;
    const number = Number(shard ?? 0);
    const id = `${kind}/${namespace}/${name}`;
    const record = found.get(id) ?? { ref: { kind, namespace, name }, head: DAMAGED_HEAD, shards: new Map() };
    found.set(id, record);
    const body = parseBody(entry.value);
    if (number === 0) record.head = readHead(body);
    const isName = (name: string): boolean => isNameOf(record.ref, name, installId);
    record.shards.set(number, { index: entry.modifyIndex, names: readNames(body, isName) });
  }
  return [...found.values()];
}

/** Whether a resource of this kind can own what the name says: an instance, a claim on an intention, or a key. */
function isNameOf(ref: ResourceRef, name: string, installId: string): boolean {
  if (ownsKeys(ref)) return keyProblem(name) === undefined || isDefaultSlotKey(installId, ref, name);
  return NAMES[ref.kind]?.(name) !== undefined;
}

/** As `shardKey` writes it: any other spelling is another key. */
const SHARD_NUMBER = /^[1-9][0-9]{0,8}$/;

/** A head that cannot be read, or shards whose head is gone: nothing in Consul may be deleted on its word. */
const DAMAGED_HEAD: Head = { uid: '', generation: 0, epoch: 0, onDelete: 'Retain', phase: 'claiming' };

type Body = Readonly<Record<string, unknown>>;

function parseBody(value: Buffer): Body {
  try {
    const body = parseJson(value.toString());
    return typeof body === 'object' && body !== null ? (body as Body) : {};
  } catch {
    return {};
  }
}

function readHead(body: Body): Head {
  const { uid, generation, epoch, onDelete, phase, exclusive, clearing } = body;
  const lease = readLease(body);
  if (typeof uid !== 'string' || (onDelete !== 'Delete' && onDelete !== 'Retain')) return DAMAGED_HEAD;
  return {
    uid,
    generation: typeof generation === 'number' ? generation : 0,
    epoch: typeof epoch === 'number' ? epoch : 0,
    onDelete,
    phase: phase === 'settled' ? 'settled' : 'claiming',
    ...(typeof exclusive === 'string' && prefixProblem(exclusive) === undefined ? { exclusive } : {}),
    ...(clearing === true ? { clearing } : {}),
    ...(lease === undefined ? {} : { lease }),
  };
}

function readLease({ lease }: Body): LeaseHistory | undefined {
  if (typeof lease !== 'object' || lease === null) return undefined;
  const { token, transitions, label } = lease as Body;
  if (typeof token !== 'string' || !TOKEN.test(token)) return undefined;
  const isCount = Number.isSafeInteger(transitions) && (transitions as number) >= 0;
  return {
    token,
    transitions: isCount ? (transitions as number) : 0,
    ...(typeof label === 'string' && label !== '' && label.length <= MAX_LABEL_CHARS ? { label } : {}),
  };
}

/** A prefix, `/` and a name. */
const MAX_LABEL_CHARS = 253 + 1 + 63;
const TOKEN = /^[0-9]{1,19}$/;

/** Names that could not have been written are left out: nothing can be done about one, not even read it. */
function readNames({ names }: Body, isName: (name: string) => boolean): Map<string, string> {
  const read = new Map<string, string>();
  if (typeof names !== 'object' || names === null) return read;
  for (const [name, fingerprint] of Object.entries(names)) {
    if (typeof fingerprint === 'string' && isName(name)) read.set(name, fingerprint);
  }
  return read;
}

/** `Object.fromEntries` defines own properties, so a name such as `__proto__` stays a name. */
function toEntries(names: ReadonlyMap<string, string>): Record<string, string> {
  return Object.fromEntries(names);
}
