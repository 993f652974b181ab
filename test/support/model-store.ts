/** One key as `agent/structs` has it. */
export interface ModelEntry {
  readonly key: string;
  readonly value: Buffer;
  readonly flags: bigint;
  readonly createIndex: number;
  readonly modifyIndex: number;
  readonly lockIndex: number;
  readonly session: string | undefined;
}

/** The `KV` part of one operation on the wire. */
export interface ModelOperation {
  readonly Verb: string;
  readonly Key: string;
  readonly Value?: string;
  readonly Flags?: number | bigint;
  readonly Index?: number;
  readonly Session?: string;
}

export interface ModelAnswer {
  readonly errors: readonly { readonly OpIndex: number; readonly What: string }[];
  /** What a result shows of a key: without its value unless it was a `get`. */
  readonly results: readonly (Omit<ModelEntry, 'value'> & { readonly value?: Buffer })[];
}

/** What an index is asked of. */
export type Scope = { readonly key: string } | { readonly prefix: string };

type Entries = Map<string, ModelEntry>;
type Content = Pick<ModelEntry, 'value' | 'flags'>;

/**
 * The state of Consul's KV store and how transactions change it (`agent/consul/state/kvs.go`, `txn.go`): one Raft
 * index for each write, whether it changed anything or not; keys in byte order; tombstones that remember deletions.
 */
export class ModelStore {
  #entries: Entries = new Map();
  #tombstones = new Map<string, number>();
  #index = 1;
  readonly #waiting = new Set<() => void>();

  /** The last Raft index. */
  get index(): number {
    return this.#index;
  }

  get(key: string): ModelEntry | undefined {
    return this.#entries.get(key);
  }

  under(prefix: string): ModelEntry[] {
    const found = [...this.#entries.values()].filter(({ key }) => key.startsWith(prefix));
    return found.sort((one, other) => inByteOrder(one.key, other.key));
  }

  /** `X-Consul-Index`: of one key its own, of a prefix the highest beneath; of what is not there, the table's. */
  indexOf(scope: Scope): number {
    if ('key' in scope) return this.#entries.get(scope.key)?.modifyIndex ?? this.#tableIndex('');
    return this.#tableIndex(scope.prefix) || this.#tableIndex('');
  }

  #tableIndex(prefix: string): number {
    let highest = 0;
    for (const { modifyIndex } of this.under(prefix)) highest = Math.max(highest, modifyIndex);
    for (const [key, index] of this.#tombstones)
      if (key.startsWith(prefix)) highest = Math.max(highest, index);
    return highest;
  }

  /** Resolves when the index is over `index`, as a blocking query does, or when the signal aborts. */
  async moved(scope: Scope, index: number, signal: AbortSignal): Promise<void> {
    while (index > 0 && this.indexOf(scope) <= index && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  /** Some other client's unconditional write: it keeps the session, and resets the lock's index. */
  put(key: string, value: string | Buffer, flags = 0n): void {
    this.#write((entries, index) => set(entries, index, key, { value: Buffer.from(value), flags }));
  }

  delete(key: string): void {
    this.#write((entries, index) => this.#delete(entries, index, key));
  }

  /** Takes the lock of a key for a session, or keeps it, and writes its value. Held by another: no effect. */
  acquire(key: string, session: string, value: string | Buffer = ''): void {
    this.#write((entries, index) => {
      const before = entries.get(key);
      const isKept = before?.session === session;
      if (before?.session !== undefined && !isKept) return;
      const content = { value: Buffer.from(value), flags: 0n };
      if (isKept && isSame(before, content)) return;
      const lockIndex = (before?.lockIndex ?? 0) + (isKept ? 0 : 1);
      const createIndex = before?.createIndex ?? index;
      entries.set(key, { key, ...content, createIndex, modifyIndex: index, lockIndex, session });
    });
  }

  /** Gives the lock up, and writes its value. Not held: no effect. */
  release(key: string, value: string | Buffer = ''): void {
    this.#write((entries, index) => {
      const before = entries.get(key);
      if (before?.session === undefined) return;
      const content = { value: Buffer.from(value), flags: 0n };
      entries.set(key, { ...before, ...content, session: undefined, modifyIndex: index });
    });
  }

  /** Moves the Raft index without touching a key, as any write elsewhere in Consul does. */
  pass(writes = 1): void {
    this.#index += writes;
  }

  /** Everything as a snapshot holds it; restoring brings it all back, while the Raft index goes on. */
  snapshot(): () => void {
    const entries = new Map(this.#entries);
    return () => {
      this.#entries = new Map(entries);
      this.#tombstones.clear();
      this.#index++;
      this.#wake();
    };
  }

  /** Forgets deletions, as Consul does after 15 minutes: indexes fall, and no blocking query wakes. */
  collectTombstones(): void {
    this.#tombstones.clear();
    this.#index++;
  }

  /** Reads without a Raft entry. */
  look(operations: readonly ModelOperation[]): ModelAnswer {
    return this.#dispatch(operations, new Map(this.#entries), this.#index);
  }

  /** All operations or none, each seeing what those before it did; every one that fails is named. */
  transact(operations: readonly ModelOperation[]): ModelAnswer {
    this.#index++;
    const entries = new Map(this.#entries);
    const tombstones = new Map(this.#tombstones);
    const answer = this.#dispatch(operations, entries, this.#index);
    if (answer.errors.length > 0) this.#tombstones = tombstones;
    else this.#commit(entries);
    return answer;
  }

  #write(change: (entries: Entries, index: number) => void): void {
    this.#index++;
    const entries = new Map(this.#entries);
    change(entries, this.#index);
    this.#commit(entries);
  }

  #commit(entries: Entries): void {
    this.#entries = entries;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #delete(entries: Entries, index: number, key: string): void {
    if (entries.delete(key)) this.#tombstones.set(key, index);
  }

  #dispatch(operations: readonly ModelOperation[], entries: Entries, index: number): ModelAnswer {
    const errors: { OpIndex: number; What: string }[] = [];
    const results: ModelAnswer['results'][number][] = [];
    for (const [OpIndex, operation] of operations.entries()) {
      const done = this.#perform(operation, entries, index);
      if (typeof done === 'string') errors.push({ OpIndex, What: done });
      else if (done !== undefined) results.push(shown(operation.Verb, done));
    }
    return { errors, results: errors.length > 0 ? [] : results };
  }

  /** The entry that the result shows, if there is one; a text is why the operation failed. */
  #perform(operation: ModelOperation, entries: Entries, index: number): ModelEntry | string | undefined {
    const { Verb, Key, Index = 0, Session } = operation;
    const present = entries.get(Key);
    // As Go's %q, for keys without unprintable characters.
    const quoted = JSON.stringify(Key);
    switch (Verb) {
      case 'get':
        return present ?? `key ${quoted} doesn't exist`;
      case 'get-or-empty':
        return present ?? absent(Key);
      case 'check-session':
        if (present === undefined) return `failed to check session, key ${quoted} doesn't exist`;
        if ((present.session ?? '') === (Session ?? '')) return present;
        return `failed session check for key ${quoted}, current session "${present.session ?? ''}" != "${Session ?? ''}"`;
      case 'check-index':
        if (present === undefined) return `failed to check index, key ${quoted} doesn't exist`;
        if (present.modifyIndex === Index) return present;
        return `failed index check for key ${quoted}, current modify index ${present.modifyIndex} != ${Index}`;
      case 'check-not-exists':
        return present === undefined ? undefined : `key ${quoted} exists`;
      case 'cas':
        if (Index !== (present?.modifyIndex ?? 0)) return `failed to set key ${quoted}, index is stale`;
        return set(entries, index, Key, {
          value: Buffer.from(operation.Value ?? '', 'base64'),
          flags: BigInt(operation.Flags ?? 0),
        });
      case 'delete-cas':
        if (present === undefined) return undefined;
        if (present.modifyIndex !== Index) return `failed to delete key ${quoted}, index is stale`;
        this.#delete(entries, index, Key);
        return undefined;
      default:
        return `unknown KV verb "${Verb}"`;
    }
  }
}

/** Writing what stands there already is no write. A lock's index is never copied, so a lock's key always moves. */
function set(entries: Entries, index: number, key: string, content: Content): ModelEntry {
  const before = entries.get(key);
  if (before?.lockIndex === 0 && isSame(before, content)) return before;
  const createIndex = before?.createIndex ?? index;
  const entry = { key, ...content, createIndex, modifyIndex: index, lockIndex: 0, session: before?.session };
  entries.set(key, entry);
  return entry;
}

function isSame(before: ModelEntry, { value, flags }: Content): boolean {
  return before.flags === flags && before.value.equals(value);
}

/** UTF-16 sorts as UTF-8 does, but for surrogates. */
function inByteOrder(one: string, other: string): number {
  if (SURROGATE.test(one) || SURROGATE.test(other)) {
    return Buffer.compare(Buffer.from(one), Buffer.from(other));
  }
  return one < other ? -1 : 1;
}

const SURROGATE = /[\ud800-\udfff]/;

function absent(key: string): ModelEntry {
  return {
    key,
    value: Buffer.alloc(0),
    flags: 0n,
    createIndex: 0,
    modifyIndex: 0,
    lockIndex: 0,
    session: undefined,
  };
}

function shown(verb: string, entry: ModelEntry): ModelAnswer['results'][number] {
  if (verb.startsWith('get')) return entry;
  const { value: _blanked, ...rest } = entry;
  return rest;
}
