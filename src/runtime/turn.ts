import { type CommonSpec, type CommonStatus, policiesOf } from '../api/v1alpha1/common.ts';
import type { Parsed, Resource } from '../api/v1alpha1/resource.ts';
import type { Clock } from '../core/clock.ts';
import { AbortedError, type RetryableError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type ResourceRef, resourceRef } from '../core/resource.ts';
import { drive, type Driven, type DriveOptions } from './drive.ts';
import { type Ending, endingOf } from './ending.ts';
import { Finalizer } from './finalizer.ts';
import type { Kind, KindPlan, Report, Subject } from './kind.ts';
import { isDeleting, type Objects, type StoredObject } from './objects.ts';
import { Settlement } from './settle.ts';
import { type TurnObserver, type TurnSpan, TurnState } from './turn-state.ts';
import { UntoldWork } from './untold-work.ts';
import type { Turn, TurnResult } from './workers.ts';

export interface ShellOptions<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Observed,
  Change,
  Raw extends StoredObject,
> {
  readonly kind: Kind<Spec, Status, Observed, Change>;
  readonly objects: Objects<Raw>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Consul is written nothing, which its choke point sees to; here it means: no finalizers either. */
  readonly dryRun: boolean;
  /** Set while Consul cannot be worked with at all, and for how long that has been so. */
  readonly consulAway: () => { readonly error: RetryableError; readonly forMs: number } | undefined;
  /** Whether what a vanished resource owned may be removed: see `ownership/removals.ts`. */
  readonly mayRemove: (ref: ResourceRef) => boolean;
  readonly span: <T>(
    object: Raw | undefined,
    ref: ResourceRef,
    run: (span: TurnSpan) => Promise<T>,
  ) => Promise<T>;
  /** Called when a turn begins; what it returns is told how the turn went. */
  readonly observe: () => TurnObserver;
}

/**
 * The shell of one reconcile, the same for every kind. It reads top to bottom: get by key, parse, observe, plan,
 * apply, and out through one door (`settle.ts`), which alone sets conditions, tells Events and answers the queue.
 */
export function createTurn<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Observed,
  Change,
  Raw extends StoredObject,
>(options: ShellOptions<Spec, Status, Observed, Change, Raw>): Turn {
  return new Shell(options).turn;
}

type Unreadable<Spec, Status extends CommonStatus> = Extract<Parsed<Spec, Status>, { ok: false }>;

class Shell<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Observed,
  Change,
  Raw extends StoredObject,
> {
  readonly #options: ShellOptions<Spec, Status, Observed, Change, Raw>;
  readonly #finalizer: Finalizer<Raw>;
  readonly #untold = new UntoldWork();
  readonly #settlement: Settlement<Spec, Status, Raw>;

  constructor(options: ShellOptions<Spec, Status, Observed, Change, Raw>) {
    this.#options = options;
    this.#finalizer = new Finalizer(options);
    const parse = (object: unknown): Parsed<Spec, Status> => options.kind.parse(object);
    const effective = options.kind.effective?.bind(options.kind);
    this.#settlement = new Settlement({ ...options, parse, effective, untold: this.#untold });
  }

  readonly turn: Turn = async (key, signal) => {
    const ref = resourceRef(key);
    const { objects, kind, observe, span } = this.#options;
    const object = objects.get(ref);
    if (object === undefined && !kind.owns(ref)) {
      kind.forget(ref);
      this.#settlement.forget(key);
      return { kind: 'done' };
    }
    const observer = observe();
    try {
      return await span(object, ref, turnSpan =>
        this.#reconcile(new TurnState({ key, object, signal, span: turnSpan, observer })),
      );
    } catch (error) {
      if (error instanceof AbortedError || signal.aborted) observer.aborted();
      else observer.panicked();
      throw error;
    }
  };

  async #reconcile(turn: TurnState<Raw>): Promise<TurnResult> {
    const reached = await this.#run(turn).catch((error: unknown): Ending => {
      if (error instanceof AbortedError) throw error;
      return endingOf(error);
    });
    return this.#settlement.settle(turn, reached);
  }

  async #run(turn: TurnState<Raw>): Promise<Ending> {
    const { kind, consulAway } = this.#options;
    const away = consulAway();
    if (away !== undefined) return { kind: 'failed', error: away.error, awayForMs: away.forMs };
    if (this.#isBehind(turn)) turn.object = await this.#options.objects.lookUp(turn.ref, turn.signal);
    if (turn.object === undefined) return this.#release(turn);
    const parsed = kind.parse(turn.object);
    if (isDeleting(turn.object)) return this.#delete(turn, parsed);
    return parsed.ok ? this.#converge(turn, parsed.value) : this.#refuse(turn, parsed);
  }

  /**
   * A leader before this one, whose watch was ahead of ours, has applied more than we have heard of: going by what we
   * have would take it back.
   */
  #isBehind({ ref, object }: TurnState<Raw>): boolean {
    const recorded = this.#options.kind.recorded(ref);
    const { uid, generation = 0 } = object?.metadata ?? {};
    return recorded !== undefined && recorded.uid === uid && recorded.generation > generation;
  }

  /** The resource is gone and was not seen going, or went without a finalizer: only its record is left. */
  async #release(turn: TurnState<Raw>): Promise<Ending> {
    const { ref, signal } = turn;
    const { mayRemove, objects } = this.#options;
    // It may be so new that a leader before this one had heard of it, and we have not.
    if (mayRemove(ref) && (await objects.lookUp(ref, signal)) === undefined) {
      const subject = { ref, resource: undefined, deleting: true, onDelete: undefined };
      return heldBy(await this.#drive(turn, subject)) ?? { kind: 'released' };
    }
    return { kind: 'released' };
  }

  async #delete(turn: TurnState<Raw>, parsed: Parsed<Spec, Status>): Promise<Ending> {
    const resource = parsed.ok ? parsed.value : undefined;
    const onDelete = parsed.ok ? policiesOf(parsed.value.spec).deletionPolicy : parsed.deletionPolicy;
    const subject = { ref: turn.ref, resource, deleting: true, onDelete };
    const driven = await this.#drive(turn, subject);
    const held = heldBy(driven, this.#options.kind.report(subject, driven.observed));
    if (held !== undefined) return held;
    await this.#finalizer.ensureAbsent(turn);
    return { kind: 'released' };
  }

  /** What others rely on is kept true where the kind can do that without a spec. */
  async #refuse(turn: TurnState<Raw>, { problem, suspend }: Unreadable<Spec, Status>): Promise<Ending> {
    const { kind } = this.#options;
    const refusal = { kind: 'refused', reason: 'InvalidSpec', message: problem } as const;
    if (kind.tendsUnreadable === undefined || !kind.owns(turn.ref)) return refusal;
    const subject = { ref: turn.ref, resource: undefined, deleting: false, onDelete: undefined };
    const { observed } = await this.#drive(turn, subject, { withhold: suspend });
    return { ...refusal, report: kind.report(subject, observed) };
  }

  async #converge(turn: TurnState<Raw>, resource: Resource<Spec, Status>): Promise<Ending> {
    const { deletionPolicy, suspend } = policiesOf(resource.spec);
    const subject = { ref: turn.ref, resource, deleting: false, onDelete: deletionPolicy };
    const { plan, observed, failure } = await this.#drive(turn, subject, {
      withhold: suspend,
      beforeFirstWrite: async () => {
        if (deletionPolicy === 'Delete') await this.#finalizer.ensurePresent(turn);
      },
    });
    const { kind } = this.#options;
    const report = kind.report(subject, observed);
    if (failure !== undefined) return { kind: 'failed', error: failure.error, report };
    if (plan.kind === 'change' || (suspend && plan.kind !== 'noop')) return suspended(plan, report);
    if (plan.kind === 'wait') return { ...haltedBy(plan, report), kind: 'waiting', againMs: plan.againMs };
    const owns = kind.owns(turn.ref);
    if (plan.kind === 'refuse') {
      // Refused by the very transaction that the finalizer was added for.
      if (!owns) await this.#finalizer.ensureAbsent(turn);
      return { ...haltedBy(plan, report), kind: 'refused', againMs: plan.againMs };
    }
    // The record says Retain by now, so nothing is lost when the resource goes without asking us.
    if (deletionPolicy === 'Retain') await this.#finalizer.ensureAbsent(turn);
    else if (owns) await this.#finalizer.ensurePresent(turn);
    return { kind: 'converged', report, drifted: plan.drifted, againMs: plan.againMs };
  }

  #drive(
    turn: TurnState<Raw>,
    subject: Subject<Spec, Status>,
    how: Pick<DriveOptions<Spec, Status, Observed, Change>, 'withhold' | 'beforeFirstWrite'> = {},
  ): Promise<Driven<Observed, Change>> {
    const { kind, clock } = this.#options;
    return drive({
      ...how,
      kind,
      turn,
      subject,
      onApplied: work => this.#untold.add(turn.key, work, clock.now()),
    });
  }
}

/** What the resource owns cannot be let go of yet. */
function heldBy<Observed, Change>(
  { plan, failure }: Driven<Observed, Change>,
  report?: Report,
): Ending | undefined {
  if (failure !== undefined) return { kind: 'failed', error: failure.error };
  if (plan.kind === 'wait') return { ...haltedBy(plan, report), kind: 'waiting', againMs: plan.againMs };
  if (plan.kind !== 'refuse') return undefined;
  return { ...haltedBy(plan, report), kind: 'refused', againMs: plan.againMs };
}

function haltedBy<Change>(
  { reason, message, isSeen }: Extract<KindPlan<Change>, { kind: 'wait' | 'refuse' }>,
  report?: Report,
): { readonly reason: string; readonly message: string; readonly report: Report | undefined } {
  return { reason, message, report: isSeen ? report : undefined };
}

/** Nothing is done about it before the user resumes. Ready if Consul equals the spec; an obstacle does not stall. */
function suspended<Change>(plan: Exclude<KindPlan<Change>, { kind: 'noop' }>, report: Report): Ending {
  const reason = 'Suspended';
  if (plan.kind !== 'change') {
    return { ...haltedBy(plan, report), kind: 'withheld', reason, message: `suspended: ${plan.message}` };
  }
  if (plan.equal) return { kind: 'converged', report, drifted: plan.drifted };
  return { kind: 'withheld', reason, message: `suspended: would ${plan.summary}`, report };
}
