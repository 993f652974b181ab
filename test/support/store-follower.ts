import type { ConsulCluster } from './consul-cluster.ts';
import type { KeyVersion } from './write-recorder.ts';

/** A key as it was read. */
export interface Sighting extends KeyVersion {
  /** In base64. */
  readonly value: string;
  readonly session: string | undefined;
}

/** A key that was there at one index and was not at a later one. */
export interface Removal {
  readonly key: string;
  readonly after: number;
  readonly until: number;
}

interface WireEntry {
  readonly Key: string;
  readonly ModifyIndex: number;
  readonly Session?: string;
  readonly Value: string | null;
}

type Keys = ReadonlyMap<string, Sighting>;
type OnRead = (keys: Keys, index: number) => void;

const WAIT_SECONDS = 2;

/**
 * Reads all keys of Consul by blocking queries while servers come and go, and keeps every version that it saw: what
 * stands there must have been written by somebody, whatever the writers were answered.
 */
export class StoreFollower {
  readonly #cluster: ConsulCluster;
  readonly #onRead: OnRead;
  readonly #sightings = new Map<string, Sighting>();
  readonly #removals: Removal[] = [];
  #keys: Keys | undefined;
  #index = 0;
  #end = new AbortController();
  #done: Promise<void>;

  /** @param onRead told of everything that stands there, each time that it was read, and of Consul's index then. */
  constructor(cluster: ConsulCluster, onRead: OnRead) {
    this.#cluster = cluster;
    this.#onRead = onRead;
    this.#done = this.#follow();
  }

  /** Every version of every key that was seen, once. */
  get sightings(): readonly Sighting[] {
    return [...this.#sightings.values()];
  }

  get removals(): readonly Removal[] {
    return this.#removals;
  }

  /** Looks away while `act` sets Consul back: what is gone afterwards, nobody has removed. */
  async across<T>(act: () => Promise<T>): Promise<T> {
    await this.close();
    const result = await act();
    this.#keys = undefined;
    this.#end = new AbortController();
    this.#done = this.#follow();
    return result;
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #follow(): Promise<void> {
    let index = 0;
    while (!this.#end.signal.aborted) {
      try {
        index = await this.#read(index);
      } catch {
        index = 0;
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    }
  }

  async #read(after: number): Promise<number> {
    const path = `/v1/kv/?recurse&consistent&index=${after}&wait=${WAIT_SECONDS}s`;
    const { text, status, index = '0' } = await this.#cluster.api.request('GET', path);
    if (status !== 200 && status !== 404) throw new Error(text);
    this.#take(status === 404 ? [] : (JSON.parse(text) as WireEntry[]), Number(index));
    return Number(index);
  }

  #take(entries: readonly WireEntry[], until: number): void {
    const keys = new Map(entries.map(entry => [entry.Key, sightingOf(entry)]));
    for (const sighting of keys.values()) this.#sightings.set(`${sighting.key}@${sighting.index}`, sighting);
    const gone = [...(this.#keys?.keys() ?? [])].filter(key => !keys.has(key));
    for (const key of gone) this.#removals.push({ key, after: this.#index, until });
    this.#keys = keys;
    this.#index = until;
    this.#onRead(keys, until);
  }
}

function sightingOf({ Key, ModifyIndex, Session, Value }: WireEntry): Sighting {
  return { key: Key, index: ModifyIndex, session: Session, value: Value ?? '' };
}
