import type { RecordedRequest } from './fault-rules.ts';
import { isReadOnlyTransaction, isTransaction } from './traffic.ts';

/** One operation on a key, as it was sent. */
interface WireOperation {
  readonly Verb: string;
  readonly Key: string;
  readonly Session?: string;
  readonly Value?: string | null;
  readonly Index?: number;
}

interface WireResult {
  readonly KV?: { readonly Key: string; readonly ModifyIndex: number; readonly Session?: string };
}

/** A key as it stood at a Raft index. */
export interface KeyVersion {
  readonly key: string;
  readonly index: number;
}

/** A lock that a transaction takes, or keeps. */
export interface TakenLock {
  readonly key: string;
  readonly session: string;
  /** Of the value that it writes. */
  readonly token: bigint;
}

/** A transaction that changes keys, as the proxy before Consul saw it. */
export interface WrittenTransaction {
  readonly request: RecordedRequest;
  /** In whose name it is sent: that of the operation on the leader's lock that comes first. Undefined: there is none. */
  readonly session: string | undefined;
  /** That operation checks the session. */
  readonly isFenced: boolean;
  /** Keys that it changes, the leader's lock apart. */
  readonly keys: readonly string[];
  /** Those of them that it writes, with the value in base64. */
  readonly values: ReadonlyMap<string, string>;
  /** Those of them that it deletes. */
  readonly deletes: readonly string[];
  /** What it believes to stand there, and replaces. */
  readonly replaces: readonly KeyVersion[];
  /** Epochs of the owner records that it writes. */
  readonly epochs: readonly number[];
  /** The leader's lock, too. */
  readonly locks: readonly TakenLock[];
  /** The session that it takes the leader's lock for. */
  readonly acquires: string | undefined;
  readonly outcome: 'committed' | 'refused' | 'unknown';
  /** Raft index of its commit. Undefined too when it only deletes: then Consul does not tell. */
  readonly index: number | undefined;
  /** The leader's lock as Consul found it when it carried this out: whose it was, and since which index. */
  readonly lockThen: { readonly session: string | undefined; readonly index: number } | undefined;
}

const WRITING = /^(set|cas|lock|unlock)$/;
const DELETING = /^delete/;
const REPLACING = /^(cas|delete-cas)$/;

/** Reads the writing transactions among requests, each once: a test asks for all of them again and again. */
export class WriteRecorder {
  readonly #lockKey: string;
  readonly #known = new WeakMap<RecordedRequest, WrittenTransaction | 'no write'>();

  constructor(lockKey: string) {
    this.#lockKey = lockKey;
  }

  /** Every writing transaction among the requests, in their order. */
  transactions(requests: readonly RecordedRequest[]): WrittenTransaction[] {
    return requests.flatMap(request => this.#read(request) ?? []);
  }

  #read(request: RecordedRequest): WrittenTransaction | undefined {
    const known = this.#known.get(request);
    if (known !== undefined) return known === 'no write' ? undefined : known;
    const isWrite = isTransaction(request) && !isReadOnlyTransaction(request);
    const found = isWrite ? read(request, this.#lockKey) : 'no write';
    // Without an answer there may be one later.
    if (found === 'no write' || request.reply !== undefined) this.#known.set(request, found);
    return found === 'no write' ? undefined : found;
  }
}

/** What each session of a tenure wrote is told by its check, which has to come first. */
function read(request: RecordedRequest, lockKey: string): WrittenTransaction {
  const operations = (JSON.parse(request.body) as { KV: WireOperation }[]).map(({ KV }) => KV);
  const [first] = operations;
  const others = operations.filter(({ Key }) => Key !== lockKey);
  const writes = others.filter(({ Verb }) => WRITING.test(Verb));
  const deletes = others.filter(({ Verb }) => DELETING.test(Verb)).map(({ Key }) => Key);
  const locks = operations.flatMap(lockOf);
  return {
    request,
    session: first?.Key === lockKey ? first.Session : undefined,
    isFenced: first?.Verb === 'check-session',
    keys: [...writes.map(({ Key }) => Key), ...deletes],
    values: new Map(writes.map(({ Key, Value }) => [Key, Value ?? ''])),
    deletes,
    replaces: others.flatMap(replacedBy),
    epochs: writes.flatMap(epochOf),
    locks,
    acquires: locks.find(({ key }) => key === lockKey)?.session,
    outcome: outcomeOf(request),
    ...answerOf(request, new Set(writes.length > 0 ? writes.map(({ Key }) => Key) : [lockKey]), {
      lockKey,
      isDeletion: writes.length === 0 && deletes.length > 0,
    }),
  };
}

function lockOf({ Verb, Key, Session, Value }: WireOperation): TakenLock[] {
  if (Verb !== 'lock' || Session === undefined) return [];
  return [{ key: Key, session: Session, token: tokenOf(Value ?? '') ?? 0n }];
}

/** The fencing token in the value of a lock, in base64; undefined: there is none. */
function tokenOf(value: string): bigint | undefined {
  if (value === '') return undefined;
  const { fencingToken } = JSON.parse(textOf(value)) as { fencingToken?: string };
  return fencingToken === undefined ? undefined : BigInt(fencingToken);
}

function replacedBy({ Verb, Key, Index = 0 }: WireOperation): KeyVersion[] {
  return REPLACING.test(Verb) && Index > 0 ? [{ key: Key, index: Index }] : [];
}

function epochOf({ Key, Value }: WireOperation): number[] {
  if (!/^proconsul\/[^/]+\/owners\//.test(Key) || !Value) return [];
  const { epoch } = JSON.parse(textOf(Value)) as { epoch?: number };
  return epoch === undefined ? [] : [epoch];
}

function textOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

/** Anything but Consul's yes, or its no, may have been carried out. */
function outcomeOf({ upstreamStatus = 0 }: RecordedRequest): WrittenTransaction['outcome'] {
  if (upstreamStatus === 200) return 'committed';
  return upstreamStatus >= 400 && upstreamStatus < 500 ? 'refused' : 'unknown';
}

function answerOf(
  { reply, upstreamStatus }: RecordedRequest,
  written: ReadonlySet<string>,
  { lockKey, isDeletion }: { readonly lockKey: string; readonly isDeletion: boolean },
): Pick<WrittenTransaction, 'index' | 'lockThen'> {
  if (upstreamStatus !== 200 || !reply) return { index: undefined, lockThen: undefined };
  const { Results } = JSON.parse(reply) as { Results: WireResult[] | null };
  const entries = (Results ?? []).flatMap(({ KV }) => KV ?? []);
  // A check of the same key tells how it stood before: the highest is that of the write.
  const indexes = entries.filter(({ Key }) => written.has(Key)).map(({ ModifyIndex }) => ModifyIndex);
  const lock = entries.find(({ Key }) => Key === lockKey);
  return {
    index: isDeletion || indexes.length === 0 ? undefined : Math.max(...indexes),
    lockThen: lock && { session: lock.Session, index: lock.ModifyIndex },
  };
}
