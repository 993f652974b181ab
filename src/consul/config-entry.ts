import { z } from 'zod';
import { encodeJson } from './json.ts';
import { answerOf, type ConsulReply, parseApplied, parseBody } from './reply.ts';
import { sendGet, type SendRequest } from './request.ts';
import type { Answer, CallOptions, ModifyIndex, ReadOptions } from './types.ts';

/** A config entry of any kind. */
export interface ConfigEntry {
  readonly kind: string;
  readonly name: string;
  readonly createIndex: number;
  /** What to compare and set by. The answer's `index` is that of the whole table. */
  readonly modifyIndex: ModifyIndex;
  /** As Consul stores it, `Kind` and `Name` included, without what the server itself writes. */
  readonly body: ConfigEntryBody;
}

export type ConfigEntryBody = Readonly<Record<string, unknown>>;

export interface ConfigEntryId {
  readonly kind: string;
  readonly name: string;
}

/** The kind that holds all intentions of one destination: its entry's name. */
export const SERVICE_INTENTIONS = 'service-intentions';

export interface ConfigEntryReadOptions extends ReadOptions {
  /** Another datacenter than the client's: writes go to the primary one, and the others lag behind it. */
  readonly datacenter?: string | undefined;
}

/** Names of entries are the same in upper and lower case. https://developer.hashicorp.com/consul/api-docs/config */
export interface ConfigEntryReads {
  get(id: ConfigEntryId, options: ConfigEntryReadOptions): Promise<Answer<ConfigEntry | undefined>>;
  /** As a blocking query it wakes only when entries of the kind change, but its index is that of all kinds. */
  list(kind: string, options: ConfigEntryReadOptions): Promise<Answer<readonly ConfigEntry[]>>;
}

/** Both always go to the primary datacenter, whatever datacenter is configured, and are replicated from there. */
export interface ConfigEntryWrites {
  /**
   * Writes the entry if `index` is still its ModifyIndex; `NOT_THERE` creates. Applied says less than it seems: equal
   * content is dropped before the compare, so a stale index is applied too. Read back what has to be known.
   */
  put(
    body: ConfigEntryBody,
    index: ModifyIndex,
    options: CallOptions,
  ): Promise<{ readonly applied: boolean }>;
  /** An entry that is already gone counts as deleted, whatever the index. */
  delete(id: ConfigEntryId, index: ModifyIndex, options: CallOptions): Promise<{ readonly applied: boolean }>;
}

export function createConfigEntries(send: SendRequest): ConfigEntryReads & ConfigEntryWrites {
  return {
    get: async (id, options) =>
      await sendGet(
        send,
        { ...entryPath(id), ...inDatacenter(options), answers: [200, 404], parse: parseEntry },
        options,
      ),
    list: async (kind, options) => {
      const path = `/v1/config/${encodeURIComponent(kind)}`;
      const request = { template: '/v1/config/{kind}', path, ...inDatacenter(options), parse: parseEntries };
      return await sendGet(send, request, options);
    },
    put: async (body, index, options) =>
      await send(
        {
          method: 'PUT',
          template: '/v1/config',
          path: '/v1/config',
          query: casQuery(index),
          body: encodeJson(body),
          writes: true,
          parse: parseApplied,
        },
        options,
      ),
    delete: async (id, index, options) =>
      await send(
        { ...entryPath(id), method: 'DELETE', query: casQuery(index), writes: true, parse: parseApplied },
        options,
      ),
  };
}

function entryPath({ kind, name }: ConfigEntryId): { readonly template: string; readonly path: string } {
  if (kind === '' || name === '') throw new TypeError('a config entry without kind or name');
  return {
    template: '/v1/config/{kind}/{name}',
    path: `/v1/config/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`,
  };
}

function inDatacenter({ datacenter }: ConfigEntryReadOptions) {
  return datacenter === undefined ? {} : { query: { dc: datacenter } };
}

/** An empty `cas` would write unconditionally. */
function casQuery(index: ModifyIndex): { readonly cas: string } {
  if (!Number.isSafeInteger(index) || index < 0) throw new TypeError('not a ModifyIndex');
  return { cas: String(index) };
}

const ENTRY = z.looseObject({
  Kind: z.string(),
  Name: z.string(),
  CreateIndex: z.int().nonnegative(),
  ModifyIndex: z.int().positive(),
});

function parseEntry(reply: ConsulReply): Answer<ConfigEntry | undefined> {
  return answerOf(reply.status === 404 ? undefined : toConfigEntry(parseBody(ENTRY, reply)), reply);
}

function parseEntries(reply: ConsulReply): Answer<readonly ConfigEntry[]> {
  return answerOf(parseBody(z.array(ENTRY), reply).map(toConfigEntry), reply);
}

/** What the server adds: sent back, it would be refused or mean nothing. */
const SERVER_FIELDS: ReadonlySet<string> = new Set(['CreateIndex', 'ModifyIndex', 'Hash']);

function toConfigEntry(entry: z.infer<typeof ENTRY>): ConfigEntry {
  return {
    kind: entry.Kind,
    name: entry.Name,
    createIndex: entry.CreateIndex,
    modifyIndex: entry.ModifyIndex as ModifyIndex,
    body: Object.fromEntries(Object.entries(entry).filter(([field]) => !SERVER_FIELDS.has(field))),
  };
}
