import type { ConsulReads } from '../../consul/client.ts';
import type { KvEntry, SessionId } from '../../consul/types.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { KeyMirror } from '../../mirror/key-mirror.ts';
import type { SessionMirror, SessionsSeen } from '../../mirror/session-mirror.ts';
import type { Stranger } from './slots.ts';

/** Locks and sessions at one moment. */
export interface Locks {
  readonly entries: ReadonlyMap<string, KvEntry | undefined>;
  readonly sessions: SessionsSeen;
  /** Sessions that hold one of the locks, are alive, and none of this install's leases. */
  readonly strangers: ReadonlyMap<SessionId, Stranger>;
  /** Raft index up to which nothing is missing from the entries. */
  readonly readIndex: number;
}

export interface LockReaderOptions {
  readonly consul: Pick<ConsulReads, 'txn' | 'sessions'>;
  readonly mirror: KeyMirror;
  readonly sessionMirror: SessionMirror;
}

/** Reads what stands at the keys of a lease, and whose the sessions there are. */
export class LockReader {
  readonly #options: LockReaderOptions;

  constructor(options: LockReaderOptions) {
    this.#options = options;
  }

  /**
   * What was written before the call is seen, by whomever. `fresh`: read the sessions, too, whatever is remembered.
   * @throws RetryableError when Consul does not answer or the token may not read one of the keys.
   */
  async read(
    ref: ResourceRef,
    keys: readonly string[],
    { fresh, signal }: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<Locks> {
    const { sessionMirror } = this.#options;
    if (fresh) await sessionMirror.refresh();
    const first = await this.#look(ref, keys, signal);
    if (unknownSessions(first).length === 0) return first;
    // Made or ended so lately that the list does not tell.
    await sessionMirror.refresh();
    return this.#look(ref, keys, signal);
  }

  /** Sessions first: each of them that holds a lock by the time the locks are read is seen to hold it. */
  async #look(ref: ResourceRef, keys: readonly string[], signal: AbortSignal): Promise<Locks> {
    const { consul, mirror, sessionMirror } = this.#options;
    const sessions = await sessionMirror.current();
    const begunAt = mirror.begin();
    const { value, index } = await consul.txn.readKeys(keys, { signal, consistency: 'consistent' });
    mirror.learn(value, begunAt, { reader: ref });
    const readIndex = Math.max(index, sessions.index);
    const locks = { entries: value, sessions, strangers: NOBODY, readIndex };
    return { ...locks, strangers: await this.#strangers(unknownSessions(locks), signal) };
  }

  /** Asks Consul about sessions that are none of this install's leases. */
  async #strangers(
    ids: readonly SessionId[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<SessionId, Stranger>> {
    const asked = await Promise.all(ids.map(async id => [id, await this.#ask(id, signal)] as const));
    return new Map(asked.flatMap(([id, stranger]) => (stranger === undefined ? [] : [[id, stranger]])));
  }

  /** Of a session that the ACL token may not see Consul answers as of none, but says that it left something out. */
  async #ask(id: SessionId, signal: AbortSignal): Promise<Stranger | undefined> {
    const { consul, sessionMirror } = this.#options;
    const { value, filteredByAcl } = await consul.sessions.info(id, { signal, consistency: 'consistent' });
    if (value === undefined) return filteredByAcl ? { name: undefined } : undefined;
    return value.node === sessionMirror.node ? undefined : { name: value.name };
  }
}

const NOBODY: ReadonlyMap<SessionId, Stranger> = new Map();

/** Sessions that hold one of the keys and of which nothing is known. */
function unknownSessions({ entries, sessions, strangers }: Locks): SessionId[] {
  const known = new Set([...sessions.sessions.map(({ id }) => id), ...strangers.keys()]);
  return [...entries.values()].flatMap(entry => {
    const session = entry?.session;
    return session === undefined || known.has(session) ? [] : [session];
  });
}
