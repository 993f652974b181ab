import type { Clock } from '../../../src/core/clock.ts';
import { AbortedError } from '../../../src/core/errors.ts';
import { consulError } from '../../../src/consul/errors.ts';
import type { Session } from '../../../src/consul/session.ts';
import type { Answer, CallOptions, ReadOptions } from '../../../src/consul/types.ts';
import type { ElectionConsul } from '../../../src/election/index.ts';
import type { FakeClock } from '../../support/fake-clock.ts';
import type { LockOperation, LockServer, ServerSession } from './lock-server.ts';

/** What becomes of the requests of a process. `late`: they arrive long after nobody waits for the answer any more. */
export type Network = 'good' | 'slow' | 'cut' | 'refused' | 'no-answer' | 'late' | 'mixed';

/** How long after it was sent a request may still arrive. */
export const LATEST_MS = 20_000;

const FATES = ['good', 'slow', 'cut', 'refused', 'no-answer', 'late'] as const;

/**
 * A process on a machine of its own: its clocks may run fast or slow, jump, or stand still, and it may be paused. What
 * reaches it while it is, timers and answers alike, happens when it goes on.
 */
export class Process implements Clock {
  readonly #world: FakeClock;
  readonly #rate: number;
  readonly #random: () => number;
  readonly #held: (() => void)[] = [];
  #isPaused = false;
  #suspendedAtMs: number | undefined;
  #monotonicOffMs = 0;
  #wallOffMs = 0;
  network: Network = 'good';

  constructor(world: FakeClock, random: () => number, rate = 1) {
    this.#world = world;
    this.#random = random;
    this.#rate = rate;
  }

  now(): number {
    return this.#world.now() * this.#rate + this.#wallOffMs;
  }

  monotonic(): number {
    const at = this.#suspendedAtMs ?? this.#world.monotonic();
    return (at - this.#monotonicOffMs) * this.#rate;
  }

  after(ms: number, callback: () => void): () => void {
    let isCancelled = false;
    const cancel = this.#world.after(ms / this.#rate, () => this.#happens(() => !isCancelled && callback()));
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** As `pause`, and the monotonic clock stands still: a virtual machine that is put aside. */
  suspend(): void {
    this.pause();
    this.#suspendedAtMs ??= this.#world.monotonic();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#suspendedAtMs !== undefined)
      this.#monotonicOffMs += this.#world.monotonic() - this.#suspendedAtMs;
    this.#suspendedAtMs = undefined;
    for (const happening of this.#held.splice(0)) happening();
  }

  setWallClock(byMs: number): void {
    this.#wallOffMs += byMs;
  }

  #happens(what: () => void): void {
    if (this.#isPaused) this.#held.push(what);
    else what();
  }

  /** One request: carried out by `serve` when it arrives, if it does. */
  call<T>(serve: () => T, { signal, deadlineMs = 15_000 }: CallOptions, writes: boolean): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (signal.aborted) return Promise.reject(new AbortedError());
    const drawn = FATES[Math.floor(this.#random() * FATES.length)] ?? 'good';
    const fate = this.network === 'mixed' ? drawn : this.network;
    const timeOut = (): void =>
      reject(consulError('CONSUL_TIMEOUT', 'no answer', { outcomeUnknown: writes }));
    const inTime = this.after(deadlineMs, timeOut);
    const abort = (): void => reject(new AbortedError());
    signal.addEventListener('abort', abort, { once: true });
    const latencyMs =
      fate === 'slow' ? 200 + 1800 * this.#random() : fate === 'late' ? LATEST_MS * this.#random() : 2;
    if (fate === 'refused') {
      this.after(latencyMs, () => reject(consulError('CONSUL_UNREACHABLE', 'refused')));
    } else if (fate !== 'cut') {
      this.#world.after(latencyMs, () => {
        const answer = attempt(serve);
        if (fate === 'no-answer') return;
        this.#world.after(latencyMs, () =>
          this.#happens(() => ('error' in answer ? reject(answer.error) : resolve(answer.value))),
        );
      });
    }
    return promise.finally(() => {
      inTime();
      signal.removeEventListener('abort', abort);
    });
  }
}

function attempt<T>(serve: () => T): { readonly value: T } | { readonly error: unknown } {
  try {
    return { value: serve() };
  } catch (error) {
    return { error };
  }
}

function asSession({ id, name, node, createIndex }: ServerSession): Session {
  return { id, name, node, createIndex, ttl: '', behavior: 'release' };
}

/** Consul as a process reaches it. */
export function consulFor(process: Process, server: LockServer, world: FakeClock): ElectionConsul {
  const call = <T>(serve: () => T, options: CallOptions): Promise<T> => process.call(serve, options, true);
  const answer = <T>(value: T): Answer<T> => ({
    value,
    index: server.index,
    filteredByAcl: false,
    knownLeader: true,
    elapsedMs: 0,
  });
  return {
    kv: {
      get: (key, options) => readKey(key, options, process, server, world),
      release: ({ key, session, value, flags = 0n }, options) =>
        call(() => ({ applied: server.release(key, session, value, flags) }), options),
    },
    txn: {
      submit: (fragments, options) =>
        call(() => {
          const operations = fragments.map(text => (JSON.parse(text) as { KV: LockOperation }).KV);
          const errors = server.transact(operations);
          if (errors.length === 0) return { applied: true, entries: [], rows: [], index: server.index };
          return {
            applied: false,
            errors: errors.map(({ OpIndex, What }) => ({ opIndex: OpIndex, what: What })),
          };
        }, options),
    },
    sessions: {
      listNode: (node, options) =>
        process.call(
          () => answer([...server.sessions.values()].filter(session => session.node === node).map(asSession)),
          options,
          false,
        ),
      info: (id, options) =>
        process.call(
          () => {
            const session = server.sessions.get(id);
            return answer(session && asSession(session));
          },
          options,
          false,
        ),
      create: ({ node, name, ttlSeconds, lockDelaySeconds }, options) =>
        call(() => {
          const wanted = { node, name, ttlMs: ttlSeconds * 1000, lockDelayMs: lockDelaySeconds * 1000 };
          const id = server.create(wanted);
          if (id === undefined) throw consulError('CONSUL_NODE_MISSING', 'no node');
          return id;
        }, options),
      renew: (id, options) => call(() => ({ alive: server.renew(id) }), options),
      destroy: (id, options) => call(() => server.destroy(id), options),
    },
    catalog: { registerNode: ({ node }, options) => call(() => void server.nodes.add(node), options) },
  };
}

async function readKey(
  key: string,
  { block, ...options }: ReadOptions,
  process: Process,
  server: LockServer,
  world: FakeClock,
): ReturnType<ElectionConsul['kv']['get']> {
  const startedMs = world.monotonic();
  const look = () => ({
    value: server.entry(key),
    index: server.indexOf(key),
    filteredByAcl: false,
    knownLeader: true,
    elapsedMs: world.monotonic() - startedMs,
  });
  if (block === undefined || block.index === 0) return await process.call(look, options, false);
  const waitMs = block.waitSeconds * 1000;
  const deadlineMs = (waitMs * 17) / 16 + 10_000;
  await process.call(() => undefined, { ...options, deadlineMs }, false);
  const { promise: news, resolve } = Promise.withResolvers<void>();
  const { abandoned } = server;
  const wake = (): void =>
    server.indexOf(key) > block.index || server.abandoned > abandoned ? resolve() : undefined;
  const forget = server.onChange(wake);
  const cancel = world.after(waitMs, resolve);
  const { signal } = options;
  signal.addEventListener('abort', () => resolve(), { once: true });
  wake();
  await news;
  forget();
  cancel();
  if (signal.aborted) throw new AbortedError();
  return await process.call(look, options, false);
}
