import {
  ANNOTATION_RECONCILE_AT,
  type CommonSpec,
  type CommonStatus,
  FINALIZER,
  policiesOf,
} from '../api/v1alpha1/common.ts';
import type { Parsed, Resource } from '../api/v1alpha1/resource.ts';
import type { Clock } from '../core/clock.ts';
import {
  AbortedError,
  ConflictError,
  isOperatorError,
  type RetryableError,
  TerminalError,
} from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { type ResourceKey, type ResourceRef, resourceRef } from '../core/resource.ts';
import type { AppliedWork, Ending } from './ending.ts';
import type { Kind, KindPlan, Receipt, Report, Subject } from './kind.ts';
import { describeEnding, isWorthTelling, nextFor, type Notice, noticesFor, saysTheSame } from './settle.ts';
import { statusFor } from './status.ts';
import type { Turn, TurnResult } from './workers.ts';

/** Transactions one turn may make before it gives way to others; a big tree goes on in the next one. */
const MAX_TRANSACTIONS = 500;
/** Stale preconditions in a row before the turn gives up for now. */
const MAX_LOST = 5;

/** An object as the API server handed it out. */
export interface StoredObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
    readonly generation?: number;
    readonly finalizers?: readonly string[];
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: unknown;
}

/** What the shell needs of Kubernetes; every write takes the object's resourceVersion as its precondition. */
export interface Objects<Raw extends StoredObject> {
  get(ref: ResourceRef): Raw | undefined;
  /** Each resolves with the object as it stands now, or undefined when it is gone. @throws ConflictError */
  writeStatus(object: Raw, status: object, signal: AbortSignal): Promise<Raw | undefined>;
  addFinalizer(object: Raw, signal: AbortSignal): Promise<Raw | undefined>;
  removeFinalizer(object: Raw, signal: AbortSignal): Promise<Raw | undefined>;
  notify(object: Raw, notice: Notice): void;
}

/** The span of one turn, as far as the shell needs it. */
export interface TurnSpan {
  readonly traceId: string | undefined;
  step<T>(name: 'observe' | 'plan' | 'apply' | 'status', run: () => T | Promise<T>): Promise<T>;
  note(facts: { readonly result?: string; readonly reason?: string; readonly plan?: string }): void;
  failed(error: unknown): void;
}

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
  /** Set while Consul cannot be worked with at all, and for how long that has been so. */
  readonly consulAway: () => { readonly error: RetryableError; readonly forMs: number } | undefined;
  /** Whether what a vanished resource owned may be removed: see `ownership/removals.ts`. */
  readonly mayRemove: (ref: ResourceRef) => boolean;
  readonly span: <T>(
    object: Raw | undefined,
    ref: ResourceRef,
    run: (span: TurnSpan) => Promise<T>,
  ) => Promise<T>;
  /** Called when a turn begins; what it returns is told how the turn ended, once. */
  readonly observe: () => TurnObserver;
}

/** For metrics. */
export interface TurnObserver {
  settled(ending: Ending, next: TurnResult): void;
  /** Cut short by shutdown or by losing the lead. */
  aborted(): void;
  /** It threw, which is a defect. */
  panicked(): void;
}

/**
 * The shell of one reconcile, the same for every kind. It reads top to bottom: get by key, parse, observe, plan,
 * apply, and out through one door, which alone sets conditions, tells Events and answers the queue.
 */
export function createTurn<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Observed,
  Change,
  Raw extends StoredObject,
>(options: ShellOptions<Spec, Status, Observed, Change, Raw>): Turn {
  const shell = new Shell(options);
  return (key, signal) => shell.turn(key, signal);
}

class Shell<
  Spec extends CommonSpec,
  Status extends CommonStatus,
  Observed,
  Change,
  Raw extends StoredObject,
> {
  readonly #options: ShellOptions<Spec, Status, Observed, Change, Raw>;
  /** When the present row of failures of a key began. */
  readonly #failingSince = new Map<ResourceKey, number>();

  constructor(options: ShellOptions<Spec, Status, Observed, Change, Raw>) {
    this.#options = options;
  }

  async turn(key: ResourceKey, signal: AbortSignal): Promise<TurnResult> {
    const ref = resourceRef(key);
    const { objects, kind, observe, span } = this.#options;
    const object = objects.get(ref);
    if (object === undefined && !kind.owns(ref)) {
      kind.forget(ref);
      this.#failingSince.delete(key);
      return { kind: 'done' };
    }
    const observer = observe();
    try {
      return await span(object, ref, turnSpan =>
        this.#reconcile(key, new TurnState(ref, object, signal, turnSpan), observer),
      );
    } catch (error) {
      if (error instanceof AbortedError || signal.aborted) observer.aborted();
      else observer.panicked();
      throw error;
    }
  }

  async #reconcile(key: ResourceKey, turn: TurnState<Raw>, observer: TurnObserver): Promise<TurnResult> {
    const reached = await this.#run(turn).catch((error: unknown): Ending => {
      if (error instanceof AbortedError) throw error;
      return { kind: 'failed', error };
    });
    const { ending, next } = await this.#settle(key, turn, reached);
    observer.settled(ending, next);
    return next;
  }

  async #run(turn: TurnState<Raw>): Promise<Ending> {
    const { kind, consulAway } = this.#options;
    const away = consulAway();
    if (away !== undefined) return { kind: 'failed', error: away.error, awayForMs: away.forMs };
    if (turn.object === undefined) return this.#release(turn);
    const parsed = kind.parse(turn.object);
    if (isDeleting(turn.object)) return this.#delete(turn, parsed);
    if (!parsed.ok) return { kind: 'refused', reason: 'InvalidSpec', message: parsed.problem };
    return this.#converge(turn, parsed.value);
  }

  /** The resource is gone and was not seen going, or went without a finalizer: only its record is left. */
  async #release(turn: TurnState<Raw>): Promise<Ending> {
    if (!this.#options.mayRemove(turn.ref)) return { kind: 'released', applied: undefined };
    const { ref } = turn;
    const applied = await this.#drive(turn, {
      ref,
      resource: undefined,
      deleting: true,
      onDelete: undefined,
    });
    return { kind: 'released', applied: applied.work };
  }

  async #delete(turn: TurnState<Raw>, parsed: Parsed<Spec, Status>): Promise<Ending> {
    const resource = parsed.ok ? parsed.value : undefined;
    const onDelete = parsed.ok ? policiesOf(parsed.value.spec).deletionPolicy : parsed.deletionPolicy;
    const { work } = await this.#drive(turn, { ref: turn.ref, resource, deleting: true, onDelete });
    await this.#dropFinalizer(turn);
    return { kind: 'released', applied: work };
  }

  async #converge(turn: TurnState<Raw>, resource: Resource<Spec, Status>): Promise<Ending> {
    const { deletionPolicy, suspend } = policiesOf(resource.spec);
    const subject = { ref: turn.ref, resource, deleting: false, onDelete: deletionPolicy };
    const { plan, observed, work } = await this.#drive(turn, subject, {
      withhold: suspend,
      beforeFirstWrite: async () => {
        if (deletionPolicy === 'Delete') await this.#addFinalizer(turn);
      },
    });
    const report = this.#options.kind.report(subject, observed);
    if (plan.kind === 'change' || (suspend && plan.kind !== 'noop')) return suspended(plan, report);
    if (plan.kind === 'wait') return { kind: 'waiting', reason: plan.reason, message: plan.message };
    if (plan.kind === 'refuse') return { kind: 'refused', reason: plan.reason, message: plan.message };
    // The record says Retain by now, so nothing is lost when the resource goes without asking us.
    if (deletionPolicy === 'Retain') await this.#dropFinalizer(turn);
    else if (this.#options.kind.owns(turn.ref)) await this.#addFinalizer(turn);
    return { kind: 'converged', report, drifted: plan.drifted, applied: work };
  }

  /** Observe, plan, apply one transaction, and again from there, until there is nothing left to do. */
  async #drive(
    turn: TurnState<Raw>,
    subject: Subject<Spec, Status>,
    { withhold = false, beforeFirstWrite = async () => {} }: DriveOptions = {},
  ): Promise<Driven<Observed, Change>> {
    const { kind } = this.#options;
    const { signal, span } = turn;
    let fresh = turn.isForced();
    let work: AppliedWork | undefined;
    for (let made = 0, lost = 0; made < MAX_TRANSACTIONS; made++) {
      const asked = { fresh, signal };
      const observed = await span.step('observe', () => kind.observe(subject, asked));
      const plan = await span.step('plan', () => kind.plan(subject, observed));
      span.note({ plan: plan.kind });
      if (plan.kind !== 'change' || withhold) return { plan, observed, work };
      if (made === 0) await beforeFirstWrite();
      signal.throwIfAborted();
      const receipt = await span.step('apply', () => kind.apply(subject, plan.change, observed));
      if (receipt.kind === 'applied') work = merge(work, receipt);
      lost = receipt.kind === 'applied' ? 0 : lost + 1;
      if (lost > MAX_LOST) throw lostTooOften();
      fresh = receipt.kind === 'refused';
    }
    throw new ConflictError('the change is too large for one turn and goes on in the next', {
      code: 'TURN_TOO_LONG',
      reason: 'Progressing',
    });
  }

  async #addFinalizer(turn: TurnState<Raw>): Promise<void> {
    const { object } = turn;
    if (object === undefined || isDeleting(object) || hasFinalizer(object)) return;
    turn.object = await this.#options.objects.addFinalizer(object, turn.signal);
    if (turn.object === undefined) throw goneMeanwhile();
  }

  async #dropFinalizer(turn: TurnState<Raw>): Promise<void> {
    const { object } = turn;
    if (object === undefined || !hasFinalizer(object)) return;
    turn.object = await this.#options.objects.removeFinalizer(object, turn.signal);
  }

  /** The one door out. */
  async #settle(
    key: ResourceKey,
    turn: TurnState<Raw>,
    reached: Ending,
  ): Promise<{ readonly ending: Ending; readonly next: TurnResult }> {
    const { logger } = this.#options;
    const failingForMs = this.#noteFailure(key, reached);
    let ending = asState(reached);
    try {
      await turn.span.step('status', () => this.#tell(turn, ending, failingForMs));
    } catch (error) {
      if (error instanceof AbortedError) throw error;
      // Consul is as it should be; the status is told by the next turn.
      ending = { kind: 'failed', error };
    }
    const next = nextFor(ending);
    turn.span.note({ result: next.kind, ...('reason' in ending ? { reason: ending.reason } : {}) });
    if (ending.kind === 'failed') {
      turn.span.failed(ending.error);
      const isDefect = !isOperatorError(ending.error);
      if (isDefect) logger.error({ ...turn.ref, err: ending.error }, 'reconcile failed by a defect');
      else logger.info({ ...turn.ref, err: ending.error }, 'reconcile failed, will be tried again');
    } else logger.debug({ ...turn.ref, result: describeEnding(ending) }, 'reconciled');
    return { ending, next };
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

  async #tell(turn: TurnState<Raw>, ending: Ending, failingForMs: number): Promise<void> {
    const { kind, objects, clock } = this.#options;
    const { signal } = turn;
    const told = turn.object ?? turn.found;
    if (told === undefined) return;
    const parsed = kind.parse(told);
    const previous = (parsed.ok ? parsed.value.status : parsed.status) as Partial<CommonStatus> &
      Record<string, unknown>;
    const status = statusFor(ending, {
      spec: parsed.ok ? parsed.value.spec : undefined,
      generation: told.metadata.generation ?? 0,
      deleting: isDeleting(told),
      previous,
      reconcileAt: told.metadata.annotations?.[ANNOTATION_RECONCILE_AT],
      nowMs: clock.now(),
    });
    if (!isWorthTelling(ending, failingForMs)) {
      if (ending.kind === 'released') this.#notify(turn, ending, previous, previous);
      return;
    }
    if (saysTheSame(status, told.status)) {
      this.#notify(turn, ending, previous, previous);
      return;
    }
    const traced = turn.span.traceId === undefined ? status : { ...status, lastTraceID: turn.span.traceId };
    turn.object = await objects.writeStatus(told, traced, signal);
    this.#notify(turn, ending, previous, status);
  }

  #notify(
    turn: TurnState<Raw>,
    ending: Ending,
    before: Partial<CommonStatus>,
    after: Partial<CommonStatus>,
  ): void {
    const regarding = turn.object ?? turn.found;
    if (regarding === undefined) return;
    for (const notice of noticesFor(ending, before.conditions ?? [], after.conditions ?? [])) {
      this.#options.objects.notify(regarding, notice);
    }
  }
}

interface DriveOptions {
  /** Plan, but write nothing. */
  readonly withhold?: boolean;
  readonly beforeFirstWrite?: () => Promise<void>;
}

interface Driven<Observed, Change> {
  readonly plan: KindPlan<Change>;
  readonly observed: Observed;
  readonly work: AppliedWork | undefined;
}

/** One turn's view of its object, which its own writes move on. */
class TurnState<Raw extends StoredObject> {
  readonly ref: ResourceRef;
  readonly found: Raw | undefined;
  readonly signal: AbortSignal;
  readonly span: TurnSpan;
  /** As it stands now; undefined once it is gone. */
  object: Raw | undefined;

  constructor(ref: ResourceRef, object: Raw | undefined, signal: AbortSignal, span: TurnSpan) {
    this.ref = ref;
    this.found = object;
    this.object = object;
    this.signal = signal;
    this.span = span;
  }

  /** The user asks for a look at Consul itself. */
  isForced(): boolean {
    const asked = this.found?.metadata.annotations?.[ANNOTATION_RECONCILE_AT];
    const handled = (this.found?.status as CommonStatus | undefined)?.lastHandledReconcileAt;
    return asked !== undefined && asked !== handled;
  }
}

/** Nothing is done about it before the user resumes. Ready if Consul equals the spec; an obstacle does not stall. */
function suspended<Change>(plan: Exclude<KindPlan<Change>, { kind: 'noop' }>, report: Report): Ending {
  const reason = 'Suspended';
  if (plan.kind !== 'change')
    return { kind: 'withheld', reason, message: `suspended: ${plan.message}`, report: undefined };
  if (plan.equal) return { kind: 'converged', report, drifted: plan.drifted, applied: undefined };
  return { kind: 'withheld', reason, message: `suspended: would ${plan.summary}`, report };
}

/** What repeating cannot help is a state, not a failure; a dry run is one, too: it is refused at the choke point. */
function asState(ending: Ending): Ending {
  if (ending.kind !== 'failed' || !(ending.error instanceof TerminalError)) return ending;
  const { reason, message } = ending.error;
  if (reason === 'DryRun') return { kind: 'withheld', reason, message, report: undefined };
  return reason === 'Progressing' ? ending : { kind: 'refused', reason, message };
}

function merge(before: AppliedWork | undefined, receipt: Extract<Receipt, { kind: 'applied' }>): AppliedWork {
  if (before === undefined) return receipt;
  // The first transaction of a change says best what it was: created, adopted, updated.
  return { ...before, corrected: before.corrected + receipt.corrected };
}

function isDeleting(object: StoredObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

function hasFinalizer(object: StoredObject): boolean {
  return object.metadata.finalizers?.includes(FINALIZER) ?? false;
}

function lostTooOften(): ConflictError {
  return new ConflictError(`Consul changed under the operator's hands ${MAX_LOST} times in a row`, {
    code: 'TURN_CONTENDED',
    reason: 'Progressing',
  });
}

function goneMeanwhile(): ConflictError {
  return new ConflictError('the resource was deleted meanwhile', {
    code: 'TURN_GONE',
    reason: 'Progressing',
  });
}
