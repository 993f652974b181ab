import { badReply, classifyTxnError, consulError, denied, isConsulError } from './errors.ts';
import { answerAt, type ConsulReply } from './reply.ts';
import { consistencyOf, type SendRequest } from './request.ts';
import { encodeOperation, MAX_TXN_BYTES, MAX_TXN_OPERATIONS, parseOutcome, txnRequest } from './txn.ts';
import type { Answer, KvEntry, ReadOptions } from './types.ts';

export type KeyedEntries = ReadonlyMap<string, KvEntry | undefined>;

export interface TxnReads {
  /**
   * Reads exactly these keys, whatever they look like: an entry for each, `undefined` where nothing stands. Up to 128
   * keys are one snapshot; more are read in several requests, each with its own deadline.
   *
   * `index` is the highest ModifyIndex seen. `filteredByAcl` is never set: what the token may not read is an error.
   *
   * @throws RetryableError `CONSUL_DENIED` when the token may not read one of them.
   */
  readKeys(keys: readonly string[], options: ReadKeysOptions): Promise<Answer<KeyedEntries>>;
}

/** Transactions do not block: `index` and `wait` are ignored by `/v1/txn`. */
export type ReadKeysOptions = Omit<ReadOptions, 'block'>;

/** Half of the ordinary connections, so that a sweep never holds up writes. */
const PARALLEL_BATCHES = 4;

export function createTxnReads(send: SendRequest): TxnReads {
  return {
    readKeys: async (keys, options) => {
      const batches = batchesOf(keys);
      const answers: Answer<KeyedEntries>[] = [];
      for (let at = 0; at < batches.length; at += PARALLEL_BATCHES) {
        const group = batches.slice(at, at + PARALLEL_BATCHES);
        answers.push(...(await Promise.all(group.map(batch => readBatch(batch, send, options)))));
      }
      return merge(answers);
    },
  };
}

interface Batch {
  readonly keys: readonly string[];
  readonly fragments: readonly string[];
}

function batchesOf(keys: readonly string[]): readonly Batch[] {
  const batches: { keys: string[]; fragments: string[] }[] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const key of new Set(keys)) {
    const fragment = encodeOperation({ verb: 'get-or-empty', key });
    bytes += Buffer.byteLength(fragment) + 1;
    let batch = batches.at(-1);
    if (batch === undefined || bytes > MAX_TXN_BYTES || batch.keys.length === MAX_TXN_OPERATIONS) {
      batch = { keys: [], fragments: [] };
      batches.push(batch);
      bytes = Buffer.byteLength(fragment) + 2;
    }
    batch.keys.push(key);
    batch.fragments.push(fragment);
  }
  return batches;
}

/** Many large values can be over what is read at once: then in halves. */
async function readBatch(
  batch: Batch,
  send: SendRequest,
  options: ReadKeysOptions,
): Promise<Answer<KeyedEntries>> {
  const parse = (reply: ConsulReply): Answer<KeyedEntries> => parseBatch(batch.keys, reply);
  try {
    return await send(
      txnRequest(batch.fragments, { writes: false, query: consistencyOf(options), parse }),
      options,
    );
  } catch (error) {
    if (!isConsulError(error) || error.code !== 'CONSUL_REPLY_TOO_LARGE' || batch.keys.length === 1)
      throw error;
    const middle = batch.keys.length >> 1;
    return merge([
      await readBatch(part(batch, 0, middle), send, options),
      await readBatch(part(batch, middle, batch.keys.length), send, options),
    ]);
  }
}

function part(batch: Batch, from: number, to: number): Batch {
  return { keys: batch.keys.slice(from, to), fragments: batch.fragments.slice(from, to) };
}

/**
 * Consul leaves out what the token may not read, says nothing about it to an anonymous client, and answers 200. But
 * each `get-or-empty` that it does carry out has a result, with index 0 where nothing stands. So one that is missing
 * was denied.
 */
function parseBatch(keys: readonly string[], reply: ConsulReply): Answer<KeyedEntries> {
  const outcome = parseOutcome(reply, keys.length);
  if (!outcome.applied) throw refusedRead(outcome.errors, reply);
  const found = new Map(
    outcome.entries.map(entry => [entry.key, entry.modifyIndex === 0 ? undefined : entry]),
  );
  const hidden = keys.find(key => !found.has(key));
  if (hidden !== undefined)
    throw denied(reply.site, `the token lacks 'key:read' on ${JSON.stringify(hidden)}`);
  if (found.size > keys.length) throw badReply(reply.site, 'entries that were not asked for');
  return { ...answerAt(outcome.index, found, reply), filteredByAcl: false };
}

function refusedRead(errors: readonly { opIndex: number; what: string }[], { site }: ConsulReply): Error {
  const denial = errors.find(error => classifyTxnError(error) === 'denied');
  return denial === undefined
    ? consulError('CONSUL_SERVER_ERROR', `${site.operation} failed as a read`)
    : denied(site, denial.what);
}

function merge(answers: readonly Answer<KeyedEntries>[]): Answer<KeyedEntries> {
  return {
    value: new Map(answers.flatMap(answer => [...answer.value])),
    index: Math.max(0, ...answers.map(answer => answer.index)),
    filteredByAcl: false,
    knownLeader: answers.every(answer => answer.knownLeader),
    elapsedMs: Math.max(0, ...answers.map(answer => answer.elapsedMs)),
  };
}
