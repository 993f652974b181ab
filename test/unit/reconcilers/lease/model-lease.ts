import type { KvEntry, ModifyIndex, SessionId } from '../../../../src/consul/types.ts';
import type { ConsulLeaderLeaseStatus } from '../../../../src/api/v1alpha1/consulleaderlease.ts';
import { encodeLockValue, LOCK_FLAGS } from '../../../../src/core/lock-value.ts';
import { LeaseMemory } from '../../../../src/reconcilers/lease/memory.ts';
import { type LeaseWish, type ObservedLease, slotsOf } from '../../../../src/reconcilers/lease/plan.ts';
import { countsSeen, holdersIn } from '../../../../src/reconcilers/lease/report.ts';
import type { LeaseSession } from '../../../../src/reconcilers/lease/sessions.ts';
import { type LeaseRecord, type LeaseStep, recordAfter } from '../../../../src/reconcilers/lease/steps.ts';
import { ACQUIRED, podRef, sessionId } from './builders.ts';

interface World {
  readonly keys: ReadonlyMap<string, KvEntry>;
  readonly sessions: ReadonlyMap<SessionId, LeaseSession>;
  readonly strangers: ReadonlySet<SessionId>;
  readonly record: LeaseRecord | undefined;
  readonly recordIndex: number;
  readonly index: number;
}

const EMPTY: World = {
  keys: new Map(),
  sessions: new Map(),
  strangers: new Set(),
  record: undefined,
  recordIndex: 0,
  index: 100,
};

const LEASE = { namespace: 'shop', name: 'orders' };

/** Consul as a lease sees it, without time: locks, sessions and the owner record, and what people do to them. */
export class ModelLease {
  #world = EMPTY;
  #saved = EMPTY;
  #drawn = 0;
  /** The session of every grant, in order. */
  readonly tenures: SessionId[] = [];
  /** As the status has it; it is not in Consul, and survives whatever happens there. */
  #status: Partial<ConsulLeaderLeaseStatus> = {};
  #memory = new LeaseMemory();

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
    const { keys, sessions, strangers, record, recordIndex, index } = this.#world;
    return {
      record,
      recordIndex,
      sight: key => keys.get(key) ?? 'absent',
      sessions: [...sessions.values()],
      stranger: id => (strangers.has(id) ? { name: 'somebody' } : undefined),
      readIndex: index,
      told: this.#memory.told(LEASE, this.#status),
      rival: () => undefined,
      claimsComplete: true,
    };
  }

  /** Writes the status. */
  tell({ keys }: Pick<LeaseWish, 'keys'>): void {
    const facts = this.observe();
    const holders = holdersIn(slotsOf(keys, facts), facts.record?.names);
    const heldBy = 'Operator';
    const counts = countsSeen({ settings: { heldBy }, holders, facts, previous: this.#status });
    const { transitions = 0, highestToken } = counts;
    this.#status = { holders, transitions, highestFencingToken: highestToken.toString() };
  }

  get status(): Partial<ConsulLeaderLeaseStatus> {
    return this.#status;
  }

  /** Another process leads: it knows nothing but what it reads. */
  restartOperator(): void {
    this.#memory = new LeaseMemory();
  }

  /** Carries out a step, as the server would; false when a precondition does not hold. */
  apply(step: LeaseStep, wish: LeaseWish): boolean {
    if ('key' in step && !(step.kind === 'drop' && step.index === 0)) {
      if ((this.#world.keys.get(step.key)?.modifyIndex ?? 0) !== step.index) return false;
    }
    const { told } = this.observe();
    const before = this.#world.record;
    this.#carryOut(step);
    const record = recordAfter(step, before, { ...wish, told });
    if (record !== before) this.#change({ record, recordIndex: this.#world.index });
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
      case 'grant': {
        const session = step.session ?? this.makeSession(step.pod.name);
        this.tenures.push(session);
        this.#lock(step.key, step.pod.name, step.token, session);
        return;
      }
      case 'record':
      case 'end':
        return;
    }
  }

  #lock(key: string, pod: string, token: bigint, session: SessionId): void {
    const content = { ...podOf(pod), fencingToken: token, acquiredTime: ACQUIRED };
    this.#put(key, { value: encodeLockValue(content), flags: LOCK_FLAGS, session });
    this.#memory.granted(LEASE, { session, token, acquiredTime: ACQUIRED });
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
    this.#change({ record: undefined, recordIndex: 0 });
  }

  /** A new Consul, with nothing in it and indexes that begin anew. */
  rebuild(): void {
    this.#world = EMPTY;
    this.#saved = EMPTY;
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
