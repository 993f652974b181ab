import { readFileSync } from 'node:fs';
import { http } from '../../tools/sandbox/http.ts';

export interface KvEntry {
  readonly key: string;
  readonly value: Buffer;
  /** `value` as UTF-8. */
  readonly text: string;
  readonly flags: bigint;
  readonly createIndex: bigint;
  readonly modifyIndex: bigint;
  readonly lockIndex: bigint;
  readonly session: string | undefined;
}

export interface ConsulTarget {
  readonly address: string;
  readonly token?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface ConsulReply {
  readonly status: number;
  readonly text: string;
  readonly index: string | undefined;
}

interface WireEntry {
  readonly Key: string;
  readonly Value: string | null;
  readonly Flags: number | bigint;
  readonly CreateIndex: number | bigint;
  readonly ModifyIndex: number | bigint;
  readonly LockIndex: number | bigint;
  readonly Session?: string;
}

/** A plain client of Consul for tests: what is there, told without any code of the operator's. Reads are consistent. */
export class ConsulApi {
  readonly #target: ConsulTarget;
  readonly #identity: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };

  constructor(target: ConsulTarget) {
    this.#target = target;
    const { caFile, certFile, keyFile } = target;
    this.#identity = {
      ...(caFile && { ca: readFileSync(caFile) }),
      ...(certFile && { cert: readFileSync(certFile) }),
      ...(keyFile && { key: readFileSync(keyFile) }),
    };
  }

  async kvGet(key: string): Promise<KvEntry | undefined> {
    return (await this.#entries(`/v1/kv/${escaped(key)}?consistent`))[0];
  }

  /** Every entry below the prefix, by key; the whole store for `''`. */
  async kvList(prefix = ''): Promise<ReadonlyMap<string, KvEntry>> {
    const entries = await this.#entries(`/v1/kv/${escaped(prefix)}?recurse&consistent`);
    return new Map(entries.map(entry => [entry.key, entry]));
  }

  /** Keys and their values as text: for comparing with what is expected. */
  async kvTexts(prefix = ''): Promise<Record<string, string>> {
    return Object.fromEntries([...(await this.kvList(prefix))].map(([key, entry]) => [key, entry.text]));
  }

  /** False when `cas` or `acquire` was refused. */
  async kvPut(
    key: string,
    value: string | Buffer,
    options: {
      readonly flags?: bigint;
      readonly cas?: bigint;
      readonly acquire?: string;
      readonly release?: string;
    } = {},
  ): Promise<boolean> {
    const query = Object.entries(options).map(([name, setting]) => `${name}=${setting}`);
    const reply = await this.call('PUT', `/v1/kv/${escaped(key)}?${query.join('&')}`, value);
    return reply.text.trim() === 'true';
  }

  async kvDelete(key: string, options: { readonly recurse?: boolean } = {}): Promise<void> {
    await this.call('DELETE', `/v1/kv/${escaped(key)}${options.recurse ? '?recurse' : ''}`);
  }

  /** A transaction as it is: 200 and results, or 409 and what failed. For keys `/v1/kv` cannot name, too. */
  async txn(operations: readonly object[]): Promise<{ readonly status: number; readonly body: unknown }> {
    const reply = await this.request('PUT', '/v1/txn', JSON.stringify(operations));
    return { status: reply.status, body: parsed(reply.text) };
  }

  async createSession(body: object = { TTL: '86400s' }): Promise<string> {
    const reply = await this.call('PUT', '/v1/session/create', JSON.stringify(body));
    return (parsed(reply.text) as { ID: string }).ID;
  }

  async destroySession(id: string): Promise<void> {
    await this.call('PUT', `/v1/session/destroy/${id}`);
  }

  /** The parsed answer of a GET. @throws Error for every status but 2xx. */
  async get(path: string): Promise<unknown> {
    return parsed((await this.call('GET', path)).text);
  }

  /** The parsed answer of a PUT. @throws Error for every status but 2xx. */
  async put(path: string, body: unknown): Promise<unknown> {
    return parsed((await this.call('PUT', path, JSON.stringify(body))).text);
  }

  /** One request. @throws Error with Consul's words for every status but 2xx. */
  async call(method: string, path: string, body?: string | Buffer): Promise<ConsulReply> {
    const reply = await this.request(method, path, body);
    if (reply.status < 200 || reply.status > 299)
      throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`);
    return reply;
  }

  /** One request, whatever comes back. */
  async request(method: string, path: string, body?: string | Buffer): Promise<ConsulReply> {
    const { address, token } = this.#target;
    const reply = await http(address, path, {
      method,
      ...(token && { headers: { 'x-consul-token': token } }),
      ...(body !== undefined && { body }),
      ...this.#identity,
    });
    const index = reply.headers['x-consul-index'];
    return {
      status: reply.status,
      text: reply.body.toString(),
      index: index === undefined ? undefined : String(index),
    };
  }

  async #entries(path: string): Promise<KvEntry[]> {
    const reply = await this.request('GET', path);
    if (reply.status === 404) return [];
    if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${reply.text}`);
    return (parsed(reply.text) as WireEntry[]).map(fromWire);
  }
}

function fromWire(wire: WireEntry): KvEntry {
  const value = Buffer.from(wire.Value ?? '', 'base64');
  return {
    key: wire.Key,
    value,
    text: value.toString(),
    flags: BigInt(wire.Flags),
    createIndex: BigInt(wire.CreateIndex),
    modifyIndex: BigInt(wire.ModifyIndex),
    lockIndex: BigInt(wire.LockIndex),
    session: wire.Session,
  };
}

/** Numbers beyond 2^53 (`Flags` are 64 bits) become bigint: taken from the text, before rounding. */
function parsed(text: string): unknown {
  const exact = (_key: string, value: unknown, context: { source?: string }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^\d+$/.test(context.source ?? '')
      ? BigInt(context.source ?? '')
      : value;
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown);
}

function escaped(key: string): string {
  return key.split('/').map(encodeURIComponent).join('/');
}
