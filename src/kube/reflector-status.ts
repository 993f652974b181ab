import type { Clock } from '../core/clock.ts';
import { isOurs, kubeStatus } from './errors.ts';

/** Why a list was made: the first one; a 410; watches that twice in a row brought not a single event. */
export type RelistReason = 'start' | 'expired' | 'silent';

export interface ReflectorState {
  /** A complete list has been taken in. Only then, and while not `unavailable`, does absence mean anything. */
  readonly synced: boolean;
  /** A watch is open, so the store is as current as the connection. */
  readonly watching: boolean;
  /** Set while the API server answers 404 (no such kind) or 403 (no right): what the store lacks is unknown. */
  readonly unavailable: { readonly code: string; readonly message: string } | undefined;
  /** The last failure, until a list or watch succeeds. */
  readonly lastError: Error | undefined;
  /** Wall clock, milliseconds, of the last byte from the server. */
  readonly lastContactAt: number | undefined;
  /** Complete lists, by what made them necessary. */
  readonly relists: Readonly<Record<RelistReason, number>>;
}

type Listener = (state: ReflectorState) => void;

/** What a reflector tells the outside about itself. */
export class ReflectorStatus {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  readonly #synced = Promise.withResolvers<void>();
  readonly #settled = Promise.withResolvers<void>();
  #state: ReflectorState = {
    synced: false,
    watching: false,
    unavailable: undefined,
    lastError: undefined,
    lastContactAt: undefined,
    relists: { start: 0, expired: 0, silent: 0 },
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get state(): ReflectorState {
    return this.#state;
  }

  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  heard(): void {
    this.#state = { ...this.#state, lastContactAt: this.#clock.now() };
  }

  listed(reason: RelistReason): void {
    const relists = { ...this.#state.relists, [reason]: this.#state.relists[reason] + 1 };
    this.#change({ synced: true, relists, unavailable: undefined, lastError: undefined });
    this.#synced.resolve();
    this.#settled.resolve();
  }

  watching(): void {
    this.#change({ watching: true, unavailable: undefined, lastError: undefined });
  }

  watchEnded(): void {
    this.#change({ watching: false });
  }

  failed(thrown: unknown): void {
    const lastError = thrown instanceof Error ? thrown : new Error(String(thrown));
    const status = kubeStatus(thrown);
    const refused = (status === 403 || status === 404) && isOurs(thrown);
    const unavailable = refused ? { code: thrown.code, message: thrown.message } : undefined;
    this.#change({ watching: false, lastError, ...(refused ? { unavailable } : {}) });
    if (refused) this.#settled.resolve();
  }

  #change(change: Partial<ReflectorState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener(this.#state);
  }
}
