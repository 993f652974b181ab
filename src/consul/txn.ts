import { z } from 'zod';
import { badReply, consulError } from './errors.ts';
import { KV_ENTRY, toKvEntry } from './kv-entry.ts';
import { type ConsulReply, parseBody } from './reply.ts';
import type { ConsulRequest, SendRequest } from './request.ts';
import { type CatalogOperation, encodeCatalogOperation } from './txn-catalog.ts';
import { type CallOptions, type KvEntry, type ModifyIndex, parseSessionId, type SessionId } from './types.ts';

/** `maxTxnOps` in `agent/txn_endpoint.go`. */
export const MAX_TXN_OPERATIONS = 128;

/** Of the body, base64 included. Consul takes 524,288 (`limits.txn_max_req_len`); the rest is room for lower settings. */
export const MAX_TXN_BYTES = 500_000;

/** What a transaction may carry: every operation that changes a key says what it believes to stand there. */
export type KvOperation =
  | { readonly verb: 'check-session'; readonly key: string; readonly session: SessionId }
  | {
      readonly verb: 'cas';
      readonly key: string;
      readonly value: Buffer;
      readonly flags: bigint;
      readonly index: ModifyIndex;
    }
  | {
      /**
       * Takes the lock, or keeps it, or gives it up without a lock-delay; and writes value and flags. Put `check-index`
       * or `check-not-exists` first when what is written follows from what stood there. What a refusal means is told by
       * `classifyLockRefusal`.
       */
      readonly verb: 'lock' | 'unlock';
      readonly key: string;
      readonly session: SessionId;
      readonly value: Buffer;
      readonly flags: bigint;
    }
  | { readonly verb: 'delete-cas' | 'check-index'; readonly key: string; readonly index: ModifyIndex }
  | { readonly verb: 'check-not-exists' | 'get' | 'get-or-empty'; readonly key: string };

export type TxnOperation = KvOperation | CatalogOperation;

/** One entry of `Errors`: all that failed are listed, not only the first. `classifyTxnError` says what it means. */
export interface TxnOperationError {
  readonly opIndex: number;
  readonly what: string;
}

/** What a transaction tells of a key. Consul sends no value back for what was written. */
export type WrittenEntry = Omit<KvEntry, 'value'>;

/** What a transaction tells of a row of the catalog. A service is named without its node. */
export interface WrittenRow {
  readonly table: 'node' | 'service' | 'check';
  /** Empty for a service. */
  readonly node: string;
  readonly id: string;
  readonly modifyIndex: ModifyIndex;
}

/** All or nothing. A refusal (409) is a value: what it means is for the caller to decide. */
export type TxnOutcome =
  | {
      readonly applied: true;
      /** What stands there now, in the order of the operations; deletes and `check-not-exists` have no entry. */
      readonly entries: readonly WrittenEntry[];
      /** The same of the catalog; a check whose service is absent was not written, and has none. */
      readonly rows: readonly WrittenRow[];
      /** The highest ModifyIndex among them, 0 without any. */
      readonly index: number;
    }
  | { readonly applied: false; readonly errors: readonly TxnOperationError[] };

/** https://developer.hashicorp.com/consul/api-docs/txn */
export interface TxnWrites {
  /**
   * Carries out all operations or none.
   * @param fragments from `encodeOperation`, at most `MAX_TXN_OPERATIONS` and `MAX_TXN_BYTES` of them.
   * @throws TerminalError `CONSUL_TOO_LARGE`, `CONSUL_BAD_REQUEST`: not applied.
   * @throws RetryableError with `outcomeUnknown` when it may have been applied: read `consistent` before writing again.
   */
  submit(fragments: readonly string[], options: CallOptions): Promise<TxnOutcome>;
}

export function createTxnWrites(send: SendRequest): TxnWrites {
  return {
    submit: async (fragments, options) => {
      const parse = (reply: ConsulReply): TxnOutcome => parseOutcome(reply, fragments.length);
      return await send(txnRequest(fragments, { writes: true, parse }), options);
    },
  };
}

/**
 * What reads and writes by transaction have in common.
 * @throws TerminalError `CONSUL_TOO_LARGE` before Consul would, who hangs up in the middle of too long a body.
 */
export function txnRequest<T>(
  fragments: readonly string[],
  request: Pick<ConsulRequest<T>, 'writes' | 'query' | 'parse'>,
): ConsulRequest<T> {
  const body = `[${fragments.join(',')}]`;
  const bytes = Buffer.byteLength(body);
  if (fragments.length > MAX_TXN_OPERATIONS || bytes > MAX_TXN_BYTES) {
    throw consulError(
      'CONSUL_TOO_LARGE',
      `a transaction has ${fragments.length} operations and ${bytes} bytes`,
    );
  }
  return {
    ...request,
    method: 'PUT',
    template: '/v1/txn',
    path: '/v1/txn',
    body,
    confidential: true,
    answers: [200, 409],
  };
}

/**
 * One operation as JSON, so that its size is known before it joins a transaction. Flags are written as digits: they
 * are 64-bit, and a JavaScript number is not.
 *
 * @throws TypeError for what must never be sent: an empty session, which would pass while nobody holds the lock, an
 * index that would drop out of the JSON and read as 0, a key that JSON cannot carry.
 */
export function encodeOperation(operation: TxnOperation): string {
  if (!('key' in operation)) return encodeCatalogOperation(operation);
  const { verb, key } = operation;
  if (!key.isWellFormed() || key === '') throw new TypeError('a key that JSON cannot carry');
  return `{"KV":{"Verb":"${verb}","Key":${JSON.stringify(key)}${details(operation)}}}`;
}

/** Bytes of `encodeOperation(operation)`, without writing its value. @throws TypeError as that does. */
export function encodedBytes(operation: TxnOperation): number {
  if (!('value' in operation)) return Buffer.byteLength(encodeOperation(operation));
  const bare = encodeOperation({ ...operation, value: NO_VALUE });
  return Buffer.byteLength(bare) + Math.ceil(operation.value.length / 3) * 4;
}

const NO_VALUE = Buffer.alloc(0);

function details(operation: KvOperation): string {
  switch (operation.verb) {
    case 'check-session':
      return session(operation);
    case 'lock':
    case 'unlock':
      return content(operation) + session(operation);
    case 'cas':
      return content(operation) + index(operation);
    case 'delete-cas':
    case 'check-index':
      return index(operation);
    case 'check-not-exists':
    case 'get':
    case 'get-or-empty':
      break;
  }
  return '';
}

function session(operation: { readonly session: SessionId }): string {
  return `,"Session":"${parseSessionId(operation.session)}"`;
}

function content({ value, flags }: { readonly value: Buffer; readonly flags: bigint }): string {
  return `,"Value":"${value.toString('base64')}","Flags":${uint64(flags)}`;
}

function index(operation: { readonly index: ModifyIndex }): string {
  if (!Number.isSafeInteger(operation.index) || operation.index < 0) throw new TypeError('not a ModifyIndex');
  return `,"Index":${operation.index}`;
}

function uint64(flags: bigint): string {
  if (BigInt.asUintN(64, flags) !== flags) throw new TypeError('flags are not 64-bit');
  return flags.toString();
}

const MODIFY_INDEX = z.int().positive();

/** Each has one of the four. Of rows of the catalog no more than what a receipt says is read. */
const RESULT = z.object({
  KV: KV_ENTRY.optional(),
  Node: z.object({ Node: z.string().min(1), ModifyIndex: MODIFY_INDEX }).optional(),
  Service: z.object({ ID: z.string().min(1), ModifyIndex: MODIFY_INDEX }).optional(),
  Check: z
    .object({ Node: z.string().min(1), CheckID: z.string().min(1), ModifyIndex: MODIFY_INDEX })
    .optional(),
});

const RESULTS = z.object({ Results: z.array(RESULT), Errors: z.null() });

const ERRORS = z.object({
  Errors: z.array(z.object({ OpIndex: z.int().nonnegative(), What: z.string() })).nonempty(),
});

type ParsedOutcome =
  | {
      readonly applied: true;
      readonly entries: readonly KvEntry[];
      readonly rows: readonly WrittenRow[];
      readonly index: number;
    }
  | Extract<TxnOutcome, { applied: false }>;

/** @param operations how many were sent: an error that speaks of another is none of Consul's. */
export function parseOutcome(reply: ConsulReply, operations: number): ParsedOutcome {
  if (reply.status === 409) {
    const errors = parseBody(ERRORS, reply).Errors.map(({ OpIndex, What }) => ({
      opIndex: OpIndex,
      what: What,
    }));
    if (errors.some(({ opIndex }) => opIndex >= operations))
      throw badReply(reply.site, 'an operation that was not sent');
    return { applied: false, errors };
  }
  const entries: KvEntry[] = [];
  const rows: WrittenRow[] = [];
  for (const result of parseBody(RESULTS, reply).Results) {
    if (result.KV === undefined) rows.push(toRow(result, reply));
    else entries.push(toKvEntry(result.KV, reply));
  }
  const index = Math.max(0, ...[...entries, ...rows].map(({ modifyIndex }) => modifyIndex));
  return { applied: true, entries, rows, index };
}

function toRow({ Node, Service, Check }: z.infer<typeof RESULT>, reply: ConsulReply): WrittenRow {
  if (Service !== undefined)
    return { table: 'service', node: '', id: Service.ID, modifyIndex: Service.ModifyIndex as ModifyIndex };
  if (Check !== undefined) {
    const { Node: node, CheckID: id, ModifyIndex: modifyIndex } = Check;
    return { table: 'check', node, id, modifyIndex: modifyIndex as ModifyIndex };
  }
  if (Node === undefined) throw badReply(reply.site, 'a result of another kind');
  return { table: 'node', node: Node.Node, id: Node.Node, modifyIndex: Node.ModifyIndex as ModifyIndex };
}
