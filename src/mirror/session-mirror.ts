import type { ConsulReads } from '../consul/client.ts';
import { watch } from '../consul/blocking-query.ts';
import type { Session } from '../consul/session.ts';
import type { Answer, SessionId } from '../consul/types.ts';
import type { Clock, Random } from '../core/clock.ts';
import { RetryableError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';

export interface SessionMirrorOptions {
  readonly consul: Pick<ConsulReads, 'sessions'>;
  /** Whose sessions; it need not exist yet. */
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** All sessions of the node at one moment. */
export interface SessionsSeen {
  readonly sessions: readonly Session[];
  /** Raft index up to which nothing is missing. */
  readonly index: number;
}

/** Told of all sessions there are now, and of those that came or went. */
export type SessionListener = (all: readonly Session[], moved: readonly Session[]) => void;

/**
 * The sessions of one node, by one blocking query. Whoever acts on them asks for `current()`, which reads them anew when
 * they may have changed by our own hand: a session of which nobody has heard looks like one that is dead.
 */
export class SessionMirror {
  readonly #options: SessionMirrorOptions;
  readonly #listeners = new Set<SessionListener>();
  #sessions: ReadonlyMap<SessionId, Session> = new Map();
  #index = 0;
  #moment = 0;
  #learnedAt = 0;
  /** When the last read was begun that has been taken in. */
  #readAt = 0;
  /** What was begun before this does not show our own last write. */
  #doubtedAt = ++this.#moment;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: SessionMirrorOptions) {
    this.#options = options;
  }

  get node(): string {
    return this.#options.node;
  }

  subscribe(listener: SessionListener): void {
    this.#listeners.add(listener);
  }

  /** To be called after each write of a session, answered or not: only what is read from now on counts. */
  doubt(): void {
    this.#doubtedAt = ++this.#moment;
  }

  /** Those there are, with all of our own writes up to the call. @throws RetryableError when Consul cannot tell, or not all. */
  async current(): Promise<SessionsSeen> {
    const neededAt = this.#doubtedAt;
    while (this.#readAt < neededAt) await this.refresh();
    return { sessions: [...this.#sessions.values()], index: this.#index };
  }

  /** Reads them anew. Calls at the same time share a read, as far as that begins after them. */
  refresh(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#running = this.#read();
        return this.#running;
      });
    return this.#next;
  }

  /** Follows what happens to them until the signal aborts. Never rejects. */
  async follow(): Promise<void> {
    const { consul, node, clock, random, signal, logger } = this.#options;
    const read = (block: { index: number; waitSeconds: number; signal: AbortSignal }) =>
      consul.sessions.listNode(node, { signal: block.signal, block });
    const onFailure = (error: unknown): void => {
      if (!signal.aborted) logger.debug({ node, err: error }, 'watch of Consul interrupted');
    };
    for await (const { value, reset } of watch({ read, signal, clock, random, onFailure })) {
      if (value.filteredByAcl) continue;
      if (reset) this.doubt();
      // An answer may have been under way while something newer was read; another history has indexes of its own.
      if (reset || value.index > this.#index) this.#take(value);
    }
  }

  async #read(): Promise<void> {
    const { consul, node, signal } = this.#options;
    const begunAt = ++this.#moment;
    const answer = await consul.sessions.listNode(node, { signal, consistency: 'consistent' });
    if (answer.filteredByAcl) throw hiddenSessions(node);
    const isOutrun = this.#learnedAt > begunAt && answer.index < this.#index;
    if (!isOutrun) this.#take(answer);
    this.#readAt = begunAt;
  }

  #take({ value, index }: Answer<readonly Session[]>): void {
    const before = this.#sessions;
    const now = new Map(value.map(session => [session.id, session]));
    this.#sessions = now;
    this.#index = index;
    this.#learnedAt = ++this.#moment;
    const moved = [
      ...value.filter(({ id }) => !before.has(id)),
      ...[...before.values()].filter(({ id }) => !now.has(id)),
    ];
    for (const listener of this.#listeners) listener(value, moved);
  }
}

function hiddenSessions(node: string): RetryableError {
  const rule = `session_prefix "${node}" { policy = "write" }`;
  return new RetryableError(
    `the ACL token does not show all sessions of this install's leases: add ${rule}`,
    {
      code: 'CONSUL_DENIED',
      reason: 'ConsulDenied',
    },
  );
}
