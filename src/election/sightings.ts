import { messageOf } from '../core/errors.ts';
import type { LockContent, LockValue } from '../core/lock-value.ts';
import type { Answer, KvEntry, SessionId } from '../consul/types.ts';
import type { Instant } from './deadline.ts';
import type { LeaseClock } from './lease-clock.ts';
import type { Sight } from './model.ts';
import { type SeenLock, seenLock, type Verdict } from './seen-lock.ts';

export type Judge = (content: LockValue | undefined, entry: KvEntry) => 'alive' | 'dead' | Error;

/** Sessions given up that are still known again when a restored snapshot brings them back. */
const MAX_PAST = 32;

/** What a candidate remembers of what it saw of its lock. */
export class Sightings {
  readonly #leaseClock: Pick<LeaseClock, 'read'>;
  readonly #judge: Judge;
  readonly #past = new Set<SessionId>();
  #present: SessionId | undefined;
  #holder: LockContent | undefined;
  #highestToken = 0n;
  #index: number | undefined;
  #since: Instant = 0;

  constructor(leaseClock: Pick<LeaseClock, 'read'>, judge: Judge = () => 'alive') {
    this.#leaseClock = leaseClock;
    this.#judge = judge;
  }

  get holder(): LockContent | undefined {
    return this.#holder;
  }

  /** Of all tenures seen: the key may have been deleted or overwritten since. */
  get highestToken(): bigint {
    return this.#highestToken;
  }

  /** Which session is this candidate's now. The one before is given up, for good. */
  useSession(session: SessionId | undefined): void {
    if (session === this.#present) return;
    if (this.#present !== undefined) this.#past.add(this.#present);
    this.#present = session;
    for (const oldest of this.#past) if (this.#past.size > MAX_PAST) this.#past.delete(oldest);
  }

  take(answer: Answer<KvEntry | undefined>): Sight {
    const lock = seenLock(answer);
    this.#holder = lock.session === undefined ? undefined : lock.value;
    const token = lock.foreignUse === undefined ? (lock.value?.fencingToken ?? 0n) : 0n;
    if (token > this.#highestToken) this.#highestToken = token;
    if (lock.index !== this.#index) this.#since = this.#leaseClock.read();
    this.#index = lock.index;
    return { lock, verdict: this.#verdict(lock), since: this.#since };
  }

  #verdict({ session, entry, value, foreignUse }: SeenLock): Verdict {
    if (session === undefined || entry === undefined || foreignUse !== undefined) return 'alive';
    if (session === this.#present) return 'alive';
    if (this.#past.has(session)) return 'own';
    try {
      return this.#judge(value, entry);
    } catch (error) {
      return error instanceof Error ? error : new TypeError(messageOf(error));
    }
  }
}
