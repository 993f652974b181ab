import type { Clock } from '../../core/clock.ts';
import type { TerminalError } from '../../core/errors.ts';

/**
 * For so long an agent is not asked for the same again. Whoever else waits for the name would be let at it, and be refused, and let
 * go of it in turn.
 */
const KEEP_MS = 60_000;

export type AgentRefusal = Pick<TerminalError, 'reason' | 'message'>;

interface Refused extends AgentRefusal {
  readonly fingerprint: string;
  readonly atMs: number;
}

/** What the agent refused for good a moment ago, by the name of the instance and what was declared of it. */
export class AgentRefused {
  readonly #clock: Clock;
  readonly #refused = new Map<string, Refused>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(name: string, fingerprint: string, { reason, message }: AgentRefusal): void {
    this.#forget();
    this.#refused.delete(name);
    this.#refused.set(name, { reason, message, fingerprint, atMs: this.#clock.monotonic() });
  }

  /** Undefined: it can be tried. */
  find(name: string, fingerprint: string): AgentRefusal | undefined {
    this.#forget();
    const refused = this.#refused.get(name);
    return refused?.fingerprint === fingerprint ? refused : undefined;
  }

  #forget(): void {
    const now = this.#clock.monotonic();
    for (const [name, { atMs }] of this.#refused) {
      if (now - atMs < KEEP_MS) return;
      this.#refused.delete(name);
    }
  }
}
