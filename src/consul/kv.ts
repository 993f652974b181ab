import { z } from 'zod';
import { badReply } from './errors.ts';
import { KV_ENTRY, toKvEntry } from './kv-entry.ts';
import { answerOf, type ConsulReply, parseApplied, parseBody } from './reply.ts';
import { type ConsulRequest, sendGet, type SendRequest } from './request.ts';
import {
  type Answer,
  type CallOptions,
  type KvEntry,
  parseSessionId,
  type ReadOptions,
  type SessionId,
} from './types.ts';

/** https://developer.hashicorp.com/consul/api-docs/kv */
export interface KvReads {
  /** @throws RetryableError `CONSUL_DENIED` without `key:read`: denial is never an absent key. */
  get(key: string, options: ReadOptions): Promise<Answer<KvEntry | undefined>>;
  /** All keys that begin with `prefix`, with their values. What the token may not see is missing: `filteredByAcl`. */
  list(prefix: string, options: ReadOptions): Promise<Answer<readonly KvEntry[]>>;
  /** The names alone. With `separator`, what lies deeper is folded into one name that ends in it. */
  keys(
    prefix: string,
    options: ReadOptions & { readonly separator?: string },
  ): Promise<Answer<readonly string[]>>;
}

/** The lock alone: everything else is written by transactions (`txn.ts`). */
export interface KvWrites {
  /**
   * Takes the lock, or keeps it, and sets its value. Not applied: another session holds it, or the lock-delay of the
   * last holder still runs.
   * @throws ConflictError `CONSUL_INVALID_SESSION` when the session is gone.
   */
  acquire(lock: LockRequest, options: CallOptions): Promise<{ readonly applied: boolean }>;
  /** Gives the lock up, without a lock-delay, and sets its value. Not applied: this session did not hold it. */
  release(lock: LockRequest, options: CallOptions): Promise<{ readonly applied: boolean }>;
}

export interface LockRequest {
  readonly key: string;
  readonly session: SessionId;
  readonly value: Buffer;
  /** Each write sets them: left out, they become 0. */
  readonly flags?: bigint;
}

export function createKv(send: SendRequest): KvReads & KvWrites {
  return {
    get: async (key, options) =>
      await sendGet(
        send,
        { ...entryAt(key), parse: reply => answerOf(parseEntry(key, reply), reply) },
        options,
      ),
    list: async (prefix, options) => {
      const parse = (reply: ConsulReply) => answerOf(parseEntries(reply), reply);
      return await sendGet(send, { ...entriesUnder(prefix), query: { recurse: true }, parse }, options);
    },
    keys: async (prefix, options) => {
      const query = { keys: true, separator: options.separator } as const;
      return await sendGet(send, { ...entriesUnder(prefix), query, parse: parseKeys }, options);
    },
    acquire: async (lock, options) => await send(lockRequest('acquire', lock), options),
    release: async (lock, options) => await send(lockRequest('release', lock), options),
  };
}

/** Asked of a folder without keys, Consul answers 404 as for a single key. Only its header tells it from a 404 of others. */
const OK_OR_ABSENT = [200, 404];

function entryAt(key: string) {
  if (key === '') throw new TypeError('a key is empty');
  return { template: '/v1/kv/{key}', path: kvPath(key), answers: OK_OR_ABSENT };
}

function entriesUnder(prefix: string) {
  return { template: '/v1/kv/{prefix}', path: kvPath(prefix), answers: OK_OR_ABSENT };
}

function lockRequest(
  verb: 'acquire' | 'release',
  lock: LockRequest,
): ConsulRequest<{ readonly applied: boolean }> {
  return {
    method: 'PUT',
    template: '/v1/kv/{key}',
    path: entryAt(lock.key).path,
    query: { [verb]: parseSessionId(lock.session), flags: lock.flags?.toString() },
    body: lock.value,
    confidential: true,
    writes: true,
    // The same session may ask as often as it likes: the state it wants is the state there is.
    repeatable: true,
    parse: parseApplied,
  };
}

/**
 * `/v1/kv` cleans paths (CVE-2025-11392): asked for `a//b` it answers for `a/b`. Such keys can stand there all the
 * same, written by transactions, and are read by `readKeys`.
 */
function kvPath(key: string): string {
  if (key.includes('//') || key.split('/').some(segment => segment === '.' || segment === '..')) {
    throw new TypeError('a key that /v1/kv would take for another');
  }
  return `/v1/kv/${encodeURIComponent(key)}`;
}

function parseEntry(key: string, reply: ConsulReply): KvEntry | undefined {
  if (isAbsent(reply)) return undefined;
  const [entry, ...others] = parseEntries(reply);
  if (entry?.key !== key || others.length > 0) throw badReply(reply.site, 'an entry that was not asked for');
  return entry;
}

function parseEntries(reply: ConsulReply): readonly KvEntry[] {
  if (isAbsent(reply)) return [];
  return parseBody(z.array(KV_ENTRY), reply).map(wire => toKvEntry(wire, reply));
}

function parseKeys(reply: ConsulReply): Answer<readonly string[]> {
  return answerOf(isAbsent(reply) ? [] : parseBody(z.array(z.string()), reply), reply);
}

function isAbsent(reply: ConsulReply): boolean {
  return reply.status === 404;
}
