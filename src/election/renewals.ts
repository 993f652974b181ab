import { backoffMs } from '../core/backoff.ts';
import type { Clock, Random } from '../core/clock.ts';
import { parseDurationMs } from '../core/duration.ts';
import { RetryableError } from '../core/errors.ts';
import { pause } from '../core/pause.ts';
import { Semaphore } from '../core/semaphore.ts';
import type { Session, SessionWrites } from '../consul/session.ts';
import type { SessionId } from '../consul/types.ts';

/** Consul ends a session after two TTLs without a renewal, so five renewals in a row may fail. */
const RENEW_OF_TTL = 1 / 3;
/** What is new may have been without anybody for long; spread, for after a start all are new. */
const FIRST_WITHIN_MS = 1_000;
const MAX_DEADLINE_MS = 5_000;
/** Half of the ordinary connections, so that renewals never stand in the way of anything else for long. */
const AT_ONCE = 4;
/** Between two tries of a Consul that is away. */
const AWAY = { baseMs: 250, capMs: 2_000 };
/** The shortest that Consul knows: for a TTL in a notation that it should not use. */
const SHORTEST_TTL_MS = 10_000;

export interface RenewalsOptions {
  readonly sessions: Pick<SessionWrites, 'renew'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Once for every time that renewing begins to fail, and once when it works again. */
  readonly onTrouble?: (error: unknown) => void;
  readonly onRecovered?: () => void;
}

interface Renewed {
  readonly ttlMs: number;
  cancel: () => void;
}

/**
 * Keeps sessions alive that somebody else may have made: every replica renews all of them, whoever leads. That grants
 * nothing, for a renewal only says that what holds may go on holding; and it never stops for anything but the session's
 * end, so that no lease changes hands because a process did.
 */
export class Renewals {
  readonly #options: RenewalsOptions;
  readonly #renewed = new Map<SessionId, Renewed>();
  readonly #places = new Semaphore(AT_ONCE);
  #failures = 0;
  #pausedUntilMs = 0;
  #isTroubled = false;

  constructor(options: RenewalsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#renewed.size;
  }

  /** These are all there are: the new ones are renewed from now on, and those that went are not any more. */
  see(sessions: readonly Pick<Session, 'id' | 'ttl'>[]): void {
    const present = new Set(sessions.map(({ id }) => id));
    for (const [id, { cancel }] of this.#renewed) {
      if (present.has(id)) continue;
      cancel();
      this.#renewed.delete(id);
    }
    for (const { id, ttl } of sessions) {
      if (this.#renewed.has(id)) continue;
      const renewed = { ttlMs: parseDurationMs(ttl) ?? SHORTEST_TTL_MS, cancel: () => {} };
      this.#renewed.set(id, renewed);
      this.#schedule(id, renewed, FIRST_WITHIN_MS * this.#options.random());
    }
  }

  #schedule(id: SessionId, renewed: Renewed, afterMs: number): void {
    const { clock, signal } = this.#options;
    if (signal.aborted) return;
    renewed.cancel = clock.after(afterMs, () => void this.#keep(id, renewed));
  }

  /** Never rejects. */
  async #keep(id: SessionId, renewed: Renewed): Promise<void> {
    const { random, signal } = this.#options;
    const isAlive = await this.#renew(id, renewed).catch(() => 'unknown' as const);
    if (signal.aborted || this.#renewed.get(id) !== renewed) return;
    // Gone: it stays known until it is listed no more, and nobody asks for it again.
    if (isAlive === false) return;
    // By chance, so that replicas and sessions do not all come at once.
    const spread = 0.8 + 0.4 * random();
    this.#schedule(
      id,
      renewed,
      isAlive === true ? renewed.ttlMs * RENEW_OF_TTL * spread : AWAY.baseMs * spread,
    );
  }

  async #renew(id: SessionId, { ttlMs }: Renewed): Promise<boolean> {
    const { sessions, clock, signal } = this.#options;
    const leave = await this.#places.acquire(signal);
    try {
      await pause(clock, this.#pausedUntilMs - clock.monotonic(), signal);
      const deadlineMs = Math.min(MAX_DEADLINE_MS, ttlMs * RENEW_OF_TTL);
      const { alive } = await sessions.renew(id, { signal, deadlineMs });
      this.#worked();
      return alive;
    } catch (error) {
      this.#failed(error);
      throw error;
    } finally {
      leave();
    }
  }

  #worked(): void {
    this.#failures = 0;
    this.#pausedUntilMs = 0;
    if (!this.#isTroubled) return;
    this.#isTroubled = false;
    this.#options.onRecovered?.();
  }

  /** Whatever it is, it is likely to meet the next session as well: all of them wait. */
  #failed(error: unknown): void {
    const { clock, random, signal, onTrouble } = this.#options;
    if (signal.aborted) return;
    const askedMs = error instanceof RetryableError ? (error.retryAfterMs ?? 0) : 0;
    const waitMs = Math.max(Math.min(askedMs, AWAY.capMs), backoffMs(AWAY, this.#failures, random));
    this.#failures += 1;
    this.#pausedUntilMs = clock.monotonic() + waitMs;
    if (this.#isTroubled) return;
    this.#isTroubled = true;
    onTrouble?.(error);
  }
}
