import type { AgentRegistrations } from '../../commit/agent-registrations.ts';
import { parseServiceId } from '../../consul/service-ids.ts';
import type { Clock } from '../../core/clock.ts';
import { AbortedError, isOperatorError } from '../../core/errors.ts';
import { parseInstanceName } from '../../core/instance-names.ts';
import type { Logger } from '../../core/logger.ts';
import type { ResourceRef } from '../../core/resource.ts';
import type { AgentMirror, AgentView } from '../../mirror/agent-mirror.ts';
import type { Ledger } from '../../ownership/ledger.ts';
import { listedNames } from '../../ownership/record.ts';
import { markOf } from './agent-compare.ts';
import { OWNER_MARK } from './marks.ts';

/** No request is on its way for longer, be it that of a leader that was paused before it sent it. */
const KEEP_MS = 600_000;
/** The oldest are forgotten first: one more can come too late only where a request was given up on. */
const MAX_RELEASED = 10_000;

export interface AgentLatecomersOptions {
  readonly installId: string;
  readonly ledger: Pick<Ledger, 'record'>;
  readonly agentMirror: Pick<AgentMirror, 'follow'>;
  readonly agentRegistrations: Pick<AgentRegistrations, 'deregister'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Released {
  readonly ref: ResourceRef;
  readonly atMs: number;
}

/**
 * An agent compares nothing, so a request that nobody waits for any more may still register what has been let go of since: nobody
 * would drain it, and without checks it would be healthy for ever. What was let go of because nothing stood there is looked for a
 * while longer, and taken out if it comes. What stays under Retain is none of it: that stood when it was let go of.
 */
export class AgentLatecomers {
  readonly #options: AgentLatecomersOptions;
  readonly #released = new Map<string, Released>();
  #unfollow: (() => void) | undefined;

  constructor(options: AgentLatecomersOptions) {
    this.#options = options;
  }

  /** The record lists the name (again): from now on what stands there is its business. */
  claimed(name: string): void {
    this.#released.delete(name);
  }

  /** The record let go of the name, and nothing stood there. */
  released(ref: ResourceRef, name: string): void {
    const { agentMirror, clock } = this.#options;
    this.#released.delete(name);
    this.#released.set(name, { ref, atMs: clock.monotonic() });
    this.#forget();
    this.#unfollow ??= agentMirror.follow(view => void this.#look(view));
  }

  #forget(): void {
    const now = this.#options.clock.monotonic();
    for (const [name, { atMs }] of this.#released) {
      if (this.#released.size <= MAX_RELEASED && now - atMs < KEEP_MS) return;
      this.#released.delete(name);
    }
    this.#unfollow?.();
    this.#unfollow = undefined;
  }

  async #look(agent: AgentView): Promise<void> {
    const late = [...this.#released].filter(([name, { ref }]) => this.#isLate(name, ref, agent));
    this.#forget();
    for (const [name, { ref }] of late) await this.#takeOut(name, ref);
  }

  #isLate(name: string, ref: ResourceRef, agent: AgentView): boolean {
    const { node, id = '' } = parseInstanceName(name) ?? {};
    if (node !== agent.node) return false;
    return agent.service(id)?.meta.get(OWNER_MARK) === markOf({ installId: this.#options.installId, ref });
  }

  async #takeOut(name: string, ref: ResourceRef): Promise<void> {
    const { agentRegistrations, ledger, logger } = this.#options;
    const { node, id } = parseInstanceName(name) ?? {};
    const record = ledger.record(ref);
    if (!this.#released.has(name) || (record !== undefined && listedNames(record).has(name))) return;
    try {
      await agentRegistrations.deregister(ref, parseServiceId(id));
      logger.info({ ...ref, node }, 'a registration that came too late was taken out of the agent');
    } catch (error) {
      // Who does not lead any more leaves it to who does.
      if (error instanceof AbortedError) return;
      if (!isOperatorError(error)) throw error;
      logger.debug({ ...ref, node, err: error }, 'a registration that came too late stays for now');
    }
  }
}
