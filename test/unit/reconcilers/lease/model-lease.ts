import type { KvEntry, ModifyIndex, SessionId } from '../../../../src/consul/types.ts';
import { encodeLockValue, LOCK_FLAGS, parseLockValue } from '../../../../src/core/lock-value.ts';
import type { LeaseWish, ObservedLease, ToldHolder } from '../../../../src/reconcilers/lease/plan.ts';
import type { LeaseSession } from '../../../../src/reconcilers/lease/sessions.ts';
import { type LeaseRecord, type LeaseStep, recordAfter } from '../../../../src/reconcilers/lease/steps.ts';
import { ACQUIRED, podRef, sessionId } from './builders.ts';

interface World {
  readonly keys: ReadonlyMap<string, KvEntry>;
  readonly sessions: ReadonlyMap<SessionId, LeaseSession>;
  readonly strangers: ReadonlySet<SessionId>;
  readonly record: LeaseRecord | undefined;
  readonly index: number;
}

const EMPTY: World = {
  keys: new Map(),
  sessions: new Map(),
  strangers: new Set(),
  record: undefined,
  index: 100,
};

/** Consul as a lease sees it, without time: locks, sessions and the owner record, and what people do to them. */
export class ModelLease {
  #world = EMPTY;
  #saved = EMPTY;
  #drawn = 0;
  /** As status and memory have it; they are not in Consul, and survive whatever happens there. */
  told: readonly ToldHolder[] = [];

  get holding(): { readonly key: string; readonly pod: string }[] {
    return [...this.#world.keys.values()].flatMap(({ key, session }) => {
      const holder = session && this.#world.sessions.get(session);
      return holder === undefined ? [] : [{ key, pod: holder.pod.name }];
    });
  }

  /** Keys that a stranger wrote or holds, as they stand. */
  get foreign(): readonly KvEntry[] {
    return [...this.#world.keys.values()].filter(
      ({ flags, session }) => flags === 77n || (session !== undefined && this.#world.strangers.has(session)),
    );
  }

  get strays(): number {
    return this.#world.sessions.size - this.holding.length;
  }

  observe(): ObservedLease {
    const { keys, sessions, strangers, record, index } = this.#world;
    return {
      record,
      sight: key => keys.get(key) ?? 'absent',
      sessions: [...sessions.values()],
      stranger: id => (strangers.has(id) ? 'somebody' : undefined),
      readIndex: index,
      told: this.told,
      rival: () => undefined,
      claimsComplete: true,
    };
  }

  /** Writes the status, and remembers the highest token there was. */
  tell(): void {
    const { keys, sessions } = this.#world;
    const highest = this.told.toSorted((one, other) => (one.token < other.token ? 1 : -1)).slice(0, 1);
    const present = [...keys.values()].flatMap(({ session, value }) => {
      const parsed = parseLockValue(value);
      if (session === undefined || !sessions.has(session) || parsed === undefined) return [];
      return [{ session, token: parsed.fencingToken, acquiredTime: parsed.acquiredTime }];
    });
    this.told = [...highest, ...present];
  }

  /** Carries out a step, as the server would; false when a precondition does not hold. */
  apply(step: LeaseStep, wish: LeaseWish): boolean {
    if ('key' in step && !(step.kind === 'drop' && step.index === 0)) {
      if ((this.#world.keys.get(step.key)?.modifyIndex ?? 0) !== step.index) return false;
    }
    this.#carryOut(step);
    this.#change({ record: recordAfter(step, this.#world.record, wish) });
    return true;
  }

  #carryOut(step: LeaseStep): void {
    switch (step.kind) {
      case 'vacate':
        if (step.how === 'release') {
          this.#put(step.key, { value: step.value, flags: LOCK_FLAGS, session: undefined });
        }
        this.endSession(step.session);
        return;
      case 'drop':
        if (step.index > 0) this.deleteKey(step.key);
        if (step.session !== undefined) this.endSession(step.session);
        return;
      case 'discard':
        this.endSession(step.session);
        return;
      case 'rewrite':
        this.#lock(step.key, step.pod.name, step.token, step.session);
        return;
      case 'grant':
        this.#lock(step.key, step.pod.name, step.token, step.session ?? this.makeSession(step.pod.name));
        return;
      case 'record':
      case 'end':
        return;
    }
  }

  #lock(key: string, pod: string, token: bigint, session: SessionId): void {
    const content = { ...podOf(pod), fencingToken: token, acquiredTime: ACQUIRED };
    this.#put(key, { value: encodeLockValue(content), flags: LOCK_FLAGS, session });
  }

  makeSession(pod: string): SessionId {
    const id = sessionId(++this.#drawn);
    const index = this.#world.index + 1;
    const session = { id, pod: podRef(pod), createIndex: index };
    this.#change({ sessions: new Map(this.#world.sessions).set(id, session), index });
    return id;
  }

  endSession(id: SessionId): void {
    const sessions = new Map(this.#world.sessions);
    sessions.delete(id);
    this.#change({ sessions });
    for (const { key, session } of this.#world.keys.values()) {
      if (session === id) this.#put(key, { session: undefined });
    }
  }

  endSomeSession(place: number): void {
    const id = [...this.#world.sessions.keys()][place];
    if (id !== undefined) this.endSession(id);
  }

  deleteKey(key: string): void {
    const keys = new Map(this.#world.keys);
    if (keys.delete(key)) this.#change({ keys, index: this.#world.index + 1 });
  }

  /** By an admin: the value and the flags are lost. */
  release(key: string): void {
    if (this.#world.keys.has(key)) this.#put(key, { value: Buffer.alloc(0), flags: 0n, session: undefined });
  }

  edit(key: string, fields: Pick<KvEntry, 'value'> & Partial<Pick<KvEntry, 'flags'>>): void {
    if (this.#world.keys.has(key)) this.#put(key, fields);
  }

  /** Data of another program, or its lock, where nothing stands. */
  occupy(key: string, how: 'data' | 'lock'): void {
    if (this.#world.keys.has(key)) return;
    if (how === 'data') return this.#put(key, { value: Buffer.from('theirs'), flags: 77n });
    const session = sessionId(1_000_000 + ++this.#drawn);
    this.#change({ strangers: new Set([...this.#world.strangers, session]) });
    this.#put(key, { value: Buffer.from('theirs'), flags: 0n, session });
  }

  loseRecord(): void {
    this.#change({ record: undefined });
  }

  save(): void {
    this.#saved = this.#world;
  }

  /** A restore: everything is as it was, dead sessions and the index too. */
  restore(): void {
    this.#world = this.#saved;
  }

  #put(key: string, fields: Partial<KvEntry>): void {
    const index = this.#world.index + 1;
    const before = this.#world.keys.get(key);
    const entry: KvEntry = {
      key,
      value: Buffer.alloc(0),
      flags: 0n,
      createIndex: index,
      lockIndex: 1,
      session: undefined,
      ...before,
      ...fields,
      modifyIndex: index as ModifyIndex,
    };
    this.#change({ keys: new Map(this.#world.keys).set(key, entry), index });
  }

  #change(fields: Partial<World>): void {
    this.#world = { ...this.#world, ...fields };
  }
}

function podOf(name: string): { readonly holder: string; readonly uid: string } {
  return { holder: name, uid: podRef(name).uid };
}
