import type { KvEntry, ModifyIndex, SessionId } from '../../../src/consul/types.ts';

/** The `KV` part of one operation on the wire, as far as locks need it. */
export interface LockOperation {
  readonly Verb: string;
  readonly Key: string;
  readonly Value?: string;
  readonly Flags?: number;
  readonly Index?: number;
  readonly Session?: string;
}

export interface ServerSession {
  readonly id: SessionId;
  readonly name: string;
  readonly node: string;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly createIndex: number;
  expiresAtMs: number;
}

interface Snapshot {
  readonly entries: ReadonlyMap<string, KvEntry>;
  readonly sessions: readonly ServerSession[];
}

/**
 * Consul's sessions and locks, each request carried out at one instant: sessions that end at twice their TTL and not
 * before, lock-delays for keys whose session ended while holding them, one index for all writes. What it answers to
 * transactions was seen of Consul 1.22.6 (`test/contract/consul-txn.test.ts`).
 */
export class LockServer {
  readonly nodes = new Set<string>();
  readonly sessions = new Map<SessionId, ServerSession>();
  /** Every session there ever was. */
  readonly everMade: SessionId[] = [];
  #entries = new Map<string, KvEntry>();
  readonly #delays = new Map<string, number>();
  readonly #nowMs: () => number;
  readonly #changed = new Set<() => void>();
  index = 1;
  /** Restores so far: each answers all blocked queries. */
  abandoned = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  entry(key: string): KvEntry | undefined {
    return this.#entries.get(key);
  }

  /** `X-Consul-Index` of a key. */
  indexOf(key: string): number {
    return this.#entries.get(key)?.modifyIndex ?? this.index;
  }

  onChange(look: () => void): () => void {
    this.#changed.add(look);
    return () => this.#changed.delete(look);
  }

  /** Undefined: the node is missing. */
  create(session: Pick<ServerSession, 'name' | 'node' | 'ttlMs' | 'lockDelayMs'>): SessionId | undefined {
    if (!this.nodes.has(session.node)) return undefined;
    this.index++;
    const id = `00000000-0000-0000-0000-${String(this.everMade.length + 1).padStart(12, '0')}` as SessionId;
    this.everMade.push(id);
    this.sessions.set(id, {
      ...session,
      id,
      createIndex: this.index,
      expiresAtMs: this.#nowMs() + 2 * session.ttlMs,
    });
    return id;
  }

  renew(id: SessionId): boolean {
    const session = this.sessions.get(id);
    if (session !== undefined) session.expiresAtMs = this.#nowMs() + 2 * session.ttlMs;
    return session !== undefined;
  }

  destroy(id: SessionId): void {
    const session = this.sessions.get(id);
    if (session === undefined) return;
    this.index++;
    this.sessions.delete(id);
    for (const [key, entry] of this.#entries) {
      if (entry.session !== id) continue;
      if (session.lockDelayMs > 0) this.#delays.set(key, this.#nowMs() + session.lockDelayMs);
      this.#put({ ...entry, session: undefined });
    }
  }

  /** What time does: to be called whenever it has passed. */
  expire(): void {
    for (const { id, expiresAtMs } of this.sessions.values())
      if (expiresAtMs <= this.#nowMs()) this.destroy(id);
  }

  /** A new leader knows no timers: it starts them all over. */
  changeLeader(): void {
    for (const session of this.sessions.values()) this.renew(session.id);
  }

  release(key: string, session: SessionId, value: Buffer, flags: bigint): boolean {
    return (
      this.transact([
        { Verb: 'unlock', Key: key, Session: session, Value: value.toString('base64'), Flags: Number(flags) },
      ]).length === 0
    );
  }

  delete(key: string): void {
    this.index++;
    if (this.#entries.delete(key)) this.#wake();
  }

  /** When the next session ends of which nobody hears. */
  get nextExpiryMs(): number {
    return Math.min(...[...this.sessions.values()].map(({ expiresAtMs }) => expiresAtMs));
  }

  /** What of it fails, as Consul says it; none: all was done. */
  transact(operations: readonly LockOperation[]): { readonly OpIndex: number; readonly What: string }[] {
    const delayed = operations.flatMap(({ Verb, Key }, OpIndex) =>
      Verb === 'lock' && (this.#delays.get(Key) ?? 0) > this.#nowMs()
        ? [{ OpIndex, What: `failed to lock key "${Key}" due to lock delay` }]
        : [],
    );
    if (delayed.length > 0) return delayed;
    this.index++;
    const before = this.#entries;
    this.#entries = new Map(before);
    const errors = operations.flatMap((operation, OpIndex) => {
      const What = this.#perform(operation);
      return What === undefined ? [] : [{ OpIndex, What }];
    });
    if (errors.length > 0) this.#entries = before;
    else this.#wake();
    return errors;
  }

  snapshot(): () => void {
    const { entries, sessions }: Snapshot = {
      entries: new Map(this.#entries),
      sessions: [...this.sessions.values()].map(session => ({ ...session })),
    };
    return () => {
      this.index++;
      this.abandoned++;
      this.#entries = new Map(entries);
      this.#delays.clear();
      this.sessions.clear();
      for (const session of sessions) this.sessions.set(session.id, { ...session });
      this.changeLeader();
      this.#wake();
    };
  }

  #perform({ Verb, Key, Value = '', Flags = 0, Index, Session }: LockOperation): string | undefined {
    const present = this.#entries.get(Key);
    const content = { key: Key, value: Buffer.from(Value, 'base64'), flags: BigInt(Flags) };
    switch (Verb) {
      case 'cas':
        if ((present?.modifyIndex ?? 0) !== Index) return `failed to set key "${Key}", index is stale`;
        this.#put({
          ...content,
          createIndex: present?.createIndex ?? this.index,
          lockIndex: 0,
          session: present?.session,
        });
        return undefined;
      case 'check-index':
        if (present === undefined) return `failed to check index, key "${Key}" doesn't exist`;
        if (present.modifyIndex === Index) return undefined;
        return `failed index check for key "${Key}", current modify index ${present.modifyIndex} != ${Index}`;
      case 'check-session':
        if (present?.session === Session) return undefined;
        return `failed session check for key "${Key}", current session "${present?.session}" != "${Session}"`;
      case 'lock': {
        if (!this.sessions.has(Session as SessionId)) return `invalid session "${Session}"`;
        if (present?.session !== undefined && present.session !== Session)
          return `failed to lock key "${Key}", lock is already held`;
        const lockIndex = (present?.lockIndex ?? 0) + (present?.session === Session ? 0 : 1);
        this.#put({
          ...content,
          createIndex: present?.createIndex ?? this.index,
          lockIndex,
          session: Session as SessionId,
        });
        return undefined;
      }
      case 'unlock':
        if (present === undefined || present.session !== Session)
          return `failed to unlock key "${Key}", lock isn't held, or is held by another session`;
        this.#put({ ...present, ...content, session: undefined });
        return undefined;
      default:
        throw new Error(`the model has no ${Verb}`);
    }
  }

  #put(entry: Omit<KvEntry, 'modifyIndex'>): void {
    this.#entries.set(entry.key, { ...entry, modifyIndex: this.index as ModifyIndex });
    this.#wake();
  }

  #wake(): void {
    for (const look of this.#changed) look();
  }
}
