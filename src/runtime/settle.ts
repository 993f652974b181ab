import { ANNOTATION_RECONCILE_AT, type CommonSpec, type CommonStatus } from '../api/v1alpha1/common.ts';
import type { Parsed } from '../api/v1alpha1/resource.ts';
import type { Clock } from '../core/clock.ts';
import { AbortedError, isOperatorError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { ResourceKey, ResourceRef } from '../core/resource.ts';
import { describeEnding, type Ending } from './ending.ts';
import { type Notice, noticeOfChange, noticesBetween } from './notices.ts';
import { isDeleting, type Objects, type StoredObject } from './objects.ts';
import { nextFor } from './requeue.ts';
import { isWorthTelling, saysTheSame, statusFor } from './status.ts';
import type { TurnState } from './turn-state.ts';
import type { UntoldWork } from './untold-work.ts';
import type { TurnResult } from './workers.ts';

export interface SettlementOptions<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Raw extends StoredObject,
> {
  readonly parse: (object: unknown) => Parsed<Spec, Status>;
  /** As a kind tells what is in effect that has other settings than policies. */
  readonly effective: ((ref: ResourceRef, spec: Spec) => Readonly<Record<string, unknown>>) | undefined;
  readonly objects: Objects<Raw>;
  readonly untold: UntoldWork;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The one door out of a turn: it alone sets conditions, tells Events and answers the queue. */
export class Settlement<Spec extends CommonSpec, Status extends CommonStatus, Raw extends StoredObject> {
  readonly #options: SettlementOptions<Spec, Status, Raw>;
  /** When the present row of failures of a key began. */
  readonly #failingSince = new Map<ResourceKey, number>();

  constructor(options: SettlementOptions<Spec, Status, Raw>) {
    this.#options = options;
  }

  /** @throws AbortedError when cut short; what has not been told by then is told by a later turn. */
  async settle(turn: TurnState<Raw>, reached: Ending): Promise<TurnResult> {
    const failingForMs = this.#noteFailure(turn.key, reached);
    const ending = await this.#tell(turn, reached, failingForMs);
    const next = nextFor(ending);
    turn.span.note({ result: next.kind, ...('reason' in ending ? { reason: ending.reason } : {}) });
    this.#log(turn, ending);
    turn.observer.settled(ending, next);
    return next;
  }

  /** Nothing is declared and nothing owned any more. */
  forget(key: ResourceKey): void {
    this.#failingSince.delete(key);
    this.#options.untold.forget(key);
  }

  #noteFailure(key: ResourceKey, ending: Ending): number {
    if (ending.kind !== 'failed') {
      this.#failingSince.delete(key);
      return 0;
    }
    const now = this.#options.clock.monotonic();
    const since = this.#failingSince.get(key) ?? now;
    this.#failingSince.set(key, since);
    return Math.max(now - since, ending.awayForMs ?? 0);
  }

  async #tell(turn: TurnState<Raw>, ending: Ending, failingForMs: number): Promise<Ending> {
    try {
      await turn.span.step('status', async () => {
        this.#tellChange(turn, ending);
        if (isWorthTelling(ending, failingForMs)) await this.#tellStatus(turn, ending);
      });
      if (ending.kind === 'released') this.forget(turn.key);
      return ending;
    } catch (error) {
      if (error instanceof AbortedError) throw error;
      // Consul is as it should be; the status is told by the next turn.
      return { kind: 'failed', error };
    }
  }

  /** Before the status, which may have to wait for a later turn: what was done is true already. */
  #tellChange(turn: TurnState<Raw>, { kind }: Ending): void {
    if (kind !== 'converged' && kind !== 'released') return;
    const change = this.#options.untold.takeChange(turn.key);
    if (change === undefined) return;
    turn.observer.applied(change);
    this.#notify(turn, [noticeOfChange(change, kind === 'released' ? 'Delete' : 'Reconcile')]);
  }

  async #tellStatus(turn: TurnState<Raw>, ending: Ending): Promise<void> {
    const { parse, effective, objects, untold, clock } = this.#options;
    const told = turn.lastSeen;
    if (told === undefined) return;
    const parsed = parse(told);
    const previous = (parsed.ok ? parsed.value.status : parsed.status) as Partial<CommonStatus> &
      Record<string, unknown>;
    const status = statusFor(ending, {
      spec: parsed.ok ? parsed.value.spec : undefined,
      effective: parsed.ok ? effective?.(turn.ref, parsed.value.spec) : undefined,
      generation: told.metadata.generation ?? 0,
      deleting: isDeleting(told),
      previous,
      reconcileAt: told.metadata.annotations?.[ANNOTATION_RECONCILE_AT],
      appliedAtMs: untold.appliedAtMs(turn.key),
      nowMs: clock.now(),
    });
    if (!saysTheSame(status, told.status)) {
      const { traceId } = turn.span;
      const traced = traceId === undefined ? status : { ...status, lastTraceID: traceId };
      turn.object = await objects.writeStatus(told, traced, turn.signal);
      this.#notify(turn, noticesBetween(previous.conditions ?? [], status.conditions ?? []));
    }
    untold.timeTold(turn.key);
  }

  #notify(turn: TurnState<Raw>, notices: readonly Notice[]): void {
    const regarding = turn.lastSeen;
    if (regarding === undefined) return;
    for (const notice of notices) this.#options.objects.notify(regarding, notice);
  }

  #log({ ref, span }: TurnState<Raw>, ending: Ending): void {
    const { logger } = this.#options;
    if (ending.kind !== 'failed') {
      logger.debug({ ...ref, result: describeEnding(ending) }, 'reconciled');
      return;
    }
    const { error } = ending;
    span.failed(error);
    if (isOperatorError(error)) logger.info({ ...ref, err: error }, 'reconcile failed, will be tried again');
    else logger.error({ ...ref, err: error }, 'reconcile failed by a defect');
  }
}
