/** `ModifyIndex` of one entry: what a compare-and-set believes. Not an `X-Consul-Index`, which speaks of a whole table. */
export type ModifyIndex = number & { readonly __brand: 'ModifyIndex' };

/** As a compare-and-set index: write only if nothing stands there yet. */
export const NOT_THERE = 0 as ModifyIndex;

/** A session's id. Never empty: `check-session` with an empty session passes while nobody holds the lock. */
export type SessionId = string & { readonly __brand: 'SessionId' };

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws TypeError unless `text` is a UUID, so that no undefined or empty session can reach the wire. */
export function parseSessionId(text: unknown): SessionId {
  if (typeof text !== 'string' || !UUID.test(text)) throw new TypeError('not the id of a Consul session');
  return text as SessionId;
}

/** One key of the KV store. `flags` is 64-bit and would lose digits as a number. */
export interface KvEntry {
  readonly key: string;
  readonly value: Buffer;
  readonly flags: bigint;
  readonly createIndex: number;
  readonly modifyIndex: ModifyIndex;
  readonly lockIndex: number;
  readonly session: SessionId | undefined;
}

/** What a read saw, and how far it can be trusted. */
export interface Answer<T> {
  readonly value: T;
  /** `X-Consul-Index`: what to block on next. 0 where Consul gives none. */
  readonly index: number;
  /**
   * The token may not see all there is, so what is missing here may exist: never delete or adopt on it.
   * Also true for an anonymous client of a default-deny Consul, which does not say whether it filtered.
   */
  readonly filteredByAcl: boolean;
  readonly knownLeader: boolean;
  /** From handing the request to the connection to the last byte. */
  readonly elapsedMs: number;
}

/** https://developer.hashicorp.com/consul/api-docs/features/consistency */
export type Consistency = 'default' | 'consistent' | 'stale';

export interface CallOptions {
  readonly signal: AbortSignal;
  /** For the whole call, waiting for a connection included. Default: 10 s for reads, 15 s for writes. */
  readonly deadlineMs?: number;
  /** Over this the answer is not read on. Default: the client's, 64 MiB. */
  readonly maxReplyBytes?: number;
  /**
   * Called synchronously at the last moment before the request is written to the socket. What it throws is thrown
   * by the call, and nothing is sent: the place for "do I still lead?".
   */
  readonly beforeSend?: () => void;
}

export interface ReadOptions extends CallOptions {
  readonly consistency?: Consistency;
  /**
   * Makes the read a blocking query: answered when something newer than `index` exists, or after `waitSeconds`.
   * Runs on connections of its own; its deadline follows from `waitSeconds`.
   */
  readonly block?: BlockingParams;
}

export interface BlockingParams {
  readonly index: number;
  readonly waitSeconds: number;
}

/**
 * Of one config entry. Consul itself takes any size, as one Raft entry, and was seen to work for 8 s on one of 60 MiB. This is what it allows a
 * KV value and a transaction: `raft.SuggestedMaxDataSize`.
 */
export const MAX_ENTRY_BYTES = 512 * 1024;
