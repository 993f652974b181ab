import type { ConsulReads } from '../consul/client.ts';
import type { KvEntry } from '../consul/types.ts';
import type { Logger } from '../core/logger.ts';
import type { KeyMirror } from './key-mirror.ts';

/** From here on one recursive read is cheaper than transactions of reads, if the folder is mostly ours. */
const RECURSE_FROM_KEYS = 8;
const MAX_STRANGERS_RATIO = 4;

type Entries = ReadonlyMap<string, KvEntry | undefined>;

export interface KeyReaderOptions {
  readonly consul: ConsulReads;
  readonly mirror: KeyMirror;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Reads keys into the mirror, by whichever kind of request is the cheaper one. */
export class KeyReader {
  readonly #options: KeyReaderOptions;
  /** Folders where most keys are not ours: a recursive read would fetch too much. */
  readonly #crowded = new Set<string>();

  constructor(options: KeyReaderOptions) {
    this.#options = options;
  }

  async read(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { mirror } = this.#options;
    const begunAt = mirror.begin();
    mirror.learn(await this.#readApart(keys), begunAt);
  }

  /** Reads keys of a folder. @returns all that stands in it, where one request showed that. */
  async readIn(folder: string, keys: readonly string[]): Promise<readonly KvEntry[] | undefined> {
    const { mirror } = this.#options;
    const begunAt = mirror.begin();
    const isWorthIt = keys.length >= RECURSE_FROM_KEYS && !this.#crowded.has(folder);
    const answer = isWorthIt ? await this.#readAll(folder) : undefined;
    if (answer === undefined) {
      await this.read(keys);
      return undefined;
    }
    const { value, index, filteredByAcl } = answer;
    if (value.length > keys.length * MAX_STRANGERS_RATIO) this.#crowded.add(folder);
    const byKey = new Map(value.map(entry => [entry.key, entry]));
    const found = new Map(keys.map(key => [key, byKey.get(key)]));
    mirror.learn(filteredByAcl ? onlyShown(found) : found, begunAt, { asOf: index });
    return filteredByAcl ? undefined : value;
  }

  async #readAll(folder: string) {
    const { consul, signal, logger } = this.#options;
    try {
      return await consul.kv.list(folder, { signal });
    } catch (error) {
      if ((error as { code?: string }).code !== 'CONSUL_REPLY_TOO_LARGE') throw error;
      logger.info({ prefix: folder }, 'folder too large to read at once, reading owned keys only');
      this.#crowded.add(folder);
      return undefined;
    }
  }

  /** Consul refuses a whole transaction for one key that the token may not read: the others are read without it. */
  async #readApart(keys: readonly string[]): Promise<Entries> {
    const { consul, signal } = this.#options;
    try {
      const { value, filteredByAcl } = await consul.txn.readKeys(keys, { signal });
      return filteredByAcl ? onlyShown(value) : value;
    } catch (error) {
      if ((error as { code?: string }).code !== 'CONSUL_DENIED') throw error;
      if (keys.length === 1) return new Map();
      const middle = keys.length >> 1;
      const halves = [keys.slice(0, middle), keys.slice(middle)];
      const found = await Promise.all(halves.map(half => this.#readApart(half)));
      return new Map(found.flatMap(half => [...half]));
    }
  }
}

/** What a token may not see looks absent: such an answer says nothing about the keys it does not show. */
function onlyShown(entries: Entries): Entries {
  return new Map([...entries].filter(([, entry]) => entry !== undefined));
}
