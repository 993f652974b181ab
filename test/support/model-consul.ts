import { denied as deniedError } from '../../src/consul/errors.ts';
import type { ConsulClient, ConsulReads } from '../../src/consul/client.ts';
import { parseJson } from '../../src/consul/json.ts';
import { createKv, type KvReads } from '../../src/consul/kv.ts';
import type { ConsulReply } from '../../src/consul/reply.ts';
import type { ConsulRequest, SendRequest } from '../../src/consul/request.ts';
import { createTxnWrites, type TxnWrites } from '../../src/consul/txn.ts';
import { createTxnReads, type TxnReads } from '../../src/consul/txn-read.ts';
import type { CallOptions } from '../../src/consul/types.ts';
import { AbortedError } from '../../src/core/errors.ts';
import { LEADER_LOCK } from './sole-tenure.ts';
import { type ModelAnswer, type ModelEntry, type ModelOperation, ModelStore } from './model-store.ts';

/** A transaction as it reached the model. */
export interface ModelTransaction {
  readonly operations: readonly ModelOperation[];
  readonly bytes: number;
  readonly applied: boolean;
}

const SITE = { address: 'http://consul.model', datacenter: undefined };

/**
 * Consul's KV store and its transactions in memory, behind the real client code: `kv` and `txn` are those of
 * `src/consul`, and this answers their requests as a server of version 1.22 does.
 */
export class ModelConsul {
  readonly store = new ModelStore();
  readonly kv: KvReads;
  readonly txn: TxnReads & TxnWrites;
  /** Those that could write, in order. */
  readonly transactions: ModelTransaction[] = [];
  /** Reads, by method and path. */
  readonly reads: string[] = [];
  /** Prefixes that the token may not read; lists leave them out and say so. */
  readonly hidden = new Set<string>();
  /** Prefixes that the token may read and not write. */
  readonly readOnly = new Set<string>();
  /** Runs before a transaction is carried out; what it throws is thrown to the client, and nothing is written. */
  beforeWrite: (operations: readonly ModelOperation[]) => void | Promise<void> = () => {};
  /** Runs after a transaction was carried out; what it throws is thrown to the client instead of the answer. */
  afterWrite: (transaction: ModelTransaction) => void | Promise<void> = () => {};
  /** Runs after a read was carried out and before its answer is on its way. */
  afterRead: (path: string) => void | Promise<void> = () => {};

  constructor() {
    const send: SendRequest = async (request, options) => request.parse(await this.#answer(request, options));
    this.kv = createKv(send);
    this.txn = { ...createTxnReads(send), ...createTxnWrites(send) };
  }

  /** For code that is handed all reads and uses those of keys. */
  get asReads(): ConsulReads {
    return { kv: this.kv, txn: this.txn } as unknown as ConsulReads;
  }

  /** The same for code that is handed the whole client. */
  get asClient(): ConsulClient {
    return { kv: this.kv, txn: this.txn } as unknown as ConsulClient;
  }

  /** What stands under a prefix, by key: as text. The lock of a tenure apart. */
  texts(prefix = ''): Record<string, string> {
    const entries = this.store.under(prefix).filter(({ key }) => key !== LEADER_LOCK);
    return Object.fromEntries(entries.map(({ key, value }) => [key, value.toString()]));
  }

  async #answer<T>(request: ConsulRequest<T>, options: CallOptions): Promise<ConsulReply> {
    if (options.signal.aborted) throw new AbortedError('the call was aborted');
    options.beforeSend?.();
    if (request.template === '/v1/txn') return await this.#transact(request);
    const { pathname } = new URL(request.path, SITE.address);
    this.reads.push(pathname);
    const key = decodeURIComponent(pathname.slice('/v1/kv/'.length));
    const isList = request.query?.['recurse'] !== undefined || request.query?.['keys'] !== undefined;
    if (request.block !== undefined)
      await this.store.moved(isList ? { prefix: key } : { key }, request.block.index, options.signal);
    if (options.signal.aborted) throw new AbortedError('the call was aborted');
    const reply = isList ? this.#list(key, request) : this.#get(key, request);
    await this.afterRead(pathname);
    return reply;
  }

  #get<T>(key: string, request: ConsulRequest<T>): ConsulReply {
    if (this.#hides(key)) throw deniedError(this.#site(request), `lacks permission 'key:read' on ${key}`);
    const entry = this.store.get(key);
    const body = entry === undefined ? '' : `[${wireEntry(entry)}]`;
    return this.#reply(request, entry === undefined ? 404 : 200, body, this.store.indexOf({ key }));
  }

  #list<T>(prefix: string, request: ConsulRequest<T>): ConsulReply {
    const all = this.store.under(prefix);
    const shown = all.filter(({ key }) => !this.#hides(key));
    const separator = request.query?.['separator'];
    const names = shown.map(({ key }) => folded(key, prefix, separator));
    const body =
      request.query?.['keys'] === undefined
        ? `[${shown.map(entry => wireEntry(entry)).join(',')}]`
        : JSON.stringify([...new Set(names)]);
    const index = this.store.indexOf({ prefix });
    return this.#reply(request, shown.length === 0 ? 404 : 200, body, index, shown.length < all.length);
  }

  async #transact<T>(request: ConsulRequest<T>): Promise<ConsulReply> {
    const body = String(request.body);
    const operations = (parseJson(body) as { KV: ModelOperation }[]).map(({ KV }) => KV);
    if (!request.writes) {
      this.reads.push(request.path);
      const visible = operations.filter(({ Key }) => !this.#hides(Key));
      const reply = this.#outcome(request, this.store.look(visible));
      await this.afterRead(request.path);
      return reply;
    }
    await this.beforeWrite(operations);
    const denials = operations.flatMap((operation, index) => this.#denial(operation, index));
    const answer = denials.length > 0 ? { errors: denials, results: [] } : this.store.transact(operations);
    const transaction = { operations, bytes: Buffer.byteLength(body), applied: answer.errors.length === 0 };
    this.transactions.push(transaction);
    const reply = this.#outcome(request, answer);
    await this.afterWrite(transaction);
    return reply;
  }

  #denial({ Verb, Key }: ModelOperation, index: number): { OpIndex: number; What: string }[] {
    const isCheck = Verb.startsWith('check-');
    const may = isCheck ? !this.#hides(Key) : !this.#hides(Key) && !startsWithAny(Key, this.readOnly);
    const right = isCheck ? 'key:read' : 'key:write';
    const What = `Permission denied: token with AccessorID 'x' lacks permission '${right}' on "${Key}"`;
    return may ? [] : [{ OpIndex: index, What }];
  }

  #outcome<T>(request: ConsulRequest<T>, { errors, results }: ModelAnswer): ConsulReply {
    const refused = errors.length > 0;
    const body = refused
      ? `{"Results":null,"Errors":${JSON.stringify(errors)}}`
      : `{"Results":[${results.map(entry => `{"KV":${wireEntry(entry)}}`).join(',')}],"Errors":null}`;
    return this.#reply(request, refused ? 409 : 200, body, undefined);
  }

  #hides(key: string): boolean {
    return startsWithAny(key, this.hidden);
  }

  #site<T>({ method, template, writes }: ConsulRequest<T>) {
    return { ...SITE, operation: `${method} ${template}`, writes };
  }

  #reply<T>(
    request: ConsulRequest<T>,
    status: number,
    body: string,
    index: number | undefined,
    filtered = false,
  ): ConsulReply {
    const headers = {
      'x-consul-default-acl-policy': 'deny',
      'x-consul-knownleader': 'true',
      ...(index === undefined ? {} : { 'x-consul-index': String(index) }),
      ...(filtered ? { 'x-consul-results-filtered-by-acls': 'true' } : {}),
    };
    return {
      status,
      headers,
      body: Buffer.from(body),
      // Never early: a blocking query that was answered had something to tell.
      elapsedMs: 3_600_000,
      site: this.#site(request),
      anonymous: false,
    };
  }
}

function startsWithAny(key: string, prefixes: ReadonlySet<string>): boolean {
  return [...prefixes].some(prefix => key.startsWith(prefix));
}

function folded(key: string, prefix: string, separator: string | true | undefined): string {
  if (typeof separator !== 'string') return key;
  const at = key.indexOf(separator, prefix.length);
  return at === -1 ? key : key.slice(0, at + separator.length);
}

/** Written by hand, because the flags are 64-bit. */
function wireEntry(entry: Omit<ModelEntry, 'value'> & { readonly value?: Buffer }): string {
  const { key, value, flags, createIndex, modifyIndex, lockIndex, session } = entry;
  const text = value === undefined || value.length === 0 ? 'null' : JSON.stringify(value.toString('base64'));
  const lock = session === undefined ? '' : `,"Session":"${session}"`;
  return `{"LockIndex":${lockIndex},"Key":${JSON.stringify(key)},"Flags":${flags},"Value":${text}${lock},"CreateIndex":${createIndex},"ModifyIndex":${modifyIndex}}`;
}
