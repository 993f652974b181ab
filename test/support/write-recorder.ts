import type { RecordedRequest } from './fault-rules.ts';
import { isReadOnlyTransaction, isTransaction } from './traffic.ts';

/** One operation on a key, as it was sent. */
interface WireOperation {
  readonly Verb: string;
  readonly Key: string;
  readonly Session?: string;
  readonly Value?: string | null;
}

/** A transaction that changes keys, as the proxy before Consul saw it. */
export interface WrittenTransaction {
  readonly request: RecordedRequest;
  /** Of the check that comes first; undefined: there is none. */
  readonly session: string | undefined;
  /** Keys that it writes, the lock's apart. */
  readonly keys: readonly string[];
  /** Epochs of the owner records that it writes. */
  readonly epochs: readonly number[];
  /** The session that it takes the lock for. */
  readonly acquires: string | undefined;
  readonly outcome: 'committed' | 'refused' | 'unknown';
  /** Raft index of its commit. Undefined too when it only deletes: then Consul does not tell. */
  readonly index: number | undefined;
}

const CHANGING = /^(set|cas|lock|unlock|delete.*)$/;

/** Every writing transaction among the requests, in the order of their arrival. */
export function writtenTransactions(
  requests: readonly RecordedRequest[],
  lockKey: string,
): WrittenTransaction[] {
  return requests
    .filter(request => isTransaction(request) && !isReadOnlyTransaction(request))
    .map(request => read(request, lockKey));
}

/** What each session of a tenure wrote is told by its check, which has to come first. */
function read(request: RecordedRequest, lockKey: string): WrittenTransaction {
  const operations = (JSON.parse(request.body) as { KV: WireOperation }[]).map(({ KV }) => KV);
  const [first] = operations;
  const writes = operations.filter(({ Verb }) => CHANGING.test(Verb));
  const isFenced = first?.Verb === 'check-session' && first.Key === lockKey;
  return {
    request,
    session: isFenced ? first.Session : undefined,
    keys: writes.map(({ Key }) => Key).filter(key => key !== lockKey),
    epochs: writes.flatMap(epochOf),
    acquires: writes.find(({ Verb, Key }) => Verb === 'lock' && Key === lockKey)?.Session,
    outcome: outcomeOf(request),
    index: indexOf(request, new Set(writes.map(({ Key }) => Key)), lockKey),
  };
}

function epochOf({ Key, Value }: WireOperation): number[] {
  if (!/^proconsul\/[^/]+\/owners\//.test(Key) || !Value) return [];
  const { epoch } = JSON.parse(Buffer.from(Value, 'base64').toString()) as { epoch?: number };
  return epoch === undefined ? [] : [epoch];
}

function outcomeOf({ upstreamStatus }: RecordedRequest): WrittenTransaction['outcome'] {
  if (upstreamStatus === 200) return 'committed';
  return upstreamStatus === 409 ? 'refused' : 'unknown';
}

function indexOf(
  { reply, upstreamStatus }: RecordedRequest,
  written: ReadonlySet<string>,
  lockKey: string,
): number | undefined {
  if (upstreamStatus !== 200 || !reply) return undefined;
  const { Results } = JSON.parse(reply) as {
    Results: { KV?: { Key: string; ModifyIndex: number } }[] | null;
  };
  const isLock = written.size === 1 && written.has(lockKey);
  const indexes = (Results ?? [])
    .flatMap(({ KV }) => (KV !== undefined && written.has(KV.Key) ? [KV] : []))
    .filter(({ Key }) => isLock || Key !== lockKey)
    .map(({ ModifyIndex }) => ModifyIndex);
  return indexes.length === 0 ? undefined : Math.max(...indexes);
}
