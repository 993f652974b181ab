import type { ConsulCluster } from './consul-cluster.ts';

/** From this Raft index on the lock had this session, or none. */
export interface Holding {
  readonly index: number;
  readonly session: string | undefined;
}

interface WireEntry {
  readonly ModifyIndex: number;
  readonly Session?: string;
  readonly Value: string | null;
}

const WAIT_SECONDS = 2;

/**
 * Who held a lock at which Raft index, followed by blocking queries while servers come and go. What comes and goes
 * between two answers is told by others, who know its index (`note`).
 */
export class LockHistory {
  readonly #cluster: ConsulCluster;
  readonly #key: string;
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #holdings: Holding[] = [];
  #tokens: bigint[] = [];

  constructor(cluster: ConsulCluster, key: string) {
    this.#cluster = cluster;
    this.#key = key;
    this.#done = this.#follow();
  }

  /** Every fencing token seen, in the order of their appearance; each once in a row. */
  get tokens(): readonly bigint[] {
    return this.#tokens;
  }

  note(holding: Holding): void {
    const isKnown = this.#holdings.some(({ index }) => index === holding.index);
    if (isKnown) return;
    this.#holdings.push(holding);
    this.#holdings.sort((one, other) => one.index - other.index);
  }

  /** Undefined: nobody, or it is not known. */
  holderAt(index: number): string | undefined {
    return this.#holdings.findLast(holding => holding.index <= index)?.session;
  }

  /** All sessions that ever had it, in order. */
  get sessions(): readonly string[] {
    const all = this.#holdings.flatMap(({ session }) => session ?? []);
    return all.filter((session, at) => session !== all[at - 1]);
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#done;
  }

  async #follow(): Promise<void> {
    let index = '0';
    while (!this.#end.signal.aborted) {
      try {
        index = await this.#read(index);
      } catch {
        index = '0';
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    }
  }

  async #read(after: string): Promise<string> {
    const path = `/v1/kv/${this.#key}?consistent&index=${after}&wait=${WAIT_SECONDS}s`;
    const { text, status, index = '0' } = await this.#cluster.api.request('GET', path);
    if (status === 404) return this.#absent(index);
    if (status !== 200) throw new Error(text);
    const [entry] = JSON.parse(text) as WireEntry[];
    if (entry !== undefined) this.#take(entry);
    return index;
  }

  /** Deleted: at the index that the answer carries, or before. */
  #absent(index: string): string {
    if (this.#holdings.length > 0 && this.holderAt(Number(index)) !== undefined) {
      this.note({ index: Number(index), session: undefined });
    }
    return index;
  }

  #take({ ModifyIndex, Session, Value }: WireEntry): void {
    this.note({ index: ModifyIndex, session: Session });
    const text = Buffer.from(Value ?? '', 'base64').toString();
    if (text === '') return;
    const token = BigInt((JSON.parse(text) as { fencingToken: string }).fencingToken);
    if (Session !== undefined && token !== this.#tokens.at(-1)) this.#tokens.push(token);
  }
}
