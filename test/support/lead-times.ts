import type { RecordedRequest } from './fault-rules.ts';

/** What a process needs to learn that it has lost the lock. */
const UNLEARNED_MS = 1_000;

/** One request of a replica. */
export interface Sent {
  readonly replica: string;
  readonly request: RecordedRequest;
}

interface Lead {
  readonly session: string;
  readonly replica: string;
  /** `performance.now()` when the transaction that took the lock was sent. */
  readonly from: number;
}

/** When which replica held the lock, by the clock of the test: for what carries no fence that Consul could look at. */
export class LeadTimes {
  readonly #seen: { readonly session: string | undefined; readonly at: number }[] = [];

  /** The session that the lock was just seen with. */
  see(session: string | undefined): void {
    if (this.#seen.at(-1)?.session === session && this.#seen.length > 0) return;
    this.#seen.push({ session, at: performance.now() });
  }

  /** In words, the writes that were sent by a replica which did not hold the lock then, nor right before. */
  strays(writes: readonly Sent[], leads: readonly Lead[]): readonly string[] {
    const times = leads.map(lead => ({ ...lead, until: this.#lostAt(lead) }));
    return writes.flatMap(({ replica, request: { method, path, body, at } }) => {
      const own = times.filter(lead => lead.replica === replica && lead.from <= at);
      const lateMs = Math.round(at - Math.max(0, ...own.map(({ until }) => until)));
      if (lateMs <= UNLEARNED_MS) return [];
      return [`${method} ${path} ${body.slice(0, 200)} by ${replica}, ${lateMs} ms after it lost the lock`];
    });
  }

  #lostAt({ session, from }: Lead): number {
    const taken = this.#seen.findIndex(seen => seen.session === session && seen.at >= from);
    const lost = this.#seen.slice(taken + 1).find(seen => seen.session !== session && seen.at >= from);
    return taken < 0 ? from : (lost?.at ?? Number.POSITIVE_INFINITY);
  }
}
